-- As before, and forks are no templates of their user's that would count.
CREATE OR REPLACE FUNCTION template_begin(p_id uuid, p_user_id uuid, p_name text, p_source text,
                                          p_reference text, p_waits boolean, p_image text,
                                          p_settings jsonb, p_instance text, p_node text,
                                          p_most integer)
RETURNS templates
LANGUAGE plpgsql AS $$
DECLARE
    owner users%ROWTYPE;
    begun templates%ROWTYPE;
BEGIN
    -- One at a time of a user, so that the count holds.
    SELECT * INTO owner FROM users WHERE id = p_user_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'user_not_found' USING ERRCODE = 'IN404';
    END IF;
    IF owner.suspended_at IS NOT NULL THEN
        RAISE EXCEPTION 'user_suspended' USING ERRCODE = 'IN403';
    END IF;
    SELECT * INTO begun FROM templates WHERE id = p_id AND user_id = p_user_id;
    IF FOUND THEN
        RETURN begun;
    END IF;
    DELETE FROM templates WHERE user_id = p_user_id AND name = p_name AND status = 'failed';
    IF EXISTS (SELECT 1 FROM template_find(p_user_id, p_name)) THEN
        RAISE EXCEPTION 'template_exists' USING ERRCODE = 'IN409';
    END IF;
    -- Forks come and go by themselves, and are bounded by themselves.
    IF (SELECT count(*) FROM templates
        WHERE user_id = p_user_id AND (source = 'fork') = (p_source = 'fork'))
       >= (CASE WHEN p_source = 'fork' THEN greatest(p_most, 100) ELSE p_most END) THEN
        RAISE EXCEPTION 'template_quota_exceeded' USING ERRCODE = 'IN429';
    END IF;
    INSERT INTO templates (id, user_id, name, source, reference, status, image, instance, node,
                           description, profile, read_only_root, runtime, work_dir, default_user,
                           env, start, memory_mb, cpu_milli, pids, disk_mb, network)
    VALUES (p_id, p_user_id, p_name, p_source, p_reference,
            CASE WHEN p_waits THEN 'waiting' ELSE 'making' END, p_image, p_instance, p_node,
            coalesce(p_settings ->> 'description', ''),
            coalesce(p_settings ->> 'profile', 'sudo'),
            coalesce((p_settings ->> 'readOnlyRoot')::boolean, false),
            p_settings ->> 'runtime', p_settings ->> 'workDir', p_settings ->> 'user',
            coalesce(p_settings -> 'env', '{}'), p_settings -> 'start',
            (p_settings ->> 'memoryMB')::integer,
            (p_settings ->> 'cpuMilli')::integer, (p_settings ->> 'pids')::integer,
            (p_settings ->> 'diskMB')::integer, p_settings ->> 'network')
    RETURNING * INTO begun;
    RETURN begun;
END
$$;

-- As before, and one that had copies has all that it is going to have, soon behind its making: when
-- the last of them has ended it goes at once.
CREATE OR REPLACE FUNCTION forks_drop(p_instance text, p_node text, p_grace_s integer)
RETURNS SETOF uuid
LANGUAGE plpgsql AS $$
DECLARE
    fork templates%ROWTYPE;
BEGIN
    FOR fork IN SELECT * FROM templates
                WHERE instance = p_instance AND node = p_node AND source = 'fork'
                  AND status IN ('ready', 'failed') AND made_at < now() - interval '15 seconds'
                FOR UPDATE SKIP LOCKED LOOP
        -- In a statement of its own: it sees the copy whose insert held the row.
        IF (CASE WHEN EXISTS (SELECT 1 FROM sandboxes WHERE template_id = fork.id)
           THEN NOT EXISTS (SELECT 1 FROM sandboxes
                            WHERE template_id = fork.id AND status NOT IN ('destroyed', 'failed'))
           ELSE fork.made_at < now() - make_interval(secs => p_grace_s) END) THEN
            DELETE FROM templates WHERE id = fork.id;
            RETURN NEXT fork.id;
        END IF;
    END LOOP;
END
$$;
