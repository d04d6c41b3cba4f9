#include "gateway/http/outflow.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdint.h>

static size_t budget = SIZE_MAX;
static size_t waiting;  /* on all connections */
static size_t expected; /* of all sources */

void outflow_set_budget(size_t bytes)
{
    budget = bytes;
}

bool outflow_is_tight(void)
{
    return waiting + expected > budget / 2;
}

size_t outflow_waiting(void)
{
    return waiting;
}

void outflow_expect(size_t was, size_t is)
{
    expected -= was;
    expected += is;
}

static void set(struct outflow *outflow, size_t bytes)
{
    waiting -= outflow->bytes;
    waiting += bytes;
    outflow->bytes = bytes;
}

static void on_change(struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *arg)
{
    (void)info;
    set(arg, evbuffer_get_length(buffer));
}

bool outflow_begin(struct outflow *outflow, struct bufferevent *bev)
{
    struct evbuffer *buffer = bufferevent_get_output(bev);
    outflow->entry = evbuffer_add_cb(buffer, on_change, outflow);
    if (outflow->entry == NULL) {
        return false;
    }
    outflow->buffer = buffer;
    set(outflow, evbuffer_get_length(buffer));
    return true;
}

void outflow_end(struct outflow *outflow)
{
    if (outflow->buffer != NULL) {
        (void)evbuffer_remove_cb_entry(outflow->buffer, outflow->entry);
        set(outflow, 0);
        *outflow = (struct outflow){0};
    }
}
