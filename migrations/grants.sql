-- Who may do what. insien-migrate runs this behind the migrations, each time: it takes everything
-- away and gives what stands here, in one transaction, so that this file is the whole truth.
--
-- Each service that has a connection has a role of its own, called after the database: insien_auth
-- and insien_sandbox in a database insien. Who makes them is deploy/up or the operator; one that is
-- not there is passed over. A service that has to write what it must not read or choose freely does
-- it by a function with the owner's rights ("definer"), which checks what it is given.

-- Functions of migrations to come are nobody's until they stand here.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

DO $$
DECLARE
    services text[] := ARRAY['auth', 'sandbox'];
    object   record;
    role     text;
    grantees text := 'PUBLIC';
    -- For each role: the privilege, the table, and of which columns alone (NULL: all of it).
    tables CONSTANT text[][] := ARRAY[
        ['auth', 'SELECT', 'users', NULL],
        ['auth', 'INSERT', 'users', 'email'],
        -- Not role: who is an administrator is decided on the machine alone.
        ['auth', 'UPDATE', 'users', 'email, tier, display_name, avatar_url, profile_at, '
                                    'suspended_at, suspended_reason, chosen_name, chosen_avatar_url, '
                                    'updated_at'],
        ['auth', 'SELECT, INSERT', 'identities', NULL],
        ['auth', 'SELECT, INSERT', 'identity_tombstones', NULL],
        ['auth', 'SELECT, INSERT, DELETE', 'webhook_deliveries', NULL],
        ['auth', 'UPDATE', 'webhook_deliveries', 'received_at'], -- to lock rows
        ['auth', 'SELECT, INSERT', 'api_keys', NULL],
        ['auth', 'UPDATE', 'api_keys', 'parent_id, last_used_at, expires_at, revoked_at'],
        ['auth', 'SELECT, INSERT, UPDATE, DELETE', 'idempotency', NULL],
        ['auth', 'SELECT', 'ended_sessions', NULL],
        ['auth', 'SELECT', 'audit_log', NULL],
        -- Not id: behind one that is chosen too high no row would be sealed any more.
        ['auth', 'INSERT', 'audit_log', 'at, action, result, actor_user, actor_key, target_kind, '
                                        'target, request_id, service, detail, personal_digest'],
        ['auth', 'SELECT, INSERT', 'audit_personal', NULL],
        ['auth', 'SELECT', 'audit_concerns', NULL],
        ['auth', 'SELECT', 'audit_seals', NULL],

        ['sandbox', 'SELECT', 'users', 'id, tier, role, suspended_at, deleted_at'],
        ['sandbox', 'SELECT', 'sandboxes', NULL],
        ['sandbox', 'UPDATE', 'sandboxes', 'status, end_reason, ended_at, container_running, '
                                           'container_status, exit_code, container_error, '
                                           'work_dir, image_user, agent_generation, started_at, '
                                           'last_active_at, life_ms, warned_of, pause_mode, '
                                           'pause_reason, paused_at, left_ms, '
                                           'network_applied'],
        ['sandbox', 'SELECT, DELETE', 'ports', NULL],
        ['sandbox', 'SELECT', 'templates', NULL],
        ['sandbox', 'SELECT, DELETE', 'volumes', NULL],
        ['sandbox', 'SELECT, DELETE', 'volume_attachments', NULL],
        ['sandbox', 'SELECT, DELETE', 'secrets', NULL],
        ['sandbox', 'UPDATE', 'secrets', 'key_id, sealed'],
        ['sandbox', 'SELECT', 'sandbox_secrets', NULL],
        ['sandbox', 'SELECT', 'nodes_draining', NULL],
        ['sandbox', 'SELECT', 'template_images_gone', NULL],
        ['sandbox', 'SELECT', 'network_denials', NULL],
        ['sandbox', 'SELECT, DELETE', 'warm_sandboxes', NULL],
        ['sandbox', 'UPDATE', 'warm_sandboxes', 'status, ready_at, work_dir, image_user, '
                                                'image_id, agent_generation'],
        ['sandbox', 'INSERT', 'audit_log', 'at, action, result, actor_user, actor_key, '
                                           'target_kind, target, request_id, service, detail, '
                                           'personal_digest'],
        ['sandbox', 'SELECT', 'audit_log', 'id, personal_digest'], -- to tell its own repeats
        ['sandbox', 'INSERT', 'audit_personal', NULL],
        -- Not INSERT: an event is what the database saw.
        ['sandbox', 'SELECT', 'sandbox_events', NULL],
        ['sandbox', 'SELECT, DELETE', 'webhooks', NULL],
        ['sandbox', 'SELECT', 'webhook_outbox', NULL]
    ];
    -- For each role: the function, and whose rights it has. Trigger functions need no grant, and
    -- their migrations say whose rights they have.
    functions CONSTANT text[][] := ARRAY[
        ['auth', 'identity_lock', 'invoker'],
        ['auth', 'identity_user', 'invoker'],
        ['auth', 'user_set_profile', 'invoker'],
        ['auth', 'user_choose', 'invoker'],
        ['auth', 'user_delete', 'definer'],
        ['auth', 'user_leave', 'invoker'],
        ['auth', 'user_erase', 'definer'],
        ['auth', 'webhook_begin', 'invoker'],
        ['auth', 'webhook_user_changed', 'invoker'],
        ['auth', 'webhook_user_deleted', 'invoker'],
        ['auth', 'api_key_descendants', 'invoker'],
        ['auth', 'session_end', 'definer'],
        ['auth', 'api_key_take_up', 'definer'],
        ['auth', 'api_key_begin_change', 'invoker'],
        ['auth', 'api_key_check_count', 'invoker'],
        ['auth', 'api_key_issue', 'invoker'],
        ['auth', 'api_key_find_own', 'invoker'],
        ['auth', 'api_key_revoke', 'invoker'],
        ['auth', 'api_key_rotate', 'invoker'],
        ['auth', 'admin_begin', 'invoker'],
        ['auth', 'admin_change_user', 'invoker'],
        ['auth', 'admin_revoke_key', 'invoker'],
        ['auth', 'idempotency_claim', 'invoker'],
        ['auth', 'idempotency_clean', 'invoker'],
        ['auth', 'audit_seal', 'definer'],
        ['sandbox', 'sandbox_begin', 'definer'],
        ['sandbox', 'network_set', 'definer'],
        ['sandbox', 'network_denied', 'definer'],
        ['sandbox', 'quota_usage', 'definer'],
        ['sandbox', 'sandbox_resume', 'definer'],
        ['sandbox', 'sandbox_not_paused', 'definer'],
        ['sandbox', 'sandbox_set_times', 'definer'],
        ['sandbox', 'pool_take', 'definer'],
        ['sandbox', 'pool_bind', 'definer'],
        ['sandbox', 'pool_add', 'definer'],
        ['sandbox', 'pool_shed_stale', 'definer'],
        ['sandbox', 'port_expose', 'definer'],
        ['sandbox', 'node_state', 'invoker'],
        ['sandbox', 'node_set_draining', 'definer'],
        ['sandbox', 'sandboxes_forget', 'definer'],
        ['sandbox', 'sandboxes_strange', 'invoker'],
        ['sandbox', 'sandboxes_left', 'invoker'],
        ['sandbox', 'ports_left', 'definer'],
        ['sandbox', 'images_named', 'definer'],
        ['sandbox', 'template_images', 'invoker'],
        ['sandbox', 'template_images_forget', 'definer'],
        ['sandbox', 'audit_forget_personal', 'definer'],
        ['sandbox', 'template_begin', 'definer'],
        ['sandbox', 'template_take_up', 'definer'],
        ['sandbox', 'template_made', 'definer'],
        ['sandbox', 'template_remove', 'definer'],
        ['sandbox', 'template_weigh', 'definer'],
        ['sandbox', 'forks_drop', 'definer'],
        ['sandbox', 'sandbox_move_on', 'definer'],
        ['sandbox', 'templates_interrupt', 'definer'],
        ['sandbox', 'template_shown', 'invoker'],
        ['sandbox', 'template_allow', 'definer'],
        ['sandbox', 'event_act', 'invoker'],
        ['sandbox', 'event_note', 'definer'],
        ['sandbox', 'event_number', 'definer'],
        ['sandbox', 'event_clean', 'definer'],
        ['sandbox', 'webhook_create', 'definer'],
        ['sandbox', 'webhook_take', 'definer'],
        ['sandbox', 'webhook_delivered', 'definer'],
        ['sandbox', 'webhook_failed', 'definer'],
        ['sandbox', 'webhook_redeliver', 'definer'],
        ['sandbox', 'volume_make', 'definer'],
        ['sandbox', 'volumes_attach', 'definer'],
        ['sandbox', 'volume_delete', 'definer'],
        ['sandbox', 'secret_set', 'definer'],
        ['sandbox', 'secrets_attach', 'definer'],
        ['sandbox', 'secrets_begin', 'invoker'],
        ['sandbox', 'secrets_of_sandbox', 'invoker']
    ];
