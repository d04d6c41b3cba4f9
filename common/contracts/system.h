/* common/contracts/system.h: what administrators ask, by way of the gateways, of the
 * sandbox-service about its node as a whole. As in admin.h, only who has the scope "admin" is let
 * through, and what changes something is refused by the database unless that user still has the
 * role: ERR_DENIED "not_admin". */
#ifndef COMMON_CONTRACTS_SYSTEM_H
#define COMMON_CONTRACTS_SYSTEM_H

#include "common/base/id.h"
#include "common/json/read.h"

enum {
    SYSTEM_REASON_MAX = 500, /* characters */
    SYSTEM_REASON_BYTES_MAX = 4 * SYSTEM_REASON_MAX,
};

/* What both answer: a JSON object, as the API shows it. */
struct system_answer {
    struct view answer;
};
extern const struct json_schema system_answer_schema;

/* {} -> system_answer. */
#define SYSTEM_STATS "system.stats"

/* Begins or ends draining: creates are refused (ERR_UNAVAILABLE "node_draining"), what there is
 * goes on. -> system_answer, as SYSTEM_STATS; again: the same. */
#define SYSTEM_DRAIN "system.drain"
struct system_drain {
    char admin_id[ID_SIZE];
    char admin_key_id[ID_SIZE]; /* empty: a session */
    bool draining;
    struct view reason; /* empty: none, or as it is */
};
extern const struct json_schema system_drain_schema;

/* Takes away what is nobody's, or says what that would be. What no row has ever told of may be what
 * a restored database has forgotten: only with unknown does it go. -> system_answer. */
#define SYSTEM_CLEANUP "system.cleanup"
struct system_cleanup {
    char admin_id[ID_SIZE];
    char admin_key_id[ID_SIZE]; /* empty: a session */
    bool dry_run;
    bool unknown;
};
extern const struct json_schema system_cleanup_schema;

#endif
