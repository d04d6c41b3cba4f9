/* tests/unit/auth-service/listener.h: a gateway's ear, which hears what it has to forget. */
#ifndef TESTS_UNIT_AUTH_SERVICE_LISTENER_H
#define TESTS_UNIT_AUTH_SERVICE_LISTENER_H

#include "common/contracts/invalidation.h"
#include "tests/unit/auth-service/accounts.h"

enum { LISTENER_MAX = 32 };

struct listener {
    struct redis_subscription *subscription;
    bool subscribed;
    int count;
    enum invalidation_kind kinds[LISTENER_MAX];
    char ids[LISTENER_MAX][INVALIDATION_ID_SIZE];
};

/* Returns when it hears. */
void listener_open(struct listener *listener, struct accounts *accounts);
void listener_close(struct listener *listener);

/* For turn_until_true: whether there was anything. */
bool listener_has_heard(void *listener);
int listener_count(const struct listener *listener, enum invalidation_kind kind);
bool listener_has_heard_of(const struct listener *listener, enum invalidation_kind kind,
                           const char *id);

#endif
