-- What is left of what went: layers of images, images of makings that failed. What a copy of a sandbox
-- is asked for itself goes before what its origin says.

-- Layers of images that are gone, on which this one stands, or would have: they count whatever
-- becomes of its own, and go on to the next when it goes.
ALTER TABLE templates ADD inherited_bytes bigint NOT NULL DEFAULT 0 CHECK (inherited_bytes >= 0);

-- As before, and what is inherited counts.
CREATE OR REPLACE FUNCTION template_weigh(p_id uuid, p_own_bytes bigint, p_limits jsonb)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    owner   users%ROWTYPE;
    weighed templates%ROWTYPE;
BEGIN
    -- Of one user one at a time, so that the sum holds.
    SELECT u.* INTO owner FROM users u JOIN templates t ON t.user_id = u.id WHERE t.id = p_id
    FOR NO KEY UPDATE OF u;
    UPDATE templates SET own_bytes = p_own_bytes WHERE id = p_id AND status = 'making'
    RETURNING * INTO weighed;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'template_not_found' USING ERRCODE = 'IN404';
    END IF;
    IF weighed.source = 'fork' THEN
        PERFORM quota_check_user(owner.id, NULL, (p_limits -> owner.tier ->> 'sandboxes')::integer);
    END IF;
    IF (SELECT sum(coalesce(own_bytes, 0) + inherited_bytes) FROM templates
        WHERE user_id = owner.id AND status IN ('making', 'ready'))
       > (p_limits -> owner.tier ->> 'snapshotMB')::bigint * 1048576 THEN
        RAISE EXCEPTION 'snapshot_quota_exceeded' USING ERRCODE = 'IN429';
    END IF;
END
$$;

-- As before, of one whose making fails too: that has no image, and others stand on what it inherited.
-- One that is ready is the better heir, since it is going to stay.
CREATE OR REPLACE FUNCTION template_hand_on() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    heir uuid;
BEGIN
    SELECT id INTO heir FROM templates WHERE parent_id = OLD.id AND status IN ('making', 'ready')
    ORDER BY status = 'ready' DESC, created_at, id LIMIT 1;
    UPDATE templates SET parent_id = heir WHERE parent_id = OLD.id AND id <> heir;
    UPDATE templates
    SET parent_id = OLD.parent_id,
        inherited_bytes = inherited_bytes + OLD.inherited_bytes
                          + CASE WHEN OLD.status = 'ready'
                            THEN coalesce(OLD.own_bytes, OLD.size_bytes, 0) ELSE 0 END
    WHERE id = heir;
    IF TG_OP = 'UPDATE' THEN
        UPDATE templates SET inherited_bytes = 0 WHERE id = OLD.id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER templates_hand_on_failed AFTER UPDATE OF status ON templates
    FOR EACH ROW WHEN (NEW.status = 'failed' AND OLD.status <> 'failed')
    EXECUTE FUNCTION template_hand_on();

-- As before, of those of p_there alone, by id. The image of a making that failed is nobody's.
DROP FUNCTION template_images(text, text);
CREATE FUNCTION template_images(p_instance text, p_node text, p_there uuid[])
RETURNS TABLE (id uuid, is_gone boolean)
LANGUAGE sql STABLE AS $$
    SELECT t.id, t.status = 'failed' FROM templates t
    WHERE t.instance = p_instance AND t.node = p_node AND t.id = ANY (p_there)
    UNION ALL
    SELECT g.id, true FROM template_images_gone g
    WHERE g.instance = p_instance AND g.node = p_node AND g.id = ANY (p_there)
      AND NOT EXISTS (SELECT 1 FROM templates t WHERE t.id = g.id)
    ORDER BY 1
$$;

-- What the row says where nobody asked for anything is sandbox_take_fork's to decide.
ALTER TABLE sandboxes ALTER on_timeout DROP DEFAULT, ALTER auto_resume DROP DEFAULT;

-- As before, and p_wanted need not say onTimeout and autoResume.
CREATE OR REPLACE FUNCTION sandbox_begin(p_id uuid, p_user_id uuid, p_api_key_id uuid,
                                         p_template text, p_timeout_ms bigint, p_network text,
                                         p_instance text, p_node text, p_env jsonb,
                                         p_metadata jsonb, p_limits jsonb, p_wanted jsonb,
                                         p_bounds jsonb)
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
    SELECT * INTO source FROM template_find(p_user_id, p_template);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'template_not_found' USING ERRCODE = 'IN404';
    END IF;
    limits := p_limits -> owner.tier;
    begun.memory_mb := least(quota_limit(p_wanted, limits, 'memoryMB'), source.memory_mb);
    begun.cpu_milli := least(quota_limit(p_wanted, limits, 'cpuMilli'), source.cpu_milli);
    begun.pids := least(quota_limit(p_wanted, limits, 'pids'), source.pids);
    begun.disk_mb := least(quota_limit(p_wanted, limits, 'diskMB'), source.disk_mb);
    PERFORM quota_check_user(p_user_id, p_api_key_id, (limits ->> 'sandboxes')::integer);
    PERFORM quota_check_memory(p_instance, p_node, begun.memory_mb, p_bounds);

    life := make_interval(hours => (limits ->> 'lifetimeHours')::integer);
    IF p_timeout_ms > 0 THEN
        life := least(life, p_timeout_ms * interval '1 millisecond');
    END IF;
    INSERT INTO sandboxes (id, user_id, api_key_id, template, image, profile, read_only_root, tier,
                           status, network, instance, node, metadata, env, memory_mb, cpu_milli,
                           pids, disk_mb, cpus, lifetime_hours, expires_at, idle_timeout_ms,
                           on_timeout, auto_resume)
    VALUES (p_id, p_user_id, p_api_key_id, source.name, source.image, source.profile,
            source.read_only_root, owner.tier, 'creating',
            coalesce(nullif(p_network, ''), source.network, p_bounds ->> 'network'),
            p_instance, p_node,
            p_metadata, p_env, begun.memory_mb, begun.cpu_milli, begun.pids, begun.disk_mb,
            quota_choose_cpus(p_instance, p_node, begun.cpu_milli,
                              coalesce((p_bounds ->> 'cpus')::integer, 0)),
            (limits ->> 'lifetimeHours')::integer, now() + life,
            nullif((p_wanted ->> 'idleTimeoutMs')::bigint, 0),
            nullif(p_wanted ->> 'onTimeout', ''), (p_wanted ->> 'autoResume')::boolean)
    RETURNING * INTO begun;
    RETURN begun;
END
$$;

-- A copy of a sandbox goes on as that one does, where it was not asked for something else.
CREATE OR REPLACE FUNCTION sandbox_take_fork() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    origin_id text;
    origin    sandboxes%ROWTYPE;
BEGIN
    SELECT reference INTO origin_id FROM templates WHERE id = NEW.template_id AND source = 'fork';
    IF FOUND THEN
        SELECT * INTO origin FROM sandboxes WHERE id = origin_id::uuid;
    END IF;
    IF origin.id IS NOT NULL THEN
        NEW.metadata := CASE WHEN NEW.metadata = '{}' THEN origin.metadata ELSE NEW.metadata END;
        NEW.idle_timeout_ms := coalesce(NEW.idle_timeout_ms, origin.idle_timeout_ms);
    END IF;
    NEW.on_timeout := coalesce(NEW.on_timeout, origin.on_timeout, 'destroy');
    NEW.auto_resume := coalesce(NEW.auto_resume, origin.auto_resume, true);
    RETURN NEW;
END
$$;
