-- What an API key may do, which key made it, and how keys come and go.

ALTER TABLE api_keys
    -- Bits of common/contracts/auth.h; 31 is everything but admin.
    ADD COLUMN scopes integer NOT NULL DEFAULT 31 CHECK (scopes BETWEEN 1 AND 63),
    -- The key that made it, or that took its place: it has no more rights, and ends with it.
    ADD COLUMN parent_id uuid REFERENCES api_keys (id) ON DELETE CASCADE,
    ADD COLUMN max_sandboxes integer CHECK (max_sandboxes > 0), -- NULL: the tier's
    ADD COLUMN requests_per_minute integer CHECK (requests_per_minute > 0); -- NULL: the tier's
CREATE INDEX api_keys_parent ON api_keys (parent_id) WHERE parent_id IS NOT NULL;
-- What is about to expire, or just did.
CREATE INDEX api_keys_expiring ON api_keys (expires_at)
    WHERE expires_at IS NOT NULL AND revoked_at IS NULL;

-- The keys below a key, without itself.
CREATE FUNCTION api_key_descendants(p_id uuid)
RETURNS SETOF uuid
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE below AS (
        SELECT id FROM api_keys WHERE parent_id = p_id
        UNION ALL
        SELECT k.id FROM api_keys k JOIN below ON k.parent_id = below.id
    )
    SELECT id FROM below
$$;

-- Whoever changes keys of a user waits here for whoever else does, until its transaction ends: what
-- it reads behind this still holds when it writes. Raises IN401 invalid_api_key when the user does
-- not serve (any more), nor the key p_actor_id that acts (NULL: a session does).
CREATE FUNCTION api_key_begin_change(p_user_id uuid, p_actor_id uuid)
RETURNS users
LANGUAGE plpgsql AS $$
DECLARE
    owner users%ROWTYPE;
BEGIN
    SELECT * INTO owner FROM users WHERE id = p_user_id AND suspended_at IS NULL
    FOR NO KEY UPDATE;
    IF NOT FOUND
       OR (p_actor_id IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM api_keys
                           WHERE id = p_actor_id AND user_id = p_user_id AND revoked_at IS NULL
                             AND (expires_at IS NULL OR expires_at > clock_timestamp()))) THEN
        RAISE EXCEPTION 'invalid_api_key' USING ERRCODE = 'IN401';
    END IF;
    RETURN owner;
END
$$;

-- Raises IN429 api_key_limit when the user has p_most keys that serve.
CREATE FUNCTION api_key_check_count(p_user_id uuid, p_most integer)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM api_keys
        WHERE user_id = p_user_id AND revoked_at IS NULL
          AND (expires_at IS NULL OR expires_at > clock_timestamp())) >= p_most THEN
        RAISE EXCEPTION 'api_key_limit' USING ERRCODE = 'IN429';
    END IF;
END
$$;

-- Makes a key. What is NULL is as the parent has it; without a parent all rights but admin's, and
-- neither limits nor an end. The parent is the key that makes it, NULL when a session does.
-- Raises IN401 invalid_api_key; IN403 key_rights_exceeded (for more than the parent has, or for
-- admin without the role); IN429 api_key_limit.
CREATE FUNCTION api_key_issue(p_user_id uuid, p_parent_id uuid, p_name text, p_prefix text,
                              p_digest bytea, p_bcrypt text, p_scopes integer,
                              p_max_sandboxes integer, p_requests_per_minute integer,
                              p_days integer, p_most integer)
RETURNS api_keys
LANGUAGE plpgsql AS $$
DECLARE
    owner  users%ROWTYPE;
    parent api_keys%ROWTYPE; -- NULLs without one
    made   api_keys%ROWTYPE;
