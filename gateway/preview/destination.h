/* gateway/preview/destination.h: which port of which sandbox a request is for.
 *
 * Two forms: the host "{port}-{id32}.{domain}", where the whole host is the program's; and the path
 * "/preview/{id}/{port}/...", whose prefix the program does not see. */
#ifndef GATEWAY_PREVIEW_DESTINATION_H
#define GATEWAY_PREVIEW_DESTINATION_H

#include "common/base/id.h"

#include <stdint.h>

struct http_head;

enum { PREVIEW_PREFIX_SIZE = sizeof "/preview/" + ID_SIZE + sizeof "65535" };

enum preview_form {
    PREVIEW_NONE, /* not a preview: the API's */
    PREVIEW_HOST,
    PREVIEW_PATH,
};

struct preview_destination {
    enum preview_form form;
    bool is_named; /* else there can't be such a preview, and the members below are empty */
    char sandbox_id[ID_SIZE];
    uint16_t port;
    char prefix[PREVIEW_PREFIX_SIZE]; /* of the path form, as the client wrote it; no '/' behind */
    struct view path; /* for the program; as sent; empty: the prefix alone, not even a '/' */
};

/* The host decides first, then the path. domain is PREVIEW_DOMAIN; "" has no host form. path points
 * into the request's. */
void preview_find_destination(const struct http_head *head, const char *domain,
                              struct preview_destination *out);

#endif
