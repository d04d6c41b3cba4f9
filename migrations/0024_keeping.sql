-- What is kept, for how long, and what is known to be nobody's any more.

-- Images of templates whose rows went, until they are gone from their machine: what is found there
-- and stands neither here nor among the templates is of a time that this database does not know.
CREATE TABLE template_images_gone (
    id       uuid PRIMARY KEY, -- the template's
    instance text NOT NULL,
    node     text NOT NULL,
    gone_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX template_images_gone_node ON template_images_gone (instance, node);

CREATE FUNCTION template_image_goes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO template_images_gone (id, instance, node) VALUES (OLD.id, OLD.instance, OLD.node)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER templates_image_goes AFTER DELETE ON templates
    FOR EACH ROW WHEN (OLD.instance IS NOT NULL AND OLD.node IS NOT NULL)
    EXECUTE FUNCTION template_image_goes();

-- The templates of a machine, and those that it had.
CREATE FUNCTION template_images(p_instance text, p_node text)
RETURNS TABLE (id uuid, is_gone boolean)
LANGUAGE sql STABLE AS $$
    SELECT t.id, false FROM templates t WHERE t.instance = p_instance AND t.node = p_node
    UNION ALL
    SELECT g.id, true FROM template_images_gone g
    WHERE g.instance = p_instance AND g.node = p_node
      AND NOT EXISTS (SELECT 1 FROM templates t WHERE t.id = g.id)
$$;

-- p_there: the templates whose images a machine has. One that went and is not among them needs no
-- mark any more; not at once, as the making of its image may be coming to its end just now.
CREATE FUNCTION template_images_forget(p_instance text, p_node text, p_there uuid[])
RETURNS bigint
LANGUAGE sql AS $$
    WITH forgotten AS (
        DELETE FROM template_images_gone
        WHERE instance = p_instance AND node = p_node AND id <> ALL (p_there)
          AND gone_at < now() - interval '1 day'
        RETURNING 1)
    SELECT count(*) FROM forgotten
$$;

-- Of at most p_most records of the audit trail, the oldest, what can be traced to a person, when it
-- is older than p_days; says how many. The records themselves stay: each hash needs the one before.
CREATE FUNCTION audit_forget_personal(p_days integer, p_most integer) RETURNS bigint
LANGUAGE sql AS $$
    WITH gone AS (
        DELETE FROM audit_personal p
        USING (SELECT audit_id FROM audit_personal ORDER BY audit_id LIMIT p_most) AS oldest
        JOIN audit_log l ON l.id = oldest.audit_id
        WHERE p.audit_id = oldest.audit_id AND l.at < now() - make_interval(days => p_days)
        RETURNING 1)
    SELECT count(*) FROM gone
$$;
