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

-- What ended sandboxes tell of their user is as much as the user ever had of them.
CREATE INDEX sandboxes_telling ON sandboxes (user_id)
    WHERE ended_at IS NOT NULL
      AND (env <> '{}' OR metadata <> '{}' OR network_policy <> '{"allow": []}');

-- As before, but of the sandboxes only those that live are changed here, which are few: user_erase
-- takes the others.
CREATE OR REPLACE FUNCTION user_delete(p_user_id uuid)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM identity_lock(issuer, subject) FROM identities WHERE user_id = p_user_id;
    UPDATE users
    SET deleted_at = now(), suspended_at = coalesce(suspended_at, now()), updated_at = now(),
        email = NULL, display_name = NULL, avatar_url = NULL, chosen_name = NULL,
        chosen_avatar_url = NULL, role = 'user'
    WHERE id = p_user_id AND deleted_at IS NULL;
    UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()), name = NULL
    WHERE user_id = p_user_id;
    UPDATE sandboxes SET env = '{}', metadata = '{}', network_policy = '{"allow": []}'
    WHERE user_id = p_user_id AND ended_at IS NULL;
    DELETE FROM idempotency WHERE user_id = p_user_id;
    WITH gone AS (
        DELETE FROM identities WHERE user_id = p_user_id RETURNING issuer, subject
    )
    INSERT INTO identity_tombstones (issuer, subject) SELECT issuer, subject FROM gone
    ON CONFLICT DO NOTHING;
    -- Records on their way are stored before this, and erased, or see behind it that nobody is left.
    PERFORM pg_advisory_xact_lock(hashtextextended('insien audit order', 0));
END
$$;

-- As before, and what ended sandboxes tell goes with it, of at most p_most at a time.
CREATE OR REPLACE FUNCTION user_erase(p_most integer)
RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    leaver users%ROWTYPE;
    seen   bigint[];
    silent bigint;
BEGIN
    SELECT * INTO leaver FROM users WHERE deleted_at IS NOT NULL AND erased_at IS NULL
    ORDER BY deleted_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE sandboxes SET env = '{}', metadata = '{}', network_policy = '{"allow": []}'
    WHERE id IN (SELECT id FROM sandboxes
                 WHERE user_id = leaver.id AND ended_at IS NOT NULL
                   AND (env <> '{}' OR metadata <> '{}' OR network_policy <> '{"allow": []}')
                 LIMIT p_most);
    GET DIAGNOSTICS silent = ROW_COUNT;
    seen := ARRAY (SELECT id FROM audit_log WHERE actor_user = leaver.id AND id > leaver.erased_to
                   ORDER BY id LIMIT p_most);
    DELETE FROM audit_personal WHERE audit_id = ANY (seen);
    UPDATE users
    SET erased_to = coalesce(seen[cardinality(seen)], erased_to),
        erased_at = CASE WHEN cardinality(seen) < p_most AND silent < p_most THEN now() END
    WHERE id = leaver.id;
    RETURN true;
END
$$;

-- As before, but for what user_delete and user_erase do now.
CREATE OR REPLACE FUNCTION sandboxes_leave() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM 1 FROM sandboxes
    WHERE user_id = NEW.id
      AND status IN ('creating', 'running', 'pausing', 'paused', 'resuming')
    ORDER BY id FOR NO KEY UPDATE;
    DELETE FROM network_denials d USING sandboxes s
    WHERE s.user_id = NEW.id AND d.sandbox_id = s.id;
    RETURN NULL;
END
$$;
