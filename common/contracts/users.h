/* common/contracts/users.h: what gateways ask the auth-service about accounts and the audit trail.
 * Strings point into the document they were read from. */
#ifndef COMMON_CONTRACTS_USERS_H
#define COMMON_CONTRACTS_USERS_H

#include "common/contracts/auth.h"

enum {
    USER_NAME_CHARS_MAX = 100,
    USER_NAME_MAX = 4 * USER_NAME_CHARS_MAX,
    USER_AVATAR_URL_MAX = 2048,
    AUDIT_LIST_MAX = 100, /* records of a page */
    AUDIT_WORD_MAX = 256, /* bytes of an action or a target */
};

/* auth.get_user -> auth_user. ERR_UNAUTHENTICATED "invalid_api_key" when there is none (any more);
 * so the next two, also when the one who acts does not serve (any more). */
#define AUTH_GET_USER "auth.get_user"
struct auth_get_user {
    char user_id[ID_SIZE];
};
extern const struct json_schema auth_get_user_schema;

/* What a user may know of the own account. Empty: null. */
struct auth_user {
    char id[ID_SIZE];
    struct view email;
    struct view display_name;
    struct view avatar_url;
    struct view tier;
    struct view role;       /* "user", "admin" */
    struct view created_at; /* RFC 3339 */
};
extern const struct json_schema auth_user_schema;

/* auth.update_user -> auth_user. What is set to nothing is what the issuer of the identity says. */
#define AUTH_UPDATE_USER "auth.update_user"
struct auth_update_user {
    char user_id[ID_SIZE];
    char actor_key_id[ID_SIZE]; /* empty: a session */
    bool sets_display_name;
    bool sets_avatar_url;
    struct view display_name;
    struct view avatar_url;
};
extern const struct json_schema auth_update_user_schema;
/* Rules for the two, for .check. */
bool user_name_check(struct view name, const char **problem);
bool user_avatar_check(struct view url, const char **problem);

/* auth.delete_user: the account is over, for good. ERR_DENIED "child_key" for a key that another
 * key made. */
#define AUTH_DELETE_USER "auth.delete_user"
struct auth_delete_user {
    char user_id[ID_SIZE];
    char actor_key_id[ID_SIZE]; /* empty: a session */
};
extern const struct json_schema auth_delete_user_schema;

/* auth.list_audit: the audit trail, newest first: of a user (what they did, and what was done to
 * theirs) or of all. The personal parts are those of the user's own acts. ERR_INVALID
 * "invalid_cursor". */
#define AUTH_LIST_AUDIT "auth.list_audit"
struct auth_list_audit {
    char user_id[ID_SIZE]; /* empty: of all */
    bool is_for_admin;     /* with every personal part */
    struct view action;    /* empty: any; so the rest */
    struct view target;
    int64_t since_ms; /* wall clock, inclusive */
    int64_t until_ms; /* exclusive */
    int64_t limit;    /* 1..AUDIT_LIST_MAX */
    struct view cursor;
};
extern const struct json_schema auth_list_audit_schema;
struct auth_audit_page {
    struct view records;     /* a JSON array, as the API shows it */
    struct view next_cursor; /* empty: no more */
};
extern const struct json_schema auth_audit_page_schema;

#endif
