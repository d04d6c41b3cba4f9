-- The time of a sandbox: when it ends by itself, and how it rests in between.
--
--   creating -> running <-> pausing -> paused -> resuming -> running
--
-- A sandbox lives in all of these, and in `warm`, where it has no owner yet. While it is paused its
-- clock stands still.

ALTER TABLE sandboxes
    DROP CONSTRAINT sandboxes_status_check,
    ADD CONSTRAINT sandboxes_status_check
        CHECK (status IN ('warm', 'creating', 'running', 'pausing', 'paused', 'resuming',
                          'stopping', 'destroyed', 'failed')),
    ADD COLUMN on_timeout text NOT NULL DEFAULT 'destroy'
        CHECK (on_timeout IN ('destroy', 'pause')), -- also when it was idle for too long
    ADD COLUMN idle_timeout_ms bigint CHECK (idle_timeout_ms > 0), -- NULL: it may be idle
    ADD COLUMN auto_resume boolean NOT NULL DEFAULT true, -- traffic wakes it
    ADD COLUMN last_active_at timestamptz NOT NULL DEFAULT now(), -- kept while idle_timeout_ms is
    ADD COLUMN life_ms bigint CHECK (life_ms >= 0), -- last asked for; NULL: what it was made with
    ADD COLUMN awake_since timestamptz NOT NULL DEFAULT now(), -- the tier's lifetime counts from it
    ADD COLUMN ends_at timestamptz, -- when something is due, if nothing happens until then
    ADD COLUMN warned_of timestamptz, -- the ends_at that was announced
    ADD COLUMN pause_mode text CHECK (pause_mode IN ('freeze', 'disk')), -- from pausing to resuming
    ADD COLUMN pause_reason text CHECK (pause_reason IN ('user', 'timeout', 'idle')),
    ADD COLUMN paused_at timestamptz,
    ADD COLUMN left_ms bigint CHECK (left_ms >= 0), -- of its time, while it is paused
    ADD CONSTRAINT sandboxes_paused_check
        CHECK (status NOT IN ('pausing', 'paused', 'resuming')
               OR (pause_mode IS NOT NULL AND pause_reason IS NOT NULL)),
    ADD CONSTRAINT sandboxes_left_check CHECK (status <> 'paused' OR left_ms IS NOT NULL);

-- A column, so that an index finds who is due among very many.
CREATE FUNCTION sandboxes_set_end() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.ends_at := NEW.expires_at;
    IF NEW.status = 'running' THEN -- least() passes over NULL
        NEW.ends_at := least(NEW.expires_at,
                             NEW.last_active_at
                             + NEW.idle_timeout_ms * interval '1 millisecond');
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER sandboxes_set_end
    BEFORE INSERT OR UPDATE OF status, expires_at, last_active_at, idle_timeout_ms ON sandboxes
    FOR EACH ROW EXECUTE FUNCTION sandboxes_set_end();
UPDATE sandboxes SET awake_since = created_at, expires_at = expires_at;

DROP INDEX sandboxes_on_engine;
CREATE INDEX sandboxes_on_engine ON sandboxes (instance, node)
    WHERE status IN ('warm', 'creating', 'running', 'pausing', 'paused', 'resuming', 'stopping');
-- What is due, and what is to be announced.
DROP INDEX sandboxes_expiring;
CREATE INDEX sandboxes_ending ON sandboxes (instance, node, ends_at)
    WHERE status IN ('creating', 'running');
CREATE INDEX sandboxes_unwarned ON sandboxes (instance, node, ends_at)
    WHERE status = 'running' AND warned_of IS DISTINCT FROM ends_at;

-- Ports stay while the sandbox lives: whoever comes by one wakes it.
DROP TRIGGER sandboxes_free_ports ON sandboxes;
CREATE TRIGGER sandboxes_free_ports AFTER UPDATE OF status ON sandboxes
    FOR EACH ROW
    WHEN (OLD.status NOT IN ('stopping', 'destroyed', 'failed')
          AND NEW.status IN ('stopping', 'destroyed', 'failed'))
    EXECUTE FUNCTION ports_free();

