/* common/contracts/admin.h: what administrators ask, by way of the gateways: of the auth-service
 * about users and keys, of the sandbox-service about sandboxes, whoever's they are.
 *
 * The gateways let through only who has the scope "admin". What changes something says who does it,
 * and is refused by the database itself unless that user still has the role, and the key the scope:
 * ERR_DENIED "not_admin". */
#ifndef COMMON_CONTRACTS_ADMIN_H
#define COMMON_CONTRACTS_ADMIN_H

#include "common/contracts/auth.h"

enum {
    ADMIN_PAGE_MAX = 100,
    ADMIN_CURSOR_MAX = 255,
    ADMIN_EMAIL_MAX = 320,  /* bytes; RFC 5321: 64 of the local part, "@", 255 of the domain */
    ADMIN_REASON_MAX = 500, /* characters of why somebody is suspended */
    ADMIN_REASON_BYTES_MAX = 4 * ADMIN_REASON_MAX,
};

/* "free", "pro", "enterprise"; and "active", "suspended", "deleted"; each ends with NULL. */
extern const char *const admin_tiers[];
extern const char *const admin_user_statuses[];

/* What lists answer: newest first. ERR_INVALID "invalid_cursor". */
struct admin_page {
    struct view items;       /* a JSON array, as the API shows it */
    struct view next_cursor; /* empty: no more */
};
extern const struct json_schema admin_page_schema;

/* Empty members of lists ask for any. */
#define ADMIN_LIST_USERS "auth.admin_list_users"
struct admin_list_users {
    struct view email;  /* whole; letters of either case */
    struct view tier;   /* of admin_tiers */
    struct view status; /* of admin_user_statuses */
    int64_t limit;      /* 1..ADMIN_PAGE_MAX */
    struct view cursor;
};
extern const struct json_schema admin_list_users_schema;

#define ADMIN_LIST_KEYS "auth.admin_list_keys"
struct admin_list_keys {
    char user_id[ID_SIZE];
    int64_t limit;
    struct view cursor;
};
extern const struct json_schema admin_list_keys_schema;

/* Sets what is there. -> admin_user; again: the same. Whom it suspends, or whose tier it sets,
 * feels it within a second. ERR_NOT_FOUND "account_not_found"; ERR_CONFLICT "account_deleted", or
 * "own_account" for whoever would suspend themselves. */
#define ADMIN_CHANGE_USER "auth.admin_change_user"
struct admin_change_user {
    char admin_id[ID_SIZE];
    char admin_key_id[ID_SIZE]; /* empty: a session */
    char user_id[ID_SIZE];
    struct view tier; /* of admin_tiers; empty: as it is */
    bool sets_suspended;
    bool suspended;
    struct view reason; /* of a suspension; empty: none, or as it is */
};
extern const struct json_schema admin_change_user_schema;
struct admin_user {
    struct view user; /* a JSON object, as the API shows it */
};
extern const struct json_schema admin_user_schema;

/* With all that came of it; again: the same. ERR_NOT_FOUND "api_key_not_found". */
#define ADMIN_REVOKE_KEY "auth.admin_revoke_key"
struct admin_revoke_key {
    char admin_id[ID_SIZE];
    char admin_key_id[ID_SIZE]; /* empty: a session */
    char id[ID_SIZE];
};
extern const struct json_schema admin_revoke_key_schema;

#define ADMIN_LIST_SANDBOXES "sandbox.admin_list"
struct admin_list_sandboxes {
    char user_id[ID_SIZE];
    struct view status; /* one of sandbox_statuses */
    int64_t limit;
    struct view cursor;
};
extern const struct json_schema admin_list_sandboxes_schema;

/* As SANDBOX_DESTROY; the sandbox ends with the reason "admin". ERR_NOT_FOUND "sandbox_not_found"
 * also for whoever is no administrator (any more). */
#define ADMIN_DESTROY_SANDBOX "sandbox.admin_destroy"
struct admin_destroy_sandbox {
    char admin_id[ID_SIZE];
    char sandbox_id[ID_SIZE];
};
extern const struct json_schema admin_destroy_sandbox_schema;

#endif
