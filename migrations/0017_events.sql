-- What happens to sandboxes, for their owners: each change of a sandbox's status is a row, written
-- in the transaction that changes it. Whoever reads along, and each webhook, gets all of them once
-- and in one order.

CREATE TABLE sandbox_events (
    -- Taken while the sandbox's row is held: the events of one sandbox have theirs in order. Over
    -- all sandboxes they are not the order of the commits.
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The order in which readers get them (event_number); NULL: nobody has yet.
    seq        bigint UNIQUE,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    sandbox_id uuid NOT NULL, -- without references: it outlives what it tells of
    user_id    uuid, -- whose it was then; NULL: nobody's
    type       text NOT NULL CHECK (type ~ '^[a-z_]+(\.[a-z_]+)+$' AND octet_length(type) <= 64),
    status     text NOT NULL, -- of the sandbox, behind it
    previous   text, -- and before it; NULL: the sandbox began
    cause      text CHECK (cause ~ '^[a-z_]{1,64}$'),
    actor      text NOT NULL CHECK (actor IN ('user', 'admin', 'system')),
    actor_user uuid,
    actor_key  uuid, -- NULL: none, or a session
    detail     jsonb CHECK (jsonb_typeof(detail) = 'object' AND octet_length(detail::text) <= 2048)
);
CREATE INDEX sandbox_events_new ON sandbox_events (id) WHERE seq IS NULL;
-- What a reader goes on with, of a user or of a sandbox; and what is too old.
CREATE INDEX sandbox_events_user ON sandbox_events (user_id, seq);
CREATE INDEX sandbox_events_sandbox ON sandbox_events (sandbox_id, seq);
CREATE INDEX sandbox_events_age ON sandbox_events (at);

CREATE SEQUENCE sandbox_event_seq OWNED BY sandbox_events.seq;

-- Who changes a sandbox in this transaction, and why; NULL of each: what the row itself says. For a
-- statement that changes one, within it: ... RETURNING event_act('user', $2, $3, NULL).
CREATE FUNCTION event_act(p_actor text, p_user_id uuid, p_key_id uuid, p_cause text)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('insien.actor', coalesce(p_actor, ''), true),
            set_config('insien.actor_user', coalesce(p_user_id::text, ''), true),
            set_config('insien.actor_key', coalesce(p_key_id::text, ''), true),
            set_config('insien.cause', coalesce(p_cause, ''), true);
END
$$;

-- Runs with the owner's rights: who changes sandboxes can't write events that did not happen. An
-- owner acts who makes or claims a sandbox; nobody does of whom nothing is said.
CREATE FUNCTION event_of_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    before   text := CASE TG_OP WHEN 'UPDATE' THEN OLD.status END;
    is_begun boolean := NEW.user_id IS NOT NULL
                        AND (TG_OP = 'INSERT' OR OLD.status = 'warm');
    said     text := nullif(current_setting('insien.actor', true), '');
BEGIN
    INSERT INTO sandbox_events (sandbox_id, user_id, type, status, previous, cause, actor,
                                actor_user, actor_key)
    VALUES (NEW.id, NEW.user_id, 'sandbox.' || NEW.status, NEW.status, before,
            coalesce(nullif(current_setting('insien.cause', true), ''), NEW.end_reason,
                     CASE WHEN is_begun THEN 'create'
                          WHEN NEW.status IN ('pausing', 'paused') THEN NEW.pause_reason END),
            coalesce(said, CASE WHEN is_begun THEN 'user' ELSE 'system' END),
            CASE WHEN said IS NOT NULL
                 THEN nullif(current_setting('insien.actor_user', true), '')::uuid
                 WHEN is_begun THEN NEW.user_id END,
            CASE WHEN said IS NOT NULL
                 THEN nullif(current_setting('insien.actor_key', true), '')::uuid
                 WHEN is_begun THEN NEW.api_key_id END);
    RETURN NULL;
