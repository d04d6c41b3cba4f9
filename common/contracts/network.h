/* common/contracts/network.h: what gateways ask the sandbox-service about the network of a sandbox.
 */
#ifndef COMMON_CONTRACTS_NETWORK_H
#define COMMON_CONTRACTS_NETWORK_H

#include "common/base/clock.h"
#include "common/base/id.h"
#include "common/json/read.h"

#include <stdint.h>

enum {
    NETWORK_ALLOW_MAX = 64,       /* entries of an allow-list */
    NETWORK_ALLOW_ITEM_MAX = 318, /* bytes of one */
    NETWORK_DENIALS_MAX = 101,    /* of a sandbox, that of what did not fit included */
    NETWORK_DENIAL_TEXT_SIZE = 384,
};

extern const char *const network_modes[]; /* "none", "restricted", "open" and NULL */
/* The one of them that name is; "none" when it is none of them. */
const char *network_mode(struct view name);

/* One target that a sandbox did not get, and its form in messages:
 * "<kind> <attempts> <last attempt> <target>". */
struct network_denial {
    struct view kind; /* "name", "address"; "other": all that were not kept apart */
    int64_t attempts;
    struct view last_at; /* RFC 3339 */
    struct view target;  /* may be empty */
};
void network_denial_write(const struct network_denial *denial, char out[NETWORK_DENIAL_TEXT_SIZE]);
/* ERR_INVALID when it is none. */
bool network_denial_read(struct view text, struct network_denial *out, struct err *err) MUST_CHECK;

/* network.set -> network_answer, when it is in force. ERR_INVALID names the entry that is wrong;
 * ERR_NOT_FOUND "sandbox_not_found" (also those of others), ERR_CONFLICT "sandbox_ended" or
 * "network_changing", ERR_LIMIT "network_addresses_exhausted", ERR_UNAVAILABLE
 * "network_unavailable": it may be asked again, which finishes what was begun. */
#define NETWORK_SET "network.set"
struct network_set {
    char sandbox_id[ID_SIZE];
    char user_id[ID_SIZE];
    struct view network;
    struct json_strings allow; /* of "restricted"; of the others none */
};
extern const struct json_schema network_set_schema;
struct network_answer {
    char user_id[ID_SIZE];
    struct view network;
    struct json_strings allow;
    struct json_strings denials; /* network_denial_read; most recent first */
};
extern const struct json_schema network_answer_schema;

/* network.get {sandboxId} -> network_answer; the caller compares user_id. ERR_NOT_FOUND
 * "sandbox_not_found". */
#define NETWORK_GET "network.get"
struct network_get {
    char sandbox_id[ID_SIZE];
};
extern const struct json_schema network_get_schema;

#endif
