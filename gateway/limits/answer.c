#include "gateway/limits/answer.h"

#include <assert.h>

enum { MS_PER_S = 1000, S_PER_MINUTE = 60, DIGITS_MAX = 20 };

/* Values, one behind the other. */
struct text {
    char *at;
    const char *value; /* where the one at hand begins */
};

/* printf would take longer than all else that a limit costs. */
static void append(struct text *text, struct view bytes)
{
    memcpy(text->at, bytes.ptr, bytes.len);
    text->at += bytes.len;
}

static void append_number(struct text *text, int64_t number)
{
    char digits[DIGITS_MAX];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    append(text, (struct view){digits + at, sizeof digits - at});
}

static struct http_header end_value(struct text *text, struct view name)
{
    const char *value = text->value;
    text->value = text->at;
    return (struct http_header){name, {value, (size_t)(text->at - value)}};
}

/* "<policy>";<q>=<quantity>;<w>=<seconds> */
static void append_item(struct text *text, struct view policy, struct view first, int64_t quantity,
                        struct view second, int64_t seconds)
{
    append(text, VIEW("\""));
    append(text, policy);
    append(text, first);
    append_number(text, quantity);
    append(text, second);
    append_number(text, seconds);
}

static int64_t round_up(int64_t number, int64_t unit)
{
    return (number + unit - 1) / unit;
}

void limit_headers_write(const struct limit_verdict *verdict, struct limit_headers *out)
{
    struct text text = {.at = out->text, .value = out->text};
    struct view policy = view_of(verdict->policy);
    int64_t reset_s = round_up(verdict->full_ms, MS_PER_S);
    int64_t window_s =
        round_up((int64_t)verdict->rate.burst * S_PER_MINUTE, verdict->rate.per_minute);
    append_number(&text, verdict->rate.burst);
    out->headers[0] = end_value(&text, VIEW("RateLimit-Limit"));
    append_number(&text, verdict->remaining);
    out->headers[1] = end_value(&text, VIEW("RateLimit-Remaining"));
    append_number(&text, reset_s);
    out->headers[2] = end_value(&text, VIEW("RateLimit-Reset"));
    append_item(&text, policy, VIEW("\";q="), verdict->rate.burst, VIEW(";w="), window_s);
    out->headers[3] = end_value(&text, VIEW("RateLimit-Policy"));
    append_item(&text, policy, VIEW("\";r="), verdict->remaining, VIEW(";t="), reset_s);
    out->headers[4] = end_value(&text, VIEW("RateLimit"));
    assert(text.at <= out->text + sizeof out->text);
}

int limit_retry_after_s(const struct limit_verdict *verdict)
{
    int64_t seconds = round_up(verdict->retry_ms, MS_PER_S);
    return seconds < 1 ? 1 : (int)seconds;
}

bool limit_error(enum limit_answer answer, const struct limit_verdict *verdict, struct err *err)
{
    if (answer == LIMIT_UNAVAILABLE) {
        return err_set_reason(err, ERR_UNAVAILABLE, "rate_limit_unavailable",
                              "limits: Redis is away, and this must not be done without");
    }
    int seconds = limit_retry_after_s(verdict);
    return err_set_reason(err, ERR_LIMIT, "rate_limited",
                          "Too many requests: come again in %d second%s.", seconds,
                          seconds == 1 ? "" : "s");
}
