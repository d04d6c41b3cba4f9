-- Templates of users beside those that come with the server, and what a template says of its
-- sandboxes. A template never changes once it is made; it can only go, while no sandbox of it lives.

ALTER TABLE templates DROP CONSTRAINT templates_pkey;
ALTER TABLE templates
    ADD id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    ADD user_id         uuid REFERENCES users (id) ON DELETE CASCADE, -- NULL: comes with the server
    -- waiting: for the folder it is built from; making: its image is being made.
    ADD status          text NOT NULL DEFAULT 'ready'
                        CHECK (status IN ('waiting', 'making', 'ready', 'failed')),
    ADD failure         text, -- the code of what went wrong
    ADD source          text NOT NULL DEFAULT 'image'
                        CHECK (source IN ('image', 'dockerfile', 'snapshot')),
    ADD reference       text NOT NULL DEFAULT '', -- the image's name, the Dockerfile, the snapshot's id
    ADD instance        text, -- the deployment and machine that has the image; NULL: all have it
    ADD node            text,
    ADD size_bytes      bigint,
    ADD log             text NOT NULL DEFAULT '', -- the end of what the making said
    ADD runtime         text CHECK (runtime ~ '^[a-z0-9][a-z0-9_.-]{0,31}$'), -- NULL: the engine's
    ADD work_dir        text, -- this and the next: NULL: the image's
    ADD default_user    text,
    ADD env             jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(env) = 'object'),
    -- {"command": run once in each sandbox, "port" or "probe": when it serves, "timeoutMs"}
    ADD start           jsonb CHECK (jsonb_typeof(start) = 'object'),
    ADD memory_mb       integer CHECK (memory_mb > 0), -- at most; this and the next three: NULL: the tier's
    ADD cpu_milli       integer CHECK (cpu_milli > 0),
    ADD pids            integer CHECK (pids > 0),
    ADD disk_mb         integer CHECK (disk_mb > 0),
    ADD network         text CHECK (network IN ('none', 'open')), -- NULL: the server's
    ADD made_at         timestamptz, -- ready or failed since
    ADD CHECK ((user_id IS NULL) = (instance IS NULL) AND (instance IS NULL) = (node IS NULL)),
    ADD CHECK ((status = 'failed') = (failure IS NOT NULL));
ALTER TABLE templates ALTER profile SET DEFAULT 'sudo';

CREATE UNIQUE INDEX templates_of_server ON templates (name) WHERE user_id IS NULL;
CREATE UNIQUE INDEX templates_of_user ON templates (user_id, name) WHERE user_id IS NOT NULL;
-- What a restart of the machine's service finds half done.
CREATE INDEX templates_unfinished ON templates (instance, node)
    WHERE status IN ('waiting', 'making');

INSERT INTO templates (name, image, profile, description) VALUES
    ('python', 'insien/python:latest', 'locked', 'Debian with Python, pip and the usual libraries'),
    ('node', 'insien/node:latest', 'locked', 'Debian with Node.js, npm and TypeScript'),
    ('go', 'insien/go:latest', 'locked', 'Debian with Go'),
    ('rust', 'insien/rust:latest', 'locked', 'Debian with Rust and Cargo'),
    ('java', 'insien/java:latest', 'locked', 'Debian with a JDK and Maven'),
    ('cpp', 'insien/cpp:latest', 'locked', 'Debian with GCC, Clang, CMake and Ninja');

ALTER TABLE sandboxes
    ADD template_id uuid REFERENCES templates (id) ON DELETE SET NULL,
    ADD runtime     text, -- NULL: the engine's
    ADD has_start   boolean NOT NULL DEFAULT false; -- the template starts something in it
UPDATE sandboxes s SET template_id = t.id FROM templates t
WHERE t.name = s.template AND t.user_id IS NULL;
CREATE INDEX sandboxes_template ON sandboxes (template_id);

-- The template that a user means by a name: the user's own before the server's. No row: none.
CREATE FUNCTION template_find(p_user_id uuid, p_name text)
RETURNS SETOF templates
LANGUAGE sql STABLE AS $$
    SELECT * FROM templates
    WHERE name = p_name AND (user_id IS NULL OR user_id = p_user_id)
    ORDER BY user_id NULLS LAST
    LIMIT 1
