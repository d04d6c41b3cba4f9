-- The audit trail: who did what, when and with what result. Rows are only ever added. A chain of
-- hashes (audit_seals) makes it show when a row was changed, taken out or put in later; what can be
-- traced to a person lies apart (audit_personal), so that it can be erased and the chain still holds.

CREATE TABLE audit_log (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    action          text NOT NULL CHECK (action ~ '^[a-z_]+(\.[a-z_]+)*$'),
    result          text NOT NULL CHECK (result IN ('ok', 'refused', 'failed')),
    actor_user      uuid, -- without references: the trail outlives what it tells of
    actor_key       uuid,
    target_kind     text,
    target          text,
    request_id      text,
    service         text NOT NULL,
    detail          jsonb CHECK (jsonb_typeof(detail) = 'object'),
    -- SHA-256 of a random salt and the personal part. A record that is sent twice has the same one.
    personal_digest bytea NOT NULL UNIQUE CHECK (octet_length(personal_digest) = 32)
);
-- One's own records, newest first; and what has to be erased with an account.
CREATE INDEX audit_log_actor ON audit_log (actor_user, id DESC);

CREATE TABLE audit_personal (
    audit_id     bigint PRIMARY KEY REFERENCES audit_log (id),
    salt         bytea NOT NULL CHECK (octet_length(salt) = 32),
    address      inet,
    impersonator text,
    user_agent   text
);

-- What seals a row is made from: see audit_seal below.
CREATE TABLE audit_seals (
    seq      bigint PRIMARY KEY CHECK (seq > 0), -- from 1, without gaps
    audit_id bigint NOT NULL UNIQUE REFERENCES audit_log (id),
    hash     bytea NOT NULL CHECK (octet_length(hash) = 32)
);

-- Rows become visible in the order of their ids: an insert takes its id only when the one before it
-- has ended (this runs before the first id is taken, and the lock is let go behind the commit). So
-- whoever sees a row sees all that will ever be before it, and can seal it. A transaction that does
-- more than to insert here must do this last.
CREATE FUNCTION audit_log_in_order() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('insien audit order', 0));
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_log_in_order BEFORE INSERT ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_in_order();

-- A column in the canonical form: whether it is there, its length, its bytes.
CREATE FUNCTION audit_field(p_value text) RETURNS bytea
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_value IS NULL THEN '\x00'::bytea
           ELSE '\x01'::bytea || int4send(octet_length(convert_to(p_value, 'UTF8')))
                || convert_to(p_value, 'UTF8') END
$$;

-- hash = SHA-256(the name of this form, the hash of the seal before or 32 zero bytes, the columns).
-- insien-admin has the same form, written a second time: it does not trust this function.
CREATE FUNCTION audit_hash(p_previous bytea, p_row audit_log) RETURNS bytea
LANGUAGE sql STABLE AS $$
    SELECT sha256(
        audit_field('insien audit row 1')
        || '\x01'::bytea || int4send(octet_length(p_previous)) || p_previous
        || audit_field(p_row.id::text)
        || audit_field((extract(epoch FROM p_row.at) * 1000000)::bigint::text)
        || audit_field(p_row.action) || audit_field(p_row.result)
        || audit_field(p_row.actor_user::text) || audit_field(p_row.actor_key::text)
        || audit_field(p_row.target_kind) || audit_field(p_row.target)
        || audit_field(p_row.request_id) || audit_field(p_row.service)
        || audit_field(p_row.detail::text)
        || audit_field(encode(p_row.personal_digest, 'hex')))
$$;

-- Seals the oldest p_most rows without a seal. One caller at a time does it; the others are told
-- that there was nothing to do. seq and hash are those of the last seal; NULL when there is none,
-- or when somebody else is at it.
CREATE FUNCTION audit_seal(p_most integer, OUT sealed integer, OUT seq bigint, OUT hash text)
LANGUAGE plpgsql AS $$
DECLARE
    newest audit_seals%ROWTYPE;
    entry  audit_log%ROWTYPE;
BEGIN
    sealed := 0;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('insien audit seal', 0)) THEN
        RETURN;
    END IF;
    SELECT * INTO newest FROM audit_seals ORDER BY audit_seals.seq DESC LIMIT 1;
    IF NOT FOUND THEN
        newest.seq := 0;
        newest.audit_id := 0;
        newest.hash := decode(repeat('00', 32), 'hex');
    END IF;
    FOR entry IN SELECT * FROM audit_log WHERE id > newest.audit_id ORDER BY id LIMIT p_most LOOP
        newest.seq := newest.seq + 1;
        newest.audit_id := entry.id;
        newest.hash := audit_hash(newest.hash, entry);
        INSERT INTO audit_seals VALUES (newest.*);
        sealed := sealed + 1;
    END LOOP;
    IF newest.seq > 0 THEN
        seq := newest.seq;
        hash := encode(newest.hash, 'hex');
    END IF;
END
$$;

CREATE FUNCTION audit_refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is only ever added to' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_log_unchanged BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_seals_unchanged BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();
-- Its rows may go (a person is forgotten), but not change.
CREATE TRIGGER audit_personal_unchanged BEFORE UPDATE OR TRUNCATE ON audit_personal
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();

-- Also where a session asks for none of the ordinary triggers.
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_in_order;
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_unchanged;
ALTER TABLE audit_seals ENABLE ALWAYS TRIGGER audit_seals_unchanged;
ALTER TABLE audit_personal ENABLE ALWAYS TRIGGER audit_personal_unchanged;
