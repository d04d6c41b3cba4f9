/* auth-service/webhooks/svix.h: whether a webhook was signed with a secret of ours (the scheme of
 * Svix and of Standard Webhooks: HMAC-SHA-256 over id, time and body). */
#ifndef AUTH_SERVICE_WEBHOOKS_SVIX_H
#define AUTH_SERVICE_WEBHOOKS_SVIX_H

#include "common/base/err.h"
#include "common/base/view.h"

#include <stdint.h>

enum {
    SVIX_SECRETS_MAX = 2, /* the present one and the one before or after it */
    SVIX_KEY_MIN = 16,    /* bytes */
    SVIX_KEY_MAX = 128,
    SVIX_ID_MAX = 255,        /* bytes of svix-id */
    SVIX_TOLERANCE_S = 300,   /* between its time and ours, both ways */
    SVIX_SIGNATURES_MAX = 16, /* that are looked at in one webhook */
};

struct svix_secrets {
    struct svix_key {
        uint8_t bytes[SVIX_KEY_MAX];
        size_t len;
    } keys[SVIX_SECRETS_MAX];
    size_t count; /* 0: none, and nothing verifies */
};

/* text: "whsec_<base64>", or two of them with a comma between; "" is none. ERR_INVALID otherwise.
 * The caller wipes out when it is done with it. */
bool svix_secrets_read(const char *text, struct svix_secrets *out, struct err *err) MUST_CHECK;

/* The three headers as they came, empty when absent, and the body byte for byte. */
struct svix_message {
    struct view id;
    struct view timestamp;
    struct view signature;
    struct view body;
};

/* ERR_INVALID "webhook_refused" with a message for our log: what is missing or wrong. */
bool svix_verify(const struct svix_secrets *secrets, const struct svix_message *message,
                 int64_t now_s, struct err *err) MUST_CHECK;

#endif
