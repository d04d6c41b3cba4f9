-- Identity, whole: what a user is besides a row, and what the issuer of an identity tells us about
-- it.

ALTER TABLE users
    ADD COLUMN role text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
    ADD COLUMN display_name text CHECK (char_length(display_name) <= 255),
    ADD COLUMN avatar_url text CHECK (char_length(avatar_url) <= 2048),
    -- How old the issuer says that e-mail, name and picture are; NULL: it was never asked.
    ADD COLUMN profile_at timestamptz,
    ADD COLUMN deleted_at timestamptz; -- with suspended_at: what refuses the one refuses the other

-- Identities that are gone for good: what is still on its way about them makes no user again.
CREATE TABLE identity_tombstones (
    issuer     text NOT NULL,
    subject    text NOT NULL,
    deleted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (issuer, subject)
);

-- Webhooks that have had their effect, for as long as the sender may repeat them.
CREATE TABLE webhook_deliveries (
    id          text PRIMARY KEY CHECK (octet_length(id) BETWEEN 1 AND 255),
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX webhook_deliveries_age ON webhook_deliveries (received_at);

-- Whoever makes or ends an identity waits here for whoever else does, until its transaction ends.
CREATE FUNCTION identity_lock(p_issuer text, p_subject text)
RETURNS void
LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtextextended(p_issuer || E'\n' || p_subject, 0))
$$;

-- The user of an identity, made at first sight. Raises IN401 user_deleted for one that is gone.
CREATE FUNCTION identity_user(p_issuer text, p_subject text, p_email text,
                              OUT user_id uuid, OUT tier text, OUT suspended boolean,
                              OUT is_new boolean, OUT is_admin boolean)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM identity_lock(p_issuer, p_subject);
    is_new := false;
    SELECT u.id, u.tier, u.suspended_at IS NOT NULL, u.role = 'admin'
    INTO user_id, tier, suspended, is_admin
    FROM identities i JOIN users u ON u.id = i.user_id
    WHERE i.issuer = p_issuer AND i.subject = p_subject;
    IF FOUND THEN
        RETURN;
    END IF;
    IF EXISTS (SELECT 1 FROM identity_tombstones t
               WHERE t.issuer = p_issuer AND t.subject = p_subject) THEN
        RAISE EXCEPTION 'user_deleted' USING ERRCODE = 'IN401';
    END IF;
    is_new := true;
    suspended := false;
    is_admin := false;
    INSERT INTO users AS u (email) VALUES (p_email) RETURNING u.id, u.tier INTO user_id, tier;
    INSERT INTO identities (issuer, subject, user_id) VALUES (p_issuer, p_subject, user_id);
END
$$;

-- Takes what the issuer says of a user as of p_at, unless what we hold is as new. A ban suspends
-- the user and revokes the keys; its end leaves that to an administrator, who may have had reasons
-- of their own. Returns whether this very call suspended the user.
CREATE FUNCTION user_set_profile(p_user_id uuid, p_email text, p_display_name text,
                                 p_avatar_url text, p_at timestamptz, p_banned boolean)
RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    held users%ROWTYPE;
BEGIN
    SELECT * INTO held FROM users WHERE id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND OR held.deleted_at IS NOT NULL OR held.profile_at >= p_at THEN
        RETURN false;
    END IF;
    UPDATE users
    SET email = p_email, display_name = p_display_name, avatar_url = p_avatar_url,
        profile_at = p_at, updated_at = now(),
        suspended_at = CASE WHEN p_banned THEN coalesce(suspended_at, now()) ELSE suspended_at END
    WHERE id = p_user_id;
    IF p_banned THEN
        UPDATE api_keys SET revoked_at = now() WHERE user_id = p_user_id AND revoked_at IS NULL;
    END IF;
    RETURN p_banned AND held.suspended_at IS NULL;
END
$$;

-- Everything that must be true together when a user goes: nothing serves any more, nothing personal
-- is left in the row, which stays for what refers to it, and no identity of theirs comes back. What
-- they have running is ended by the services that run it. Going again changes nothing.
CREATE FUNCTION user_delete(p_user_id uuid)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM identity_lock(issuer, subject) FROM identities WHERE user_id = p_user_id;
    UPDATE users
    SET deleted_at = now(), suspended_at = coalesce(suspended_at, now()), updated_at = now(),
        email = NULL, display_name = NULL, avatar_url = NULL, role = 'user'
    WHERE id = p_user_id AND deleted_at IS NULL;
    UPDATE api_keys SET revoked_at = now() WHERE user_id = p_user_id AND revoked_at IS NULL;
    WITH gone AS (
        DELETE FROM identities WHERE user_id = p_user_id RETURNING issuer, subject
    )
    INSERT INTO identity_tombstones (issuer, subject) SELECT issuer, subject FROM gone
    ON CONFLICT DO NOTHING;
END
$$;

-- Whether this webhook comes for the first time; remembers it, and forgets some that are too old to
-- come again. A repeat that comes meanwhile waits for the end of this transaction.
CREATE FUNCTION webhook_begin(p_delivery text)
RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhook_deliveries (id) VALUES (p_delivery) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM webhook_deliveries
    WHERE id IN (SELECT id FROM webhook_deliveries WHERE received_at < now() - interval '7 days'
                 ORDER BY received_at LIMIT 100 FOR UPDATE SKIP LOCKED);
    RETURN true;
END
$$;

-- A webhook that says what a user is now. outcome: repeated, gone (the identity has a tombstone) or
-- taken; suspended: this very call suspended the user.
CREATE FUNCTION webhook_user_changed(p_delivery text, p_issuer text, p_subject text, p_email text,
                                     p_display_name text, p_avatar_url text, p_at timestamptz,
                                     p_banned boolean,
                                     OUT outcome text, OUT user_id uuid, OUT suspended boolean)
LANGUAGE plpgsql AS $$
BEGIN
    suspended := false;
    outcome := 'repeated';
    IF NOT webhook_begin(p_delivery) THEN
        RETURN;
    END IF;
    PERFORM identity_lock(p_issuer, p_subject);
    outcome := 'gone';
    IF EXISTS (SELECT 1 FROM identity_tombstones t
               WHERE t.issuer = p_issuer AND t.subject = p_subject) THEN
        RETURN;
    END IF;
    outcome := 'taken';
    SELECT made.user_id INTO user_id FROM identity_user(p_issuer, p_subject, p_email) AS made;
    suspended := user_set_profile(user_id, p_email, p_display_name, p_avatar_url, p_at, p_banned);
END
$$;

-- A webhook that says that an identity is no more. outcome: repeated or taken; user_id: whom it
-- ended, NULL when there was nobody.
CREATE FUNCTION webhook_user_deleted(p_delivery text, p_issuer text, p_subject text,
                                     OUT outcome text, OUT user_id uuid)
LANGUAGE plpgsql AS $$
BEGIN
    outcome := 'repeated';
    IF NOT webhook_begin(p_delivery) THEN
        RETURN;
    END IF;
    outcome := 'taken';
    PERFORM identity_lock(p_issuer, p_subject);
    SELECT i.user_id INTO user_id FROM identities i
    WHERE i.issuer = p_issuer AND i.subject = p_subject;
    IF FOUND THEN
        PERFORM user_delete(user_id);
    ELSE
        INSERT INTO identity_tombstones (issuer, subject) VALUES (p_issuer, p_subject)
        ON CONFLICT DO NOTHING;
    END IF;
END
$$;
