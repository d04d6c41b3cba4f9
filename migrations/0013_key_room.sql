-- As before, from the sandboxes upwards: a key that was rotated often has many above it, and to look
-- below each of them took seconds.
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
        WHERE user_id = p_user_id AND status IN ('creating', 'running') AND api_key_id IS NOT NULL
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
