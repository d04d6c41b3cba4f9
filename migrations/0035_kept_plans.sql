-- A function written in SQL that can't be merged into the statement around it is planned in each
-- statement anew; that took two thirds of the time of a claim. One in PL/pgSQL keeps its plan.

-- As before.
CREATE OR REPLACE FUNCTION api_key_has_room(p_id uuid, p_user_id uuid)
RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (
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
            WHERE above.max_sandboxes <= used.sandboxes));
END
$$;

-- The same. NULL when it needs all of them, or p_count is 0: they can't be told apart.
CREATE OR REPLACE FUNCTION quota_choose_cpus(p_instance text, p_node text, p_cpu_milli integer,
                                             p_count integer)
RETURNS integer[]
LANGUAGE plpgsql AS $$
DECLARE
    needed integer := (p_cpu_milli + 999) / 1000;
BEGIN
    IF needed >= p_count THEN
        RETURN NULL;
    END IF;
    RETURN (
        WITH bound AS (
            SELECT cpu_milli, cpus FROM sandboxes
            WHERE instance = p_instance AND node = p_node AND ended_at IS NULL
            UNION ALL
            SELECT cpu_milli, cpus FROM warm_sandboxes
            WHERE instance = p_instance AND node = p_node
        ), promised AS (
            SELECT used.cpu, sum(b.cpu_milli / cardinality(b.cpus)) AS milli
            FROM bound b CROSS JOIN unnest(b.cpus) AS used (cpu)
            GROUP BY used.cpu
        ), chosen AS (
            SELECT every.cpu FROM generate_series(0, p_count - 1) AS every (cpu)
            LEFT JOIN promised ON promised.cpu = every.cpu
            ORDER BY coalesce(promised.milli, 0), every.cpu
            LIMIT needed
        )
        SELECT array_agg(cpu ORDER BY cpu) FROM chosen);
END
$$;

-- What a claim looks for is found by the same indexes whatever the values are: no connection has to
-- find that out by planning everything five times first. The triggers of the insert run within.
ALTER FUNCTION pool_take(uuid, uuid, text, text, text, text, jsonb, text, uuid)
    SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION sandbox_begin(uuid, uuid, uuid, text, bigint, text, text, text, jsonb, jsonb, jsonb,
                             jsonb, jsonb)
    SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION secrets_attach(uuid, jsonb)
    SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION pool_bind(uuid, uuid, warm_sandboxes, jsonb)
    SET plan_cache_mode = force_generic_plan;
