-- What one user may pile up: deliveries that nobody takes, and secrets that grow under a sandbox.

-- Events that came while too many deliveries waited already. They are not kept for the webhook:
-- twenty rows an event would be without a bound.
ALTER TABLE webhooks
    ADD COLUMN dropped bigint NOT NULL DEFAULT 0,
    ADD COLUMN dropped_at timestamptz; -- the last of them

-- As before, but what is over p_backlog is counted and not queued.
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
        ), placed AS MATERIALIZED (
            SELECT wanted.webhook_id, wanted.event_id,
                   waiting.deliveries + wanted.place > p_backlog AS is_over
            FROM wanted JOIN waiting ON waiting.webhook_id = wanted.webhook_id
        ), queued AS (
            INSERT INTO webhook_outbox (webhook_id, event_id)
            SELECT webhook_id, event_id FROM placed WHERE NOT is_over
            ORDER BY event_id, webhook_id
            ON CONFLICT DO NOTHING
        ), over AS MATERIALIZED (
            SELECT webhook_id, count(*) AS events FROM placed WHERE is_over GROUP BY webhook_id
        ), held AS MATERIALIZED (
            SELECT w.id FROM webhooks w WHERE w.id IN (SELECT webhook_id FROM over)
            ORDER BY w.id FOR NO KEY UPDATE
        ), counted AS (
            UPDATE webhooks w SET dropped = w.dropped + over.events, dropped_at = now()
            FROM held JOIN over ON over.webhook_id = held.id
            WHERE w.id = held.id
        )
        SELECT told.user_id, count(*) FROM told GROUP BY told.user_id;
END
$$;

-- As before; and what a sandbox that lives is to know stays as small as when it was attached: it
-- is given all of it anew whenever its agent comes back.
-- Raises IN404 user_not_found; IN403 user_suspended; IN429 secret_quota_exceeded; IN400
-- secrets_too_large.
CREATE OR REPLACE FUNCTION secret_set(p_user_id uuid, p_name text, p_key_id text, p_sealed bytea,
                                      p_most integer,
                                      OUT created_at timestamptz, OUT updated_at timestamptz,
                                      OUT is_new boolean)
LANGUAGE plpgsql AS $$
DECLARE
    most_bytes CONSTANT integer := 256 * 1024;
    owner users%ROWTYPE;
BEGIN
    -- Who sets secrets of one user waits here, so that the count below holds.
    SELECT * INTO owner FROM users WHERE id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'user_not_found' USING ERRCODE = 'IN404';
    END IF;
    IF owner.suspended_at IS NOT NULL THEN
        RAISE EXCEPTION 'user_suspended' USING ERRCODE = 'IN403';
    END IF;
    UPDATE secrets s SET key_id = p_key_id, sealed = p_sealed, updated_at = now()
    WHERE s.user_id = p_user_id AND s.name = p_name
    RETURNING s.created_at, s.updated_at INTO created_at, updated_at;
    is_new := NOT FOUND;
    IF NOT is_new THEN
        IF EXISTS (
            SELECT FROM sandboxes b
            JOIN sandbox_secrets u ON u.sandbox_id = b.id
            JOIN secrets s ON s.id = u.secret_id
            WHERE b.user_id = p_user_id
              AND b.status IN ('creating', 'running', 'pausing', 'paused', 'resuming')
            GROUP BY b.id
            HAVING bool_or(s.name = p_name) AND sum(octet_length(s.sealed)) > most_bytes) THEN
            RAISE EXCEPTION 'secrets_too_large' USING ERRCODE = 'IN400';
        END IF;
        RETURN;
    END IF;
    IF (SELECT count(*) FROM secrets s WHERE s.user_id = p_user_id) >= p_most THEN
        RAISE EXCEPTION 'secret_quota_exceeded' USING ERRCODE = 'IN429';
    END IF;
    INSERT INTO secrets AS s (user_id, name, key_id, sealed)
    VALUES (p_user_id, p_name, p_key_id, p_sealed)
    RETURNING s.created_at, s.updated_at INTO created_at, updated_at;
END
$$;

-- secrets_attach, and then what the sandbox is to know: whoever makes it sees whether that can be
-- read before anything runs.
CREATE FUNCTION secrets_begin(p_sandbox_id uuid, p_wanted jsonb)
RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    IF secrets_attach(p_sandbox_id, p_wanted) = 0 THEN
        RETURN '';
    END IF;
    RETURN secrets_of_sandbox(p_sandbox_id);
END
$$;
