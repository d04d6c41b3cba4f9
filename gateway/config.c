#include "gateway/config.h"

#include "gateway/http/syntax.h"

#include <stdio.h>

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
    {"REDIS_URL", CONFIG_SECRET, CONFIG_CHARS(struct gateway_config, redis_url), .required = true},
    {"AUTH_IPC", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, auth_ipc)},
    {"SANDBOX_IPC", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, sandbox_ipc)},
    {"ALLOWED_ORIGINS", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, allowed_origins)},
    {"RATE_LIMIT_EXEMPT", CONFIG_TEXT, CONFIG_CHARS(struct gateway_config, rate_limit_exempt)},
    {"MAX_CONNECTIONS", CONFIG_INT, offsetof(struct gateway_config, connections_max),
     .fallback = "20000", .min = 16, .max = 1000000},
    {"MAX_CONNECTIONS_PER_ADDRESS", CONFIG_INT,
     offsetof(struct gateway_config, connections_per_address_max), .fallback = "1024", .min = 1,
     .max = 1000000},
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

bool gateway_config_read(struct gateway_config *config, struct err *err)
{
    return config_read(items, sizeof items / sizeof items[0], config, err) &&
           fill_ipc(config, "auth", config->auth_ipc, sizeof config->auth_ipc, err) &&
           fill_ipc(config, "sandbox", config->sandbox_ipc, sizeof config->sandbox_ipc, err);
}

bool gateway_origin_is_allowed(const struct gateway_config *config, struct view origin)
{
    struct view list = view_of(config->allowed_origins);
    struct view item;
    if (list.len == 0) {
        return true;
    }
    while (syntax_next_item(&list, &item)) {
        if (view_equal(item, origin)) {
            return true;
        }
    }
    return false;
}
