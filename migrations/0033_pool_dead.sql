-- Who gets what waits in the pool, and what becomes of one that was given and is dead.
--
-- p_mode: 'any'; 'warm', no row when there is none; 'cold', which leaves the pool alone. The answer
-- has the status NULL, and p_create_id for its id, when a container has to be started. p_dead is
-- what this create was given before and found dead: it goes back to the pool, to be removed, as if
-- it had never been the user's. That is said of one that runs alone: in the place of one that was
-- ended by somebody's word nothing else comes (IN409 sandbox_ended), and one that rests is what was
-- asked for (IN409 sandbox_exists, which any row of this create raises). ROWS 1: the planner
-- compiles what it takes for very much, which takes a hundred times as long as doing it.
CREATE OR REPLACE FUNCTION pool_take(p_create_id uuid, p_user_id uuid, p_template text,
                                     p_network text, p_instance text, p_node text, p_bounds jsonb,
                                     p_mode text, p_dead uuid)
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
        SELECT * INTO dead FROM sandboxes
        WHERE id = p_dead AND create_id = p_create_id AND user_id = p_user_id FOR UPDATE;
        IF dead.end_reason IN ('user', 'admin', 'suspended') THEN
            RAISE EXCEPTION 'sandbox_ended' USING ERRCODE = 'IN409';
        ELSIF dead.status = 'running' THEN
            -- What was told of its beginning has an end.
            UPDATE sandboxes SET status = 'failed', end_reason = 'agent_lost', ended_at = now()
            WHERE id = dead.id;
            DELETE FROM sandboxes WHERE id = dead.id;
            INSERT INTO warm_sandboxes (id, template_id, template, image, profile, read_only_root,
                                        network, tier, memory_mb, cpu_milli, pids, disk_mb,
                                        instance, node, bundle, status)
            VALUES (dead.id, coalesce(dead.template_id, dead.id), dead.template, dead.image,
                    dead.profile, dead.read_only_root, dead.network, dead.tier, dead.memory_mb,
                    dead.cpu_milli, dead.pids, dead.disk_mb, dead.instance, dead.node, '',
                    'leaving');
        ELSIF dead.status IN ('stopping', 'destroyed', 'failed') THEN
            -- It has ended meanwhile, and stays in the user's list with the reason.
            UPDATE sandboxes SET create_id = NULL WHERE id = dead.id;
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
