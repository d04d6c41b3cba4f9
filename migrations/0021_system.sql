-- What administrators and the service itself do to a node: let it run empty, look at it, and forget
-- what ended long ago.

-- Nodes that take no more sandboxes. Those they have go on.
CREATE TABLE nodes_draining (
    instance text NOT NULL,
    node     text NOT NULL,
    since    timestamptz NOT NULL DEFAULT now(),
    reason   text CHECK (char_length(reason) BETWEEN 1 AND 500),
    PRIMARY KEY (instance, node)
);

-- Whatever makes a sandbox, it is refused here. Raises IN503 node_draining.
CREATE FUNCTION sandboxes_refuse_draining() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM nodes_draining
               WHERE instance = NEW.instance AND node = NEW.node) THEN
        RAISE EXCEPTION 'node_draining' USING ERRCODE = 'IN503';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER sandboxes_refuse_draining BEFORE INSERT ON sandboxes
    FOR EACH ROW EXECUTE FUNCTION sandboxes_refuse_draining();

-- Raises IN403 not_admin.
CREATE FUNCTION node_check_admin(p_admin_id uuid) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM users WHERE id = p_admin_id AND role = 'admin'
                   AND suspended_at IS NULL AND deleted_at IS NULL) THEN
        RAISE EXCEPTION 'not_admin' USING ERRCODE = 'IN403';
    END IF;
END
$$;

-- Begins or ends it; again: the same, and a reason is the latest. p_reason '': none, or as it is.
-- Raises IN403 not_admin.
CREATE FUNCTION node_set_draining(p_admin_id uuid, p_instance text, p_node text, p_draining boolean,
                                  p_reason text)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM node_check_admin(p_admin_id);
    IF p_draining THEN
        INSERT INTO nodes_draining AS had (instance, node, reason)
        VALUES (p_instance, p_node, nullif(p_reason, ''))
        ON CONFLICT (instance, node)
        DO UPDATE SET reason = coalesce(excluded.reason, had.reason);
    ELSE
        DELETE FROM nodes_draining WHERE instance = p_instance AND node = p_node;
    END IF;
END
$$;

-- What a node has and has promised, as the API shows it. draining: NULL when it is not.
CREATE FUNCTION node_state(p_instance text, p_node text)
RETURNS TABLE (sandboxes jsonb, promised jsonb, draining jsonb)
LANGUAGE sql STABLE AS $$
    WITH living AS MATERIALIZED (
        SELECT status, memory_mb, cpu_milli, disk_mb FROM sandboxes
        WHERE instance = p_instance AND node = p_node AND ended_at IS NULL
    )
    SELECT (SELECT jsonb_object_agg(every.status, (SELECT count(*) FROM living l
                                                   WHERE l.status = every.status))
            FROM unnest(ARRAY['creating', 'running', 'pausing', 'paused', 'resuming', 'stopping'])
                AS every (status)),
           (SELECT jsonb_build_object('memoryMB', coalesce(sum(memory_mb), 0),
                                      'cpu', trim_scale(coalesce(sum(cpu_milli), 0) / 1000.0),
                                      'diskMB', coalesce(sum(disk_mb), 0))
            FROM living),
           (SELECT jsonb_build_object('since', to_char(since AT TIME ZONE 'UTC',
                                                       'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
                                      'reason', reason)
            FROM nodes_draining WHERE instance = p_instance AND node = p_node)
$$;

-- Sandboxes that ended, by when: of a node, and of all.
CREATE INDEX sandboxes_ended ON sandboxes (instance, ended_at, node) WHERE ended_at IS NOT NULL;

-- Forgets at most p_most sandboxes that ended more than p_days days ago; says how many. One caller of
-- an instance at a time: to another it says 0.
CREATE FUNCTION sandboxes_forget(p_instance text, p_days integer, p_most integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    forgotten bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('insien.housekeeping'), hashtext(p_instance)) THEN
        RETURN 0;
    END IF;
    DELETE FROM sandboxes WHERE id IN (
        SELECT id FROM sandboxes s
        WHERE instance = p_instance AND ended_at < now() - make_interval(days => p_days)
          -- One that failed may have a container yet, which writes to its volumes.
          AND NOT EXISTS (SELECT 1 FROM volume_attachments a WHERE a.sandbox_id = s.id)
        ORDER BY ended_at
        LIMIT p_most
        FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END
$$;

-- Those of the ids of which no row has ever told: a row is written before all else, and stays behind
-- it, so the database is older than what was found.
CREATE FUNCTION sandboxes_unknown(p_ids uuid[]) RETURNS SETOF uuid
LANGUAGE sql STABLE AS $$
    SELECT asked.id FROM unnest(p_ids) AS asked (id)
    WHERE NOT EXISTS (SELECT 1 FROM sandboxes s WHERE s.id = asked.id)
$$;

-- Ports of sandboxes that are at their end, and the act that removes them: it is the same, so that
-- nothing else is removed than what is told. At most 512. Raises IN403 not_admin.
CREATE FUNCTION ports_left(p_admin_id uuid, p_instance text, p_node text, p_remove boolean)
RETURNS SETOF text
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM node_check_admin(p_admin_id);
    RETURN QUERY WITH left_over AS (
        SELECT p.sandbox_id, p.container_port FROM ports p
        JOIN sandboxes s ON s.id = p.sandbox_id
        WHERE p.instance = p_instance AND p.node = p_node AND s.ended_at IS NOT NULL
        LIMIT 512
    ), gone AS (
        DELETE FROM ports p USING left_over l
        WHERE p_remove AND p.sandbox_id = l.sandbox_id AND p.container_port = l.container_port
    )
    SELECT sandbox_id || '/' || container_port FROM left_over;
END
$$;

-- Those of the images that something still names: a template, or a sandbox that is not at its end.
CREATE FUNCTION images_named(p_images jsonb)
RETURNS SETOF text
LANGUAGE sql STABLE AS $$
    SELECT DISTINCT image FROM jsonb_array_elements_text(p_images) AS asked (image)
    WHERE EXISTS (SELECT 1 FROM templates t WHERE t.image IN (asked.image, asked.image || ':latest')
                  OR t.image || ':latest' = asked.image)
       OR EXISTS (SELECT 1 FROM sandboxes s WHERE s.ended_at IS NULL
                  AND (s.image IN (asked.image, asked.image || ':latest')
                       OR s.image || ':latest' = asked.image))
$$;
