-- A user's own account: what they say of themselves, reading their trail, and leaving for good.

-- What a person chose here. It goes before what their issuer says (display_name, avatar_url), which
-- stays beside it: news of the issuer never undo a choice, and taking a choice back shows them.
ALTER TABLE users
    ADD COLUMN chosen_name text CHECK (char_length(chosen_name) BETWEEN 1 AND 100),
    ADD COLUMN chosen_avatar_url text
        CHECK (chosen_avatar_url LIKE 'https://%' AND char_length(chosen_avatar_url) <= 2048),
    -- Of one that was deleted: the last record of the audit trail whose personal part is erased, and
    -- since when all are.
    ADD COLUMN erased_to bigint NOT NULL DEFAULT 0,
    ADD COLUMN erased_at timestamptz;
CREATE INDEX users_to_erase ON users (deleted_at) WHERE deleted_at IS NOT NULL AND erased_at IS NULL;

-- Changes what p_sets_... says; NULL takes the choice back. Raises IN401 invalid_api_key when the
-- user does not serve (any more), nor the key p_actor_id that acts (NULL: a session does).
CREATE FUNCTION user_choose(p_user_id uuid, p_actor_id uuid, p_sets_name boolean, p_name text,
                            p_sets_avatar boolean, p_avatar_url text)
RETURNS users
LANGUAGE plpgsql AS $$
DECLARE
    changed users%ROWTYPE;
BEGIN
    PERFORM api_key_begin_change(p_user_id, p_actor_id);
    UPDATE users
    SET chosen_name = CASE WHEN p_sets_name THEN p_name ELSE chosen_name END,
        chosen_avatar_url = CASE WHEN p_sets_avatar THEN p_avatar_url ELSE chosen_avatar_url END,
        updated_at = now()
    WHERE id = p_user_id
    RETURNING * INTO changed;
    RETURN changed;
END
$$;

-- As before, and more that is personal goes: what was chosen here, the names of keys, what
-- sandboxes were given, and answers that are kept. The personal parts of the audit trail may be
-- many: user_erase takes them, and from the commit on none is added (audit_personal_of_the_living).
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
    UPDATE sandboxes SET env = '{}', metadata = '{}' WHERE user_id = p_user_id;
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

-- The same, when a user asks for it. A key that another key made has no right to end that one.
-- Raises IN401 invalid_api_key; IN403 child_key.
CREATE FUNCTION user_leave(p_user_id uuid, p_actor_id uuid)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    -- Before the row, in the order of those who come with an identity.
    PERFORM identity_lock(issuer, subject) FROM identities WHERE user_id = p_user_id;
    PERFORM api_key_begin_change(p_user_id, p_actor_id);
    IF EXISTS (SELECT 1 FROM api_keys WHERE id = p_actor_id AND parent_id IS NOT NULL) THEN
        RAISE EXCEPTION 'child_key' USING ERRCODE = 'IN403';
    END IF;
    PERFORM user_delete(p_user_id);
END
$$;

-- Erases the personal parts of p_most records of one user who was deleted, of those who wait the
-- one who was so first. Returns whether there may be more to do.
CREATE FUNCTION user_erase(p_most integer)
RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    leaver users%ROWTYPE;
    seen   bigint[];
BEGIN
    SELECT * INTO leaver FROM users WHERE deleted_at IS NOT NULL AND erased_at IS NULL
    ORDER BY deleted_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    seen := ARRAY (SELECT id FROM audit_log WHERE actor_user = leaver.id AND id > leaver.erased_to
                   ORDER BY id LIMIT p_most);
    DELETE FROM audit_personal WHERE audit_id = ANY (seen);
    UPDATE users
    SET erased_to = coalesce(seen[cardinality(seen)], erased_to),
        erased_at = CASE WHEN cardinality(seen) < p_most THEN now() END
    WHERE id = leaver.id;
    RETURN true;
END
$$;

-- A record that comes late tells nothing personal of somebody who is gone. Its digest stays, as
-- after an erasure. Runs with the owner's rights: who writes records need not read users.
CREATE FUNCTION audit_personal_of_the_living() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM audit_log l JOIN users u ON u.id = l.actor_user
               WHERE l.id = NEW.audit_id AND u.deleted_at IS NOT NULL) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER audit_personal_of_the_living BEFORE INSERT ON audit_personal
    FOR EACH ROW EXECUTE FUNCTION audit_personal_of_the_living();
ALTER TABLE audit_personal ENABLE ALWAYS TRIGGER audit_personal_of_the_living;

-- Whose account, key or sandbox a record is about, when they did not act themselves: for them to
-- read. Made from the rows of audit_log, and nothing that has to be believed.
CREATE TABLE audit_concerns (
    user_id  uuid NOT NULL,
    audit_id bigint NOT NULL REFERENCES audit_log (id),
    PRIMARY KEY (user_id, audit_id)
);

-- A target is the id, or begins with it ("<sandbox>/<port>"); of any kind but two it is a
-- sandbox's. NULL: nobody's, or not known (any more).
CREATE FUNCTION audit_owner(p_kind text, p_target text) RETURNS uuid
LANGUAGE plpgsql STABLE AS $$
DECLARE
    target_id uuid := substring(
        p_target FROM '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}')::uuid;
BEGIN
    IF target_id IS NULL OR p_kind = 'user' THEN
        RETURN target_id;
    END IF;
    IF p_kind = 'api_key' THEN
        RETURN (SELECT user_id FROM api_keys WHERE id = target_id);
    END IF;
    RETURN (SELECT user_id FROM sandboxes WHERE id = target_id);
END
$$;

CREATE FUNCTION audit_note_concerns() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO audit_concerns (user_id, audit_id)
    SELECT found.owner, found.id
    FROM (SELECT id, actor_user, audit_owner(target_kind, target) AS owner FROM added) found
    WHERE found.owner IS NOT NULL AND found.owner IS DISTINCT FROM found.actor_user;
    RETURN NULL;
END
$$;
CREATE TRIGGER audit_note_concerns AFTER INSERT ON audit_log
    REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION audit_note_concerns();
ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_note_concerns;
-- With the owner's rights only what is the owner's is looked up.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION audit_personal_of_the_living() SET search_path = %I, pg_temp',
                   current_schema());
    EXECUTE format('ALTER FUNCTION audit_note_concerns() SET search_path = %I, pg_temp',
                   current_schema());
END
$$;

-- What was recorded before.
INSERT INTO audit_concerns (user_id, audit_id)
SELECT found.owner, found.id
FROM (SELECT id, actor_user, audit_owner(target_kind, target) AS owner FROM audit_log) found
WHERE found.owner IS NOT NULL AND found.owner IS DISTINCT FROM found.actor_user;

-- What happened to one thing, newest first, for administrators.
CREATE INDEX audit_log_target ON audit_log (target, id DESC);
