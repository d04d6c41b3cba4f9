-- A key that acts gives away no longer life than it has: also by rotating one below it, which may be
-- without an end where the acting one, rotated itself, has got one since.

-- As before, but for that end.
CREATE OR REPLACE FUNCTION api_key_rotate(p_new_id uuid, p_id uuid, p_user_id uuid,
                                          p_actor_id uuid, p_overlap_s integer, p_prefix text,
                                          p_digest bytea, p_bcrypt text, p_most integer)
RETURNS api_keys
LANGUAGE plpgsql AS $$
DECLARE
    former api_keys%ROWTYPE;
    above  timestamptz;
    ends   timestamptz;
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
    IF former.expires_at IS NOT NULL THEN
        SELECT expires_at INTO above FROM api_keys WHERE id = former.parent_id;
        ends := least(moment + (former.expires_at - former.created_at), above);
    END IF;
    ends := least(ends, (SELECT expires_at FROM api_keys WHERE id = p_actor_id)); -- NULL: no end
    UPDATE api_keys SET expires_at = least(expires_at, moment + make_interval(secs => p_overlap_s))
    WHERE id = p_id;
    PERFORM api_key_check_count(p_user_id, p_most);
    INSERT INTO api_keys (id, user_id, parent_id, name, prefix, digest, bcrypt, scopes,
                          max_sandboxes, requests_per_minute, expires_at)
    VALUES (coalesce(p_new_id, gen_random_uuid()), p_user_id, former.parent_id, former.name,
            p_prefix, p_digest, p_bcrypt, former.scopes, former.max_sandboxes,
            former.requests_per_minute, ends)
    RETURNING * INTO made;
    UPDATE api_keys SET parent_id = made.id WHERE id = p_id;
    RETURN made;
END
$$;
