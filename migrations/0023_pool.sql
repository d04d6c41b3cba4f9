-- Warm pools: containers that wait, started and with their agent connected, for somebody who wants
-- one.
--
-- They have no owner, no end and no quota, so that they are no sandboxes yet: they stand in a table
-- of their own, and a claim moves the row to sandboxes under the same id. What lists, counts, bills
-- or ends sandboxes never sees them. The row is written before the container is made and stays until
-- it is gone.
CREATE TABLE warm_sandboxes (
    id               uuid PRIMARY KEY,
    template_id      uuid NOT NULL, -- without a reference: the row outlives it
    template         text NOT NULL, -- this and the next four: of the template, as it was
    image            text NOT NULL,
    profile          text NOT NULL CHECK (profile IN ('sudo', 'locked')),
    read_only_root   boolean NOT NULL,
    runtime          text,
    network          text NOT NULL,
    tier             text NOT NULL CHECK (tier IN ('free', 'pro', 'enterprise')),
    memory_mb        integer NOT NULL CHECK (memory_mb > 0), -- this and the next three: of the tier, and no
                                                         -- more than the template says
    cpu_milli        integer NOT NULL CHECK (cpu_milli > 0),
    pids             integer NOT NULL CHECK (pids > 0),
    disk_mb          integer NOT NULL CHECK (disk_mb >= 0),
    cpus             integer[] CHECK (cardinality(cpus) > 0), -- that it is bound to; NULL: all
    instance         text NOT NULL,
    node             text NOT NULL,
    bundle           text NOT NULL, -- the volume its agent runs from
    -- starting: until its agent connects. leaving: it is being removed.
    status           text NOT NULL CHECK (status IN ('starting', 'ready', 'leaving')),
    work_dir         text, -- of the image, once the container is made
    image_user       text, -- the same
    image_id         text, -- the same: what the image's name meant then
    agent_generation integer NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL DEFAULT now(),
    ready_at         timestamptz,
    CHECK (status <> 'ready' OR ready_at IS NOT NULL)
);
CREATE INDEX warm_sandboxes_ready
    ON warm_sandboxes (instance, node, template_id, network, ready_at) WHERE status = 'ready';

-- Whoever creates chooses an id, so that asking again makes nothing more. A sandbox that came from
-- the pool has the id its container was started with, and here the one that was chosen.
ALTER TABLE sandboxes ADD COLUMN create_id uuid;
CREATE UNIQUE INDEX sandboxes_create_id ON sandboxes (create_id) WHERE create_id IS NOT NULL;

-- A claim is three calls in one statement: pool_take finds what there is and says the id of the row
-- to come, sandbox_begin checks and writes that row, pool_bind gives it what the container has. When
-- one of them refuses, the pool is as it was.
--
-- p_mode: 'any'; 'warm', no row when there is none; 'cold', which leaves the pool alone. The answer
-- has the status NULL, and p_create_id for its id, when a container has to be started. p_dead is
-- what this create was given before and found dead: it goes back to the pool, to be removed, as if
-- it had never been the user's. Raises IN409 sandbox_exists. ROWS 1, here and below: the planner
-- compiles what it takes for very much, which takes a hundred times as long as doing it.
CREATE FUNCTION pool_take(p_create_id uuid, p_user_id uuid, p_template text, p_network text,
                          p_instance text, p_node text, p_bounds jsonb, p_mode text,
                          p_dead uuid)
RETURNS SETOF warm_sandboxes
LANGUAGE plpgsql ROWS 1 AS $$
DECLARE
    owner_tier text;
    source     templates%ROWTYPE;
    dead       sandboxes%ROWTYPE;
    taken      warm_sandboxes%ROWTYPE;