-- As before, and the port of a sandbox that rests can be exposed too.
CREATE OR REPLACE FUNCTION port_expose(p_sandbox_id uuid, p_user_id uuid, p_container_port integer,
                                       p_visibility text, p_first integer, p_last integer,
                                       p_taken integer, p_most integer)
RETURNS ports
LANGUAGE plpgsql AS $$
DECLARE
    sandbox sandboxes%ROWTYPE;
    exposed ports%ROWTYPE;
    chosen  integer;
BEGIN
    -- Held until the end: the sandbox does not end in between, and the count below holds.
    SELECT * INTO sandbox FROM sandboxes WHERE id = p_sandbox_id AND user_id = p_user_id
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'sandbox_not_found' USING ERRCODE = 'IN404';
    END IF;
    IF sandbox.status IN ('stopping', 'destroyed', 'failed') THEN
        RAISE EXCEPTION 'sandbox_ended' USING ERRCODE = 'IN409';
    END IF;
    SELECT * INTO exposed FROM ports
    WHERE sandbox_id = p_sandbox_id AND container_port = p_container_port;
    IF NOT FOUND AND (SELECT count(*) FROM ports WHERE sandbox_id = p_sandbox_id) >= p_most THEN
        RAISE EXCEPTION 'port_quota_exceeded' USING ERRCODE = 'IN429';
    END IF;

    IF p_first > 0 THEN
        chosen := exposed.host_port;
        IF chosen IS NULL OR chosen = p_taken OR chosen NOT BETWEEN p_first AND p_last THEN
            -- One at a time chooses on a machine.
            PERFORM pg_advisory_xact_lock(hashtextextended(
                'insien host ports ' || sandbox.instance || '/' || sandbox.node, 0));
            chosen := port_next_free(
                sandbox.instance, sandbox.node, p_first, p_last,
                CASE WHEN p_taken > 0 THEN p_taken
                ELSE p_first + floor(random() * (p_last - p_first + 1))::integer - 1 END,
                p_taken);
            IF chosen IS NULL THEN
                RAISE EXCEPTION 'host_ports_exhausted' USING ERRCODE = 'IN429';
            END IF;
        END IF;
    END IF;

    INSERT INTO ports (sandbox_id, container_port, visibility, instance, node, host_port)
    VALUES (p_sandbox_id, p_container_port, p_visibility, sandbox.instance, sandbox.node, chosen)
    ON CONFLICT (sandbox_id, container_port)
    DO UPDATE SET visibility = excluded.visibility, host_port = excluded.host_port
    RETURNING * INTO exposed;
    RETURN exposed;
END
$$;

-- As before, and p_wanted also says {"idleTimeoutMs", "onTimeout", "autoResume"}; absent, 0 and '':
-- it may be idle, is destroyed when its time is over, and is woken by traffic.
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
    SELECT * INTO source FROM templates WHERE name = p_template;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'template_not_found' USING ERRCODE = 'IN404';
    END IF;
    limits := p_limits -> owner.tier;
    begun.memory_mb := quota_limit(p_wanted, limits, 'memoryMB');
    begun.cpu_milli := quota_limit(p_wanted, limits, 'cpuMilli');
    begun.pids := quota_limit(p_wanted, limits, 'pids');
    begun.disk_mb := quota_limit(p_wanted, limits, 'diskMB');
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
            source.read_only_root, owner.tier, 'creating', p_network, p_instance, p_node,
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

-- Only these move the end of a sandbox's time: never behind what its tier has, counted from when it
-- was made or last resumed. Each returns what was found, and whether it changed it; no row when the
-- sandbox is not the user's.

