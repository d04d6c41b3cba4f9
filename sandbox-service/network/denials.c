#include "sandbox-service/network/denials.h"

#include "common/json/write.h"

#include <stdio.h>

void denials_add(struct denials *denials, const char *name)
{
    for (size_t i = 0; i < denials->count; i++) {
        if (strcmp(denials->names[i].name, name) == 0) {
            denials->names[i].attempts++;
            return;
        }
    }
    if (denials->count == DENIED_NAMES_MAX) {
        denials->others++;
        return;
    }
    struct denied_name *added = &denials->names[denials->count++];
    (void)snprintf(added->name, sizeof added->name, "%s", name);
    added->attempts = 1;
}

void denials_clear(struct denials *denials)
{
    denials->count = 0;
    denials->others = 0;
}

static void put(struct json_writer *json, const char *kind, const char *target, int64_t attempts)
{
    json_begin_object(json, NULL);
    json_string(json, "kind", view_of(kind));
    json_string(json, "target", view_of(target));
    json_int(json, "attempts", attempts);
    json_end_object(json);
}

/* As an entry of an allow-list that would have let it through; of other protocols the number. */
static void put_attempt(struct json_writer *json, const struct egress_attempt *attempt)
{
    enum { TARGET_SIZE = 48, TCP = 6, UDP = 17 };
    char address[ADDRESS_SIZE];
    char target[TARGET_SIZE];
    address_format(attempt->address, address);
    if (attempt->protocol == TCP || attempt->protocol == UDP) {
        (void)snprintf(target, sizeof target, "%s:%u%s", address, attempt->port,
                       attempt->protocol == UDP ? "/udp" : "");
    } else {
        (void)snprintf(target, sizeof target, "%s/%u", address, attempt->protocol);
    }
    put(json, "address", target, attempt->packets);
}

bool denials_write(const struct denials *denials, struct view listing, struct str *out,
                   struct err *err)
{
    struct json_writer json = json_writer_on(out);
    struct egress_attempt attempt;
    json_begin_array(&json, NULL);
    for (size_t i = 0; i < denials->count; i++) {
        put(&json, "name", denials->names[i].name, denials->names[i].attempts);
    }
    while (egress_next_attempt(&listing, &attempt)) {
        put_attempt(&json, &attempt);
    }
    if (denials->others > 0) {
        put(&json, "other", "", denials->others);
    }
    json_end_array(&json);
    return str_check(out, "denied attempts", err);
}