BEGIN
    owner := api_key_begin_change(p_user_id, p_parent_id);
    PERFORM api_key_check_count(p_user_id, p_most);
    SELECT * INTO parent FROM api_keys WHERE id = p_parent_id;
    made.scopes := coalesce(p_scopes, parent.scopes & ~32, 31);
    made.max_sandboxes := coalesce(p_max_sandboxes, parent.max_sandboxes);
    made.requests_per_minute := coalesce(p_requests_per_minute, parent.requests_per_minute);
    made.expires_at := coalesce(now() + make_interval(days => p_days), parent.expires_at);
    IF made.scopes & ~coalesce(parent.scopes, 63) <> 0
       OR (made.scopes & 32 <> 0 AND owner.role <> 'admin')
       OR made.max_sandboxes > parent.max_sandboxes
       OR made.requests_per_minute > parent.requests_per_minute
       OR made.expires_at > parent.expires_at THEN
        RAISE EXCEPTION 'key_rights_exceeded' USING ERRCODE = 'IN403';
    END IF;
    INSERT INTO api_keys (user_id, parent_id, name, prefix, digest, bcrypt, scopes, max_sandboxes,
                          requests_per_minute, expires_at)
    VALUES (p_user_id, p_parent_id, nullif(p_name, ''), p_prefix, p_digest, p_bcrypt, made.scopes,
            made.max_sandboxes, made.requests_per_minute, made.expires_at)
    RETURNING * INTO made;
    RETURN made;
END
$$;

-- The user's key p_id as the actor may change it: a session any, a key those below it.
-- Raises IN404 api_key_not_found.
CREATE FUNCTION api_key_find_own(p_id uuid, p_user_id uuid, p_actor_id uuid)
RETURNS api_keys
LANGUAGE plpgsql AS $$
DECLARE
    found_key api_keys%ROWTYPE;
BEGIN
    SELECT * INTO found_key FROM api_keys
    WHERE id = p_id AND user_id = p_user_id
      AND (p_actor_id IS NULL OR id IN (SELECT api_key_descendants(p_actor_id)));
    IF NOT FOUND THEN
        RAISE EXCEPTION 'api_key_not_found' USING ERRCODE = 'IN404';
    END IF;
    RETURN found_key;
END
$$;

-- Revokes a key and all below it. Returns those that end by this, and p_id, which may have ended
-- before: whoever asks again may have heard no answer. Raises IN401 invalid_api_key; IN404
-- api_key_not_found.
CREATE FUNCTION api_key_revoke(p_id uuid, p_user_id uuid, p_actor_id uuid)
RETURNS SETOF uuid
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM api_key_begin_change(p_user_id, p_actor_id);
    PERFORM api_key_find_own(p_id, p_user_id, p_actor_id);
    RETURN QUERY
        UPDATE api_keys SET revoked_at = coalesce(revoked_at, now())
        WHERE id = p_id
           OR (revoked_at IS NULL AND id IN (SELECT api_key_descendants(p_id)))
        RETURNING id;
END
$$;

-- Makes a key that takes the place of p_id, with its name, rights and length of life; p_id serves
-- for p_overlap_s more. It goes below the new one, as what it made does by that: the new key's
-- limits count them, and its end is theirs. Raises IN401 invalid_api_key; IN404 api_key_not_found;
-- IN409 api_key_ended; IN429 api_key_limit.
CREATE FUNCTION api_key_rotate(p_id uuid, p_user_id uuid, p_actor_id uuid, p_overlap_s integer,
                               p_prefix text, p_digest bytea, p_bcrypt text, p_most integer)
RETURNS api_keys
LANGUAGE plpgsql AS $$
DECLARE
    former api_keys%ROWTYPE;
    above  timestamptz;
    made   api_keys%ROWTYPE;
    moment timestamptz;
BEGIN
    PERFORM api_key_begin_change(p_user_id, p_actor_id);
    moment := clock_timestamp(); -- not before what others did while this waited
    former := api_key_find_own(p_id, p_user_id, p_actor_id);
    IF former.revoked_at IS NOT NULL OR former.expires_at <= moment THEN
        RAISE EXCEPTION 'api_key_ended' USING ERRCODE = 'IN409';
    END IF;
    SELECT expires_at INTO above FROM api_keys WHERE id = former.parent_id;
    UPDATE api_keys SET expires_at = least(expires_at, moment + make_interval(secs => p_overlap_s))
    WHERE id = p_id;
    PERFORM api_key_check_count(p_user_id, p_most);
    INSERT INTO api_keys (user_id, parent_id, name, prefix, digest, bcrypt, scopes, max_sandboxes,
                          requests_per_minute, expires_at)
    VALUES (p_user_id, former.parent_id, former.name, p_prefix, p_digest, p_bcrypt, former.scopes,
            former.max_sandboxes, former.requests_per_minute,
            CASE WHEN former.expires_at IS NOT NULL
                 THEN least(moment + (former.expires_at - former.created_at), above) END)
    RETURNING * INTO made;
    UPDATE api_keys SET parent_id = made.id WHERE id = p_id;
    RETURN made;
