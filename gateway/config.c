#include "gateway/config.h"

#include "gateway/cache/activity.h"
#include "gateway/http/address.h"
#include "gateway/http/cors.h"

#include <stdio.h>

enum {
    PORT_MAX = 65535,
    PORT_UNPRIVILEGED = 1024,
    DOMAIN_MAX = 200, /* with the labels in front still a host name */
};

static const struct config_item items[] = {
    {"INSIEN_RUN_DIR", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, run_dir),
     .fallback = "/run/insien"},
    {"INSIEN_INSTANCE", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, instance),
     .fallback = "insien"},
    {"LOG_LEVEL", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, log_level), .fallback = "info"},
    {"HOST", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, host), .fallback = "127.0.0.1"},
    {"PORT", CONFIG_INT, offsetof(struct gateway_config, port), .fallback = "3000", .min = 1,
     .max = 65535},
    {"WS_PORT", CONFIG_INT, offsetof(struct gateway_config, ws_port), .fallback = "3001", .min = 1,
     .max = 65535},
    {"INSIEN_WS_URL", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, ws_url),
     .fallback = "ws://127.0.0.1:3001"},
    {"INSIEN_API_URL", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, api_url),
     .fallback = "http://127.0.0.1:3000"},
    {"FILE_URL_SECRET", CONFIG_SECRET, CONFIG_CHARS(struct gateway_config, file_url_secret),
     .required = true, .is_signing_key = true},
    {"REDIS_URL", CONFIG_SECRET, CONFIG_CHARS(struct gateway_config, redis_url), .required = true,
     .is_url = true},
    {"AUTH_IPC", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, auth_ipc)},
    {"SANDBOX_IPC", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, sandbox_ipc)},
    {"IPC_CA_FILE", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, ipc_ca)},
    {"IPC_CERT_FILE", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, ipc_certificate)},
    {"IPC_KEY_FILE", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, ipc_key)},
    {"ALLOWED_ORIGINS", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, allowed_origins)},
    {"RATE_LIMIT_EXEMPT", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, rate_limit_exempt)},
    {"RATE_LIMITS", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, rate_limits)},
    {"TRUSTED_PROXIES", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, trusted_proxies)},
    {"HOST_PORT_RANGE", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, host_port_range),
     .fallback = "30000-30999"},
    {"HOST_PORT_ADDRESS", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, host_port_address),
     .fallback = "127.0.0.1"},
    {"PREVIEW_DOMAIN", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, preview_domain),
     .fallback = "localhost"},
    {"PREVIEW_SCHEME", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, preview_scheme)},
    {"PREVIEW_PORT", CONFIG_INT, offsetof(struct gateway_config, preview_port), .min = 0,
     .max = 65535},
    {"PREVIEW_SECRET", CONFIG_SECRET, CONFIG_CHARS(struct gateway_config, preview_secret),
     .required = true, .is_signing_key = true},
    {"TLS_CERT_FILE", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, tls_certificate)},
    {"TLS_KEY_FILE", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, tls_key)},
    {"MAX_CONNECTIONS", CONFIG_INT, offsetof(struct gateway_config, connections_max),
     .fallback = "20000", .min = 16, .max = 1000000},
    {"MAX_CONNECTIONS_PER_ADDRESS", CONFIG_INT,
     offsetof(struct gateway_config, connections_per_address_max), .fallback = "1024", .min = 1,
     .max = 1000000},
    {"CLIENT_BACKLOG_MB", CONFIG_INT, offsetof(struct gateway_config, client_backlog_mb),
     .fallback = "512", .min = 4, .max = 1000000},
    {"AUDIT_DATA_PLANE", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, audit_data_plane),
     .fallback = "off"},
    {"SANDBOX_ACTIVITY", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, sandbox_activity),
     .fallback = "requests,messages,streams,commands"},
};

/* The default of the two service addresses depends on the run directory. */
static bool fill_ipc(const struct gateway_config *config, const char *service, char *url,
                     size_t size, struct err *err)
{
    if (url[0] != '\0') {
        return true;
    }
    int length = snprintf(url, size, "ipc://%s/%s-1.sock", config->run_dir, service);
    return (length > 0 && (size_t)length < size) ||
           err_set(err, ERR_INVALID, "INSIEN_RUN_DIR is too long");
}

