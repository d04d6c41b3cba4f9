-- Forks: copies of a sandbox, which begin from an image that is there for them alone. What snapshots
-- take of the disk counts. A sandbox rests while its disk is kept.

ALTER TABLE templates
    DROP CONSTRAINT templates_source_check,
    -- copy: of a snapshot, with settings of its own. fork: for the copies of a sandbox, and goes with
    -- the last of them.
    ADD CONSTRAINT templates_source_check
        CHECK (source IN ('image', 'dockerfile', 'snapshot', 'copy', 'fork')),
    ADD own_bytes bigint CHECK (own_bytes >= 0), -- beyond the parent's image; NULL: not weighed
    -- Whose image this one's stands on, of the same user. Without a reference: template_hand_on.
    ADD parent_id uuid;
CREATE INDEX templates_parent ON templates (parent_id);
CREATE INDEX templates_forks ON templates (instance, node) WHERE source = 'fork';

ALTER TABLE sandboxes
    DROP CONSTRAINT sandboxes_pause_reason_check,
    ADD CONSTRAINT sandboxes_pause_reason_check
        CHECK (pause_reason IN ('user', 'timeout', 'idle', 'snapshot'));
CREATE INDEX sandboxes_still ON sandboxes (instance, node)
    WHERE status = 'paused' AND pause_reason = 'snapshot';

-- As before, and what the sandbox's template says that is no setting of the sandbox goes on. A fork
-- is like the sandbox in all that it was made with, its environment too; that is in the row, which
-- goes, and not in the image.
CREATE OR REPLACE FUNCTION template_take_snapshot() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    taken  sandboxes%ROWTYPE;
    parent templates%ROWTYPE;
BEGIN
    SELECT * INTO taken FROM sandboxes
    WHERE id = NEW.reference::uuid AND user_id = NEW.user_id FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'sandbox_not_found' USING ERRCODE = 'IN404';
    END IF;
    IF taken.status = 'creating' THEN
        RAISE EXCEPTION 'sandbox_starting' USING ERRCODE = 'IN409';
    END IF;
    IF taken.status NOT IN ('running', 'pausing', 'paused', 'resuming') THEN
        RAISE EXCEPTION 'sandbox_ended' USING ERRCODE = 'IN409';
    END IF;
    IF (taken.instance, taken.node) <> (NEW.instance, NEW.node) THEN
        RAISE EXCEPTION 'template_elsewhere' USING ERRCODE = 'IN409';
    END IF;
    SELECT * INTO parent FROM templates WHERE id = taken.template_id;
    NEW.parent_id := CASE WHEN parent.user_id IS NOT NULL THEN parent.id END;
    NEW.start := parent.start;
    NEW.env := coalesce(parent.env, '{}');
    NEW.profile := taken.profile;
    NEW.read_only_root := taken.read_only_root;
    NEW.runtime := taken.runtime;
    -- Never what the image of the container says: there the agent itself is the user.
    NEW.work_dir := coalesce(taken.work_dir, '');
    NEW.default_user := coalesce(taken.image_user, '');
    IF NEW.source = 'fork' THEN
        NEW.env := taken.env;
        -- Never more than it has: an allow-list is the body's to name again.
        NEW.network := CASE taken.network WHEN 'open' THEN 'open' ELSE 'none' END;
        NEW.memory_mb := taken.memory_mb;
        NEW.cpu_milli := taken.cpu_milli;
        NEW.pids := taken.pids;
        NEW.disk_mb := nullif(taken.disk_mb, 0);
    END IF;
    RETURN NEW;
END
$$;
DROP TRIGGER templates_take_snapshot ON templates;
CREATE TRIGGER templates_take_snapshot BEFORE INSERT ON templates
    FOR EACH ROW WHEN (NEW.source IN ('snapshot', 'fork'))
    EXECUTE FUNCTION template_take_snapshot();

