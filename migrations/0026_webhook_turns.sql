-- Deliveries of one user's webhooks take a few places, not all: a receiver that says nothing keeps its
-- place until its time is over, and there are fewer of those than a user may have webhooks.
CREATE OR REPLACE FUNCTION webhook_take(p_most integer, p_lease_ms bigint)
RETURNS TABLE (delivery bigint, webhook uuid, target text, tried integer, event sandbox_events)
LANGUAGE plpgsql AS $$
DECLARE
    most_of_user CONSTANT integer := 4;
    lanes uuid[];
BEGIN
    SELECT array_agg(lane.id) INTO lanes FROM (
        SELECT w.id FROM webhooks w
        JOIN (
            SELECT ready.id, ready.busy_until,
                   row_number() OVER (PARTITION BY ready.user_id ORDER BY ready.busy_until, ready.id)
                   AS place
            FROM webhooks ready
            WHERE ready.disabled_at IS NULL AND ready.busy_until <= now()
              AND EXISTS (SELECT FROM webhook_outbox o
                          WHERE o.webhook_id = ready.id AND o.dead_at IS NULL AND o.due_at <= now())
              AND NOT EXISTS (SELECT FROM users u
                              WHERE u.id = ready.user_id AND u.suspended_at IS NOT NULL)
        ) AS turn ON turn.id = w.id
        WHERE turn.place + (SELECT count(*) FROM webhooks busy
                            WHERE busy.user_id = w.user_id AND busy.busy_until > now())
              <= most_of_user
          AND w.disabled_at IS NULL AND w.busy_until <= now()
        ORDER BY turn.place, w.busy_until
        LIMIT p_most
        FOR NO KEY UPDATE OF w SKIP LOCKED) AS lane;
    RETURN QUERY
        WITH due AS MATERIALIZED (
            SELECT DISTINCT ON (o.webhook_id) o.id, o.webhook_id, o.attempts, o.event_id
            FROM webhook_outbox o
            WHERE o.webhook_id = ANY (lanes) AND o.dead_at IS NULL AND o.due_at <= now()
            ORDER BY o.webhook_id, o.due_at, o.event_id
        ), taken AS (
            UPDATE webhooks w SET busy_until = now() + p_lease_ms * interval '1 millisecond'
            FROM due WHERE w.id = due.webhook_id
            RETURNING w.id, w.url
        )
        SELECT due.id, taken.id, taken.url, due.attempts, e
        FROM due JOIN taken ON taken.id = due.webhook_id JOIN sandbox_events e ON e.id = due.event_id;
END
$$;
