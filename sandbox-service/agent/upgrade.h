/* sandbox-service/agent/upgrade.h: the HTTP part of the agent's connection: one request, one answer
 * (RFC 9112, and RFC 6455, section 4.1), read strictly. */
#ifndef SANDBOX_AGENT_UPGRADE_H
#define SANDBOX_AGENT_UPGRADE_H

#include "common/base/id.h"
#include "common/base/str.h"
#include "common/ws/handshake.h"

enum {
    UPGRADE_HEADERS_MAX = 8 * 1024, /* bytes up to and with the empty line */
    UPGRADE_REQUEST_MAX = 4 * 1024,
};

enum upgrade_state {
    UPGRADE_INCOMPLETE,
    UPGRADE_ACCEPTED,
    UPGRADE_UNAUTHORIZED, /* 401: the token is not good */
    UPGRADE_REFUSED,      /* any other status */
    UPGRADE_BROKEN,       /* no such answer as may come */
};

/* The request; out then holds the token and is for the caller to wipe. */
void upgrade_write(struct str *out, const char sandbox_id[ID_SIZE], const char *token,
                   const char key[WS_KEY_SIZE]);

/* Looks at what has come so far. *consumed: how many bytes of it are the answer, when ACCEPTED;
 * what follows them are frames. */
enum upgrade_state upgrade_read(struct view bytes, const char key[WS_KEY_SIZE], size_t *consumed);

#endif