-- A template of a snapshot, named by its name or id: what it does not say itself, that says; how far
-- its processes may go is what it was for the snapshot's. It has the snapshot's image.
-- Raises IN404 template_not_found; IN409 template_not_ready, template_elsewhere.
CREATE FUNCTION template_take_copy() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    taken templates%ROWTYPE;
BEGIN
    SELECT * INTO taken FROM templates
    WHERE id = (SELECT id FROM template_find(NEW.user_id, NEW.reference))
      AND user_id = NEW.user_id AND source = 'snapshot'
    FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'template_not_found' USING ERRCODE = 'IN404';
    END IF;
    IF taken.status <> 'ready' THEN
        RAISE EXCEPTION 'template_not_ready' USING ERRCODE = 'IN409';
    END IF;
    IF (taken.instance, taken.node) <> (NEW.instance, NEW.node) THEN
        RAISE EXCEPTION 'template_elsewhere' USING ERRCODE = 'IN409';
    END IF;
    NEW.reference := taken.id;
    NEW.parent_id := taken.id;
    NEW.own_bytes := 0;
    NEW.profile := taken.profile;
    NEW.read_only_root := taken.read_only_root;
    NEW.runtime := coalesce(NEW.runtime, taken.runtime);
    NEW.work_dir := coalesce(NEW.work_dir, taken.work_dir);
    NEW.default_user := coalesce(NEW.default_user, taken.default_user);
    NEW.env := taken.env || NEW.env;
    NEW.start := coalesce(NEW.start, taken.start);
    RETURN NEW;
END
$$;
CREATE TRIGGER templates_take_copy BEFORE INSERT ON templates
    FOR EACH ROW WHEN (NEW.source = 'copy') EXECUTE FUNCTION template_take_copy();

-- A copy of a sandbox goes on as that one does.
CREATE FUNCTION sandbox_take_fork() RETURNS trigger
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
        NEW.on_timeout := origin.on_timeout;
        NEW.auto_resume := origin.auto_resume;
    END IF;
    RETURN NEW;
END
$$;
-- Triggers run in the order of their names: behind sandboxes_take_template.
CREATE TRIGGER sandboxes_take_template_of_fork BEFORE INSERT ON sandboxes
    FOR EACH ROW EXECUTE FUNCTION sandbox_take_fork();

-- What a snapshot or fork is going to add to the engine's disk: it has room among the user's own, and
-- is counted from now on. p_limits says what each tier gets: {"free": {"sandboxes": 2,
-- "snapshotMB": 2048}, ...}. A fork is worth its image only when there is room for a copy.
-- Raises IN404 template_not_found; IN429 snapshot_quota_exceeded, quota_exceeded.
CREATE FUNCTION template_weigh(p_id uuid, p_own_bytes bigint, p_limits jsonb)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    owner  users%ROWTYPE;
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
    IF (SELECT sum(own_bytes) FROM templates
        WHERE user_id = owner.id AND status IN ('making', 'ready'))
       > (p_limits -> owner.tier ->> 'snapshotMB')::bigint * 1048576 THEN
        RAISE EXCEPTION 'snapshot_quota_exceeded' USING ERRCODE = 'IN429';
    END IF;
END
$$;

-- The engine keeps the layers of an image for those that stand on it: whoever is first among them
-- has them from now on, and the others stand on it. AFTER, since all of a user's may go in one
-- statement.
CREATE FUNCTION template_hand_on() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    heir uuid;
BEGIN
    SELECT id INTO heir FROM templates WHERE parent_id = OLD.id AND status IN ('making', 'ready')
    ORDER BY created_at, id LIMIT 1;
    UPDATE templates SET parent_id = heir WHERE parent_id = OLD.id AND id <> heir;
    UPDATE templates
    SET parent_id = OLD.parent_id,
        own_bytes = coalesce(own_bytes, 0)
                    + CASE WHEN OLD.status = 'ready' THEN coalesce(OLD.own_bytes, OLD.size_bytes, 0)
                      ELSE 0 END
    WHERE id = heir;
    RETURN NULL;