END
$$;
CREATE TRIGGER sandboxes_event_begun AFTER INSERT ON sandboxes
    FOR EACH ROW EXECUTE FUNCTION event_of_change();
CREATE TRIGGER sandboxes_event_changed AFTER UPDATE OF status ON sandboxes
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status)
    EXECUTE FUNCTION event_of_change();

-- An event that is no change of the status (a warning before the end, ...). False: there is no such
-- sandbox, or it has ended.
CREATE FUNCTION event_note(p_sandbox_id uuid, p_type text, p_cause text, p_detail jsonb)
RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sandbox_events (sandbox_id, user_id, type, status, previous, cause, actor, detail)
    SELECT id, user_id, p_type, status, status, p_cause, 'system', p_detail
    FROM sandboxes
    WHERE id = p_sandbox_id AND status NOT IN ('destroyed', 'failed')
    FOR NO KEY UPDATE; -- in order with its changes
    RETURN FOUND;
END
$$;

-- As before, and says who resumes: p_key_id NULL is a session.
DROP FUNCTION sandbox_resume(uuid, uuid, bigint, boolean);
CREATE FUNCTION sandbox_resume(p_id uuid, p_user_id uuid, p_timeout_ms bigint, p_automatic boolean,
                               p_key_id uuid)
RETURNS TABLE (was text, is_moved boolean, on_disk boolean, generation integer)
LANGUAGE sql AS $$
    WITH before AS (
        SELECT * FROM sandboxes WHERE id = p_id AND user_id = p_user_id FOR NO KEY UPDATE
    ), moved AS (
        UPDATE sandboxes s
        SET status = 'resuming', awake_since = now(), warned_of = NULL, last_active_at = now(),
            life_ms = coalesce(nullif(p_timeout_ms, 0), b.life_ms),
            expires_at = now() + least(
                make_interval(hours => b.lifetime_hours),
                coalesce(nullif(p_timeout_ms, 0), nullif(b.left_ms, 0), b.life_ms)
                * interval '1 millisecond')
        FROM before b
        WHERE s.id = b.id AND b.status = 'paused' AND (NOT p_automatic OR b.auto_resume)
        RETURNING s.id, CASE WHEN p_automatic THEN event_act('system', NULL, NULL, 'traffic')
                        ELSE event_act('user', p_user_id, p_key_id, 'user') END
    )
    SELECT b.status, EXISTS (SELECT 1 FROM moved), coalesce(b.pause_mode = 'disk', false),
           b.agent_generation
    FROM before b
$$;

-- Webhooks of users.
CREATE TABLE webhooks (
    id            uuid PRIMARY KEY, -- the caller's choice, so that asking again changes nothing
    user_id       uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    url           text NOT NULL CHECK (octet_length(url) BETWEEN 1 AND 2048),
    types         text[] NOT NULL DEFAULT '{}', -- empty: all
    description   text NOT NULL DEFAULT '' CHECK (char_length(description) <= 200),
    created_at    timestamptz NOT NULL DEFAULT now(),
    busy_until    timestamptz NOT NULL DEFAULT '-infinity', -- one delivery at a time
    delivered_at  timestamptz, -- the last one that arrived
    failing_since timestamptz, -- since when none has
    disabled_at   timestamptz,
    disabled_reason text CHECK (disabled_reason IN ('gone', 'failing'))
);
CREATE INDEX webhooks_user ON webhooks (user_id, created_at);
CREATE INDEX webhooks_lane ON webhooks (busy_until) WHERE disabled_at IS NULL;

-- What is to be delivered. A row goes when it has arrived; one that never did stays, dead, as long
-- as its event.
CREATE TABLE webhook_outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id uuid NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id   bigint NOT NULL REFERENCES sandbox_events (id) ON DELETE CASCADE,
    due_at     timestamptz NOT NULL DEFAULT now(),
    attempts   integer NOT NULL DEFAULT 0,
    tried_at   timestamptz,
    last_status integer, -- of the receiver's answer; NULL: there was none
    last_error text,
    dead_at    timestamptz,
    UNIQUE (webhook_id, event_id)
);
CREATE INDEX webhook_outbox_due ON webhook_outbox (webhook_id, due_at, event_id)
    WHERE dead_at IS NULL;
