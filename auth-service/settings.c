#include "auth-service/settings.h"

#define CHARS(member) CONFIG_CHARS(struct settings, member)
#define AT(member) .offset = offsetof(struct settings, member)

static const struct config_item items[] = {
    {"INSIEN_RUN_DIR", CONFIG_TEXT, CHARS(run_dir), .fallback = "/run/insien"},
    {"INSIEN_INSTANCE", CONFIG_TEXT, CHARS(instance), .fallback = "insien"},
    {"LOG_LEVEL", CONFIG_TEXT, CHARS(log_level_name), .fallback = "info"},
    {"DATABASE_URL", CONFIG_SECRET, CHARS(database_url), .required = true, .is_url = true},
    {"REDIS_URL", CONFIG_SECRET, CHARS(redis_url), .fallback = "unix:///run/insien/redis.sock",
     .is_url = true},
    {"AUTH_LISTEN", CONFIG_TEXT, CHARS(listen)},
    {"IPC_CA_FILE", CONFIG_TEXT, CHARS(ipc_ca)},
    {"IPC_CERT_FILE", CONFIG_TEXT, CHARS(ipc_certificate)},
    {"IPC_KEY_FILE", CONFIG_TEXT, CHARS(ipc_key)},
    {"KEY_CACHE_SECRET", CONFIG_SECRET, CHARS(key_cache_secret), .required = true,
     .is_signing_key = true},
    {"IDEMPOTENCY_SECRET", CONFIG_SECRET, CHARS(idempotency_secret), .required = true,
     .is_signing_key = true},
    {"BCRYPT_WORKERS", CONFIG_INT, AT(bcrypt_workers), .fallback = "0", .max = 64},
    {"CLERK_PUBLISHABLE_KEY", CONFIG_TEXT, CHARS(clerk.publishable_key)},
    {"CLERK_SECRET_KEY", CONFIG_SECRET, CHARS(clerk.secret_key)},
    {"CLERK_JWKS_URL", CONFIG_TEXT, CHARS(clerk.jwks_url)},
    {"CLERK_JWT_KEY", CONFIG_SECRET, CHARS(clerk.jwt_key)},
    {"CLERK_ISSUER", CONFIG_TEXT, CHARS(clerk.issuer)},
    {"CLERK_AUTHORIZED_PARTIES", CONFIG_TEXT, CHARS(clerk.authorized_parties)},
    {"CLERK_ALLOW_MISSING_AZP", CONFIG_BOOL, AT(clerk.allow_missing_azp), .fallback = "0"},
    {"CLERK_IGNORE_CATEGORY", CONFIG_BOOL, AT(clerk.ignore_category), .fallback = "0"},
    {"CLERK_CLOCK_SKEW_S", CONFIG_INT, AT(clerk.clock_skew_s), .fallback = "5", .max = 300},
    {"CLERK_API_URL", CONFIG_TEXT, CHARS(clerk.api_url), .fallback = "https://api.clerk.com"},
    {"CLERK_SESSION_CHECK_S", CONFIG_INT, AT(clerk_session_check_s), .fallback = "300",
     .max = INT64_C(24) * 3600},
    {"CLERK_AUDIENCE", CONFIG_TEXT, CHARS(clerk.audience)},
    {"AUTH_ISSUER", CONFIG_TEXT, CHARS(oidc.issuer)},
    {"AUTH_JWKS_URL", CONFIG_TEXT, CHARS(oidc.jwks_url)},
    {"AUTH_AUDIENCE", CONFIG_TEXT, CHARS(oidc.audience)},
    {"CLERK_WEBHOOK_SIGNING_SECRET", CONFIG_SECRET, CHARS(webhook_secrets)},
};

bool settings_read(struct settings *settings, struct err *err)
{
    if (!config_read(items, sizeof items / sizeof items[0], settings, err)) {
        return false;
    }
    return log_level_parse(view_of(settings->log_level_name), &settings->log_level) ||
           err_set(err, ERR_INVALID, "LOG_LEVEL must be debug, info, warn or error");
}

void settings_forget_environment(void)
{
    config_forget_environment(items, sizeof items / sizeof items[0]);
}
