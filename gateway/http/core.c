#include "gateway/http/core.h"

#include "common/base/encode.h"
#include "common/base/secret.h"

enum {
    ID_PREFIX_BYTES = (CORE_ID_PREFIX_SIZE - 1) / 2,
    BODY_TICKS = 10, /* a body's limits are looked at so often within its shortest */
    BODY_TICK_MAX_MS = 1000,
    WRITE_TICKS = 5,   /* the same for an ordinary answer that is not being read */
    STREAM_TICKS = 10, /* the same for the stall of streamed answers */
    STREAM_TICK_MAX_MS = 10 * 1000,
    IDLE_SPREAD = 16, /* a variant is longer by that part of the limit */
};

static bool init_timeout(struct http_core *core, enum core_timeout timeout, int64_t ms,
                         struct err *err)
{
    const struct timeval length = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    core->timeouts[timeout] = event_base_init_common_timeout(loop_base(core->loop), &length);
    return core->timeouts[timeout] != NULL || err_set(err, ERR_INTERNAL, "http: out of memory");
}

static bool init_timeouts(struct http_core *core, struct err *err)
{
    const struct http_limits *limits = &core->limits;
    int64_t tick_ms = limits->body_gap_ms / BODY_TICKS;
    tick_ms = tick_ms > BODY_TICK_MAX_MS ? BODY_TICK_MAX_MS : tick_ms;
    int64_t write_ms = limits->write_stall_ms / WRITE_TICKS;
    int64_t stream_ms = limits->stream_stall_ms / STREAM_TICKS;
    stream_ms = stream_ms > STREAM_TICK_MAX_MS ? STREAM_TICK_MAX_MS : stream_ms;
    for (int i = 0; i < CORE_IDLE_VARIANTS; i++) {
        int64_t idle_ms = limits->idle_timeout_ms + limits->idle_timeout_ms * i / IDLE_SPREAD;
        if (!init_timeout(core, (enum core_timeout)(TIMEOUT_IDLE + i), idle_ms, err)) {
            return false;
        }
    }
    return init_timeout(core, TIMEOUT_HEAD, limits->head_timeout_ms, err) &&
           init_timeout(core, TIMEOUT_BODY_TICK, tick_ms > 0 ? tick_ms : 1, err) &&
           init_timeout(core, TIMEOUT_WRITE, write_ms > 0 ? write_ms : 1, err) &&
           init_timeout(core, TIMEOUT_LINGER, CORE_LINGER_MS, err) &&
           init_timeout(core, TIMEOUT_STREAM, stream_ms > 0 ? stream_ms : 1, err) &&
           init_timeout(core, TIMEOUT_WATCH, CORE_WATCH_MS, err);
}

bool core_init(struct http_core *core, struct loop *loop, const struct http_limits *limits,
               struct err *err)
{
    uint8_t random[ID_PREFIX_BYTES];
    *core = (struct http_core){.loop = loop, .limits = *limits};
    core->limits.exempt_cidrs = NULL;
    core->limits.proxy_cidrs = NULL;
    response_writer_init(&core->writer);
    if (!address_list_parse(&core->exempt, limits->exempt_cidrs, err) ||
        !address_list_parse(&core->proxies, limits->proxy_cidrs, err) ||
        !secret_random(random, sizeof random, err)) {
        return false;
    }
    encode_hex(random, sizeof random, core->id_prefix);
    return init_timeouts(core, err);
}

void core_release(struct http_core *core)
{
    address_list_free(&core->exempt);
    address_list_free(&core->proxies);
    response_writer_free(&core->writer);
}

void core_new_id(struct http_core *core, char out[HTTP_REQUEST_ID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    size_t len = sizeof core->id_prefix - 1;
    memcpy(out, core->id_prefix, len);
    core->id_counter++;
    for (int shift = 36; shift >= 0; shift -= 4) {
        out[len++] = digits[core->id_counter >> (unsigned)shift & 15U];
    }
    out[len] = '\0';
}
