/* common/contracts/actor.h: who is behind a call between our processes, and from where: what the
 * gateway knows of the client, for the audit trail. It goes with each call, beside the request's
 * trace; it grants nothing. */
#ifndef COMMON_CONTRACTS_ACTOR_H
#define COMMON_CONTRACTS_ACTOR_H

#include "common/base/id.h"
#include "common/json/read.h"

enum {
    ACTOR_ADDRESS_SIZE = 46,
    ACTOR_IMPERSONATOR_SIZE = 129,
    ACTOR_USER_AGENT_SIZE = 257,
};

/* "" of each is none, or not known (yet). Texts that do not fit are cut. */
struct actor {
    char user_id[ID_SIZE];
    char api_key_id[ID_SIZE];
    char address[ACTOR_ADDRESS_SIZE];           /* behind the trusted proxies */
    char impersonator[ACTOR_IMPERSONATOR_SIZE]; /* who acts in the user's name */
    char user_agent[ACTOR_USER_AGENT_SIZE];
};
extern const struct actor actor_none;

/* Fills one of them: cut at a NUL and to what fits, each byte that is no UTF-8 a '?'. */
void actor_text_set(char *out, size_t size, struct view text);

struct json_writer;
/* An object that lacks what is not known; nothing at all when that is everything. */
void actor_write(struct json_writer *writer, const char *name, const struct actor *actor);

/* The object as it was written; the schema of actor_fields has read it. */
struct actor_wire {
    char user_id[ID_SIZE];
    char api_key_id[ID_SIZE];
    struct view address;
    struct view impersonator;
    struct view user_agent;
};
enum { ACTOR_FIELD_COUNT = 5 };
extern const struct json_field actor_fields[ACTOR_FIELD_COUNT];
void actor_read(const struct actor_wire *wire, struct actor *out);

#endif
