-- What administrators do: suspend users, set their tier, end what is not theirs.

ALTER TABLE users
    ADD COLUMN suspended_reason text CHECK (char_length(suspended_reason) BETWEEN 1 AND 500),
    -- When what the user may do changed last; NULL: not since the beginning. Whoever changed it, the
    -- auth-service finds it here and tells those who remember.
    ADD COLUMN access_changed_at timestamptz;
CREATE INDEX users_access_changed ON users (access_changed_at);
CREATE INDEX users_suspended ON users (id) WHERE suspended_at IS NOT NULL;
-- Pages of all users, newest first; and those with an address.
CREATE INDEX users_newest ON users (created_at DESC, id DESC);
CREATE INDEX users_email ON users (lower(email)) WHERE email IS NOT NULL;
-- Pages of all keys, and of all sandboxes.
CREATE INDEX api_keys_newest ON api_keys (created_at DESC, id DESC);
CREATE INDEX sandboxes_newest ON sandboxes (created_at DESC, id DESC);

CREATE FUNCTION users_note_access() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.access_changed_at := clock_timestamp();
    IF NEW.suspended_at IS NULL OR NEW.deleted_at IS NOT NULL THEN
        NEW.suspended_reason := NULL;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER users_access_changed BEFORE UPDATE ON users
    FOR EACH ROW
    WHEN ((OLD.tier, OLD.role, OLD.suspended_at, OLD.deleted_at)
          IS DISTINCT FROM (NEW.tier, NEW.role, NEW.suspended_at, NEW.deleted_at))
    EXECUTE FUNCTION users_note_access();

-- "suspended": with its user; "admin": by an administrator.
ALTER TABLE sandboxes
    DROP CONSTRAINT sandboxes_end_reason_check,
    ADD CONSTRAINT sandboxes_end_reason_check
        CHECK (end_reason IN ('user', 'admin', 'suspended', 'timeout', 'idle', 'quota', 'oom',
                              'disk', 'agent_lost', 'engine_restart', 'node_lost', 'error'));
