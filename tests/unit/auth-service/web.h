/* tests/unit/auth-service/web.h: an HTTP server of a test's own that plays Clerk or an issuer. */
#ifndef TESTS_UNIT_AUTH_SERVICE_WEB_H
#define TESTS_UNIT_AUTH_SERVICE_WEB_H

#include "common/event/loop.h"

enum {
    WEB_BODY_SIZE = 8192,
    WEB_TEXT_SIZE = 256,
};

/* Set before a request comes; read behind it. */
struct web {
    struct evhttp *server; /* owned */
    char url[64];          /* without a slash at the end */
    int status;
    int64_t retry_after_s; /* 0: no such header */
    char body[WEB_BODY_SIZE];
    int requests;
    char path[WEB_TEXT_SIZE]; /* of the last one, as the next */
    char authorization[WEB_TEXT_SIZE];
};

void web_open(struct web *web, struct loop *loop);
void web_close(struct web *web);

#endif
