/* gateway/native/agent_ask.h: messages to the agent in a REST request's name. */
#ifndef GATEWAY_NATIVE_AGENT_ASK_H
#define GATEWAY_NATIVE_AGENT_ASK_H

#include "common/base/str.h"
#include "gateway/native/request.h"

enum {
    AGENT_ASK_MAX = 2 * 1024 * 1024,  /* bytes of a message */
    AGENT_FILE_TIMEOUT_MS = 60 * 1000 /* of what a folder's size decides */
};

/* Turns a JSON object without an id into what the hub takes; out points into message. */
bool agent_message(struct str *message, struct hub_message *out, struct err *err) MUST_CHECK;

/* Appends the members of an agent's text that a client sees (all but id, type and streamId) to an
 * object that out has begun, on one line. False when text is no JSON. */
bool agent_copy_members(struct view text, struct str *out, struct err *err) MUST_CHECK;

/* Sends message (a JSON object without an id), and answers the request with 200 and the members of
 * the reply, or with the agent's error. */
void agent_ask(struct request *request, struct str *message, int64_t timeout_ms);

/* Whether the sandbox lives and takes messages; ERR_CONFLICT "sandbox_ended". */
bool agent_is_there(const struct request *request, struct err *err) MUST_CHECK;

/* Fails the request when err says so, or the agent's reply is an error; the request is over then.
 */
bool agent_replied(struct request *request, const struct hub_reply *reply,
                   const struct err *err) MUST_CHECK;

#endif