$$;

-- Whoever inserts a sandbox: it gets what its template says, and the template stays as long as it
-- lives. template_id may name one directly; else the name decides.
-- Raises IN404 template_not_found; IN409 template_not_ready, template_elsewhere.
CREATE FUNCTION sandbox_take_template() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    source templates%ROWTYPE;
BEGIN
    SELECT * INTO source FROM templates
    WHERE id = coalesce(NEW.template_id, (SELECT id FROM template_find(NEW.user_id, NEW.template)))
    FOR KEY SHARE; -- whoever removes it waits, and then sees this sandbox; or it is gone
    IF NOT FOUND OR source.user_id <> NEW.user_id THEN -- NULL: of the server, or a warm one
        RAISE EXCEPTION 'template_not_found' USING ERRCODE = 'IN404';
    END IF;
    IF source.status <> 'ready' THEN
        RAISE EXCEPTION 'template_not_ready' USING ERRCODE = 'IN409';
    END IF;
    IF source.node IS NOT NULL AND (source.instance, source.node) <> (NEW.instance, NEW.node) THEN
        RAISE EXCEPTION 'template_elsewhere' USING ERRCODE = 'IN409';
    END IF;
    NEW.template_id := source.id;
    NEW.template := source.name;
    NEW.image := source.image;
    NEW.profile := source.profile;
    NEW.read_only_root := source.read_only_root;
    NEW.runtime := source.runtime;
    NEW.has_start := source.start IS NOT NULL;
    NEW.env := source.env || NEW.env;
    NEW.work_dir := coalesce(NEW.work_dir, source.work_dir);
    NEW.image_user := coalesce(NEW.image_user, source.default_user);
    -- A NULL does not count among the least.
    NEW.memory_mb := least(NEW.memory_mb, source.memory_mb);
    NEW.cpu_milli := least(NEW.cpu_milli, source.cpu_milli);
    NEW.pids := least(NEW.pids, source.pids);
    NEW.disk_mb := least(NEW.disk_mb, source.disk_mb);
    RETURN NEW;
END
$$;
CREATE TRIGGER sandboxes_take_template BEFORE INSERT ON sandboxes
    FOR EACH ROW EXECUTE FUNCTION sandbox_take_template();

-- As before, with the user's templates beside the server's. What the template says at most counts
-- for the quotas, too; p_network '' asks for the template's network, and where it names none for the
-- server's, p_bounds ->> 'network'.
CREATE OR REPLACE FUNCTION sandbox_begin(p_id uuid, p_user_id uuid, p_api_key_id uuid,
                                         p_template text, p_timeout_ms bigint, p_network text,
                                         p_instance text, p_node text, p_env jsonb,
                                         p_metadata jsonb, p_limits jsonb, p_wanted jsonb,
                                         p_bounds jsonb)
RETURNS sandboxes
LANGUAGE plpgsql AS $$
DECLARE
    owner   users%ROWTYPE;
    source  templates%ROWTYPE;
    limits  jsonb;
    life    interval;
    begun   sandboxes%ROWTYPE;
