/* What a program in a sandbox answers, whole and byte by byte: both must come to the same end, and
 * what is told to a client must be safe to write. The first byte says what the request was. */
#include "common/base/str.h"
#include "gateway/http/syntax.h"
#include "gateway/preview/answer.h"
#include "gateway/preview/answer_headers.h"
#include "gateway/preview/destination.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_MAX = 1024 * 1024 };

struct reading {
    bool has_head;
    int status;
    size_t used;
    uint64_t body_bytes;
    bool ok;
    bool ended;
    enum answer_state state;
};

static const struct preview_destination destination = {
    .form = PREVIEW_PATH,
    .is_named = true,
    .port = 3000,
    .prefix = "/preview/33333333-3333-4333-8333-333333333333/3000",
};

static void on_head(const struct answer_head *head, void *arg)
{
    struct reading *reading = arg;
    struct answer_headers headers = {0};
    struct err err = {0};
    assert(!reading->has_head);
    reading->has_head = true;
    reading->status = head->status;
    assert(head->status == 101 || (head->status >= 200 && head->status <= 599));
    assert(head->length >= ANSWER_LENGTH_UNKNOWN && head->said_length >= 0);
    bool filled = answer_headers_fill(&headers, head, &destination, &err);
    assert(filled);
    for (size_t i = 0; i < headers.count; i++) {
        assert(syntax_is_token(headers.items[i].name) && syntax_is_value(headers.items[i].value));
    }
    answer_headers_free(&headers);
}

static void on_body(struct view bytes, void *arg)
{
    struct reading *reading = arg;
    assert(reading->has_head && bytes.len > 0);
    reading->body_bytes += bytes.len;
}

static const struct answer_events events = {on_head, on_body};

static struct reading read_in_steps(unsigned flags, struct view bytes, size_t step)
{
    struct reading reading = {.ok = true};
    struct err err = {0};
    struct answer *answer = answer_new((flags & 1) != 0, (flags & 2) != 0, &events, &reading);
    assert(answer != NULL);
    while (bytes.len > 0 && reading.ok) {
        struct view piece = {bytes.ptr, step < bytes.len ? step : bytes.len};
        size_t used;
        reading.ok = answer_feed(answer, piece, &used, &err);
        assert(used <= piece.len);
        reading.used += used;
        bytes = view_from(bytes, piece.len);
        if (used < piece.len) {
            break;
        }
    }
    reading.ended = reading.ok && answer_feed_end(answer, &err);
    reading.state = answer_state(answer);
    answer_free(answer);
    return reading;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct view bytes = {(const char *)data + 1, size - 1};
    struct reading whole = read_in_steps(data[0], bytes, bytes.len + 1);
    struct reading by_byte = read_in_steps(data[0], bytes, 1);
    assert(!whole.ended || whole.has_head);
    if (bytes.len > ANSWER_HEAD_MAX) {
        return 0; /* a head may be complete in one piece and too large in many */
    }
    assert(whole.ok == by_byte.ok && whole.ended == by_byte.ended);
    assert(whole.has_head == by_byte.has_head && whole.status == by_byte.status);
    if (whole.ok) {
        assert(whole.used == by_byte.used && whole.body_bytes == by_byte.body_bytes);
        assert(whole.state == by_byte.state);
    }
    return 0;
}