CREATE INDEX webhook_outbox_dead ON webhook_outbox (webhook_id, id) WHERE dead_at IS NOT NULL;
CREATE INDEX webhook_outbox_event ON webhook_outbox (event_id);

-- Gives at most p_most new events their place and queues their deliveries, at most p_backlog waiting
-- ones a webhook: what is over that is dead at once. One at a time does it, and what it sees has
-- been committed; so whoever has read a number has seen all below it, and nothing that changes
-- sandboxes waits for anybody. Rows: how many events of whom.
CREATE FUNCTION event_number(p_most integer, p_backlog integer)
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
        ), wanted AS (
            SELECT w.id AS webhook_id, told.id AS event_id,
                   (SELECT count(*) FROM (SELECT FROM webhook_outbox o
                                          WHERE o.webhook_id = w.id AND o.dead_at IS NULL
                                          LIMIT p_backlog) AS counted) >= p_backlog AS is_over
            FROM told JOIN webhooks w ON w.user_id = told.user_id
            WHERE w.disabled_at IS NULL AND (w.types = '{}' OR told.type = ANY (w.types))
        ), queued AS (
            INSERT INTO webhook_outbox (webhook_id, event_id, dead_at, last_error)
            SELECT webhook_id, event_id, CASE WHEN is_over THEN now() END,
                   CASE WHEN is_over THEN 'too many deliveries wait' END
            FROM wanted ORDER BY event_id
            ON CONFLICT DO NOTHING
        )
        SELECT told.user_id, count(*) FROM told GROUP BY told.user_id;
END
$$;

-- Removes at most p_most events that are older than p_days, and what was to be delivered of them;
-- says how many.
CREATE FUNCTION event_clean(p_days integer, p_most integer) RETURNS bigint
LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM sandbox_events WHERE id IN (
            SELECT id FROM sandbox_events
            WHERE at < now() - make_interval(days => p_days) AND seq IS NOT NULL
            ORDER BY at
            LIMIT p_most
            FOR UPDATE SKIP LOCKED)
        RETURNING 1)
    SELECT count(*) FROM gone
$$;

-- Raises IN404 user_not_found; IN409 webhook_exists (that id is another's); IN429 webhook_limit.
CREATE FUNCTION webhook_create(p_id uuid, p_user_id uuid, p_url text, p_types text[],
                               p_description text, p_most integer)
RETURNS webhooks
LANGUAGE plpgsql AS $$
DECLARE
    kept webhooks%ROWTYPE;
BEGIN
    -- Those of one user wait for each other here, so that the count below holds.
    PERFORM FROM users WHERE id = p_user_id AND deleted_at IS NULL FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'user_not_found' USING ERRCODE = 'IN404';
    END IF;
    SELECT * INTO kept FROM webhooks WHERE id = p_id;
    IF FOUND THEN
        IF kept.user_id <> p_user_id THEN
            RAISE EXCEPTION 'webhook_exists' USING ERRCODE = 'IN409';
        END IF;
        RETURN kept;
    END IF;
    IF (SELECT count(*) FROM webhooks WHERE user_id = p_user_id) >= p_most THEN
        RAISE EXCEPTION 'webhook_limit' USING ERRCODE = 'IN429';
    END IF;
    INSERT INTO webhooks (id, user_id, url, types, description)
    VALUES (p_id, p_user_id, p_url, p_types, p_description)
    RETURNING * INTO kept;
    RETURN kept;
END
$$;

-- The next delivery of each of at most p_most webhooks that have one and none under way; nobody else
-- gets one of these for p_lease_ms. First the webhooks are held, then looked at anew: what another
-- process has delivered meanwhile is not delivered again.
CREATE FUNCTION webhook_take(p_most integer, p_lease_ms bigint)
RETURNS TABLE (delivery bigint, webhook uuid, target text, tried integer, event sandbox_events)
LANGUAGE plpgsql AS $$
DECLARE
    lanes uuid[];
BEGIN
    SELECT array_agg(lane.id) INTO lanes FROM (
        SELECT w.id FROM webhooks w
        WHERE w.disabled_at IS NULL AND w.busy_until <= now()
          AND EXISTS (SELECT FROM webhook_outbox o
                      WHERE o.webhook_id = w.id AND o.dead_at IS NULL AND o.due_at <= now())
          AND NOT EXISTS (SELECT FROM users u
                          WHERE u.id = w.user_id AND u.suspended_at IS NOT NULL)
        ORDER BY w.busy_until
        LIMIT p_most
        FOR NO KEY UPDATE SKIP LOCKED) AS lane;
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

-- It arrived.
CREATE FUNCTION webhook_delivered(p_delivery bigint) RETURNS void
LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM webhook_outbox WHERE id = p_delivery RETURNING webhook_id
    )
    UPDATE webhooks w SET busy_until = '-infinity', delivered_at = now(), failing_since = NULL
    FROM gone WHERE w.id = gone.webhook_id