BEGIN
    -- Creates of one user wait for each other here, so that the counts below hold.
    SELECT * INTO owner FROM users WHERE id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'user_not_found' USING ERRCODE = 'IN404';
    END IF;
    IF owner.suspended_at IS NOT NULL THEN
        RAISE EXCEPTION 'user_suspended' USING ERRCODE = 'IN403';
    END IF;
    -- Before the quota: a repeated call must find its sandbox, not a full account.
    IF EXISTS (SELECT 1 FROM sandboxes WHERE id = p_id) THEN
        RAISE EXCEPTION 'sandbox_exists' USING ERRCODE = 'IN409';
    END IF;
    SELECT * INTO source FROM template_find(p_user_id, p_template);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'template_not_found' USING ERRCODE = 'IN404';
    END IF;
    limits := p_limits -> owner.tier;
    begun.memory_mb := least(quota_limit(p_wanted, limits, 'memoryMB'), source.memory_mb);
    begun.cpu_milli := least(quota_limit(p_wanted, limits, 'cpuMilli'), source.cpu_milli);
    begun.pids := least(quota_limit(p_wanted, limits, 'pids'), source.pids);
    begun.disk_mb := least(quota_limit(p_wanted, limits, 'diskMB'), source.disk_mb);
    PERFORM quota_check_user(p_user_id, p_api_key_id, (limits ->> 'sandboxes')::integer);
    PERFORM quota_check_memory(p_instance, p_node, begun.memory_mb, p_bounds);

    life := make_interval(hours => (limits ->> 'lifetimeHours')::integer);
    IF p_timeout_ms > 0 THEN
        life := least(life, p_timeout_ms * interval '1 millisecond');
    END IF;
    INSERT INTO sandboxes (id, user_id, api_key_id, template, image, profile, read_only_root, tier,
                           status, network, instance, node, metadata, env, memory_mb, cpu_milli,
                           pids, disk_mb, cpus, lifetime_hours, expires_at, idle_timeout_ms,
                           on_timeout, auto_resume)
    VALUES (p_id, p_user_id, p_api_key_id, source.name, source.image, source.profile,
            source.read_only_root, owner.tier, 'creating',
            coalesce(nullif(p_network, ''), source.network, p_bounds ->> 'network'),
            p_instance, p_node,
            p_metadata, p_env, begun.memory_mb, begun.cpu_milli, begun.pids, begun.disk_mb,
            quota_choose_cpus(p_instance, p_node, begun.cpu_milli,
                              coalesce((p_bounds ->> 'cpus')::integer, 0)),
            (limits ->> 'lifetimeHours')::integer, now() + life,
            nullif((p_wanted ->> 'idleTimeoutMs')::bigint, 0),
            coalesce(nullif(p_wanted ->> 'onTimeout', ''), 'destroy'),
            coalesce((p_wanted ->> 'autoResume')::boolean, true))
    RETURNING * INTO begun;
    RETURN begun;
END
$$;

-- A template's row, before its image is made. Of the same name one that failed gives way.
-- p_settings are those of common/contracts/templates.h; the caller has checked them. Asked again
-- with the same id, the row is told as it is.
-- Raises IN404 user_not_found; IN403 user_suspended; IN409 template_exists; IN429
-- template_quota_exceeded.
CREATE FUNCTION template_begin(p_id uuid, p_user_id uuid, p_name text, p_source text,
                               p_reference text, p_waits boolean, p_image text, p_settings jsonb,
                               p_instance text, p_node text, p_most integer)
RETURNS templates
LANGUAGE plpgsql AS $$
DECLARE
    owner users%ROWTYPE;
    begun templates%ROWTYPE;
BEGIN
    -- One at a time of a user, so that the count holds.
    SELECT * INTO owner FROM users WHERE id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'user_not_found' USING ERRCODE = 'IN404';
    END IF;
    IF owner.suspended_at IS NOT NULL THEN
        RAISE EXCEPTION 'user_suspended' USING ERRCODE = 'IN403';
    END IF;
    SELECT * INTO begun FROM templates WHERE id = p_id AND user_id = p_user_id;
    IF FOUND THEN
        RETURN begun;
    END IF;
    DELETE FROM templates WHERE user_id = p_user_id AND name = p_name AND status = 'failed';
    IF EXISTS (SELECT 1 FROM template_find(p_user_id, p_name)) THEN
        RAISE EXCEPTION 'template_exists' USING ERRCODE = 'IN409';
    END IF;
    IF (SELECT count(*) FROM templates WHERE user_id = p_user_id) >= p_most THEN
        RAISE EXCEPTION 'template_quota_exceeded' USING ERRCODE = 'IN429';
    END IF;
    INSERT INTO templates (id, user_id, name, source, reference, status, image, instance, node,
                           description, profile, read_only_root, runtime, work_dir, default_user,
                           env, start, memory_mb, cpu_milli, pids, disk_mb, network)
    VALUES (p_id, p_user_id, p_name, p_source, p_reference,
            CASE WHEN p_waits THEN 'waiting' ELSE 'making' END, p_image, p_instance, p_node,
            coalesce(p_settings ->> 'description', ''),
            coalesce(p_settings ->> 'profile', 'sudo'),
            coalesce((p_settings ->> 'readOnlyRoot')::boolean, false),
            p_settings ->> 'runtime', p_settings ->> 'workDir', p_settings ->> 'user',
            coalesce(p_settings -> 'env', '{}'), p_settings -> 'start',
            (p_settings ->> 'memoryMB')::integer,
            (p_settings ->> 'cpuMilli')::integer, (p_settings ->> 'pids')::integer,
            (p_settings ->> 'diskMB')::integer, p_settings ->> 'network')
    RETURNING * INTO begun;
    RETURN begun;
