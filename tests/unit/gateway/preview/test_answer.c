/* gateway/preview/answer.h: a program's answer in pieces of every size. */
#include "gateway/preview/answer.h"

#include "tests/unit/gateway/preview/head.h"

struct reading {
    struct answer *answer;
    struct answer_head head;
    int heads;
    struct str headers; /* "name=value;" of each */
    struct str body;
    size_t used;
    struct err err;
};

static void on_head(const struct answer_head *head, void *arg)
{
    struct reading *reading = arg;
    reading->head = *head;
    reading->heads++;
    for (size_t i = 0; i < head->header_count; i++) {
        str_append_view(&reading->headers, head->headers[i].name);
        str_append_char(&reading->headers, '=');
        str_append_view(&reading->headers, head->headers[i].value);
        str_append_char(&reading->headers, ';');
    }
}

static void on_body(struct view bytes, void *arg)
{
    struct reading *reading = arg;
    str_append_view(&reading->body, bytes);
}

static const struct answer_events events = {on_head, on_body};

static void begin(struct reading *reading, bool no_body, bool upgrades)
{
    *reading = (struct reading){.headers = STR_INIT(65536), .body = STR_INIT(65536)};
    reading->answer = answer_new(no_body, upgrades, &events, reading);
    assert_non_null(reading->answer);
}

static bool feed(struct reading *reading, struct view bytes, size_t step)
{
    while (bytes.len > 0) {
        struct view piece = {bytes.ptr, step < bytes.len ? step : bytes.len};
        size_t used;
        if (!answer_feed(reading->answer, piece, &used, &reading->err)) {
            return false;
        }
        reading->used += used;
        if (used < piece.len) {
            return true;
        }
        bytes = view_from(bytes, used);
    }
    return true;
}

static void end(struct reading *reading)
{
    answer_free(reading->answer);
    str_free(&reading->headers);
    str_free(&reading->body);
}

struct expectation {
    const char *name;
    const char *bytes;
    bool no_body, upgrades;
    int status;
    const char *headers;
    const char *body;
    int64_t length;
    bool keep_alive;
    enum answer_state state;
    size_t left; /* bytes behind the answer */
};

static const struct expectation good[] = {
    {"with a length", "HTTP/1.1 200 OK\r\nA:  b \r\nContent-Length: 5\r\n\r\nhello", false, false,
     200, "A=b;Content-Length=5;", "hello", 5, true, ANSWER_COMPLETE, 0},
    {"bytes behind it", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1", false, false, 200,
     "Content-Length=2;", "ok", 2, true, ANSWER_COMPLETE, 8},
    {"an empty body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, false, 200,
     "Content-Length=0;", "", 0, true, ANSWER_COMPLETE, 0},
    {"chunked, with a trailer",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nT: "
     "v\r\n\r\n",
     false, false, 200, "Transfer-Encoding=chunked;", "hello", -1, true, ANSWER_COMPLETE, 0},
    {"until the end", "HTTP/1.1 200 OK\r\n\r\nhello", false, false, 200, "", "hello", -1, false,
     ANSWER_BODY, 0},
    {"1.0", "HTTP/1.0 404 Not Found\r\nContent-Length: 1\r\n\r\nx", false, false, 404,
     "Content-Length=1;", "x", 1, false, ANSWER_COMPLETE, 0},
    {"close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", false, false,
     200, "Connection=close;Content-Length=1;", "x", 1, false, ANSWER_COMPLETE, 0},
    {"of HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", true, false, 200,
     "Content-Length=500;", "", 0, true, ANSWER_COMPLETE, 0},
    {"of HEAD, chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true, false, 200,
     "Transfer-Encoding=chunked;", "", 0, true, ANSWER_COMPLETE, 0},
    {"204", "HTTP/1.1 204 No Content\r\n\r\n", false, false, 204, "", "", 0, true, ANSWER_COMPLETE,
     0},
    {"304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false, false,
     304, "Content-Length=9;", "", 0, true, ANSWER_COMPLETE, 0},
    {"behind interim answers",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: "
     "</a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
     false, false, 200, "Content-Length=1;", "x", 1, true, ANSWER_COMPLETE, 0},
    {"switched",
     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x01"
     "a",
     false, true, 101, "Upgrade=websocket;Connection=Upgrade;", "", 0, false, ANSWER_SWITCHED, 3},
    {"an upgrade refused", "HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno", false, true, 400,
     "Content-Length=2;", "no", 2, true, ANSWER_COMPLETE, 0},
    {"empty value and no reason", "HTTP/1.1 200\r\nA:\r\nContent-Length: 0\r\n\r\n", false, false,
     200, "A=;Content-Length=0;", "", 0, true, ANSWER_COMPLETE, 0},
};