$$;

-- It did not: the next try is due in p_delay_ms, or never (NULL). The webhook rests for p_rest_ms. It
-- is disabled when its receiver is gone for good (p_is_gone), or when a delivery is given up after
-- p_failing_days in which none arrived.
CREATE FUNCTION webhook_failed(p_delivery bigint, p_status integer, p_error text,
                               p_delay_ms bigint, p_rest_ms bigint, p_is_gone boolean,
                               p_failing_days integer)
RETURNS void
LANGUAGE sql AS $$
    WITH tried AS (
        UPDATE webhook_outbox
        SET attempts = attempts + 1, tried_at = now(), last_status = p_status,
            last_error = p_error,
            due_at = now() + coalesce(p_delay_ms, 0) * interval '1 millisecond',
            dead_at = CASE WHEN p_delay_ms IS NULL THEN now() END
        WHERE id = p_delivery AND dead_at IS NULL
        RETURNING webhook_id
    )
    UPDATE webhooks w
    SET busy_until = now() + p_rest_ms * interval '1 millisecond',
        failing_since = coalesce(w.failing_since, now()),
        disabled_at = CASE WHEN verdict.reason IS NULL THEN w.disabled_at
                           ELSE coalesce(w.disabled_at, now()) END,
        disabled_reason = coalesce(w.disabled_reason, verdict.reason)
    FROM tried JOIN webhooks now_is ON now_is.id = tried.webhook_id
    CROSS JOIN LATERAL (
        SELECT CASE WHEN p_is_gone THEN 'gone'
                    WHEN p_delay_ms IS NULL
                         AND now_is.failing_since < now() - make_interval(days => p_failing_days)
                    THEN 'failing' END AS reason) AS verdict
    WHERE w.id = tried.webhook_id
$$;

-- Queues at most p_most dead deliveries of a webhook again, the oldest first, and lets it work again.
-- NULL: it is not the user's; else how many.
CREATE FUNCTION webhook_redeliver(p_id uuid, p_user_id uuid, p_most integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    queued bigint;
BEGIN
    UPDATE webhooks
    SET disabled_at = NULL, disabled_reason = NULL, failing_since = NULL, busy_until = '-infinity'
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

-- Whoever leaves takes their webhooks along: an address may name a person.
CREATE FUNCTION webhooks_of_the_living() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    DELETE FROM webhooks WHERE user_id = NEW.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER users_take_webhooks AFTER UPDATE OF deleted_at ON users
    FOR EACH ROW WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL)
    EXECUTE FUNCTION webhooks_of_the_living();
