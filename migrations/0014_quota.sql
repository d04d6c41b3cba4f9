-- Quotas: what is promised to living sandboxes is counted from their rows, under a lock, in the
-- transaction that makes one more. There is no counter that could drift.

ALTER TABLE sandboxes
    -- 0: from before there was a limit of disk.
    ADD COLUMN disk_mb integer NOT NULL DEFAULT 0 CHECK (disk_mb >= 0),
    -- The engine's processors that it is bound to; NULL: it may use all.
    ADD COLUMN cpus integer[] CHECK (cardinality(cpus) > 0);

-- What counts against the quotas of users and keys: all that has begun and is not ending.
DROP INDEX IF EXISTS sandboxes_user_live;
CREATE INDEX sandboxes_user_live ON sandboxes (user_id)
    WHERE status IN ('creating', 'running', 'pausing', 'paused', 'resuming');
-- What an engine has promised: all that may still have a container, those of no user too.
CREATE INDEX sandboxes_promised ON sandboxes (instance, node) INCLUDE (memory_mb, cpu_milli)
    WHERE ended_at IS NULL;

-- As before, and paused ones count.
CREATE OR REPLACE FUNCTION api_key_has_room(p_id uuid, p_user_id uuid)
RETURNS boolean
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE above AS (
        SELECT id, parent_id, max_sandboxes FROM api_keys WHERE id = p_id
        UNION ALL
        SELECT k.id, k.parent_id, k.max_sandboxes
        FROM api_keys k JOIN above ON k.id = above.parent_id
    ), made AS (
        SELECT api_key_id AS key_id, count(*) AS sandboxes FROM sandboxes
        WHERE user_id = p_user_id AND api_key_id IS NOT NULL
          AND status IN ('creating', 'running', 'pausing', 'paused', 'resuming')
        GROUP BY api_key_id
    ), counted AS ( -- each key that made some, with itself and all above it
        SELECT key_id, sandboxes FROM made
        UNION ALL
        SELECT k.parent_id, counted.sandboxes
        FROM counted JOIN api_keys k ON k.id = counted.key_id
        WHERE k.parent_id IS NOT NULL
    ), used AS (
        SELECT key_id, sum(sandboxes) AS sandboxes FROM counted GROUP BY key_id
    )
    SELECT NOT EXISTS (
        SELECT 1 FROM above JOIN used ON used.key_id = above.id
        WHERE above.max_sandboxes <= used.sandboxes)
$$;

-- One more sandbox of this user, made by this key (NULL: by a session), is within both quotas. The
-- caller holds the user's row. Raises IN429 quota_exceeded, key_quota_exceeded.
CREATE FUNCTION quota_check_user(p_user_id uuid, p_api_key_id uuid, p_most integer)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM sandboxes
        WHERE user_id = p_user_id
          AND status IN ('creating', 'running', 'pausing', 'paused', 'resuming')) >= p_most THEN
        RAISE EXCEPTION 'quota_exceeded' USING ERRCODE = 'IN429';
    END IF;
    IF p_api_key_id IS NOT NULL AND NOT api_key_has_room(p_api_key_id, p_user_id) THEN
        RAISE EXCEPTION 'key_quota_exceeded' USING ERRCODE = 'IN429';
    END IF;
END
$$;

-- So much memory can be promised on this node, and stays free for the caller until its transaction
-- ends: others wait here for it. p_bounds: {"nodeMemoryMB": n, "totalMemoryMB": n}, of this node
-- and of all of the instance together; 0: no bound. To be called behind the lock of the user's row,
-- never before it. Raises IN429 node_full.
CREATE FUNCTION quota_check_memory(p_instance text, p_node text, p_memory_mb integer,
                                   p_bounds jsonb)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    of_all  bigint := (p_bounds ->> 'totalMemoryMB')::bigint;
    of_node bigint := (p_bounds ->> 'nodeMemoryMB')::bigint;
BEGIN
    -- Always all before one. Names that share a number wait for each other, and no more.
    IF of_all > 0 THEN
        PERFORM pg_advisory_xact_lock(hashtext('insien.quota'), hashtext(p_instance));
        IF (SELECT coalesce(sum(memory_mb), 0) + p_memory_mb FROM sandboxes
            WHERE instance = p_instance AND ended_at IS NULL) > of_all THEN
            RAISE EXCEPTION 'node_full' USING ERRCODE = 'IN429';
        END IF;
    END IF;
    IF of_node > 0 THEN
        PERFORM pg_advisory_xact_lock(hashtext('insien.quota.node'),
                                      hashtext(p_instance || '/' || p_node));
        IF (SELECT coalesce(sum(memory_mb), 0) + p_memory_mb FROM sandboxes
            WHERE instance = p_instance AND node = p_node AND ended_at IS NULL) > of_node THEN
            RAISE EXCEPTION 'node_full' USING ERRCODE = 'IN429';
        END IF;
    END IF;
END
$$;