-- paused -> resuming. p_timeout_ms from now on; 0: what was left, or when nothing was, as long as
-- was asked for before. p_automatic: only when traffic may wake it.
CREATE FUNCTION sandbox_resume(p_id uuid, p_user_id uuid, p_timeout_ms bigint, p_automatic boolean)
RETURNS TABLE (was text, is_moved boolean, on_disk boolean, generation integer)
LANGUAGE sql AS $$
    WITH before AS (
        SELECT * FROM sandboxes WHERE id = p_id AND user_id = p_user_id FOR NO KEY UPDATE
    ), moved AS (
        UPDATE sandboxes s
        SET status = 'resuming', awake_since = now(), warned_of = NULL, last_active_at = now(),
            life_ms = coalesce(nullif(p_timeout_ms, 0), b.life_ms),
            expires_at = now() + least(
                make_interval(hours => b.lifetime_hours),
                coalesce(nullif(p_timeout_ms, 0), nullif(b.left_ms, 0), b.life_ms)
                * interval '1 millisecond')
        FROM before b
        WHERE s.id = b.id AND b.status = 'paused' AND (NOT p_automatic OR b.auto_resume)
        RETURNING s.id
    )
    SELECT b.status, EXISTS (SELECT 1 FROM moved), coalesce(b.pause_mode = 'disk', false),
           b.agent_generation
    FROM before b
$$;

-- pausing -> running: the engine refused. One whose time is over is tried again, but not at once.
CREATE FUNCTION sandbox_not_paused(p_id uuid)
RETURNS SETOF uuid
LANGUAGE sql AS $$
    UPDATE sandboxes
    SET expires_at = CASE WHEN pause_reason = 'timeout'
                     THEN greatest(expires_at, now() + interval '10 seconds')
                     ELSE expires_at END,
        status = 'running', pause_mode = NULL, pause_reason = NULL, paused_at = NULL,
        left_ms = NULL, last_active_at = now(), container_running = true,
        container_status = 'running'
    WHERE id = p_id AND status = 'pausing'
    RETURNING id
$$;

-- Changes the times of a living sandbox. p_timeout_ms, p_idle_timeout_ms -1, p_on_timeout and
-- p_auto_resume NULL: as it was; p_idle_timeout_ms 0: none. What was left of a paused one's time is
-- what is set.
CREATE FUNCTION sandbox_set_times(p_id uuid, p_user_id uuid, p_timeout_ms bigint,
                                  p_idle_timeout_ms bigint, p_on_timeout text,
                                  p_auto_resume boolean)
RETURNS TABLE (was text, is_moved boolean, on_disk boolean, generation integer)
LANGUAGE sql AS $$
    WITH before AS (
        SELECT * FROM sandboxes WHERE id = p_id AND user_id = p_user_id FOR NO KEY UPDATE
    ), moved AS (
        UPDATE sandboxes s
        SET expires_at = CASE WHEN p_timeout_ms < 0 THEN b.expires_at
                         ELSE least(b.awake_since + make_interval(hours => b.lifetime_hours),
                                    now() + p_timeout_ms * interval '1 millisecond') END,
            life_ms = CASE WHEN p_timeout_ms < 0 THEN b.life_ms ELSE p_timeout_ms END,
            left_ms = CASE WHEN p_timeout_ms < 0 OR b.left_ms IS NULL THEN b.left_ms
                      ELSE least(p_timeout_ms, b.lifetime_hours::bigint * 3600000) END,
            idle_timeout_ms = CASE WHEN p_idle_timeout_ms < 0 THEN b.idle_timeout_ms
                              ELSE nullif(p_idle_timeout_ms, 0) END,
            last_active_at = CASE WHEN p_idle_timeout_ms < 0 THEN b.last_active_at
                             ELSE now() END,
            on_timeout = coalesce(p_on_timeout, b.on_timeout),
            auto_resume = coalesce(p_auto_resume, b.auto_resume)
        FROM before b
        WHERE s.id = b.id
          AND b.status IN ('creating', 'running', 'pausing', 'paused', 'resuming')
        RETURNING s.id
    )
    SELECT b.status, EXISTS (SELECT 1 FROM moved), coalesce(b.pause_mode = 'disk', false),
           b.agent_generation
    FROM before b
$$;
