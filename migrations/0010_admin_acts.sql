-- What administrators change, each with everything that must be true together.

-- Whether this user administers, with this key (NULL: a session acts), until the transaction ends. It
-- holds the user's row and that of p_user_id, whom it is about (or NULL), in an order in which two
-- administrators can't wait for each other. Raises IN403 not_admin.
CREATE FUNCTION admin_begin(p_admin_id uuid, p_key_id uuid, p_user_id uuid)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM users WHERE id IN (p_admin_id, p_user_id) ORDER BY id FOR NO KEY UPDATE;
    IF NOT EXISTS (SELECT FROM users
                   WHERE id = p_admin_id AND role = 'admin' AND suspended_at IS NULL)
       OR (p_key_id IS NOT NULL
           AND NOT EXISTS (SELECT FROM api_keys
                           WHERE id = p_key_id AND user_id = p_admin_id AND revoked_at IS NULL
                             AND (expires_at IS NULL OR expires_at > clock_timestamp())
                             AND scopes & 32 <> 0)) THEN
        RAISE EXCEPTION 'not_admin' USING ERRCODE = 'IN403';
    END IF;
END
$$;

-- Sets what is not NULL. A reason is that of a suspension; without one it stays as it was. Raises also
-- IN404 account_not_found; IN409 account_deleted, own_account (nobody suspends themselves).
CREATE FUNCTION admin_change_user(p_admin_id uuid, p_key_id uuid, p_user_id uuid, p_tier text,
                                  p_suspended boolean, p_reason text)
RETURNS users
LANGUAGE plpgsql AS $$
DECLARE
    changed users%ROWTYPE;
BEGIN
    PERFORM admin_begin(p_admin_id, p_key_id, p_user_id);
    SELECT * INTO changed FROM users WHERE id = p_user_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'account_not_found' USING ERRCODE = 'IN404';
    END IF;
    IF changed.deleted_at IS NOT NULL THEN
        RAISE EXCEPTION 'account_deleted' USING ERRCODE = 'IN409';
    END IF;
    IF p_suspended AND p_user_id = p_admin_id THEN
        RAISE EXCEPTION 'own_account' USING ERRCODE = 'IN409';
    END IF;
    UPDATE users
    SET tier = coalesce(p_tier, tier),
        suspended_at = CASE WHEN p_suspended THEN coalesce(suspended_at, now())
                            WHEN NOT p_suspended THEN NULL
                            ELSE suspended_at END,
        suspended_reason = CASE WHEN p_suspended THEN coalesce(p_reason, suspended_reason)
                                WHEN NOT p_suspended THEN NULL
                                ELSE suspended_reason END,
        updated_at = now()
    WHERE id = p_user_id
    RETURNING * INTO changed;
    RETURN changed;
END
$$;

-- As api_key_revoke, of whoever's key. Raises IN403 not_admin; IN404 api_key_not_found.
CREATE FUNCTION admin_revoke_key(p_admin_id uuid, p_key_id uuid, p_id uuid)
RETURNS SETOF api_keys
LANGUAGE plpgsql AS $$
DECLARE
    owner uuid;
BEGIN
    SELECT user_id INTO owner FROM api_keys WHERE id = p_id;
    PERFORM admin_begin(p_admin_id, p_key_id, owner);
    IF owner IS NULL THEN
        RAISE EXCEPTION 'api_key_not_found' USING ERRCODE = 'IN404';
    END IF;
    RETURN QUERY
        UPDATE api_keys SET revoked_at = coalesce(revoked_at, now())
        WHERE id = p_id
           OR (revoked_at IS NULL AND id IN (SELECT api_key_descendants(p_id)))
        RETURNING *;
END
$$;
