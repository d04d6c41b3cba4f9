/* auth-service/users/clerk_user.h: a user as Clerk describes it, in webhooks and in its Backend
 * API. */
#ifndef AUTH_SERVICE_USERS_CLERK_USER_H
#define AUTH_SERVICE_USERS_CLERK_USER_H

#include "auth-service/jwt/claims.h"

enum {
    PROFILE_EMAIL_SIZE = 321,
    PROFILE_NAME_SIZE = 256,
    PROFILE_URL_SIZE = 2049,
};

/* What we keep of a user. "" is none. */
struct profile {
    char email[PROFILE_EMAIL_SIZE];       /* the primary address, when it is proven */
    char display_name[PROFILE_NAME_SIZE]; /* given and family name, else the user name */
    char avatar_url[PROFILE_URL_SIZE];    /* https only */
    int64_t at_ms;                        /* wall clock of its source */
    bool banned;
};

struct clerk_user {
    char subject[CLAIM_TEXT_SIZE];
    struct profile profile;
};

/* What is too long or of no use is left out; ERR_INVALID when the user's id or times can't be
 * read. Nothing that the user can set to have more rights is looked at. */
bool clerk_user_read(struct view json, struct clerk_user *out, struct err *err) MUST_CHECK;

/* Whether subject may stand in a path of the Backend API: user_ and 1 to 64 letters or digits. */
bool clerk_user_id_is_sound(struct view subject) MUST_CHECK;

#endif