/* Digits up to the end or the separator; 0 when it is no port. */
static int64_t read_port(struct view text)
{
    int64_t port = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || port > PORT_MAX) {
            return 0;
        }
        port = port * 10 + (text.ptr[i] - '0');
    }
    return port <= PORT_MAX ? port : 0;
}

/* Privileged ports are not for sandboxes. */
static bool read_range(struct gateway_config *config, struct err *err)
{
    struct view rest = view_of(config->host_port_range);
    config->host_port_first = 0;
    config->host_port_last = 0;
    if (view_equal(rest, VIEW("none"))) {
        return true;
    }
    config->host_port_first = read_port(view_cut(&rest, '-'));
    config->host_port_last = read_port(rest);
    return (config->host_port_first >= PORT_UNPRIVILEGED &&
            config->host_port_first <= config->host_port_last) ||
           err_set(err, ERR_INVALID,
                   "HOST_PORT_RANGE must be \"none\" or two ports from %d to %d, such as "
                   "30000-30999",
                   PORT_UNPRIVILEGED, PORT_MAX);
}

static bool is_domain(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool in_label = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        bool inside = i > 0 && i + 1 < text.len && text.ptr[i - 1] != '.';
        if (!in_label && !(inside && (c == '-' || c == '.'))) {
            return false;
        }
    }
    return text.len > 0 && text.len <= DOMAIN_MAX;
}

static bool check_preview(struct gateway_config *config, struct err *err)
{
    if (config->preview_port == 0) {
        config->preview_port = config->port;
    }
    if (config->preview_scheme[0] == '\0') {
        (void)snprintf(config->preview_scheme, sizeof config->preview_scheme, "%s",
                       config->tls_certificate[0] == '\0' ? "http" : "https");
    }
    if (!is_domain(view_of(config->preview_domain))) {
        return err_set(err, ERR_INVALID, "PREVIEW_DOMAIN must be a host name in lower case");
    }
    return strcmp(config->preview_scheme, "http") == 0 ||
           strcmp(config->preview_scheme, "https") == 0 ||
           err_set(err, ERR_INVALID, "PREVIEW_SCHEME must be http or https");
}

static bool check_tls(const struct gateway_config *config, struct err *err)
{
    bool both = (config->tls_certificate[0] == '\0') == (config->tls_key[0] == '\0');
    return both ||
           err_set(err, ERR_INVALID, "TLS_CERT_FILE and TLS_KEY_FILE need each other: set both");
}

static bool check_origins(const struct gateway_config *config, struct err *err)
{
    return cors_list_check(view_of(config->allowed_origins), err) ||
           err_wrap(err, "ALLOWED_ORIGINS");
}

static bool check_networks(const char *name, const char *text, struct err *err)
{
    struct address_list list = {0};
    bool ok = address_list_parse(&list, text, err) || err_wrap(err, "%s", name);
    address_list_free(&list);
    return ok;
}

static bool check_limits(struct gateway_config *config, struct err *err)
{
    return (limit_policy_parse(&config->limit_policy, config->rate_limits, err) ||
            err_wrap(err, "RATE_LIMITS")) &&
           check_networks("RATE_LIMIT_EXEMPT", config->rate_limit_exempt, err) &&
           check_networks("TRUSTED_PROXIES", config->trusted_proxies, err);
}

static bool check_audit(struct gateway_config *config, struct err *err)
{
    return recorder_scope_parse(view_of(config->audit_data_plane), &config->recorder_scope) ||
           err_set(err, ERR_INVALID, "AUDIT_DATA_PLANE must be off, commands or all");
}

static bool check_activity(struct gateway_config *config, struct err *err)
{
    return activity_kinds_parse(view_of(config->sandbox_activity), &config->activity_kinds) ||
           err_set(err, ERR_INVALID,
                   "SANDBOX_ACTIVITY must be some of requests, messages, streams and commands, "
                   "with commas between them");
}

bool gateway_config_read(struct gateway_config *config, struct err *err)
{
    return config_read(items, sizeof items / sizeof items[0], config, err) &&
           check_origins(config, err) && check_tls(config, err) && read_range(config, err) &&
           check_preview(config, err) && check_limits(config, err) && check_audit(config, err) &&
           check_activity(config, err) &&
           fill_ipc(config, "auth", config->auth_ipc, sizeof config->auth_ipc, err) &&
           fill_ipc(config, "sandbox", config->sandbox_ipc, sizeof config->sandbox_ipc, err);
}

void gateway_config_forget_environment(void)
{
    config_forget_environment(items, sizeof items / sizeof items[0]);
}