BEGIN
    -- As sandbox_begin does, and before it: two calls for one create must not take two.
    SELECT tier INTO owner_tier FROM users WHERE id = p_user_id FOR NO KEY UPDATE;
    IF p_dead IS NOT NULL THEN
        -- What was told of its beginning has an end.
        UPDATE sandboxes SET status = 'failed', end_reason = 'agent_lost', ended_at = now()
        WHERE id = p_dead AND create_id = p_create_id AND user_id = p_user_id
          AND status = 'running';
        IF FOUND THEN
            DELETE FROM sandboxes WHERE id = p_dead RETURNING * INTO dead;
        END IF;
        IF FOUND THEN
            INSERT INTO warm_sandboxes (id, template_id, template, image, profile, read_only_root,
                                        network, tier, memory_mb, cpu_milli, pids, disk_mb,
                                        instance, node, bundle, status)
            VALUES (dead.id, coalesce(dead.template_id, dead.id), dead.template, dead.image,
                    dead.profile, dead.read_only_root, dead.network, dead.tier, dead.memory_mb,
                    dead.cpu_milli, dead.pids, dead.disk_mb, dead.instance, dead.node, '',
                    'leaving');
        ELSE
            -- It has ended meanwhile, and stays in the user's list with the reason.
            UPDATE sandboxes SET create_id = NULL
            WHERE id = p_dead AND create_id = p_create_id AND user_id = p_user_id;
        END IF;
    END IF;
    IF EXISTS (SELECT 1 FROM sandboxes WHERE create_id = p_create_id)
       OR EXISTS (SELECT 1 FROM sandboxes WHERE id = p_create_id) THEN
        RAISE EXCEPTION 'sandbox_exists' USING ERRCODE = 'IN409';
    END IF;
    IF p_mode <> 'cold' THEN
        -- The same template and network as sandbox_begin will choose. One of the user's tier needs
        -- no change of its limits.
        SELECT * INTO source FROM template_find(p_user_id, p_template);
        DELETE FROM warm_sandboxes WHERE id = (
            SELECT id FROM warm_sandboxes
            WHERE status = 'ready' AND instance = p_instance AND node = p_node
              AND template_id = source.id AND work_dir IS NOT NULL
              AND network = coalesce(nullif(p_network, ''), source.network, p_bounds ->> 'network')
            ORDER BY tier IS NOT DISTINCT FROM owner_tier DESC, ready_at
            LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING * INTO taken;
    END IF;
    IF taken.id IS NOT NULL THEN
        RETURN NEXT taken;
    ELSIF p_mode <> 'warm' THEN
        taken.id := p_create_id;
        RETURN NEXT taken;
    END IF;
END
$$;

-- The row p_id as it is now. p_bounds: sandbox_begin's, and "limitsDisk", whether the engine limits
-- the disk, which it does at the start alone. Raises IN409 pool_stale when the container is not what
-- would be made for that row, and can't be changed to it.
CREATE FUNCTION pool_bind(p_create_id uuid, p_id uuid, p_taken warm_sandboxes, p_bounds jsonb)
RETURNS SETOF sandboxes
LANGUAGE plpgsql ROWS 1 AS $$
BEGIN
    IF p_taken.status IS NULL THEN
        RETURN QUERY SELECT * FROM sandboxes WHERE id = p_id;
        RETURN;
    END IF;
    RETURN QUERY UPDATE sandboxes
        SET status = 'running', create_id = p_create_id,
            work_dir = coalesce(work_dir, p_taken.work_dir),
            image_user = coalesce(image_user, p_taken.image_user), agent_generation = p_taken.agent_generation,
            started_at = now(), container_running = true, container_status = 'running',
            cpus = CASE WHEN cpu_milli = p_taken.cpu_milli THEN p_taken.cpus ELSE cpus END
        WHERE id = p_id AND template_id = p_taken.template_id AND network = p_taken.network
          AND image = p_taken.image AND profile = p_taken.profile
          AND read_only_root = p_taken.read_only_root
          AND runtime IS NOT DISTINCT FROM p_taken.runtime AND NOT has_start
          AND (disk_mb = p_taken.disk_mb
               OR NOT coalesce((p_bounds ->> 'limitsDisk')::boolean, false))
        RETURNING *;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'pool_stale' USING ERRCODE = 'IN409';
    END IF;
END
$$;

-- As before, and those that wait are bound to processors too.
CREATE OR REPLACE FUNCTION quota_choose_cpus(p_instance text, p_node text, p_cpu_milli integer,
                                             p_count integer)
RETURNS integer[]
LANGUAGE sql VOLATILE AS $$
    WITH bound AS (
        SELECT cpu_milli, cpus FROM sandboxes
        WHERE instance = p_instance AND node = p_node AND ended_at IS NULL
        UNION ALL
        SELECT cpu_milli, cpus FROM warm_sandboxes WHERE instance = p_instance AND node = p_node
    ), promised AS (
        SELECT used.cpu, sum(b.cpu_milli / cardinality(b.cpus)) AS milli
        FROM bound b CROSS JOIN unnest(b.cpus) AS used (cpu)
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

-- What a tier has of something, and no more than the template says (NULL: as much as the tier).
CREATE FUNCTION pool_limit(p_limits jsonb, p_tier text, p_name text, p_most integer)
RETURNS integer
LANGUAGE sql IMMUTABLE AS $$
    SELECT least((p_limits -> p_tier ->> p_name)::integer, p_most)
$$;

-- The row of one that is about to be started. What waits is promised to nobody, so that no create is
-- refused for it; but it is not made where there would be no room for it once it is claimed. Only
-- templates of the server have pools, and only those that start nothing.
-- Raises IN404 template_not_found; IN503 node_draining; IN429 node_full.
CREATE FUNCTION pool_add(p_id uuid, p_template text, p_network text, p_tier text, p_instance text,
                         p_node text, p_bundle text, p_limits jsonb, p_bounds jsonb)
RETURNS warm_sandboxes
LANGUAGE plpgsql AS $$
DECLARE
    source  templates%ROWTYPE;
    waiting bigint;
    made    warm_sandboxes%ROWTYPE;
BEGIN
    SELECT * INTO source FROM templates
    WHERE name = p_template AND user_id IS NULL AND status = 'ready' AND start IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'template_not_found' USING ERRCODE = 'IN404';
    END IF;
    IF EXISTS (SELECT 1 FROM nodes_draining WHERE instance = p_instance AND node = p_node) THEN
        RAISE EXCEPTION 'node_draining' USING ERRCODE = 'IN503';
    END IF;
    made.memory_mb := pool_limit(p_limits, p_tier, 'memoryMB', source.memory_mb);
    made.cpu_milli := pool_limit(p_limits, p_tier, 'cpuMilli', source.cpu_milli);
    SELECT coalesce(sum(memory_mb), 0) INTO waiting FROM warm_sandboxes
    WHERE instance = p_instance AND node = p_node;
    PERFORM quota_check_memory(p_instance, p_node, (waiting + made.memory_mb)::integer, p_bounds);
    INSERT INTO warm_sandboxes (id, template_id, template, image, profile, read_only_root, runtime,
                                network, tier, memory_mb, cpu_milli, pids, disk_mb, cpus, instance,
                                node, bundle, status)
    VALUES (p_id, source.id, source.name, source.image, source.profile, source.read_only_root,
            source.runtime, p_network, p_tier, made.memory_mb, made.cpu_milli,
            pool_limit(p_limits, p_tier, 'pids', source.pids),
            pool_limit(p_limits, p_tier, 'diskMB', source.disk_mb),
            quota_choose_cpus(p_instance, p_node, made.cpu_milli,
                              coalesce((p_bounds ->> 'cpus')::integer, 0)),
            p_instance, p_node, p_bundle, 'starting')
    RETURNING * INTO made;
    RETURN made;
END
$$;

-- Those of a node that are not as they would be made today, by template, agent or limits, leave; all
-- of a node that takes nothing new. Their ids.
CREATE FUNCTION pool_shed_stale(p_instance text, p_node text, p_bundle text, p_limits jsonb)
RETURNS SETOF uuid
LANGUAGE sql AS $$
    UPDATE warm_sandboxes SET status = 'leaving' WHERE id IN (
        SELECT w.id FROM warm_sandboxes w
        WHERE w.instance = p_instance AND w.node = p_node AND w.status = 'ready'
          AND (w.bundle <> p_bundle
               OR EXISTS (SELECT 1 FROM nodes_draining d
                          WHERE d.instance = w.instance AND d.node = w.node)
               OR NOT EXISTS (
                   SELECT 1 FROM templates t
                   WHERE t.id = w.template_id AND t.user_id IS NULL AND t.status = 'ready'
                     AND t.start IS NULL AND t.name = w.template AND t.image = w.image
                     AND t.profile = w.profile AND t.read_only_root = w.read_only_root
                     AND t.runtime IS NOT DISTINCT FROM w.runtime
                     AND w.memory_mb = pool_limit(p_limits, w.tier, 'memoryMB', t.memory_mb)
                     AND w.cpu_milli = pool_limit(p_limits, w.tier, 'cpuMilli', t.cpu_milli)
                     AND w.pids = pool_limit(p_limits, w.tier, 'pids', t.pids)
                     AND w.disk_mb = pool_limit(p_limits, w.tier, 'diskMB', t.disk_mb)))
        FOR UPDATE OF w SKIP LOCKED)
    RETURNING id
$$;

-- As before, and those that wait are known.
CREATE OR REPLACE FUNCTION sandboxes_unknown(p_ids uuid[]) RETURNS SETOF uuid
LANGUAGE sql STABLE AS $$
    SELECT asked.id FROM unnest(p_ids) AS asked (id)
    WHERE NOT EXISTS (SELECT 1 FROM sandboxes s WHERE s.id = asked.id)
      AND NOT EXISTS (SELECT 1 FROM warm_sandboxes w WHERE w.id = asked.id)
$$;

-- The same: and theirs are in use.
CREATE OR REPLACE FUNCTION images_named(p_images jsonb)
RETURNS SETOF text
LANGUAGE sql STABLE AS $$
    SELECT DISTINCT asked.image FROM jsonb_array_elements_text(p_images) AS asked (image)
    WHERE EXISTS (SELECT 1 FROM (
        SELECT image FROM templates
        UNION ALL SELECT image FROM sandboxes WHERE ended_at IS NULL
        UNION ALL SELECT image FROM warm_sandboxes) AS known
        WHERE known.image IN (asked.image, asked.image || ':latest')
           OR known.image || ':latest' = asked.image)
$$;
