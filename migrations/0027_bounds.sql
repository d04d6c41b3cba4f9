-- Statements whose time grew with what had ended, or with what somebody else keeps waiting; and what
-- a user who leaves takes along of the network.

-- A template is needed by those that live: sandbox_take_template holds it while one of them begins,
-- and template_remove refuses while there is one. Those that ended only keep its name; a reference
-- would change all of them when it goes, and who begins a sandbox would wait for that.
ALTER TABLE sandboxes DROP CONSTRAINT sandboxes_template_id_fkey;
DROP INDEX sandboxes_template;
CREATE INDEX sandboxes_template ON sandboxes (template_id)
    WHERE status NOT IN ('destroyed', 'failed');

-- As before; what waits for a webhook is counted once, and not for each event.
CREATE OR REPLACE FUNCTION event_number(p_most integer, p_backlog integer)
RETURNS TABLE (owner uuid, events bigint)
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM sandbox_events WHERE seq IS NULL) THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('insien event order', 0));
    RETURN QUERY
        WITH fresh AS MATERIALIZED (
            SELECT e.id FROM sandbox_events e WHERE e.seq IS NULL ORDER BY e.id LIMIT p_most
        ), numbered AS MATERIALIZED (
            SELECT ordered.id, nextval('sandbox_event_seq') AS seq
            FROM (SELECT fresh.id FROM fresh ORDER BY fresh.id) AS ordered
        ), told AS (
            UPDATE sandbox_events e SET seq = numbered.seq
            FROM numbered WHERE e.id = numbered.id
            RETURNING e.id, e.user_id, e.type
        ), wanted AS MATERIALIZED (
            SELECT w.id AS webhook_id, told.id AS event_id,
                   row_number() OVER (PARTITION BY w.id ORDER BY told.id) AS place
            FROM told JOIN webhooks w ON w.user_id = told.user_id
            WHERE w.disabled_at IS NULL AND (w.types = '{}' OR told.type = ANY (w.types))
        ), waiting AS MATERIALIZED (
            SELECT hook.webhook_id,
                   (SELECT count(*) FROM (SELECT FROM webhook_outbox o
                                          WHERE o.webhook_id = hook.webhook_id
                                            AND o.dead_at IS NULL
                                          LIMIT p_backlog) AS counted) AS deliveries
            FROM (SELECT DISTINCT wanted.webhook_id FROM wanted) AS hook
        ), placed AS (
            SELECT wanted.webhook_id, wanted.event_id,
                   waiting.deliveries + wanted.place > p_backlog AS is_over
            FROM wanted JOIN waiting ON waiting.webhook_id = wanted.webhook_id
        ), queued AS (
            INSERT INTO webhook_outbox (webhook_id, event_id, dead_at, last_error)
            SELECT webhook_id, event_id, CASE WHEN is_over THEN now() END,
                   CASE WHEN is_over THEN 'too many deliveries wait' END
            FROM placed ORDER BY event_id, webhook_id
            ON CONFLICT DO NOTHING
        )
        SELECT told.user_id, count(*) FROM told GROUP BY told.user_id;
END
$$;

-- As before, and it goes behind those that have waited for longer.
CREATE OR REPLACE FUNCTION webhook_delivered(p_delivery bigint) RETURNS void
LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM webhook_outbox WHERE id = p_delivery RETURNING webhook_id
    )
    UPDATE webhooks w SET busy_until = now(), delivered_at = now(), failing_since = NULL
    FROM gone WHERE w.id = gone.webhook_id
$$;

-- As before, and whatever is under way stays the only one.
CREATE OR REPLACE FUNCTION webhook_redeliver(p_id uuid, p_user_id uuid, p_most integer)
RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    queued bigint;
BEGIN
    UPDATE webhooks SET disabled_at = NULL, disabled_reason = NULL, failing_since = NULL
    WHERE id = p_id AND user_id = p_user_id;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE webhook_outbox SET dead_at = NULL, attempts = 0, due_at = now()
    WHERE id IN (SELECT id FROM webhook_outbox
                 WHERE webhook_id = p_id AND dead_at IS NOT NULL
                 ORDER BY id
                 LIMIT p_most);
    GET DIAGNOSTICS queued = ROW_COUNT;
    RETURN queued;
END
$$;

-- Before the account's other rows change: those of its sandboxes that live are taken in the order
-- in which activity is written down (life_active), so that neither waits for the other. The names
-- that its sandboxes asked for go.
CREATE FUNCTION sandboxes_leave() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM 1 FROM sandboxes
    WHERE user_id = NEW.id
      AND status IN ('creating', 'running', 'pausing', 'paused', 'resuming')
    ORDER BY id FOR NO KEY UPDATE;
    DELETE FROM network_denials d USING sandboxes s
    WHERE s.user_id = NEW.id AND d.sandbox_id = s.id;
    UPDATE sandboxes SET network_policy = '{"allow": []}'
    WHERE user_id = NEW.id AND network_policy <> '{"allow": []}';
    RETURN NULL;
END
$$;
CREATE TRIGGER users_leave_sandboxes AFTER UPDATE OF deleted_at ON users
    FOR EACH ROW
    WHEN (NEW.deleted_at IS NOT NULL AND OLD.deleted_at IS NULL)
    EXECUTE FUNCTION sandboxes_leave();

-- And those that are told late are not kept.
CREATE FUNCTION network_denials_of_the_living() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM sandboxes s JOIN users u ON u.id = s.user_id
               WHERE s.id = NEW.sandbox_id AND u.deleted_at IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER network_denials_of_the_living BEFORE INSERT ON network_denials
    FOR EACH ROW EXECUTE FUNCTION network_denials_of_the_living();
