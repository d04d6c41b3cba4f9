/* gateway/config.h: the gateway's settings. */
#ifndef GATEWAY_CONFIG_H
#define GATEWAY_CONFIG_H

#include "common/base/config.h"
#include "common/base/view.h"
#include "gateway/audit/recorder.h"
#include "gateway/limits/policy.h"

struct gateway_config {
    char run_dir[CONFIG_PATH_SIZE];
    char instance[CONFIG_PATH_SIZE];
    char log_level[8];
    char host[CONFIG_PATH_SIZE];
    int64_t port;
    int64_t ws_port;
    char ws_url[CONFIG_PATH_SIZE];          /* what clients reach ws_port by, for agentUrl */
    char api_url[CONFIG_PATH_SIZE];         /* the same of HTTP, for signed URLs */
    char file_url_secret[CONFIG_TEXT_SIZE]; /* signs them */
    char redis_url[CONFIG_TEXT_SIZE];
    char auth_ipc[CONFIG_TEXT_SIZE];        /* empty: the socket in run_dir */
    char sandbox_ipc[CONFIG_TEXT_SIZE];     /* the same */
    char ipc_ca[CONFIG_PATH_SIZE];          /* common/ipc/tls.h */
    char ipc_certificate[CONFIG_PATH_SIZE]; /* the same */
    char ipc_key[CONFIG_PATH_SIZE];         /* the same */
    char allowed_origins[CONFIG_TEXT_SIZE];
    char rate_limit_exempt[CONFIG_TEXT_SIZE];
    char rate_limits[CONFIG_TEXT_SIZE];
    struct limit_policy limit_policy; /* of rate_limits */
    char trusted_proxies[CONFIG_TEXT_SIZE];
    char host_port_range[CONFIG_PATH_SIZE]; /* "30000-30999" or "none" */
    char host_port_address[CONFIG_PATH_SIZE];
    int64_t host_port_first; /* of host_port_range; 0: none */
    int64_t host_port_last;
    char preview_domain[CONFIG_PATH_SIZE];
    char preview_scheme[8];
    int64_t preview_port; /* that clients reach previews by; 0: port */
    char preview_secret[CONFIG_TEXT_SIZE];
    char tls_certificate[CONFIG_PATH_SIZE]; /* file in PEM; with tls_key empty: no TLS */
    char tls_key[CONFIG_PATH_SIZE];
    int64_t connections_max;
    int64_t connections_per_address_max;
    int64_t client_backlog_mb; /* gateway/http/outflow.h */
    char audit_data_plane[16];
    enum recorder_scope recorder_scope; /* of audit_data_plane */
    char sandbox_activity[CONFIG_PATH_SIZE];
    unsigned activity_kinds; /* of sandbox_activity */
};

/* Reads the environment; every mistake is in the log. */
bool gateway_config_read(struct gateway_config *config, struct err *err) MUST_CHECK;
/* The secrets are no longer in the environment behind this. */
void gateway_config_forget_environment(void);

#endif
