-- Secrets of users: what their sandboxes may know, and nobody reads back.

CREATE TABLE secrets (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id    uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name       text NOT NULL CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$'),
    key_id     text NOT NULL CHECK (key_id ~ '^[0-9a-f]{16}$'), -- which key sealed it
    -- AES-256-GCM: nonce, sealed value, tag. Bound to user_id and name: in another row it does not
    -- open.
    sealed     bytea NOT NULL CHECK (octet_length(sealed) BETWEEN 28 AND 32796),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (user_id, name)
);
-- What is to be sealed anew when the key changes.
CREATE INDEX secrets_key ON secrets (key_id);

-- Which of them a sandbox gets, and as what: an environment variable, or a file.
CREATE TABLE sandbox_secrets (
    sandbox_id uuid NOT NULL REFERENCES sandboxes (id) ON DELETE CASCADE,
    kind       text NOT NULL CHECK (kind IN ('env', 'file')),
    target     text NOT NULL CHECK (target ~ '^[A-Za-z0-9._-]{1,128}$'), -- of the variable or file
    secret_id  uuid NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    PRIMARY KEY (sandbox_id, kind, target)
);
CREATE INDEX sandbox_secrets_secret ON sandbox_secrets (secret_id);

-- Makes a secret, or gives one another value; is_new tells which.
-- Raises IN404 user_not_found; IN403 user_suspended; IN429 secret_quota_exceeded.
CREATE FUNCTION secret_set(p_user_id uuid, p_name text, p_key_id text, p_sealed bytea,
                           p_most integer,
                           OUT created_at timestamptz, OUT updated_at timestamptz,
                           OUT is_new boolean)
LANGUAGE plpgsql AS $$
DECLARE
    owner users%ROWTYPE;
BEGIN
    -- Who sets secrets of one user waits here, so that the count below holds.
    SELECT * INTO owner FROM users WHERE id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'user_not_found' USING ERRCODE = 'IN404';
    END IF;
    IF owner.suspended_at IS NOT NULL THEN
        RAISE EXCEPTION 'user_suspended' USING ERRCODE = 'IN403';
    END IF;
    UPDATE secrets s SET key_id = p_key_id, sealed = p_sealed, updated_at = now()
    WHERE s.user_id = p_user_id AND s.name = p_name
    RETURNING s.created_at, s.updated_at INTO created_at, updated_at;
    is_new := NOT FOUND;
    IF NOT is_new THEN
        RETURN;
    END IF;
    IF (SELECT count(*) FROM secrets s WHERE s.user_id = p_user_id) >= p_most THEN
        RAISE EXCEPTION 'secret_quota_exceeded' USING ERRCODE = 'IN429';
    END IF;
    INSERT INTO secrets AS s (user_id, name, key_id, sealed)
    VALUES (p_user_id, p_name, p_key_id, p_sealed)
    RETURNING s.created_at, s.updated_at INTO created_at, updated_at;
END
$$;

-- What a sandbox that is just being made (in the transaction that makes it) is to know:
-- {"env": {"<variable>": "<secret>"}, "files": {"<file>": "<secret>"}}.
-- Raises IN404 secret_not_found; IN400 secrets_too_large (together over 256 KiB).
CREATE FUNCTION secrets_attach(p_sandbox_id uuid, p_wanted jsonb)
RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    wanted   integer;
    attached integer;
BEGIN
    WITH named AS (
        SELECT 'env' AS kind, key AS target, value AS name FROM jsonb_each_text(p_wanted -> 'env')
        UNION ALL
        SELECT 'file', key, value FROM jsonb_each_text(p_wanted -> 'files')
    ), made AS (
        INSERT INTO sandbox_secrets (sandbox_id, kind, target, secret_id)
        SELECT b.id, n.kind, n.target, s.id
        FROM named n
        JOIN sandboxes b ON b.id = p_sandbox_id
        JOIN secrets s ON s.user_id = b.user_id AND s.name = n.name
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM named), (SELECT count(*) FROM made) INTO wanted, attached;
    IF attached < wanted THEN
        RAISE EXCEPTION 'secret_not_found' USING ERRCODE = 'IN404';
    END IF;
    IF (SELECT sum(octet_length(s.sealed)) FROM sandbox_secrets u
        JOIN secrets s ON s.id = u.secret_id WHERE u.sandbox_id = p_sandbox_id) > 256 * 1024 THEN
        RAISE EXCEPTION 'secrets_too_large' USING ERRCODE = 'IN400';
    END IF;
    RETURN attached;
END
$$;

-- What a sandbox knows, a line each: "<env|file> <target> <user> <secret> <key> <sealed, in hex>".
-- One whose secret is deleted is not there any more.
CREATE FUNCTION secrets_of_sandbox(p_sandbox_id uuid)
RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT coalesce(string_agg(concat_ws(' ', u.kind, u.target, s.user_id, s.name, s.key_id,
                                         encode(s.sealed, 'hex')), E'\n'
                               ORDER BY u.kind, u.target), '')
    FROM sandbox_secrets u JOIN secrets s ON s.id = u.secret_id
    WHERE u.sandbox_id = p_sandbox_id
$$;

-- Those of a user who leaves go at once.
CREATE FUNCTION secrets_leave() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM secrets WHERE user_id = NEW.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER users_leave_secrets AFTER UPDATE OF deleted_at ON users
    FOR EACH ROW
    WHEN (NEW.deleted_at IS NOT NULL AND OLD.deleted_at IS NULL)
    EXECUTE FUNCTION secrets_leave();
