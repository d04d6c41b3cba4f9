-- Client tokens, which last longer than the session tokens of who made them: what has ended
-- meanwhile. And keys whose id is chosen before they are made, so that a request that comes again
-- makes no second one.

-- Sessions of an issuer that were ended, for longer than any client token lives.
CREATE TABLE ended_sessions (
    id       text PRIMARY KEY CHECK (octet_length(id) BETWEEN 1 AND 128),
    ended_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ended_sessions_age ON ended_sessions (ended_at);

-- A session has ended. Forgets some that are too old to matter.
CREATE FUNCTION session_end(p_id text)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ended_sessions (id) VALUES (p_id) ON CONFLICT DO NOTHING;
    DELETE FROM ended_sessions
    WHERE id IN (SELECT id FROM ended_sessions WHERE ended_at < now() - interval '1 day'
                 ORDER BY ended_at LIMIT 100 FOR UPDATE SKIP LOCKED);
END
$$;

-- The key of a request that comes again, whose first try made it and could not be answered: nobody
-- knows its secret, and it gets this one instead. NULLs when there is no such key yet. Raises IN409
-- api_key_ended.
CREATE FUNCTION api_key_take_up(p_id uuid, p_user_id uuid, p_prefix text, p_digest bytea,
                                p_bcrypt text)
RETURNS api_keys
LANGUAGE plpgsql AS $$
DECLARE
    made api_keys%ROWTYPE;
BEGIN
    SELECT * INTO made FROM api_keys WHERE id = p_id AND user_id = p_user_id;
    IF made.revoked_at IS NOT NULL OR made.expires_at <= clock_timestamp() THEN
        RAISE EXCEPTION 'api_key_ended' USING ERRCODE = 'IN409';
    END IF;
    UPDATE api_keys SET prefix = p_prefix, digest = p_digest, bcrypt = p_bcrypt
    WHERE id = made.id
    RETURNING * INTO made;
    RETURN made;
END
$$;

-- As before, with the id p_id (NULL: any). Raises also IN409 api_key_ended.
DROP FUNCTION api_key_issue(uuid, uuid, text, text, bytea, text, integer, integer, integer, integer,
                            integer);
CREATE FUNCTION api_key_issue(p_id uuid, p_user_id uuid, p_parent_id uuid, p_name text,
                              p_prefix text, p_digest bytea, p_bcrypt text, p_scopes integer,
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
    made := api_key_take_up(p_id, p_user_id, p_prefix, p_digest, p_bcrypt);
    IF made.id IS NOT NULL THEN
        RETURN made;
    END IF;
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
    INSERT INTO api_keys (id, user_id, parent_id, name, prefix, digest, bcrypt, scopes,
                          max_sandboxes, requests_per_minute, expires_at)
    VALUES (coalesce(p_id, gen_random_uuid()), p_user_id, p_parent_id, nullif(p_name, ''),
            p_prefix, p_digest, p_bcrypt, made.scopes, made.max_sandboxes,
            made.requests_per_minute, made.expires_at)
    RETURNING * INTO made;
    RETURN made;
END
$$;

-- As before, and the new key has the id p_new_id (NULL: any).
DROP FUNCTION api_key_rotate(uuid, uuid, uuid, integer, text, bytea, text, integer);
CREATE FUNCTION api_key_rotate(p_new_id uuid, p_id uuid, p_user_id uuid, p_actor_id uuid,
                               p_overlap_s integer, p_prefix text, p_digest bytea, p_bcrypt text,
                               p_most integer)
RETURNS api_keys
LANGUAGE plpgsql AS $$
DECLARE
    former api_keys%ROWTYPE;
    above  timestamptz;
    made   api_keys%ROWTYPE;
    moment timestamptz;
BEGIN
    PERFORM api_key_begin_change(p_user_id, p_actor_id);
    made := api_key_take_up(p_new_id, p_user_id, p_prefix, p_digest, p_bcrypt);
    IF made.id IS NOT NULL THEN
        RETURN made;
    END IF;
    moment := clock_timestamp(); -- not before what others did while this waited
    former := api_key_find_own(p_id, p_user_id, p_actor_id);
    IF former.revoked_at IS NOT NULL OR former.expires_at <= moment THEN
        RAISE EXCEPTION 'api_key_ended' USING ERRCODE = 'IN409';
    END IF;
    SELECT expires_at INTO above FROM api_keys WHERE id = former.parent_id;
    UPDATE api_keys SET expires_at = least(expires_at, moment + make_interval(secs => p_overlap_s))
    WHERE id = p_id;
    PERFORM api_key_check_count(p_user_id, p_most);
    INSERT INTO api_keys (id, user_id, parent_id, name, prefix, digest, bcrypt, scopes,
                          max_sandboxes, requests_per_minute, expires_at)
    VALUES (coalesce(p_new_id, gen_random_uuid()), p_user_id, former.parent_id, former.name,
            p_prefix, p_digest, p_bcrypt, former.scopes, former.max_sandboxes,
            former.requests_per_minute,
            CASE WHEN former.expires_at IS NOT NULL
                 THEN least(moment + (former.expires_at - former.created_at), above) END)
    RETURNING * INTO made;
    UPDATE api_keys SET parent_id = made.id WHERE id = p_id;
    RETURN made;
END
$$;
