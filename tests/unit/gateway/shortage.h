/* tests/unit/gateway/shortage.h: makes gateway/http/outflow.h tight for a while. */
#ifndef TESTS_UNIT_GATEWAY_SHORTAGE_H
#define TESTS_UNIT_GATEWAY_SHORTAGE_H

#include "common/event/loop.h"
#include "gateway/http/outflow.h"

#include <event2/bufferevent.h>

struct shortage {
    struct bufferevent *hog; /* owned; what waits in it is never taken */
    struct outflow outflow;
};

static inline void shortage_begin(struct shortage *shortage, struct loop *loop)
{
    static const char bytes[] = "never taken";
    *shortage = (struct shortage){.hog = bufferevent_socket_new(loop_base(loop), -1, 0)};
    assert_int_equal(bufferevent_write(shortage->hog, bytes, sizeof bytes), 0);
    assert_true(outflow_begin(&shortage->outflow, shortage->hog));
    outflow_set_budget(sizeof bytes);
    assert_true(outflow_is_tight());
}

static inline void shortage_end(struct shortage *shortage)
{
    outflow_end(&shortage->outflow);
    bufferevent_free(shortage->hog);
    outflow_set_budget(SIZE_MAX);
}

#endif
