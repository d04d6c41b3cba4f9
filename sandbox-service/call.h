/* sandbox-service/call.h: one request to the service, from its arrival to its one reply. */
#ifndef SANDBOX_CALL_H
#define SANDBOX_CALL_H

#include "common/audit/act.h"
#include "common/ipc/server.h"

struct call;

/* Lets go of what else a part's struct holds; the call has been answered. */
typedef void call_release_fn(struct call *call);

/* What the calls of one part of the service have in common; belongs to the part. */
struct calls {
    void *part;                 /* borrowed; whose they are */
    struct audit_writer *audit; /* borrowed; NULL: none of them changes anything */
    const char *target_kind;    /* what they act on, in the audit trail; a literal */
    size_t size;                /* of the part's own struct, which begins with a struct call */
    call_release_fn *release;   /* NULL: it holds nothing */
    bool are_secret;            /* their bodies are wiped when they are over */
    size_t open;                /* how many are being served */
};

struct call {
    struct calls *calls;               /* borrowed */
    struct ipc_exchange *exchange;     /* owned until the reply */
    const struct ipc_request *message; /* borrowed until the reply */
    struct json_doc *doc;              /* owned; of the body */
    struct audit_act *act;             /* owned; NULL: it changes nothing */
    char target[AUDIT_TARGET_SIZE];    /* of the act; "": not known (yet) */
};

/* A zeroed struct of calls->size, and body as schema reads it (both NULL: there is nothing to
 * read), whose views are valid until the reply. NULL: answered with what is wrong. */
void *call_begin(struct calls *calls, struct ipc_exchange *exchange,
                 const struct ipc_request *message, const struct json_schema *schema,
                 void *body) MUST_CHECK;

/* What is about to be done. */
struct call_act {
    enum audit_action action;
    const char *user_id; /* who does it */
    const char *key_id;  /* and with which key, "": none; NULL: as the message says */
    struct view target;  /* "": not known yet */
};

/* Takes the record's place; it goes its way with the reply, and says what became of it. False, and
 * the call is answered, when there is no room for it. */
bool call_begin_act(struct call *call, const struct call_act *act) MUST_CHECK;
void call_set_target(struct call *call, struct view target);
/* Nothing was changed after all. */
void call_forget_act(struct call *call);

/* The ways out: each answers and frees the call. body is a JSON object's text; call_finish_text
 * fails the call when the text is not whole; call_finish_with writes answer by schema. */
void call_finish(struct call *call, struct view body);
void call_finish_empty(struct call *call);
void call_finish_text(struct call *call, const struct str *body);
void call_finish_with(struct call *call, const struct json_schema *schema, const void *answer);
void call_fail(struct call *call, const struct err *err);
void call_fail_with(struct call *call, enum err_code code, const char *reason, const char *message);

#endif
