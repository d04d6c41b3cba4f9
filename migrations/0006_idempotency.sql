-- Answers of requests that create something and came with an Idempotency-Key: the same request gets
-- the same answer for 24 hours. Nobody who has this table alone learns an answer, or a client's key:
-- both depend on a secret of the service.

CREATE TABLE idempotency (
    user_id        uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key_digest     bytea NOT NULL CHECK (octet_length(key_digest) = 32),
    request_digest bytea NOT NULL CHECK (octet_length(request_digest) = 32),
    resource_id    uuid NOT NULL DEFAULT gen_random_uuid(), -- of what is created: each try has the same
    claim          uuid NOT NULL, -- of the try that is under way, or was the last
    claimed_until  timestamptz NOT NULL,
    status         integer CHECK (status BETWEEN 100 AND 599), -- of the answer
    answer         bytea, -- sealed
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key_digest),
    CHECK ((status IS NULL) = (answer IS NULL))
);
CREATE INDEX idempotency_age ON idempotency (created_at);

-- The row of a key: with a status it has its answer, without one it is the caller's to be worked on
-- for p_lease_ms. Asking again with the same claim changes nothing.
-- Raises IN409 idempotency_key_reused (for another request), idempotency_in_progress (another try is
-- under way); IN429 idempotency_limit (the user has p_most keys).
CREATE FUNCTION idempotency_claim(p_user_id uuid, p_key bytea, p_request bytea, p_claim uuid,
                                  p_lease_ms bigint, p_most integer)
RETURNS idempotency
LANGUAGE plpgsql AS $$
DECLARE
    kept     idempotency%ROWTYPE;
    until_at timestamptz := now() + p_lease_ms * interval '1 millisecond';
BEGIN
    LOOP
        SELECT * INTO kept FROM idempotency
        WHERE user_id = p_user_id AND key_digest = p_key
        FOR UPDATE;
        EXIT WHEN FOUND;
        IF (SELECT count(*) FROM (SELECT FROM idempotency WHERE user_id = p_user_id LIMIT p_most)
            AS counted) >= p_most THEN
            RAISE EXCEPTION 'idempotency_limit' USING ERRCODE = 'IN429';
        END IF;
        INSERT INTO idempotency (user_id, key_digest, request_digest, claim, claimed_until)
        VALUES (p_user_id, p_key, p_request, p_claim, until_at)
        ON CONFLICT DO NOTHING
        RETURNING * INTO kept;
        IF FOUND THEN
            RETURN kept;
        END IF;
    END LOOP;

    IF kept.created_at <= now() - interval '24 hours' THEN
        UPDATE idempotency
        SET request_digest = p_request, resource_id = gen_random_uuid(), claim = p_claim,
            claimed_until = until_at, status = NULL, answer = NULL, created_at = now()
        WHERE user_id = p_user_id AND key_digest = p_key
        RETURNING * INTO kept;
        RETURN kept;
    END IF;
    IF kept.request_digest <> p_request THEN
        RAISE EXCEPTION 'idempotency_key_reused' USING ERRCODE = 'IN409';
    END IF;
    IF kept.status IS NOT NULL THEN
        RETURN kept;
    END IF;
    IF kept.claimed_until > now() AND kept.claim <> p_claim THEN
        RAISE EXCEPTION 'idempotency_in_progress' USING ERRCODE = 'IN409';
    END IF;
    UPDATE idempotency SET claim = p_claim, claimed_until = until_at
    WHERE user_id = p_user_id AND key_digest = p_key
    RETURNING * INTO kept;
    RETURN kept;
END
$$;

-- Removes at most p_most rows whose time is over; says how many.
CREATE FUNCTION idempotency_clean(p_most integer) RETURNS bigint
LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM idempotency WHERE ctid IN (
            SELECT ctid FROM idempotency
            WHERE created_at <= now() - interval '24 hours' AND claimed_until <= now()
            ORDER BY created_at
            LIMIT p_most
            FOR UPDATE SKIP LOCKED)
        RETURNING 1)
    SELECT count(*) FROM gone
$$;
