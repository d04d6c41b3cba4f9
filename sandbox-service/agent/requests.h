/* sandbox-service/agent/requests.h: what the gateway asks, by the type of its message. */
#ifndef SANDBOX_AGENT_REQUESTS_H
#define SANDBOX_AGENT_REQUESTS_H

#include "sandbox-service/agent/process.h"
#include "sandbox-service/agent/reply.h"
#include "sandbox-service/agent/settings.h"

struct starter;
struct dials;
struct load;
struct onces;
struct sessions;
struct streams;
struct transfers;
struct trees;
struct watches;

typedef bool request_token_fn(void *arg, struct view token);

/* What requests work on. */
struct requests {
    struct settings *settings;        /* borrowed */
    struct processes *processes;      /* borrowed; NULL: there will be no exec */
    struct onces *onces;              /* borrowed */
    struct sessions *sessions;        /* borrowed */
    struct streams *streams;          /* borrowed */
    struct trees *trees;              /* borrowed */
    struct watches *watches;          /* borrowed */
    struct dials *dials;              /* borrowed */
    struct transfers *transfers;      /* borrowed */
    struct starter *starter;          /* borrowed; NULL: nothing is started by itself */
    struct load *load;                /* borrowed */
    reply_send_fn *send;              /* where answers go */
    request_token_fn *set_token;      /* takes configure's token; false: it is none */
    void (*on_configured)(void *arg); /* the answer to configure is sent; NULL: nobody minds */
    void *arg;                        /* of these three */
};

/* Does what one message asks; every message with an id is answered once, now or later, to the
 * connection epoch. */
void requests_handle(const struct requests *requests, uint64_t epoch, struct view text);

/* One type of request each; text is the whole message. Internal to requests. */
typedef void request_fn(const struct requests *requests, const struct reply *reply,
                        struct view text);
request_fn request_exec, request_write, request_read;
request_fn request_attach, request_input, request_close_stdin, request_resize, request_signal,
    request_ps, request_lookup, request_close_session, request_stats;
request_fn request_list, request_stat, request_mkdir, request_rename, request_copy, request_remove;
request_fn request_watch, request_unwatch;
request_fn request_upload, request_download, request_dial;

/* Walks the way of a command once, with one that is not there: the first real one is then as quick
 * as the rest. */
void exec_warm_up(const struct requests *requests);

/* Reads text by schema into out; NULL when it breaks the schema, after answering with all
 * violations: "invalid_path" when it is the path alone, else "invalid_request". */
struct json_doc *request_parse(const struct reply *reply, struct view text,
                               const struct json_schema *schema, void *out) MUST_CHECK;

/* Whom and where a request about a file means. */
struct request_target {
    const struct view *asked_user; /* borrowed, both: members of what is parsed */
    const struct view *asked_path;
    struct user user;     /* who acts */
    char path[PATH_SIZE]; /* absolute */
};
/* As request_parse, and then fills the rest of target. NULL, after answering, also with errors of
 * settings_user and path_resolve. */
struct json_doc *request_parse_target(const struct requests *requests, const struct reply *reply,
                                      struct view text, const struct json_schema *schema, void *out,
                                      struct request_target *target) MUST_CHECK;

#endif