-- The processors for one more sandbox of so many thousandths: those of the engine's p_count that
-- are promised least. NULL when it needs all of them, or p_count is 0: they can't be told apart.
CREATE FUNCTION quota_choose_cpus(p_instance text, p_node text, p_cpu_milli integer,
                                  p_count integer)
RETURNS integer[]
LANGUAGE sql VOLATILE AS $$
    WITH promised AS (
        SELECT used.cpu, sum(s.cpu_milli / cardinality(s.cpus)) AS milli
        FROM sandboxes s CROSS JOIN unnest(s.cpus) AS used (cpu)
        WHERE s.instance = p_instance AND s.node = p_node AND s.ended_at IS NULL
        GROUP BY used.cpu
    ), chosen AS (
        SELECT every.cpu FROM generate_series(0, p_count - 1) AS every (cpu)
        LEFT JOIN promised ON promised.cpu = every.cpu
        ORDER BY coalesce(promised.milli, 0), every.cpu
        LIMIT (p_cpu_milli + 999) / 1000
    )
    SELECT CASE WHEN (p_cpu_milli + 999) / 1000 < p_count
                THEN (SELECT array_agg(cpu ORDER BY cpu) FROM chosen) END
$$;

-- What is asked for, or the tier's when nothing is. Raises IN403 tier_limit_exceeded.
CREATE FUNCTION quota_limit(p_wanted jsonb, p_tier jsonb, p_name text)
RETURNS integer
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    wanted bigint := coalesce((p_wanted ->> p_name)::bigint, 0);
    most   bigint := (p_tier ->> p_name)::bigint;
BEGIN
    IF wanted > most THEN
        RAISE EXCEPTION 'tier_limit_exceeded' USING ERRCODE = 'IN403';
    END IF;
    RETURN CASE WHEN wanted > 0 THEN wanted ELSE most END;
END
$$;

DROP FUNCTION sandbox_begin(uuid, uuid, uuid, text, bigint, text, text, text, jsonb, jsonb, jsonb);

-- Everything that must be true together when a sandbox begins: the user may, the template exists,
-- the quotas of the user, of the key that asks (NULL: a session does) and of the node have room, and
-- the row is there. p_timeout_ms 0 asks for the whole life that the tier allows. p_limits says what
-- each tier gets:
--   {"free": {"sandboxes": 2, "memoryMB": 512, "cpuMilli": 1000, "pids": 256, "diskMB": 2048,
--             "lifetimeHours": 2}, "pro": {...}, "enterprise": {...}}
-- p_wanted asks for less than that: {"memoryMB", "cpuMilli", "pids", "diskMB"}; absent and 0: the
-- tier's. p_bounds is of the node: quota_check_memory, and "cpus", how many processors there are to
-- choose from (quota_choose_cpus).
-- Raises IN404 user_not_found, template_not_found; IN403 user_suspended, tier_limit_exceeded; IN409
-- sandbox_exists; IN429 quota_exceeded, key_quota_exceeded, node_full.
CREATE FUNCTION sandbox_begin(p_id uuid, p_user_id uuid, p_api_key_id uuid, p_template text,
                              p_timeout_ms bigint, p_network text, p_instance text, p_node text,
                              p_env jsonb, p_metadata jsonb, p_limits jsonb, p_wanted jsonb,
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
                           pids, disk_mb, cpus, lifetime_hours, expires_at)
    VALUES (p_id, p_user_id, p_api_key_id, source.name, source.image, source.profile,
            source.read_only_root, owner.tier, 'creating', p_network, p_instance, p_node,
            p_metadata, p_env, begun.memory_mb, begun.cpu_milli, begun.pids, begun.disk_mb,
            quota_choose_cpus(p_instance, p_node, begun.cpu_milli,
                              coalesce((p_bounds ->> 'cpus')::integer, 0)),
            (limits ->> 'lifetimeHours')::integer, now() + life)
    RETURNING * INTO begun;
    RETURN begun;
END
$$;

-- What a user has in use, and the key that asks, with those made by it (NULL: a session asks).
-- No row: there is no such user.
CREATE FUNCTION quota_usage(p_user_id uuid, p_api_key_id uuid)
RETURNS TABLE (tier text, sandboxes bigint, memory_mb bigint, cpu_milli bigint, disk_mb bigint,
               key_sandboxes bigint, key_most integer)
LANGUAGE sql STABLE AS $$
    SELECT u.tier, count(s.id), coalesce(sum(s.memory_mb), 0), coalesce(sum(s.cpu_milli), 0),
           coalesce(sum(s.disk_mb), 0),
           count(s.id) FILTER (WHERE s.api_key_id = p_api_key_id OR s.api_key_id IN
                               (SELECT api_key_descendants(p_api_key_id))),
           (SELECT k.max_sandboxes FROM api_keys k
            WHERE k.id = p_api_key_id AND k.user_id = p_user_id)
    FROM users u
    LEFT JOIN sandboxes s ON s.user_id = u.id
        AND s.status IN ('creating', 'running', 'pausing', 'paused', 'resuming')
    WHERE u.id = p_user_id
    GROUP BY u.id, u.tier
$$;
