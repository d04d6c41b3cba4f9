-- Snapshots: templates that are made of what a sandbox has on its disk.

-- What the sandbox was made with its template has too; its environment may hold secrets and has
-- not. Raises IN404 sandbox_not_found; IN409 sandbox_starting, sandbox_ended, template_elsewhere.
CREATE FUNCTION template_take_snapshot() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    taken sandboxes%ROWTYPE;
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
    NEW.profile := taken.profile;
    NEW.read_only_root := taken.read_only_root;
    NEW.runtime := taken.runtime;
    -- Never what the image of the container says: there the agent itself is the user.
    NEW.work_dir := coalesce(taken.work_dir, '');
    NEW.default_user := coalesce(taken.image_user, '');
    RETURN NEW;
END
$$;
CREATE TRIGGER templates_take_snapshot BEFORE INSERT ON templates
    FOR EACH ROW WHEN (NEW.source = 'snapshot') EXECUTE FUNCTION template_take_snapshot();

-- As before, and of the user's own also by its id.
CREATE OR REPLACE FUNCTION template_find(p_user_id uuid, p_name text)
RETURNS SETOF templates
LANGUAGE sql STABLE AS $$
    SELECT * FROM templates
    WHERE (name = p_name AND (user_id IS NULL OR user_id = p_user_id))
       OR (id = CASE WHEN p_name ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                THEN p_name::uuid END AND user_id = p_user_id)
    ORDER BY user_id NULLS LAST
    LIMIT 1
$$;