static void assert_read(const struct expectation *expected, size_t step)
{
    struct reading reading;
    struct view bytes = view_of(expected->bytes);
    begin(&reading, expected->no_body, expected->upgrades);
    if (!feed(&reading, bytes, step) || reading.heads != 1 ||
        answer_state(reading.answer) != expected->state) {
        fail_msg("%s, in steps of %zu: %s, %d heads, state %d", expected->name, step,
                 reading.err.message, reading.heads, answer_state(reading.answer));
    }
    assert_int_equal(reading.head.status, expected->status);
    assert_text(str_view(&reading.headers), expected->headers);
    assert_text(str_view(&reading.body), expected->body);
    assert_true(reading.head.length == expected->length);
    assert_int_equal(reading.head.keep_alive, expected->keep_alive);
    assert_int_equal(bytes.len - reading.used, expected->left);
    end(&reading);
}

static void answers_are_read_alike_however_they_are_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        for (size_t step = 1; step <= strlen(good[i].bytes); step++) {
            assert_read(&good[i], step);
        }
    }
}

static void what_is_ambiguous_or_no_http_is_refused(void **state)
{
    static const struct {
        const char *name;
        const char *bytes;
    } cases[] = {
        {"another protocol", "SSH-2.0-OpenSSH_9.2\r\n"},
        {"another version", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"},
        {"length and chunked",
         "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {"chunked and length",
         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"},
        {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"},
        {"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"},
        {"length beyond 63 bits", "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\n"},
        {"length beyond 64 bits",
         "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n"},
        {"gzip, chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"},
        {"chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
                          "chunked\r\n\r\n0\r\n\r\n"},
        {"identity", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n"},
        {"chunked in 1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {"blank before the colon", "HTTP/1.1 200 OK\r\nA : b\r\n\r\n"},
        {"NUL in a value", "HTTP/1.1 200 OK\r\nA: \x01\r\n\r\n"},
        {"bare CR", "HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n"},
        {"folded", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"},
        {"bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"},
        {"switch unasked", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"},
        {"status 600", "HTTP/1.1 600 Odd\r\nContent-Length: 0\r\n\r\n"},
        {"status 042", "HTTP/1.1 042 Odd\r\nContent-Length: 0\r\n\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t step = 1; step <= strlen(cases[i].bytes); step++) {
            struct reading reading;
            begin(&reading, false, false);
            if (feed(&reading, view_of(cases[i].bytes), step)) {
                fail_msg("%s passes in steps of %zu", cases[i].name, step);
            }
            assert_int_equal(reading.err.code, ERR_INVALID);
            assert_string_equal(reading.err.reason, "bad_answer");
            end(&reading);
        }
    }
}

static bool feed_repeated(struct reading *reading, const char *text, int times)
{
    for (int i = 0; i < times; i++) {
        if (!feed(reading, view_of(text), 1024)) {
            return false;
        }
    }
    return true;
}

static void a_head_has_its_limits(void **state)
{
    static const struct {
        const char *name;
        const char *start;
        const char *repeated;
        int times;
        bool passes;
    } cases[] = {
        {"100 headers", "HTTP/1.1 200 OK\r\n", "A: b\r\n", 100, true},
        {"101 headers", "HTTP/1.1 200 OK\r\n", "A: b\r\n", 101, false},
        {"a long value", "HTTP/1.1 200 OK\r\nA: ", "0123456789abcdef", 4200, false},
        {"blanks without end", "HTTP/1.1 200 OK\r\nA:", "                ", 4200, false},
        {"16 interim answers", "", "HTTP/1.1 100 Continue\r\n\r\n", 16, true},
        {"17 interim answers", "", "HTTP/1.1 100 Continue\r\n\r\n", 17, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct reading reading;
        begin(&reading, false, false);
        bool passes = feed(&reading, view_of(cases[i].start), 1024) &&
                      feed_repeated(&reading, cases[i].repeated, cases[i].times);
        if (passes != cases[i].passes) {
            fail_msg("%s: %d %s", cases[i].name, passes, reading.err.message);
        }
        end(&reading);
    }
}

static void the_end_completes_only_a_body_that_lasts_until_then(void **state)
{
    static const struct {
        const char *bytes;
        bool completes;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\n\r\nhel", true},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", false},
        {"HTTP/1.1 200 OK\r\nConten", false},
        {"HTTP/1.1 100 Continue\r\n\r\n", false},
        {"", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct reading reading;
        begin(&reading, false, false);
        assert_true(feed(&reading, view_of(cases[i].bytes), 1024));
        bool completes = answer_feed_end(reading.answer, &reading.err);
        assert_int_equal(completes, cases[i].completes);
        assert_string_equal(reading.err.reason, completes ? "" : "answer_cut");
        end(&reading);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_read_alike_however_they_are_split),
        cmocka_unit_test(what_is_ambiguous_or_no_http_is_refused),
        cmocka_unit_test(a_head_has_its_limits),
        cmocka_unit_test(the_end_completes_only_a_body_that_lasts_until_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
