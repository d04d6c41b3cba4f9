-- Volumes: disks of a user that outlive the sandboxes they are attached to.

-- The row is all there is until the first attach, which makes the disk on the machine of that
-- sandbox; from then on the volume is there and nowhere else.
CREATE TABLE volumes (
    id         uuid PRIMARY KEY, -- the caller's choice, so that asking again changes nothing
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name       text NOT NULL CHECK (name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'),
    size_mb    integer NOT NULL CHECK (size_mb > 0),
    is_shared  boolean NOT NULL DEFAULT false, -- may have several writers at a time
    status     text NOT NULL DEFAULT 'ready' CHECK (status IN ('ready', 'deleting')),
    instance   text NOT NULL, -- the deployment
    node       text, -- NULL: there is no disk yet
    created_at timestamptz NOT NULL DEFAULT now()
);
-- One that is being deleted has no name any more.
CREATE UNIQUE INDEX volumes_name ON volumes (user_id, name) WHERE status = 'ready';
CREATE INDEX volumes_user ON volumes (user_id);
-- What the machine's disks are compared with.
CREATE INDEX volumes_on_node ON volumes (instance, node);

-- Gone as soon as the sandbox's container is: what is attached is in use.
CREATE TABLE volume_attachments (
    sandbox_id uuid NOT NULL REFERENCES sandboxes (id) ON DELETE CASCADE,
    volume_id  uuid NOT NULL REFERENCES volumes (id),
    path       text NOT NULL CHECK (path ~ '^/' AND octet_length(path) <= 255),
    read_only  boolean NOT NULL DEFAULT false,
    PRIMARY KEY (sandbox_id, volume_id),
    UNIQUE (sandbox_id, path)
);
CREATE INDEX volume_attachments_volume ON volume_attachments (volume_id);

-- Makes a volume. p_limits says what each tier gets: {"free": {"volumes": 2, "volumeMB": 2048}, ...}.
-- The same id again finds what it made. Raises IN404 user_not_found; IN403 user_suspended; IN409
-- volume_exists; IN429 volume_quota_exceeded.
CREATE FUNCTION volume_make(p_id uuid, p_user_id uuid, p_name text, p_size_mb integer,
                            p_is_shared boolean, p_instance text, p_limits jsonb)
RETURNS volumes
LANGUAGE plpgsql AS $$
DECLARE
    owner  users%ROWTYPE;
    limits jsonb;
    made   volumes%ROWTYPE;
BEGIN
    -- Who makes volumes of one user waits here, so that the sum below holds.
    SELECT * INTO owner FROM users WHERE id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'user_not_found' USING ERRCODE = 'IN404';
    END IF;
    IF owner.suspended_at IS NOT NULL THEN
        RAISE EXCEPTION 'user_suspended' USING ERRCODE = 'IN403';
    END IF;
    SELECT * INTO made FROM volumes WHERE id = p_id;
    IF FOUND AND (made.user_id, made.name, made.status) = (p_user_id, p_name, 'ready') THEN
        RETURN made;
    END IF;
    IF made.id IS NOT NULL
       OR EXISTS (SELECT 1 FROM volumes
                  WHERE user_id = p_user_id AND name = p_name AND status = 'ready') THEN
        RAISE EXCEPTION 'volume_exists' USING ERRCODE = 'IN409';
    END IF;
    -- One that is being deleted still takes its place on a disk.
    limits := p_limits -> owner.tier;
    IF (SELECT count(*) >= (limits ->> 'volumes')::bigint
               OR coalesce(sum(size_mb), 0) + p_size_mb > (limits ->> 'volumeMB')::bigint
        FROM volumes WHERE user_id = p_user_id) THEN
        RAISE EXCEPTION 'volume_quota_exceeded' USING ERRCODE = 'IN429';
    END IF;
    INSERT INTO volumes (id, user_id, name, size_mb, is_shared, instance)
    VALUES (p_id, p_user_id, p_name, p_size_mb, p_is_shared, p_instance)
    RETURNING * INTO made;
    RETURN made;
END
$$;

-- Attaches to a sandbox that is just being made (in the transaction that makes it) what p_wanted
-- names: [{"name": "data", "path": "/data", "readOnly": false}, ...]. Returns a line for each:
-- "<id> <size in MB> <ro|rw> <path>"; "" for none.
-- Raises IN404 volume_not_found; IN409 volume_elsewhere (its disk is on another machine),
-- volume_in_use (somebody writes to it, and it is not shared); IN400 volume_named_twice.
CREATE FUNCTION volumes_attach(p_sandbox_id uuid, p_wanted jsonb)
RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    sandbox sandboxes%ROWTYPE;
    wanted  record;
    volume  volumes%ROWTYPE;
    lines   text := '';
BEGIN
    IF jsonb_array_length(p_wanted) = 0 THEN
        RETURN '';
    END IF;
    SELECT * INTO sandbox FROM sandboxes WHERE id = p_sandbox_id;
    -- In one order, so that two sandboxes with the same volumes do not wait for each other.
    FOR wanted IN SELECT * FROM jsonb_to_recordset(p_wanted)
                  AS w (name text, path text, "readOnly" boolean) ORDER BY w.name LOOP
        -- Held until the end: it is not deleted, nor is its writer another's, in between.
        SELECT * INTO volume FROM volumes
        WHERE user_id = sandbox.user_id AND name = wanted.name AND status = 'ready'
          AND instance = sandbox.instance
        FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'volume_not_found' USING ERRCODE = 'IN404';
        END IF;
        IF volume.node <> sandbox.node THEN
            RAISE EXCEPTION 'volume_elsewhere' USING ERRCODE = 'IN409';
        END IF;
        IF EXISTS (SELECT 1 FROM volume_attachments
                   WHERE sandbox_id = p_sandbox_id
                     AND (volume_id = volume.id OR path = wanted.path)) THEN
            RAISE EXCEPTION 'volume_named_twice' USING ERRCODE = 'IN400';
        END IF;
        IF NOT volume.is_shared AND NOT coalesce(wanted."readOnly", false)
           AND EXISTS (SELECT 1 FROM volume_attachments
                       WHERE volume_id = volume.id AND NOT read_only) THEN
            RAISE EXCEPTION 'volume_in_use' USING ERRCODE = 'IN409';
        END IF;
        UPDATE volumes SET node = sandbox.node WHERE id = volume.id AND node IS NULL;
        INSERT INTO volume_attachments (sandbox_id, volume_id, path, read_only)
        VALUES (p_sandbox_id, volume.id, wanted.path, coalesce(wanted."readOnly", false));
        lines := lines || format(E'%s %s %s %s\n', volume.id, volume.size_mb,
                                 CASE WHEN wanted."readOnly" THEN 'ro' ELSE 'rw' END, wanted.path);
    END LOOP;
    RETURN lines;
END
$$;

-- Begins to delete a volume that nothing has attached. One without a disk is gone at once; else its
-- machine removes the disk, and then the row. Again: the same, for as long as there is a row.
-- Raises IN404 volume_not_found; IN409 volume_in_use.
CREATE FUNCTION volume_delete(p_user_id uuid, p_name text)
RETURNS volumes
LANGUAGE plpgsql AS $$
DECLARE
    gone volumes%ROWTYPE;
BEGIN
    SELECT * INTO gone FROM volumes
    WHERE user_id = p_user_id AND name = p_name AND status = 'ready'
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'volume_not_found' USING ERRCODE = 'IN404';
    END IF;
    IF EXISTS (SELECT 1 FROM volume_attachments WHERE volume_id = gone.id) THEN
        RAISE EXCEPTION 'volume_in_use' USING ERRCODE = 'IN409';
    END IF;
    IF gone.node IS NULL THEN
        DELETE FROM volumes WHERE id = gone.id;
    ELSE
        UPDATE volumes SET status = 'deleting' WHERE id = gone.id;
    END IF;
    gone.status := 'deleting';
    RETURN gone;
END
$$;

-- A sandbox's volumes are free in the transaction that ends it, whichever statement that is. Not
-- when it is only stopping or has failed: until its container is gone it may write. Who sees that
-- the container of a failed one is gone deletes its attachments.
CREATE FUNCTION volumes_detach() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM volume_attachments WHERE sandbox_id = NEW.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER sandboxes_detach_volumes AFTER UPDATE OF status ON sandboxes
    FOR EACH ROW
    WHEN (NEW.status = 'destroyed' AND OLD.status <> 'destroyed')
    EXECUTE FUNCTION volumes_detach();

-- The volumes of a user who leaves go as those that are deleted: the disks behind the rows.
CREATE FUNCTION volumes_leave() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM volumes v WHERE user_id = NEW.id AND node IS NULL
    AND NOT EXISTS (SELECT 1 FROM volume_attachments a WHERE a.volume_id = v.id);
    UPDATE volumes SET status = 'deleting' WHERE user_id = NEW.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER users_leave_volumes AFTER UPDATE OF deleted_at ON users
    FOR EACH ROW
    WHEN (NEW.deleted_at IS NOT NULL AND OLD.deleted_at IS NULL)
    EXECUTE FUNCTION volumes_leave();
