/* auth-service/jwt/claims.h: what a session token says, and whom we believe. */
#ifndef AUTH_SERVICE_JWT_CLAIMS_H
#define AUTH_SERVICE_JWT_CLAIMS_H

#include "auth-service/jwt/organization.h"
#include "common/json/read.h"

enum {
    CLAIM_TEXT_MAX = 255, /* bytes of a subject, session or actor */
    CLAIM_TEXT_SIZE = CLAIM_TEXT_MAX + 1,
    TOKEN_PARTIES_MAX = 16,
};

/* Strings are borrowed. */
struct token_policy {
    const char *issuer;                                /* compared byte for byte */
    const char *audience;                              /* "": not looked at */
    struct view authorized_parties[TOKEN_PARTIES_MAX]; /* whole origins */
    size_t authorized_party_count;                     /* 0: azp is not looked at */
    bool allow_missing_azp;
    bool ignore_category; /* of the header, which its makers do not document */
    bool is_oidc; /* not Clerk's: access tokens (RFC 9068) serve too, and what is Clerk's own way
                     (categories, machines, sessions with a step left) means nothing */
    int64_t clock_skew_s;
};

struct token_claims {
    char subject[CLAIM_TEXT_SIZE];
    char session_id[CLAIM_TEXT_SIZE]; /* "": not said */
    char actor[CLAIM_TEXT_SIZE];      /* who acts in the subject's name; "": nobody */
    double expires_at_s;
    struct token_organization organization;
};

/* Reads and judges the payload of a token whose signature holds. Refusals are
 * ERR_UNAUTHENTICATED with a reason for our log. */
bool token_claims_read(struct view payload, const struct token_policy *policy, double now_s,
                       struct token_claims *claims, struct err *err) MUST_CHECK;

/* Fills err with ERR_UNAUTHENTICATED and a reason for our log. Returns false. */
static inline bool token_refuse(struct err *err, const char *reason)
{
    (void)err_set_reason(err, ERR_UNAUTHENTICATED, reason, "session token refused: %s", reason);
    return false;
}

/* How a violation of a member is called. */
struct token_member_reason {
    const char *member;
    const char *reason;
};
/* Refuses a document for what json_read said of it: by the first of reasons whose member has a
 * violation, else as "token-invalid". Returns false. */
bool token_refuse_document(const struct json_violations *violations,
                           const struct token_member_reason *reasons, size_t reason_count,
                           struct err *err);

#endif
