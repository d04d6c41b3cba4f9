/* A webhook: the lines svix-id, svix-timestamp and svix-signature, then the body. The body is read
 * as an event whatever the signature says, and as a user of the Backend API. */
#include "auth-service/webhooks/event.h"
#include "auth-service/webhooks/svix.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const int64_t now_s = 1767225600;

static const struct svix_secrets *secrets(void)
{
    static struct svix_secrets read;
    struct err err;
    if (read.count == 0) {
        bool ok = svix_secrets_read("whsec_1QJ9hr77OxxS03IQjjTzgDra+fDAE5t3,"
                                    "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
                                    &read, &err);
        assert(ok && read.count == SVIX_SECRETS_MAX);
    }
    return &read;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view rest = {(const char *)data, size};
    struct svix_message message;
    struct webhook_event event;
    struct clerk_user user;
    struct err err = {0};
    message.id = view_cut(&rest, '\n');
    message.timestamp = view_cut(&rest, '\n');
    message.signature = view_cut(&rest, '\n');
    message.body = rest;
    if (!svix_verify(secrets(), &message, now_s, &err)) {
        assert(err.code == ERR_INVALID && strcmp(err.reason, "webhook_refused") == 0);
    }
    if (!webhook_event_read(rest, &event, &err)) {
        assert(err.code == ERR_INVALID && strcmp(err.reason, "webhook_unreadable") == 0);
    } else if (event.kind == WEBHOOK_SESSION_ENDED) {
        assert(session_id_is_sound(view_of(event.session_id)));
    } else if (event.kind != WEBHOOK_OTHER) {
        assert(event.user.subject[0] != '\0');
    }
    if (clerk_user_read(rest, &user, &err)) {
        assert(user.subject[0] != '\0' && user.profile.at_ms > 0);
    }
    if (clerk_user_id_is_sound(rest)) {
        assert(view_starts_with(rest, VIEW("user_")) && memchr(rest.ptr, '/', rest.len) == NULL);
    }
    return 0;
}
