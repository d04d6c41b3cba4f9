/* auth-service/admin/role_store.h: makes somebody an administrator, or one no more. */
#ifndef AUTH_SERVICE_ADMIN_ROLE_STORE_H
#define AUTH_SERVICE_ADMIN_ROLE_STORE_H

#include "common/base/id.h"

#include <libpq-fe.h>

enum {
    ROLE_EMAIL_SIZE = 321,
    ROLE_IDENTITIES_SIZE = 512,
};

/* Whose role it was. */
struct role_outcome {
    char user_id[ID_SIZE];
    char email[ROLE_EMAIL_SIZE];           /* "": none */
    char identities[ROLE_IDENTITIES_SIZE]; /* "issuer subject, ...", cut */
    bool changed;                          /* false: it was so before */
};

/* role: "admin" or "user". who: a user's id, or an address that one user alone has. The change and
 * its record in the audit trail are there together, or neither is. Blocks. ERR_NOT_FOUND;
 * ERR_CONFLICT with the ids, when several have the address. */
bool role_set(PGconn *pg, const char *who, const char *role, struct role_outcome *out,
              struct err *err) MUST_CHECK;

#endif
