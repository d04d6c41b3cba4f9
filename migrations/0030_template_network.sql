-- A template may say what its sandboxes reach.

ALTER TABLE templates
    DROP CONSTRAINT templates_network_check,
    ADD CONSTRAINT templates_network_check CHECK (network IN ('none', 'restricted', 'open')),
    -- As of sandboxes; NULL: the network is not restricted.
    ADD COLUMN network_policy jsonb
        CHECK (jsonb_typeof(network_policy -> 'allow') IS NOT DISTINCT FROM 'array'
               OR network_policy IS NULL);

-- What template_begin does not know of the settings. The row as it is then.
CREATE FUNCTION template_allow(t templates, p_settings jsonb)
RETURNS templates
LANGUAGE plpgsql AS $$
BEGIN
    IF t.network = 'restricted' AND t.network_policy IS NULL THEN
        UPDATE templates
        SET network_policy = jsonb_build_object('allow', coalesce(p_settings -> 'allow', '[]'))
        WHERE id = t.id
        RETURNING * INTO t;
    END IF;
    RETURN t;
END
$$;

-- What the request says comes in its place later.
CREATE FUNCTION sandbox_take_policy() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.network_policy := coalesce((SELECT t.network_policy
                                    FROM template_find(NEW.user_id, NEW.template) t),
                                   NEW.network_policy);
    RETURN NEW;
END
$$;
CREATE TRIGGER sandboxes_take_policy BEFORE INSERT ON sandboxes
    FOR EACH ROW WHEN (NEW.network = 'restricted') EXECUTE FUNCTION sandbox_take_policy();

-- As before, with what its sandboxes reach.
CREATE OR REPLACE FUNCTION template_shown(t templates, p_whole boolean)
RETURNS json
LANGUAGE sql STABLE AS $$
    SELECT json_strip_nulls(json_build_object(
        'templateId', t.id, 'name', t.name, 'builtIn', t.user_id IS NULL, 'status', t.status,
        'failure', t.failure, 'description', t.description, 'source', t.source,
        'reference', CASE WHEN p_whole AND t.user_id IS NOT NULL THEN t.reference END,
        'sizeBytes', t.size_bytes, 'profile', t.profile, 'readOnlyRoot', t.read_only_root,
        'runtime', t.runtime, 'workDir', t.work_dir, 'user', t.default_user,
        'env', CASE WHEN p_whole THEN t.env END, 'start', t.start,
        'memoryMB', t.memory_mb,
        'cpuMilli', t.cpu_milli, 'pids', t.pids, 'diskMB', t.disk_mb, 'network', t.network,
        'allow', CASE WHEN p_whole THEN t.network_policy -> 'allow' END,
        'createdAt', to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'madeAt', to_char(t.made_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))
$$;
