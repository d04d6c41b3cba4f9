/* sandbox-service/events/signature.h: how a receiver knows that a webhook is ours (Standard
 * Webhooks: HMAC-SHA-256 over id, time and body). */
#ifndef SANDBOX_EVENTS_SIGNATURE_H
#define SANDBOX_EVENTS_SIGNATURE_H

#include "common/base/encode.h"
#include "common/base/id.h"
#include "common/contracts/events.h"

#include <stdint.h>

enum {
    SIGNATURE_KEY_LEN = 32,
    SIGNATURE_SIZE = 3 + ENCODE_BASE64_SIZE(32), /* "v1,<base64>" */
};

/* To be wiped. */
struct signature_key {
    uint8_t bytes[SIGNATURE_KEY_LEN];
};

/* The key of a webhook: made of the service's secret and the webhook's id, so that it is stored
 * nowhere, and whoever reads the database can't sign. Another secret makes other keys. */
bool signature_key_derive(struct view service_secret, const char webhook_id[ID_SIZE],
                          struct signature_key *out, struct err *err) MUST_CHECK;
/* As its owner gets it: "whsec_<base64>". */
void signature_key_write(const struct signature_key *key, char out[WEBHOOK_SECRET_SIZE]);

struct signature_subject {
    struct view id;        /* webhook-id */
    struct view timestamp; /* webhook-timestamp: seconds since 1970 */
    struct view body;
};
bool signature_write(const struct signature_key *key, const struct signature_subject *subject,
                     char out[SIGNATURE_SIZE], struct err *err) MUST_CHECK;

#endif