END
$$;
CREATE TRIGGER templates_hand_on AFTER DELETE ON templates
    FOR EACH ROW EXECUTE FUNCTION template_hand_on();

-- Removes the forks of a node that have no copies, or none any more; p_grace_s behind their making,
-- since until then copies may be on their way. Returns their ids.
CREATE FUNCTION forks_drop(p_instance text, p_node text, p_grace_s integer)
RETURNS SETOF uuid
LANGUAGE plpgsql AS $$
DECLARE
    fork uuid;
BEGIN
    FOR fork IN SELECT id FROM templates
                WHERE instance = p_instance AND node = p_node AND source = 'fork'
                  AND status IN ('ready', 'failed')
                  AND made_at < now() - make_interval(secs => p_grace_s)
                FOR UPDATE SKIP LOCKED LOOP
        -- In a statement of its own: it sees the copy whose insert held the row.
        IF NOT EXISTS (SELECT 1 FROM sandboxes
                       WHERE template_id = fork AND status NOT IN ('destroyed', 'failed')) THEN
            DELETE FROM templates WHERE id = fork;
            RETURN NEXT fork;
        END IF;
    END LOOP;
END
$$;

-- paused -> resuming, of one that rested only while its disk was kept: with all the time that it
-- had. In the form of sandbox_resume.
CREATE FUNCTION sandbox_move_on(p_id uuid)
RETURNS TABLE (was text, is_moved boolean, on_disk boolean, generation integer)
LANGUAGE sql AS $$
    WITH before AS (
        SELECT * FROM sandboxes WHERE id = p_id FOR NO KEY UPDATE
    ), moved AS (
        UPDATE sandboxes s
        SET status = 'resuming', warned_of = NULL, last_active_at = now(),
            expires_at = now() + b.left_ms * interval '1 millisecond'
        FROM before b
        WHERE s.id = b.id AND b.status = 'paused' AND b.pause_reason = 'snapshot'
        RETURNING s.id, event_act('system', NULL, NULL, 'snapshot')
    )
    SELECT b.status, EXISTS (SELECT 1 FROM moved), coalesce(b.pause_mode = 'disk', false),
           b.agent_generation
    FROM before b
$$;

-- As before, and whoever rests only for that long may always be woken.
CREATE OR REPLACE FUNCTION sandbox_resume(p_id uuid, p_user_id uuid, p_timeout_ms bigint,
                                          p_automatic boolean, p_key_id uuid)
RETURNS TABLE (was text, is_moved boolean, on_disk boolean, generation integer)
LANGUAGE sql AS $$
    WITH before AS (
        SELECT * FROM sandboxes WHERE id = p_id AND user_id = p_user_id FOR NO KEY UPDATE
    ), moved AS (
        UPDATE sandboxes s
        SET status = 'resuming',
            awake_since = CASE WHEN p_automatic AND b.pause_reason = 'snapshot' THEN b.awake_since
                          ELSE now() END,
            warned_of = NULL, last_active_at = now(),
            life_ms = coalesce(nullif(p_timeout_ms, 0), b.life_ms),
            expires_at = now() + least(
                make_interval(hours => b.lifetime_hours),
                coalesce(nullif(p_timeout_ms, 0), nullif(b.left_ms, 0), b.life_ms)
                * interval '1 millisecond')
        FROM before b
        WHERE s.id = b.id AND b.status = 'paused'
          AND (NOT p_automatic OR b.auto_resume OR b.pause_reason = 'snapshot')
        RETURNING s.id, CASE WHEN p_automatic THEN event_act('system', NULL, NULL, 'traffic')
                        ELSE event_act('user', p_user_id, p_key_id, 'user') END
    )
    SELECT b.status, EXISTS (SELECT 1 FROM moved), coalesce(b.pause_mode = 'disk', false),
           b.agent_generation
    FROM before b
$$;
