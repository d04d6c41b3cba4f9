/* auth-service/settings.h: the settings of insien-auth. */
#ifndef AUTH_SERVICE_SETTINGS_H
#define AUTH_SERVICE_SETTINGS_H

#include "auth-service/jwt/clerk.h"
#include "auth-service/jwt/oidc.h"
#include "common/base/config.h"
#include "common/base/log.h"

struct settings {
    char run_dir[CONFIG_PATH_SIZE];
    char instance[64];
    char log_level_name[8];
    char database_url[CONFIG_TEXT_SIZE];
    char redis_url[CONFIG_TEXT_SIZE];
    char listen[CONFIG_PATH_SIZE];          /* for the gateway; empty: the socket in run_dir */
    char ipc_ca[CONFIG_PATH_SIZE];          /* common/ipc/tls.h */
    char ipc_certificate[CONFIG_PATH_SIZE]; /* the same */
    char ipc_key[CONFIG_PATH_SIZE];         /* the same */
    char key_cache_secret[CONFIG_TEXT_SIZE];
    char idempotency_secret[CONFIG_TEXT_SIZE];
    int64_t bcrypt_workers; /* 0: one a core */
    struct clerk_settings clerk;
    struct oidc_settings oidc;
    char webhook_secrets[CONFIG_TEXT_SIZE];
    int64_t clerk_session_check_s; /* 0: sessions are not asked for */
    enum log_level log_level;
};

/* Reads the environment. Mistakes are in the log when this returns false. */
bool settings_read(struct settings *settings, struct err *err) MUST_CHECK;
/* The secrets are no longer in the environment behind this. */
void settings_forget_environment(void);

#endif
