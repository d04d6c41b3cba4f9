/* sandbox-service/agent/reply.h: where the answer to one request goes, and its frame. */
#ifndef SANDBOX_AGENT_REPLY_H
#define SANDBOX_AGENT_REPLY_H

#include "common/base/err.h"
#include "common/base/view.h"
#include "common/json/write.h"

#include <stdint.h>

enum { REPLY_ID_SIZE = 65 }; /* what json_scan_envelope lets through, and the NUL */

/* Takes a finished answer to the connection that had the number epoch. */
typedef void reply_send_fn(void *arg, uint64_t epoch, struct view text);

struct reply {
    reply_send_fn *send;
    void *arg;
    uint64_t epoch;
    char id[REPLY_ID_SIZE]; /* empty: the message had none, and the answer says null */
};

/* Begins {"id":...,"type":type in out, which gets the ceiling of a message. */
struct json_writer reply_begin(const struct reply *reply, struct str *out, const char *type);
/* Ends the object and sends it. Frees out. An answer for which there is no room or no memory is
 * lost, and the log says so. */
void reply_end(const struct reply *reply, struct json_writer *writer);
/* The same for an answer that may be too long: false, and nothing is sent, when it did not fit. */
bool reply_end_if_fits(const struct reply *reply, struct json_writer *writer) MUST_CHECK;

/* Sends an error answer; a message that is not for clients goes to the log instead. */
void reply_error(const struct reply *reply, const struct err *err);
/* The same with a sentence that may be longer than an err's. */
void reply_refuse(const struct reply *reply, const char *code, struct view sentence);

#endif