END
$$;

-- Whether one more sandbox of this key is within the limit of the key and of each above it. A limit
-- counts the key's own sandboxes and those of all below it. The caller holds the user's row.
CREATE FUNCTION api_key_has_room(p_id uuid, p_user_id uuid)
RETURNS boolean
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE above AS (
        SELECT id, parent_id, max_sandboxes FROM api_keys WHERE id = p_id
        UNION ALL
        SELECT k.id, k.parent_id, k.max_sandboxes
        FROM api_keys k JOIN above ON k.id = above.parent_id
    )
    SELECT NOT EXISTS (
        SELECT 1 FROM above
        WHERE max_sandboxes <= (
            SELECT count(*) FROM sandboxes
            WHERE user_id = p_user_id AND status IN ('creating', 'running')
              AND (api_key_id = above.id
                   OR api_key_id IN (SELECT api_key_descendants(above.id)))))
$$;

-- As before, and the limits of the key that asks (NULL: a session does) hold as well. Raises also
-- IN429 key_quota_exceeded.
CREATE OR REPLACE FUNCTION sandbox_begin(p_id uuid, p_user_id uuid, p_api_key_id uuid,
                                         p_template text, p_timeout_ms bigint, p_network text,
                                         p_instance text, p_node text, p_env jsonb,
                                         p_metadata jsonb, p_limits jsonb)
RETURNS sandboxes
LANGUAGE plpgsql AS $$
DECLARE
    owner   users%ROWTYPE;
    source  templates%ROWTYPE;
    limits  jsonb;
    life    interval;
    begun   sandboxes%ROWTYPE;
BEGIN
    -- Creates of one user wait for each other here, so that the counts below hold.
    SELECT * INTO owner FROM users WHERE id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'user_not_found' USING ERRCODE = 'IN404';
    END IF;
    IF owner.suspended_at IS NOT NULL THEN
        RAISE EXCEPTION 'user_suspended' USING ERRCODE = 'IN403';
    END IF;
    -- Before the quota: a repeated call must find its sandbox, not a full account.
    IF EXISTS (SELECT 1 FROM sandboxes WHERE id = p_id) THEN
        RAISE EXCEPTION 'sandbox_exists' USING ERRCODE = 'IN409';
    END IF;
    SELECT * INTO source FROM templates WHERE name = p_template;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'template_not_found' USING ERRCODE = 'IN404';
    END IF;
    limits := p_limits -> owner.tier;
    IF (SELECT count(*) FROM sandboxes
        WHERE user_id = p_user_id AND status IN ('creating', 'running'))
       >= (limits ->> 'sandboxes')::integer THEN
        RAISE EXCEPTION 'quota_exceeded' USING ERRCODE = 'IN429';
    END IF;
    IF p_api_key_id IS NOT NULL AND NOT api_key_has_room(p_api_key_id, p_user_id) THEN
        RAISE EXCEPTION 'key_quota_exceeded' USING ERRCODE = 'IN429';
    END IF;

    life := make_interval(hours => (limits ->> 'lifetimeHours')::integer);
    IF p_timeout_ms > 0 THEN
        life := least(life, p_timeout_ms * interval '1 millisecond');
    END IF;
    INSERT INTO sandboxes (id, user_id, api_key_id, template, image, profile, read_only_root, tier,
                           status, network, instance, node, metadata, env, memory_mb, cpu_milli,
                           pids, lifetime_hours, expires_at)
    VALUES (p_id, p_user_id, p_api_key_id, source.name, source.image, source.profile,
            source.read_only_root, owner.tier, 'creating', p_network, p_instance, p_node,
            p_metadata, p_env, (limits ->> 'memoryMB')::integer, (limits ->> 'cpuMilli')::integer,
            (limits ->> 'pids')::integer, (limits ->> 'lifetimeHours')::integer, now() + life)
    RETURNING * INTO begun;
    RETURN begun;
END
$$;
