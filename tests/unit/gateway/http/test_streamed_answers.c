/* Answers whose body is sent piece by piece: what stands on the wire. */
#include "tests/unit/gateway/http/giver.h"

#include <string.h>

/* What the client has received behind the head of the first answer. */
static struct view body_of(struct client *client, struct reply *reply)
{
    *reply = client_next(client, true);
    return view_from(str_view(&client->received), client->read);
}

static void an_answer_of_unknown_length_is_chunked(void **state)
{
    (void)state;
    struct giver giver;
    struct reply reply;
    giver_open(&giver, &http_default_limits);
    client_send(&giver.scene.client, VIEW(GET_CUSTOM));
    struct view body = body_of(&giver.scene.client, &reply);
    assert_int_equal(reply.status, 200);
    assert_view(reply_header(&reply, "Transfer-Encoding"), "chunked");
    assert_view(reply_header(&reply, "Content-Type"), "text/plain");
    assert_int_equal(reply_header(&reply, "Content-Length").len, 0);
    assert_true(reply_header(&reply, "X-Request-Id").len > 0);
    assert_int_equal(reply_header(&reply, "Connection").len, 0);
    assert_int_equal(body.len, 0); /* the head does not wait for the first piece */
    assert_true(giver_send(&giver, "abc"));
    assert_true(giver_send(&giver, "")); /* not the end */
    assert_true(giver_send(&giver, "0123456789abcdefg"));
    giver_end(&giver);
    assert_view(view_from(str_view(&giver.scene.client.received), giver.scene.client.read),
                "3\r\nabc\r\n11\r\n0123456789abcdefg\r\n0\r\n\r\n");
    assert_int_equal(giver.gone, 0);
    giver.scene.client.read = giver.scene.client.received.len;
    client_send(&giver.scene.client, VIEW(GET_NONE));
    assert_view(client_next(&giver.scene.client, false).body, "none");
    giver_close(&giver);
}

static void an_answer_of_known_length_is_not_chunked(void **state)
{
    (void)state;
    struct giver giver;
    giver_open(&giver, &http_default_limits);
    giver.length = 6;
    client_send(&giver.scene.client, VIEW(GET_CUSTOM GET_NONE));
    assert_true(giver_send(&giver, "abc"));
    assert_true(giver_send(&giver, "def"));
    giver_end(&giver);
    struct reply reply = client_next(&giver.scene.client, false);
    assert_view(reply.body, "abcdef");
    assert_int_equal(reply_header(&reply, "Transfer-Encoding").len, 0);
    assert_view(client_next(&giver.scene.client, false).body, "none");
    giver_close(&giver);
}

static void an_answer_that_is_shorter_than_it_said_is_cut(void **state)
{
    (void)state;
    struct giver giver;
    struct reply reply;
    giver_open(&giver, &http_default_limits);
    giver.length = 6;
    client_send(&giver.scene.client, VIEW(GET_CUSTOM GET_NONE));
    assert_true(giver_send(&giver, "abc"));
    giver_end(&giver);
    assert_view(body_of(&giver.scene.client, &reply), "abc");
    assert_true(giver.scene.client.ended);
    giver_close(&giver);
}

static void an_answer_that_is_longer_than_it_said_is_cut(void **state)
{
    (void)state;
    struct giver giver;
    struct reply reply;
    giver_open(&giver, &http_default_limits);
    giver.length = 4;
    client_send(&giver.scene.client, VIEW(GET_CUSTOM GET_NONE));
    giver.inside = true;
    assert_true(giver_send(&giver, "abc"));
    assert_true(giver_send(&giver, "de"));
    giver.inside = false;
    client_wait_end(&giver.scene.client);
    assert_int_equal(giver.gone, 1);
    assert_view(body_of(&giver.scene.client, &reply), "abc");
    giver_close(&giver);
}

static void an_abort_shows_that_the_answer_is_cut(void **state)
{
    (void)state;
    struct giver giver;
    struct reply reply;
    giver_open(&giver, &http_default_limits);
    client_send(&giver.scene.client, VIEW(GET_CUSTOM));
    assert_true(giver_send(&giver, "abc"));
    http_respond_abort(TAKE(giver.exchange));
    client_wait_end(&giver.scene.client);
    assert_view(body_of(&giver.scene.client, &reply), "3\r\nabc\r\n");
    assert_int_equal(giver.gone, 0);
    giver_close(&giver);
}

