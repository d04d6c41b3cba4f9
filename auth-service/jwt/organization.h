/* auth-service/jwt/organization.h: the organization that a session token's user acts for. */
#ifndef AUTH_SERVICE_JWT_ORGANIZATION_H
#define AUTH_SERVICE_JWT_ORGANIZATION_H

#include "common/base/view.h"

enum {
    ORGANIZATION_TEXT_SIZE = 129,
    ORGANIZATION_PERMISSIONS_SIZE = 2049,
};

struct token_organization {
    char id[ORGANIZATION_TEXT_SIZE];                 /* "": none is active */
    char role[ORGANIZATION_TEXT_SIZE];               /* "org:admin" */
    char permissions[ORGANIZATION_PERMISSIONS_SIZE]; /* "org:teams:manage,org:teams:read" */
};

/* Reads it from a payload in either form: version 2 packs it, version 1 had flat members. None is
 * active when what the payload says of it is malformed or too long. */
void token_organization_read(struct view payload, struct token_organization *out);

#endif
