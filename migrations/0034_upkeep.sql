-- What keeps the machines and the tables in order.

-- Those of the ids that no living row of this node explains: because no row has ever told of them (a
-- row is written before all else, and stays behind it, so the database is older than what was
-- found), or because the sandbox lives on another node, as that node's row says.
CREATE FUNCTION sandboxes_strange(p_instance text, p_node text, p_ids uuid[])
RETURNS TABLE (id uuid, is_elsewhere boolean)
LANGUAGE sql STABLE AS $$
    SELECT asked.id, s.id IS NOT NULL FROM unnest(p_ids) AS asked (id)
    LEFT JOIN sandboxes s ON s.id = asked.id
    WHERE CASE WHEN s.id IS NULL
          THEN NOT EXISTS (SELECT 1 FROM warm_sandboxes w WHERE w.id = asked.id)
          ELSE (s.instance, s.node) <> (p_instance, p_node)
               AND s.status IN ('creating', 'running', 'pausing', 'paused', 'resuming') END
$$;
DROP FUNCTION sandboxes_unknown(uuid[]);

-- Those of the ids that no row explains, whichever node's it is: because none has ever told
-- of it, or because the sandbox is at its end. One that failed is not, while its container may write to its volumes.
CREATE FUNCTION sandboxes_left(p_ids uuid[]) RETURNS TABLE (id uuid, is_unknown boolean)
LANGUAGE sql STABLE AS $$
    SELECT asked.id, s.id IS NULL FROM unnest(p_ids) AS asked (id)
    LEFT JOIN sandboxes s ON s.id = asked.id
    WHERE CASE s.status
          WHEN 'destroyed' THEN true
          WHEN 'failed' THEN NOT EXISTS (SELECT 1 FROM volume_attachments a
                                         WHERE a.sandbox_id = s.id)
          ELSE s.id IS NULL AND NOT EXISTS (SELECT 1 FROM warm_sandboxes w WHERE w.id = asked.id)
          END
$$;
