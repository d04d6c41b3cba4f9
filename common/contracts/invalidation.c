#include "common/contracts/invalidation.h"

#include <stdio.h>

static const struct view kind_names[] = {
    [INVALIDATE_KEY] = VIEW("key "),         [INVALIDATE_USER] = VIEW("user "),
    [INVALIDATE_SANDBOX] = VIEW("sandbox "), [INVALIDATE_ACCOUNT] = VIEW("account "),
    [INVALIDATE_SESSION] = VIEW("session "), [INVALIDATE_EVENTS] = VIEW("events "),
};

bool invalidation_channel(const char *instance, char out[INVALIDATION_CHANNEL_SIZE],
                          struct err *err)
{
    int length = snprintf(out, INVALIDATION_CHANNEL_SIZE, "insien:%s:invalidate", instance);
    return (length > 0 && length < INVALIDATION_CHANNEL_SIZE) ||
           err_set(err, ERR_INVALID, "the instance's name is too long");
}

bool session_id_is_sound(struct view id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '_')) {
            return false;
        }
    }
    return id.len >= 1 && id.len <= SESSION_ID_MAX;
}

void invalidation_write(enum invalidation_kind kind, const char *id,
                        char out[INVALIDATION_MESSAGE_SIZE])
{
    (void)snprintf(out, INVALIDATION_MESSAGE_SIZE, "%s%s", kind_names[kind].ptr, id);
}

bool invalidation_read(struct view message, enum invalidation_kind *kind,
                       char id[INVALIDATION_ID_SIZE])
{
    for (int i = INVALIDATE_KEY; i <= INVALIDATE_EVENTS; i++) {
        if (view_starts_with(message, kind_names[i])) {
            struct view rest = view_from(message, kind_names[i].len);
            *kind = (enum invalidation_kind)i;
            return i == INVALIDATE_SESSION
                       ? session_id_is_sound(rest) && view_copy(rest, id, INVALIDATION_ID_SIZE)
                       : id_parse(rest, id);
        }
    }
    return false;
}
