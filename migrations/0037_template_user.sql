-- A template's own user is who commands run as, also where the image has an account `user`.

ALTER TABLE templates ADD user_chosen boolean NOT NULL DEFAULT false; -- default_user, by who made it
UPDATE templates SET user_chosen = true
WHERE source IN ('image', 'dockerfile') AND default_user <> '';

-- Ahead of templates_take_copy and templates_take_snapshot, which fill in what was not chosen. Copies
-- have what they are copies of chose.
CREATE FUNCTION template_choose_user() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.user_chosen := coalesce(NEW.default_user <> '', false) OR coalesce(CASE
        WHEN NEW.source IN ('snapshot', 'fork') THEN (
            SELECT t.user_chosen FROM sandboxes s JOIN templates t ON t.id = s.template_id
            WHERE s.id = NEW.reference::uuid)
        WHEN NEW.source = 'copy' THEN (
            SELECT t.user_chosen FROM template_find(NEW.user_id, NEW.reference) AS t)
        END, false);
    RETURN NEW;
END
$$;
CREATE TRIGGER templates_choose_user BEFORE INSERT ON templates
    FOR EACH ROW EXECUTE FUNCTION template_choose_user();
