#include "common/contracts/invalidation.h"

#include <stdio.h>

static const struct view kind_names[] = {
    [INVALIDATE_KEY] = VIEW("key "),
    [INVALIDATE_USER] = VIEW("user "),
    [INVALIDATE_SANDBOX] = VIEW("sandbox "),
    [INVALIDATE_ACCOUNT] = VIEW("account "),
    [INVALIDATE_SESSION] = VIEW("session "),
    [INVALIDATE_EVENTS] = VIEW("events "),
    [INVALIDATE_SANDBOXES] = VIEW("sandboxes"),
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

static bool read_id(enum invalidation_kind kind, struct view text, char out[INVALIDATION_ID_SIZE])
{
    switch (kind) {
    case INVALIDATE_SESSION:
        return session_id_is_sound(text) && view_copy(text, out, INVALIDATION_ID_SIZE);
    case INVALIDATE_SANDBOXES:
        out[0] = '\0';
        return text.len == 0;
    default:
        return id_parse(text, out);
    }
}

bool invalidation_read(struct view message, enum invalidation_kind *kind,
                       char id[INVALIDATION_ID_SIZE])
{
    for (int i = INVALIDATE_KEY; i <= INVALIDATE_SANDBOXES; i++) {
        if (view_starts_with(message, kind_names[i])) {
            *kind = (enum invalidation_kind)i;
            return read_id(*kind, view_from(message, kind_names[i].len), id);
        }
    }
    return false;
}
