/* gateway/native/routes.h: the native surface: which request goes to which handler, and the way
 * there. */
#ifndef GATEWAY_NATIVE_ROUTES_H
#define GATEWAY_NATIVE_ROUTES_H

#include "gateway/native/request.h"

enum route_needs {
    ROUTE_OPEN = 0,
    ROUTE_CALLER = 1U << 0U,  /* an API key or a session token, or with ROUTE_SANDBOX a client's */
    ROUTE_SANDBOX = 1U << 1U, /* {id} is a sandbox of the caller */
    ROUTE_JSON = 1U << 2U,    /* a body that must be application/json */
    ROUTE_SOCKET = 1U << 3U,  /* a WebSocket: more ways to bring the key */
    ROUTE_SIGNED = 1U << 4U,  /* the request proves itself by a signature */
    ROUTE_COUNTED = 1U << 5U, /* not to be done while requests can't be counted */
    ROUTE_CREATES = 1U << 6U, /* honours Idempotency-Key; needs ROUTE_CALLER and a body_max */
    ROUTE_COMMAND = 1U << 7U, /* recorded when AUDIT_DATA_PLANE asks for commands */
    ROUTE_WRITE = 1U << 8U,   /* recorded when it asks for all */
    ROUTE_SECRET = 1U << 9U,  /* with ROUTE_CREATES: the answer is a credential of the caller's */
    ROUTE_RUNS = 1U << 10U, /* with ROUTE_CREATES: it may take long, and makes nothing that stays */
};

struct route {
    enum http_method method;
    const char *path; /* segments; {id} and {item} stand for one */
    unsigned needs;   /* of enum route_needs */
    unsigned scope;   /* of enum auth_scope: one that the caller must have; 0: none */
    size_t body_max;  /* 0: none is read */
    request_handler_fn *handle;
};

enum {
    JSON_BODY_MAX = 1024 * 1024,
    USER_BODY_MAX = 16 * 1024,
    TEMPLATE_BODY_MAX = 512 * 1024,
    EXECUTE_BODY_MAX = 4 * JSON_BODY_MAX,
    SECRET_BODY_MAX = 6 * 32 * 1024 + 1024, /* a value with every byte escaped */
    INPUT_BODY_MAX = 2 * JSON_BODY_MAX,     /* of what a process takes at once, in base64 */
};

/* The http_request_fn of the gateway. listener_id is NULL for the public ports, else the id of the
 * sandbox whose socket the request came in by. */
void routes_handle(const struct gateway *gateway, struct http_exchange *exchange,
                   const char *listener_id);

/* One handler a route, in the file of its resource. */
request_handler_fn health_show;                                 /* health.c */
request_handler_fn openapi_show;                                /* openapi.c */
request_handler_fn keys_create, keys_list, keys_revoke;         /* keys.c */
request_handler_fn keys_rotate;                                 /* keys.c */
request_handler_fn secrets_set_handle, secrets_list_handle;     /* secrets.c */
request_handler_fn secrets_delete_handle;                       /* secrets.c */
request_handler_fn volumes_create_handle, volumes_list_handle;  /* volumes.c */
request_handler_fn volumes_delete_handle;                       /* volumes.c */
request_handler_fn user_show_handle, user_update_handle;        /* users.c */
request_handler_fn user_delete_handle;                          /* users.c */
request_handler_fn audit_list_handle;                           /* audit.c */
request_handler_fn admin_users_list, admin_users_change;        /* admin.c */
request_handler_fn admin_sandboxes_list;                        /* admin.c */
request_handler_fn admin_sandboxes_destroy;                     /* admin.c */
request_handler_fn admin_keys_list, admin_keys_revoke;          /* admin.c */
request_handler_fn webhooks_clerk_handle;                       /* webhooks.c */
request_handler_fn events_user_handle, events_sandbox_handle;   /* events.c */
request_handler_fn hooks_create, hooks_list, hooks_remove;      /* hooks.c */
request_handler_fn hooks_redeliver, hooks_dead_letters;         /* hooks.c */
request_handler_fn sandbox_create_handle;                       /* create.c */
request_handler_fn sandbox_list_handle, sandbox_status_handle;  /* sandboxes.c */
request_handler_fn sandbox_destroy_handle;                      /* sandboxes.c */
request_handler_fn quota_usage_handle;                          /* quota.c */
request_handler_fn system_stats_handle, system_drain_handle;    /* system.c */
request_handler_fn system_cleanup_handle;                       /* system.c */
request_handler_fn sandbox_pause_handle, sandbox_resume_handle; /* life.c */
request_handler_fn sandbox_timeout_handle;                      /* life.c */
request_handler_fn snapshots_create_handle;                     /* snapshots.c */
request_handler_fn snapshots_list_handle;                       /* snapshots.c */
request_handler_fn fork_handle;                                 /* fork.c */
request_handler_fn sandbox_exec_handle;                         /* exec.c */
request_handler_fn sandbox_execute_handle;                      /* execute.c */
request_handler_fn sandbox_execute_batch_handle;                /* execute.c */
request_handler_fn stats_show_handle, stats_history_handle;     /* stats.c */
request_handler_fn token_make_handle;                           /* tokens.c */
request_handler_fn processes_list_handle;                       /* processes.c */
request_handler_fn processes_signal_handle;                     /* processes.c */
request_handler_fn processes_stdin_handle;                      /* processes.c */
request_handler_fn processes_resize_handle;                     /* processes.c */
request_handler_fn processes_output_handle;                     /* processes.c */
request_handler_fn files_put_handle, files_get_handle;          /* files.c */
request_handler_fn files_post_handle;                           /* files_post.c */
request_handler_fn file_url_make_handle, file_url_use_handle;   /* file_urls.c */
request_handler_fn entries_list_handle, entries_change_handle;  /* entries.c */
request_handler_fn entries_remove_handle;                       /* entries.c */
request_handler_fn archive_get_handle, archive_put_handle;      /* archive.c */
request_handler_fn volume_archive_get_handle;                   /* volume_archive.c */
request_handler_fn volume_archive_put_handle;                   /* volume_archive.c */
request_handler_fn search_handle;                               /* search.c */
request_handler_fn watch_handle;                                /* watch_events.c */
request_handler_fn sandbox_expose_handle, sandbox_ports_handle; /* ports.c */
request_handler_fn sandbox_port_close_handle;                   /* ports.c */
request_handler_fn templates_create_handle;                     /* templates.c */
request_handler_fn templates_list_handle;                       /* templates.c */
request_handler_fn templates_show_handle;                       /* templates.c */
request_handler_fn templates_remove_handle;                     /* templates.c */
request_handler_fn template_context_handle;                     /* template_streams.c */
request_handler_fn template_log_handle;                         /* template_streams.c */
request_handler_fn sandbox_network_get_handle;                  /* network.c */
request_handler_fn sandbox_network_set_handle;                  /* network.c */

#endif