static void to_http_1_0_the_answer_ends_with_the_connection(void **state)
{
    (void)state;
    struct giver giver;
    struct reply reply;
    giver_open(&giver, &http_default_limits);
    client_send(&giver.scene.client,
                VIEW("GET /custom HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    assert_true(giver_send(&giver, "abc"));
    assert_true(giver_send(&giver, "def"));
    giver_end(&giver);
    assert_true(giver.scene.client.ended);
    assert_view(body_of(&giver.scene.client, &reply), "abcdef");
    assert_view(reply_header(&reply, "Connection"), "close");
    assert_int_equal(reply_header(&reply, "Transfer-Encoding").len, 0);
    giver_close(&giver);
}

static void to_http_1_0_a_cut_is_a_reset(void **state)
{
    (void)state;
    struct giver giver;
    giver_open(&giver, &http_default_limits);
    giver_connect_tcp(&giver);
    client_send(&giver.scene.client, VIEW("GET /custom HTTP/1.0\r\n\r\n"));
    assert_true(giver_send(&giver, "abc"));
    http_respond_abort(TAKE(giver.exchange));
    client_wait_end(&giver.scene.client);
    assert_true(giver.scene.client.was_reset);
    giver_close(&giver);
}

static void an_answer_without_body_drops_the_pieces(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view request;
        int status;
        int64_t length;
        const char *coding;
    } cases[] = {
        {"HEAD", VIEW("HEAD /custom HTTP/1.1\r\nHost: a\r\n\r\n" GET_NONE), 200,
         HTTP_LENGTH_UNKNOWN, "chunked"},
        {"HEAD, length", VIEW("HEAD /custom HTTP/1.1\r\nHost: a\r\n\r\n" GET_NONE), 200, 6, ""},
        {"204", VIEW(GET_CUSTOM GET_NONE), 204, HTTP_LENGTH_UNKNOWN, ""},
        {"304", VIEW(GET_CUSTOM GET_NONE), 304, 6, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct giver giver;
        giver_open(&giver, &http_default_limits);
        giver.response.status = cases[i].status;
        giver.length = cases[i].length;
        client_send(&giver.scene.client, cases[i].request);
        assert_true(giver_send(&giver, "abcdef"));
        giver_end(&giver);
        struct reply reply = client_next(&giver.scene.client, true);
        assert_int_equal(reply.status, cases[i].status);
        struct view coding = reply_header(&reply, "Transfer-Encoding");
        assert_true(view_equal(coding, view_of(cases[i].coding)));
        assert_view(client_next(&giver.scene.client, false).body, "none");
        giver_close(&giver);
    }
}

static void an_answer_before_a_body_that_nobody_reads_closes(void **state)
{
    (void)state;
    struct giver giver;
    giver_open(&giver, &http_default_limits);
    client_send(&giver.scene.client,
                VIEW("POST /custom HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"));
    struct reply reply = client_next(&giver.scene.client, true);
    assert_view(reply_header(&reply, "Connection"), "close");
    assert_true(giver_send(&giver, "abc"));
    giver_end(&giver);
    client_send(&giver.scene.client, VIEW("the rest"));
    client_wait_end(&giver.scene.client);
    assert_false(giver.scene.client.was_reset);
    giver_close(&giver);
}

static void framing_is_never_the_handlers(void **state)
{
    (void)state;
    static const struct http_header headers[] = {
        {VIEW("transfer-encoding"), VIEW("chunked")},
        {VIEW("Content-Length"), VIEW("7")},
        {VIEW("CONNECTION"), VIEW("keep-alive")},
        {VIEW("X-Mine"), VIEW("yes")},
        {VIEW("X-Bad"), VIEW("a\r\nb")},
    };
    struct giver giver;
    giver_open(&giver, &http_default_limits);
    giver.length = 3;
    giver.response.headers = headers;
    giver.response.header_count = 5;
    client_send(&giver.scene.client, VIEW(GET_CUSTOM));
    assert_true(giver_send(&giver, "abc"));
    giver_end(&giver);
    struct reply reply = client_next(&giver.scene.client, false);
    assert_view(reply.body, "abc");
    assert_int_equal(reply_header(&reply, "Transfer-Encoding").len, 0);
    assert_int_equal(reply_header(&reply, "Connection").len, 0);
    assert_int_equal(reply_header(&reply, "X-Bad").len, 0);
    assert_view(reply_header(&reply, "X-Mine"), "yes");
    giver_close(&giver);
}

static void a_bare_answer_has_only_what_is_given(void **state)
{
    (void)state;
    static const struct http_header headers[] = {{VIEW("X-Theirs"), VIEW("1")}};
    struct giver giver;
    giver_open(&giver, &http_default_limits);
    giver.response =
        (struct http_response){.status = 206, .bare = true, .headers = headers, .header_count = 1};
    giver.length = 3;
    client_send(&giver.scene.client, VIEW(GET_CUSTOM));
    assert_true(giver_send(&giver, "abc"));
    giver_end(&giver);
    assert_view(str_view(&giver.scene.client.received),
                "HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nX-Theirs: 1\r\n\r\nabc");
    giver_close(&giver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_of_unknown_length_is_chunked),
        cmocka_unit_test(an_answer_of_known_length_is_not_chunked),
        cmocka_unit_test(an_answer_that_is_shorter_than_it_said_is_cut),
        cmocka_unit_test(an_answer_that_is_longer_than_it_said_is_cut),
        cmocka_unit_test(an_abort_shows_that_the_answer_is_cut),
        cmocka_unit_test(to_http_1_0_the_answer_ends_with_the_connection),
        cmocka_unit_test(to_http_1_0_a_cut_is_a_reset),
        cmocka_unit_test(an_answer_without_body_drops_the_pieces),
        cmocka_unit_test(an_answer_before_a_body_that_nobody_reads_closes),
        cmocka_unit_test(framing_is_never_the_handlers),
        cmocka_unit_test(a_bare_answer_has_only_what_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
