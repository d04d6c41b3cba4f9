-- Sandboxes and what they are made from.

CREATE TABLE templates (
    name           text PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9_.-]{0,62}$'),
    image          text NOT NULL,
    profile        text NOT NULL CHECK (profile IN ('sudo', 'locked')),
    read_only_root boolean NOT NULL DEFAULT false,
    description    text NOT NULL DEFAULT '',
    created_at     timestamptz NOT NULL DEFAULT now()
);

INSERT INTO templates (name, image, profile, description) VALUES
    ('base', 'insien/base:latest', 'sudo',
     'Debian with git, Python, Node.js, a C compiler and sudo'),
    ('base-locked', 'insien/base:latest', 'locked',
     'The same image, without any way to more privileges'),
    -- The image has no user but root, which the locked profile would not let act.
    ('tiny', 'insien/tiny:latest', 'sudo', 'Busybox and nothing else');

-- A row is written before the container is made and stays after it is gone. What was decided at the
-- start (image, profile, limits) is kept here, so that a later change of a template, of a tier or of
-- the configuration does not alter a sandbox that lives.
CREATE TABLE sandboxes (
    id               uuid PRIMARY KEY, -- the caller's choice, so that asking again changes nothing
    user_id          uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    api_key_id       uuid REFERENCES api_keys (id) ON DELETE SET NULL,
    template         text NOT NULL,
    image            text NOT NULL,
    profile          text NOT NULL CHECK (profile IN ('sudo', 'locked')),
    read_only_root   boolean NOT NULL DEFAULT false,
    tier             text NOT NULL CHECK (tier IN ('free', 'pro', 'enterprise')),
    status           text NOT NULL
                     CHECK (status IN ('creating', 'running', 'stopping', 'destroyed', 'failed')),
    network          text NOT NULL CHECK (network IN ('none', 'open')),
    instance         text NOT NULL, -- the deployment whose engine it is on
    node             text NOT NULL,
    work_dir         text, -- of the image, once the container is made
    image_user       text, -- of the image, once the container is made
    agent_generation integer NOT NULL DEFAULT 0, -- of the agent's credential
    metadata         jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    env              jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(env) = 'object'),
    memory_mb        integer NOT NULL CHECK (memory_mb > 0),
    cpu_milli        integer NOT NULL CHECK (cpu_milli > 0),
    pids             integer NOT NULL CHECK (pids > 0),
    lifetime_hours   integer NOT NULL CHECK (lifetime_hours > 0), -- of the tier
    container_running boolean NOT NULL DEFAULT false, -- this and the next three: as last seen
    container_status text NOT NULL DEFAULT 'created',
    exit_code        integer,
    container_error  text,
    created_at       timestamptz NOT NULL DEFAULT now(),
    started_at       timestamptz,
    expires_at       timestamptz NOT NULL,
    ended_at         timestamptz,
    end_reason       text CHECK (end_reason IN ('user', 'timeout', 'idle', 'quota', 'oom', 'disk',
                                                'agent_lost', 'engine_restart', 'node_lost',
                                                'error')),
    CHECK (status NOT IN ('destroyed', 'failed')
           OR (ended_at IS NOT NULL AND end_reason IS NOT NULL))
);
-- Pages of a user's list, newest first.
CREATE INDEX sandboxes_user ON sandboxes (user_id, created_at DESC, id DESC);
-- What counts against the quota.
CREATE INDEX sandboxes_user_live ON sandboxes (user_id) WHERE status IN ('creating', 'running');
-- What the reconciler compares with the engine, and what has outlived its time.
CREATE INDEX sandboxes_on_engine ON sandboxes (instance, node)
    WHERE status IN ('creating', 'running', 'stopping');
CREATE INDEX sandboxes_expiring ON sandboxes (expires_at) WHERE status IN ('creating', 'running');
-- For the foreign key: a key's removal looks for its sandboxes.
CREATE INDEX sandboxes_api_key ON sandboxes (api_key_id);

-- Everything that must be true together when a sandbox begins: the user may, the template exists,
-- the quota of the user's tier has room, and the row is there. p_timeout_ms 0 asks for the whole
-- life that the tier allows. p_limits says what each tier gets:
--   {"free": {"sandboxes": 2, "memoryMB": 512, "cpuMilli": 1000, "pids": 256, "lifetimeHours": 2},
--    "pro": {...}, "enterprise": {...}}
-- Raises IN404 user_not_found, template_not_found; IN403 user_suspended; IN409 sandbox_exists;
-- IN429 quota_exceeded.
CREATE FUNCTION sandbox_begin(p_id uuid, p_user_id uuid, p_api_key_id uuid, p_template text,
                              p_timeout_ms bigint, p_network text, p_instance text, p_node text,
                              p_env jsonb, p_metadata jsonb, p_limits jsonb)
RETURNS sandboxes
LANGUAGE plpgsql AS $$
DECLARE
    owner   users%ROWTYPE;
    source  templates%ROWTYPE;
    limits  jsonb;
    life    interval;
    begun   sandboxes%ROWTYPE;
BEGIN
    -- Creates of one user wait for each other here, so that the count below holds.
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
    SELECT * INTO source FROM templates WHERE name = p_template;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'template_not_found' USING ERRCODE = 'IN404';
    END IF;
    limits := p_limits -> owner.tier;
    IF (SELECT count(*) FROM sandboxes
        WHERE user_id = p_user_id AND status IN ('creating', 'running'))
       >= (limits ->> 'sandboxes')::integer THEN
        RAISE EXCEPTION 'quota_exceeded' USING ERRCODE = 'IN429';
    END IF;

    life := make_interval(hours => (limits ->> 'lifetimeHours')::integer);
    IF p_timeout_ms > 0 THEN
        life := least(life, p_timeout_ms * interval '1 millisecond');
    END IF;
    INSERT INTO sandboxes (id, user_id, api_key_id, template, image, profile, read_only_root, tier,
                           status, network, instance, node, metadata, env, memory_mb, cpu_milli,
                           pids, lifetime_hours, expires_at)
    VALUES (p_id, p_user_id, p_api_key_id, source.name, source.image, source.profile,
            source.read_only_root, owner.tier, 'creating', p_network, p_instance, p_node,
            p_metadata, p_env, (limits ->> 'memoryMB')::integer, (limits ->> 'cpuMilli')::integer,
            (limits ->> 'pids')::integer, (limits ->> 'lifetimeHours')::integer, now() + life)
    RETURNING * INTO begun;
    RETURN begun;
END
$$;