END
$$;

-- The folder that a template waited for is there: true for the one caller that now makes it.
CREATE FUNCTION template_take_up(p_id uuid, p_user_id uuid)
RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE templates SET status = 'making'
    WHERE id = p_id AND user_id = p_user_id AND status = 'waiting';
    RETURN FOUND;
END
$$;

-- How a making ended; p_failure NULL: well. No row any more, or ended otherwise: false, and the
-- image is nobody's.
CREATE FUNCTION template_made(p_id uuid, p_failure text, p_size_bytes bigint, p_log text)
RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE templates
    SET status = CASE WHEN p_failure IS NULL THEN 'ready' ELSE 'failed' END, failure = p_failure,
        size_bytes = p_size_bytes, log = p_log, made_at = now()
    WHERE id = p_id AND status IN ('waiting', 'making');
    RETURN FOUND;
END
$$;

-- Removes a user's template, named by its name or id, and tells what it was.
-- Raises IN404 template_not_found; IN403 template_of_server; IN409 template_in_use.
CREATE FUNCTION template_remove(p_name text, p_user_id uuid)
RETURNS templates
LANGUAGE plpgsql AS $$
DECLARE
    source templates%ROWTYPE;
BEGIN
    SELECT * INTO source FROM templates
    WHERE (name = p_name OR id::text = p_name) AND (user_id IS NULL OR user_id = p_user_id)
    ORDER BY user_id NULLS LAST LIMIT 1 FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'template_not_found' USING ERRCODE = 'IN404';
    END IF;
    IF source.user_id IS NULL THEN
        RAISE EXCEPTION 'template_of_server' USING ERRCODE = 'IN403';
    END IF;
    IF EXISTS (SELECT 1 FROM sandboxes
               WHERE template_id = source.id AND status NOT IN ('destroyed', 'failed')) THEN
        RAISE EXCEPTION 'template_in_use' USING ERRCODE = 'IN409';
    END IF;
    DELETE FROM templates WHERE id = source.id;
    RETURN source;
END
$$;

-- What the machine's service began and no longer makes: it was ended in between.
CREATE FUNCTION templates_interrupt(p_instance text, p_node text)
RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    interrupted integer;
BEGIN
    UPDATE templates SET status = 'failed', failure = 'interrupted', made_at = now()
    WHERE instance = p_instance AND node = p_node AND status IN ('waiting', 'making');
    GET DIAGNOSTICS interrupted = ROW_COUNT;
    RETURN interrupted;
END
$$;

-- Whoever deletes their account leaves no templates behind.
CREATE FUNCTION templates_leave() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM templates WHERE user_id = NEW.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER users_templates_leave AFTER UPDATE OF deleted_at ON users
    FOR EACH ROW WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL)
    EXECUTE FUNCTION templates_leave();

-- A template as the API shows it, in a list without what may be long; what is not set is left out.
CREATE FUNCTION template_shown(t templates, p_whole boolean)
RETURNS json
LANGUAGE sql STABLE AS $$
    SELECT json_strip_nulls(json_build_object(
        'templateId', t.id, 'name', t.name, 'builtIn', t.user_id IS NULL, 'status', t.status,
        'failure', t.failure, 'description', t.description, 'source', t.source,
        'reference', CASE WHEN p_whole AND t.user_id IS NOT NULL THEN t.reference END,
        'sizeBytes', t.size_bytes, 'profile', t.profile, 'readOnlyRoot', t.read_only_root,
        'runtime', t.runtime, 'workDir', t.work_dir, 'user', t.default_user,
        'env', CASE WHEN p_whole THEN t.env END, 'start', t.start,
        'memoryMB', t.memory_mb,
        'cpuMilli', t.cpu_milli, 'pids', t.pids, 'diskMB', t.disk_mb, 'network', t.network,
        'createdAt', to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'madeAt', to_char(t.made_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))
$$;
