#include "tests/unit/auth-service/listener.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void on_message(struct view message, void *arg)
{
    struct listener *listener = arg;
    int at = listener->count++;
    assert_in_range(at, 0, LISTENER_MAX - 1);
    assert_true(invalidation_read(message, &listener->kinds[at], listener->ids[at]));
}

static void on_state(bool subscribed, void *arg)
{
    struct listener *listener = arg;
    listener->subscribed = subscribed;
}

void listener_open(struct listener *listener, struct accounts *accounts)
{
    static const struct redis_subscriber subscriber = {on_message, on_state};
    struct err err = {0};
    *listener = (struct listener){0};
    listener->subscription =
        redis_subscribe(accounts->loop, redis_server_url(accounts->redis_server),
                        "insien:" ACCOUNTS_INSTANCE ":invalidate", &subscriber, listener, &err);
    assert_non_null(listener->subscription);
    turn_until(accounts->loop, &listener->subscribed);
}

void listener_close(struct listener *listener)
{
    redis_unsubscribe(listener->subscription);
}

bool listener_has_heard(void *listener)
{
    return ((const struct listener *)listener)->count > 0;
}

int listener_count(const struct listener *listener, enum invalidation_kind kind)
{
    int count = 0;
    for (int i = 0; i < listener->count; i++) {
        count += listener->kinds[i] == kind ? 1 : 0;
    }
    return count;
}

bool listener_has_heard_of(const struct listener *listener, enum invalidation_kind kind,
                           const char *id)
{
    for (int i = 0; i < listener->count; i++) {
        if (listener->kinds[i] == kind && strcmp(listener->ids[i], id) == 0) {
            return true;
        }
    }
    return false;
}
