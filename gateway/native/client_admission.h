/* gateway/native/client_admission.h: what the messages of a client's WebSocket cost: each text
 * message is a request, whatever it asks for, and counts in the limits of its caller. Frames of
 * streams cost nothing: credit bounds them. */
#ifndef GATEWAY_NATIVE_CLIENT_ADMISSION_H
#define GATEWAY_NATIVE_CLIENT_ADMISSION_H

#include "gateway/limits/limits.h"

/* As many as a client may have without an answer: one that goes on then does not listen. */
enum { CLIENT_REFUSALS_MAX = 256 };

/* Lies in the relay; zero: messages are free. */
struct client_admission {
    struct limits *limits; /* borrowed; NULL: messages are free */
    struct limit_request costs;
    struct limit_wait *wait;  /* NULL while none is in flight */
    enum limit_answer answer; /* of the message at hand, once it is decided */
    struct limit_verdict verdict;
    bool is_decided;
    unsigned refusals; /* since a message was admitted */
    void (*on_decided)(void *arg);
    void *arg;
};

/* Copies costs. */
void client_admission_open(struct client_admission *admission, struct limits *limits,
                           const struct limit_request *costs, void (*on_decided)(void *arg),
                           void *arg);
/* on_decided does not come any more. */
void client_admission_close(struct client_admission *admission);

/* For the message at hand. LIMIT_WAITS: on_decided comes, once, later, and it is asked again for
 * the same message; else the next is for another. verdict tells of a refusal. */
enum limit_answer client_admission_take(struct client_admission *admission) MUST_CHECK;
/* More than CLIENT_REFUSALS_MAX were refused in a row. */
bool client_admission_is_flooded(const struct client_admission *admission) MUST_CHECK;

#endif