BEGIN
    FOREACH role IN ARRAY services LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = current_database() || '_' || role) THEN
            grantees := grantees || format(', %I', current_database() || '_' || role);
        END IF;
    END LOOP;

    FOR object IN SELECT oid::regclass AS name, relkind = 'S' AS is_sequence FROM pg_class
                  WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
                    AND pg_has_role(relowner, 'USAGE') LOOP
        EXECUTE format('REVOKE ALL ON %s %s FROM %s',
                       CASE WHEN object.is_sequence THEN 'SEQUENCE' ELSE 'TABLE' END,
                       object.name, grantees);
    END LOOP;
    FOR object IN SELECT p.oid::regprocedure AS name, prosecdef AS is_definer,
                         prorettype = 'trigger'::regtype AS is_trigger
                  FROM pg_proc p
                  WHERE pronamespace = 'public'::regnamespace AND prokind = 'f'
                    AND pg_has_role(proowner, 'USAGE')
                    AND NOT EXISTS (SELECT FROM pg_depend d
                                    WHERE d.objid = p.oid AND d.deptype = 'e') LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM %s', object.name, grantees);
        IF object.is_definer AND NOT object.is_trigger THEN
            EXECUTE format('ALTER FUNCTION %s SECURITY INVOKER RESET search_path', object.name);
        END IF;
    END LOOP;

    FOR i IN 1 .. array_length(tables, 1) LOOP
        role := current_database() || '_' || tables[i][1];
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role);
        EXECUTE format('GRANT %s%s ON TABLE public.%I TO %I', tables[i][2],
                       coalesce(' (' || tables[i][4] || ')', ''), tables[i][3], role);
    END LOOP;
    FOR i IN 1 .. array_length(functions, 1) LOOP
        role := current_database() || '_' || functions[i][1];
        FOR object IN SELECT oid::regprocedure AS name FROM pg_proc
                      WHERE pronamespace = 'public'::regnamespace AND proname = functions[i][2] LOOP
            IF functions[i][3] = 'definer' THEN
                EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = public, pg_temp',
                               object.name);
            END IF;
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
                EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', object.name, role);
            END IF;
        END LOOP;
    END LOOP;
    FOREACH role IN ARRAY services LOOP
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = current_database() || '_' || role) THEN
            EXECUTE format('GRANT USAGE ON SCHEMA public TO %I',
                           current_database() || '_' || role);
        END IF;
    END LOOP;
END
$$;
