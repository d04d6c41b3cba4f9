-- As before; and those whose start was never said to be over, as its process was gone by then: nobody
-- can claim them.
CREATE OR REPLACE FUNCTION pool_shed_stale(p_instance text, p_node text, p_bundle text, p_limits jsonb)
RETURNS SETOF uuid
LANGUAGE sql AS $$
    UPDATE warm_sandboxes SET status = 'leaving' WHERE id IN (
        SELECT w.id FROM warm_sandboxes w
        WHERE w.instance = p_instance AND w.node = p_node AND w.status = 'ready'
          AND (w.bundle <> p_bundle
               OR w.work_dir IS NULL AND w.ready_at < now() - interval '2 minutes'
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
