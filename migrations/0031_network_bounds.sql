-- What a fork reaches, whose list a sandbox gets, and attempts that are told twice at once.

-- As before, and a copy of a restricted sandbox reaches what that one does.
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
        NEW.network := taken.network;
        NEW.network_policy := CASE taken.network WHEN 'restricted' THEN taken.network_policy END;
        NEW.memory_mb := taken.memory_mb;
        NEW.cpu_milli := taken.cpu_milli;
        NEW.pids := taken.pids;
        NEW.disk_mb := nullif(taken.disk_mb, 0);
    END IF;
    RETURN NEW;
END
$$;

-- As before, of the very template that the sandbox gets.
CREATE OR REPLACE FUNCTION sandbox_take_policy() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.network_policy := coalesce(
        (SELECT network_policy FROM templates
         WHERE id = coalesce(NEW.template_id,
                             (SELECT id FROM template_find(NEW.user_id, NEW.template)))),
        NEW.network_policy);
    RETURN NEW;
END
$$;

-- As before, but of one sandbox one at a time: two that count the same targets would wait for each
-- other.
CREATE OR REPLACE FUNCTION network_denied(p_id uuid, p_attempts jsonb, p_most integer)
RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    seen record;
    room integer;
BEGIN
    PERFORM 1 FROM sandboxes WHERE id = p_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT p_most - count(*) INTO room FROM network_denials
    WHERE sandbox_id = p_id AND kind <> 'other';
    FOR seen IN SELECT kind, target, sum(attempts) AS attempts
                FROM jsonb_to_recordset(p_attempts) AS a (kind text, target text, attempts bigint)
                GROUP BY kind, target LOOP
        UPDATE network_denials SET attempts = attempts + seen.attempts, last_at = now()
        WHERE sandbox_id = p_id AND kind = seen.kind AND target = seen.target;
        CONTINUE WHEN FOUND;
        INSERT INTO network_denials AS d (sandbox_id, kind, target, attempts)
        VALUES (p_id, CASE WHEN room > 0 THEN seen.kind ELSE 'other' END,
                CASE WHEN room > 0 THEN seen.target ELSE '' END, seen.attempts)
        ON CONFLICT (sandbox_id, kind, target)
        DO UPDATE SET attempts = d.attempts + excluded.attempts, last_at = now();
        room := room - 1;
    END LOOP;
END
$$;
