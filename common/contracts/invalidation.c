#include "common/contracts/invalidation.h"

#include <stdio.h>

static const struct view kind_names[] = {
    [INVALIDATE_KEY] = VIEW("key "),
    [INVALIDATE_USER] = VIEW("user "),
    [INVALIDATE_SANDBOX] = VIEW("sandbox "),
};

bool invalidation_channel(const char *instance, char out[INVALIDATION_CHANNEL_SIZE],
                          struct err *err)
{
    int length = snprintf(out, INVALIDATION_CHANNEL_SIZE, "insien:%s:invalidate", instance);
    return (length > 0 && length < INVALIDATION_CHANNEL_SIZE) ||
           err_set(err, ERR_INVALID, "the instance's name is too long");
}

void invalidation_write(enum invalidation_kind kind, const char id[ID_SIZE],
                        char out[INVALIDATION_MESSAGE_SIZE])
{
    (void)snprintf(out, INVALIDATION_MESSAGE_SIZE, "%s%s", kind_names[kind].ptr, id);
}

bool invalidation_read(struct view message, enum invalidation_kind *kind, char id[ID_SIZE])
{
    for (int i = INVALIDATE_KEY; i <= INVALIDATE_SANDBOX; i++) {
        if (view_starts_with(message, kind_names[i])) {
            *kind = (enum invalidation_kind)i;
            return id_parse(view_from(message, kind_names[i].len), id);
        }
    }
    return false;
}
