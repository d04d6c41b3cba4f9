/* What the server makes of request heads. Each case is sent whole and byte by byte. */
#include "tests/unit/gateway/http/fixture.h"

#include <stdio.h>
#include <string.h>

enum after { STAYS, CLOSES };

struct head_case {
    const char *name;
    struct view request;
    int status;
    enum after after;
    const char *body; /* what the answer's body is or holds; NULL: anything */
};

#define HOST "Host: a\r\n"
#define GET_HEAD "GET /head HTTP/1.1\r\n" HOST
#define END "\r\n"
#define POST_ECHO "POST /echo HTTP/1.1\r\n" HOST

static void check_connection_after(struct client *client, enum after after)
{
    if (after == CLOSES) {
        client_wait_end(client);
        assert_int_equal(client->read, client->received.len);
        return;
    }
    /* Nothing of the request is left to be taken for the next one. */
    client_send(client, VIEW("GET /none HTTP/1.1\r\nHost: a\r\n\r\n"));
    struct reply reply = client_next(client, false);
    assert_int_equal(reply.status, 200);
    assert_view(reply.body, "none");
}

static void check_case(const struct head_case *c, bool by_byte)
{
    struct fixture fixture;
    struct client client;
    fixture_open(&fixture, &http_default_limits);
    client_open(&client, &fixture);
    if (by_byte) {
        client_trickle(&client, c->request);
    } else {
        client_send(&client, c->request);
    }
    struct reply reply = client_next(&client, false);
    if (reply.status != c->status || (c->body != NULL && !view_has(reply.body, c->body))) {
        fail_msg("%s (%s): %d %.*s", c->name, by_byte ? "by byte" : "whole", reply.status,
                 (int)reply.body.len, reply.body.ptr);
    }
    struct view connection = reply_header(&reply, "Connection");
    if (c->after == CLOSES) {
        assert_view(connection, "close");
    }
    check_connection_after(&client, c->after);
    client_close(&client);
    fixture_close(&fixture);
}

static void check_cases(const struct head_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        check_case(&cases[i], false);
        check_case(&cases[i], true);
    }
}
#define CHECK(cases) check_cases((cases), sizeof(cases) / sizeof(cases)[0])

static void request_lines_are_checked(void **state)
{
    (void)state;
    static const struct head_case cases[] = {
        {"plain", VIEW(GET_HEAD END), 200, STAYS, "GET /head ? host=a body=0 upgrade=0"},
        {"lower-case method", VIEW("get / HTTP/1.1\r\n" HOST END), 400, CLOSES, NULL},
        {"method with a digit", VIEW("GET1 / HTTP/1.1\r\n" HOST END), 400, CLOSES, NULL},
        {"method of 17 letters", VIEW("ABCDEFGHIJKLMNOPQ / HTTP/1.1\r\n" HOST END), 400, CLOSES,
         NULL},
        {"method of 16 letters", VIEW("ABCDEFGHIJKLMNOP / HTTP/1.1\r\n" HOST END), 501, CLOSES,
         NULL},
        {"no method", VIEW(" / HTTP/1.1\r\n" HOST END), 400, CLOSES, NULL},
        {"TRACE", VIEW("TRACE / HTTP/1.1\r\n" HOST "X-Echo: x\r\n" END), 405, CLOSES, NULL},
        {"CONNECT", VIEW("CONNECT a:443 HTTP/1.1\r\n" HOST END), 405, CLOSES, NULL},
        {"PROPFIND", VIEW("PROPFIND / HTTP/1.1\r\n" HOST END), 405, CLOSES, NULL},
        {"unknown", VIEW("BREW / HTTP/1.1\r\n" HOST END), 501, CLOSES, NULL},
        {"two spaces", VIEW("GET  / HTTP/1.1\r\n" HOST END), 400, CLOSES, NULL},
        {"two spaces before the version", VIEW("GET /  HTTP/1.1\r\n" HOST END), 400, CLOSES, NULL},
        {"tab", VIEW("GET\t/ HTTP/1.1\r\n" HOST END), 400, CLOSES, NULL},
        {"trailing space", VIEW("GET / HTTP/1.1 \r\n" HOST END), 400, CLOSES, NULL},
        {"no version", VIEW("GET /\r\n" HOST END), 400, CLOSES, NULL},
        {"no target", VIEW("GET HTTP/1.1\r\n" HOST END), 400, CLOSES, NULL},
        {"1.2 is 1.1", VIEW("GET /head HTTP/1.2\r\n" HOST END), 200, STAYS, NULL},
        {"1.9 is 1.1", VIEW("GET /head HTTP/1.9\r\n" HOST END), 200, STAYS, NULL},
        {"2.0", VIEW("GET / HTTP/2.0\r\n" HOST END), 505, CLOSES, NULL},
        {"0.9", VIEW("GET / HTTP/0.9\r\n" HOST END), 505, CLOSES, NULL},
        {"1.10", VIEW("GET / HTTP/1.10\r\n" HOST END), 400, CLOSES, NULL},
        {"1", VIEW("GET / HTTP/1\r\n" HOST END), 400, CLOSES, NULL},
        {"lower-case version", VIEW("GET / http/1.1\r\n" HOST END), 400, CLOSES, NULL},
        {"version 1,1", VIEW("GET / HTTP/1,1\r\n" HOST END), 400, CLOSES, NULL},
        {"one empty line before", VIEW("\r\n" GET_HEAD END), 200, STAYS, NULL},
        {"two empty lines before", VIEW("\r\n\r\n" GET_HEAD END), 200, STAYS, NULL},
        {"three empty lines before", VIEW("\r\n\r\n\r\n" GET_HEAD END), 400, CLOSES, NULL},
        {"a TLS greeting", VIEW("\x16\x03\x01\x02"), 400, CLOSES, NULL},
        {"the HTTP/2 preface", VIEW("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505, CLOSES, NULL},
    };
    CHECK(cases);
}

static void targets_are_checked(void **state)
{
    (void)state;
    static const struct head_case cases[] = {
        {"query", VIEW("GET /head?a=b%20c&d HTTP/1.1\r\n" HOST END), 200, STAYS,
         "GET /head ?a=b%20c&d host=a"},
        {"absolute form", VIEW("GET http://b:81/head?x HTTP/1.1\r\n" HOST END), 200, STAYS,
         "GET /head ?x host=b:81"},
        {"absolute form, upper case", VIEW("GET HTTP://B/head HTTP/1.1\r\n" HOST END), 200, STAYS,
         "host=B"},
        {"absolute form, https", VIEW("GET https://b/head HTTP/1.1\r\n" HOST END), 200, STAYS,
         "host=b"},
        {"absolute form without path", VIEW("GET http://b HTTP/1.1\r\n" HOST END), 200, STAYS,
         "GET / ? host=b"},
        {"absolute form, query only", VIEW("GET http://b?q HTTP/1.1\r\n" HOST END), 200, STAYS,
         "GET / ?q host=b"},
        {"absolute form without Host", VIEW("GET http://b/ HTTP/1.1\r\n" END), 400, CLOSES, NULL},
        {"absolute form, no host", VIEW("GET http:///x HTTP/1.1\r\n" HOST END), 400, CLOSES, NULL},
        {"absolute form with a user", VIEW("GET http://u@b/ HTTP/1.1\r\n" HOST END), 400, CLOSES,
         NULL},
        {"other scheme", VIEW("GET ftp://b/ HTTP/1.1\r\n" HOST END), 400, CLOSES, NULL},
        {"OPTIONS *", VIEW("OPTIONS * HTTP/1.1\r\n" HOST END), 200, STAYS, "OPTIONS * ?"},
        {"GET *", VIEW("GET * HTTP/1.1\r\n" HOST END), 400, CLOSES, NULL},
        {"relative", VIEW("GET head HTTP/1.1\r\n" HOST END), 400, CLOSES, NULL},
        {"authority form", VIEW("GET a:80 HTTP/1.1\r\n" HOST END), 400, CLOSES, NULL},
        {"NUL", VIEW("GET /\0 HTTP/1.1\r\n" HOST END), 400, CLOSES, NULL},
        {"control byte", VIEW("GET /\x01 HTTP/1.1\r\n" HOST END), 400, CLOSES, NULL},
        {"DEL", VIEW("GET /\x7f HTTP/1.1\r\n" HOST END), 400, CLOSES, NULL},
        {"byte over 0x7f", VIEW("GET /\xc3\xa4 HTTP/1.1\r\n" HOST END), 400, CLOSES, NULL},
        {"backslash", VIEW("GET /a\\b HTTP/1.1\r\n" HOST END), 400, CLOSES, NULL},
        {"fragment", VIEW("GET /a#b HTTP/1.1\r\n" HOST END), 400, CLOSES, NULL},
        {"good escape", VIEW("GET /a%C3%A4 HTTP/1.1\r\n" HOST END), 200, STAYS, "/a%C3%A4"},
        {"encoded slash, for the route to judge", VIEW("GET /a%2Fb HTTP/1.1\r\n" HOST END), 200,
         STAYS, NULL},
        {"escape cut short", VIEW("GET /a%4 HTTP/1.1\r\n" HOST END), 400, STAYS, "bad_target"},
        {"escape not hex", VIEW("GET /a%zz HTTP/1.1\r\n" HOST END), 400, STAYS, "bad_target"},
        {"escaped NUL", VIEW("GET /a%00 HTTP/1.1\r\n" HOST END), 400, STAYS, "bad_target"},
        {"escaped NUL in the query", VIEW("GET /a?b=%00 HTTP/1.1\r\n" HOST END), 400, STAYS,
         "bad_target"},
        {"not UTF-8", VIEW("GET /%ff HTTP/1.1\r\n" HOST END), 400, STAYS, "bad_target"},
        {"overlong UTF-8", VIEW("GET /%c0%af HTTP/1.1\r\n" HOST END), 400, STAYS, "bad_target"},
        {"dot segment", VIEW("GET /a/./b HTTP/1.1\r\n" HOST END), 400, STAYS, "bad_target"},
        {"dot dot segment", VIEW("GET /a/../b HTTP/1.1\r\n" HOST END), 400, STAYS, "bad_target"},
        {"dot dot at the end", VIEW("GET /a/.. HTTP/1.1\r\n" HOST END), 400, STAYS, "bad_target"},
        {"encoded dot dot", VIEW("GET /a/%2e%2E/b HTTP/1.1\r\n" HOST END), 400, STAYS,
         "bad_target"},
        {"dot dot before an encoded slash", VIEW("GET /..%2fb HTTP/1.1\r\n" HOST END), 400, STAYS,
         "bad_target"},
        {"three dots", VIEW("GET /.../b HTTP/1.1\r\n" HOST END), 200, STAYS, NULL},
        {"decoded once", VIEW("GET /%252e%252e HTTP/1.1\r\n" HOST END), 200, STAYS, NULL},
    };
    CHECK(cases);
}

static void lines_and_headers_are_checked(void **state)
{
    (void)state;
    static const struct head_case cases[] = {
        {"bare LF behind the request line", VIEW("GET / HTTP/1.1\n" HOST END), 400, CLOSES, NULL},
        {"bare LF behind a header", VIEW("GET / HTTP/1.1\r\nHost: a\n" END), 400, CLOSES, NULL},
        {"bare LF at the end", VIEW(GET_HEAD "\n"), 400, CLOSES, NULL},
        {"bare LF inside a value", VIEW(GET_HEAD "X: a\nb\r\n" END), 400, CLOSES, NULL},
        {"bare CR inside a value", VIEW(GET_HEAD "X: a\rb\r\n" END), 400, CLOSES, "bad_line_end"},
        {"bare CR in the request line", VIEW("GET /\r HTTP/1.1\r\n" HOST END), 400, CLOSES,
         "bad_line_end"},
        {"bare CR in the version", VIEW("GET / HTTP\r/1.1\r\n" HOST END), 400, CLOSES,
         "bad_line_end"},
        {"bare CR in a line that begins badly", VIEW("get /\r HTTP/1.1\r\n" HOST END), 400, CLOSES,
         "bad_request_line"},
        {"bare LF behind a line that begins badly", VIEW("get / HTTP/1.1\n" HOST END), 400, CLOSES,
         "bad_request_line"},
        {"CR CR LF", VIEW(GET_HEAD "X: a\r\r\n" END), 400, CLOSES, NULL},
        {"NUL in a value", VIEW(GET_HEAD "X: a\0b\r\n" END), 400, CLOSES, NULL},
        {"control byte in a value", VIEW(GET_HEAD "X: a\x0b\r\n" END), 400, CLOSES, NULL},
        {"DEL in a value", VIEW(GET_HEAD "X: a\x7f\r\n" END), 400, CLOSES, NULL},
        {"tab in a value", VIEW(GET_HEAD "X: a\tb\r\n" END), 200, STAYS, NULL},
        {"Latin-1 in a value", VIEW(GET_HEAD "X: \xe4\r\n" END), 200, STAYS, NULL},
        {"empty value", VIEW(GET_HEAD "X:\r\nY: \r\n" END), 200, STAYS, NULL},
        {"space before the colon", VIEW(GET_HEAD "X : a\r\n" END), 400, CLOSES, NULL},
        {"tab before the colon", VIEW(GET_HEAD "X\t: a\r\n" END), 400, CLOSES, NULL},
        {"empty name", VIEW(GET_HEAD ": a\r\n" END), 400, CLOSES, NULL},
        {"bad byte in a name", VIEW(GET_HEAD "X(: a\r\n" END), 400, CLOSES, NULL},
        {"name over 0x7f", VIEW(GET_HEAD "X\xc3\xa4: a\r\n" END), 400, CLOSES, NULL},
        {"no colon", VIEW(GET_HEAD "X\r\n" END), 400, CLOSES, NULL},
        {"first header begins with a space", VIEW("GET / HTTP/1.1\r\n Host: a\r\n" END), 400,
         CLOSES, NULL},
        {"folded by a space", VIEW(GET_HEAD "X: a\r\n b\r\n" END), 400, CLOSES, NULL},
        {"folded by a tab", VIEW(GET_HEAD "X: a\r\n\tb\r\n" END), 400, CLOSES, NULL},
        {"every tchar", VIEW(GET_HEAD "!#$%&'*+-.^_`|~09azAZ: a\r\n" END), 200, STAYS, NULL},
    };
    CHECK(cases);
}

static void hosts_are_checked(void **state)
{
    (void)state;
    static const struct head_case cases[] = {
        {"1.1 without Host", VIEW("GET / HTTP/1.1\r\n" END), 400, CLOSES, "bad_host"},
        {"1.2 without Host", VIEW("GET / HTTP/1.2\r\n" END), 400, CLOSES, "bad_host"},
        {"1.0 without Host", VIEW("GET /head HTTP/1.0\r\nConnection: keep-alive\r\n" END), 200,
         STAYS, "host= "},
        {"two", VIEW("GET / HTTP/1.1\r\n" HOST HOST END), 400, CLOSES, "bad_host"},
        {"two in 1.0", VIEW("GET / HTTP/1.0\r\n" HOST "hOST: b\r\n" END), 400, CLOSES, "bad_host"},
        {"empty", VIEW("GET / HTTP/1.1\r\nHost: \r\n" END), 400, CLOSES, "bad_host"},
        {"port", VIEW("GET /head HTTP/1.1\r\nHost: a.b-c_d:8080\r\n" END), 200, STAYS,
         "host=a.b-c_d:8080"},
        {"IPv6", VIEW("GET /head HTTP/1.1\r\nHost: [::1]:80\r\n" END), 200, STAYS, "host=[::1]:80"},
        {"IPv6 without port", VIEW("GET /head HTTP/1.1\r\nHost: [fe80::1]\r\n" END), 200, STAYS,
         NULL},
        {"bad IPv6", VIEW("GET / HTTP/1.1\r\nHost: [::g]\r\n" END), 400, CLOSES, NULL},
        {"IPv6 not closed", VIEW("GET / HTTP/1.1\r\nHost: [::1\r\n" END), 400, CLOSES, NULL},
        {"port not a number", VIEW("GET / HTTP/1.1\r\nHost: a:b\r\n" END), 400, CLOSES, NULL},
        {"port too large", VIEW("GET / HTTP/1.1\r\nHost: a:65536\r\n" END), 400, CLOSES, NULL},
        {"empty port", VIEW("GET / HTTP/1.1\r\nHost: a:\r\n" END), 400, CLOSES, NULL},
        {"two ports", VIEW("GET / HTTP/1.1\r\nHost: a:1:2\r\n" END), 400, CLOSES, NULL},
        {"user", VIEW("GET / HTTP/1.1\r\nHost: u@a\r\n" END), 400, CLOSES, NULL},
        {"path", VIEW("GET / HTTP/1.1\r\nHost: a/b\r\n" END), 400, CLOSES, NULL},
        {"list", VIEW("GET / HTTP/1.1\r\nHost: a, b\r\n" END), 400, CLOSES, NULL},
    };
    CHECK(cases);
}

static void repeated_headers_are_refused(void **state)
{
    (void)state;
    static const struct head_case cases[] = {
        {"Content-Length", VIEW(POST_ECHO "Content-Length: 1\r\nContent-Length: 1\r\n" END "x"),
         400, CLOSES, NULL},
        {"Transfer-Encoding",
         VIEW(POST_ECHO "Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n" END), 400,
         CLOSES, NULL},
        {"Authorization", VIEW(GET_HEAD "Authorization: a\r\nAuthorization: a\r\n" END), 400,
         CLOSES, "header_repeated"},
        {"X-API-Key", VIEW(GET_HEAD "X-API-Key: a\r\nx-api-key: b\r\n" END), 400, CLOSES,
         "header_repeated"},
        {"Content-Type", VIEW(GET_HEAD "Content-Type: a\r\nContent-Type: a\r\n" END), 400, CLOSES,
         NULL},
        {"Origin", VIEW(GET_HEAD "Origin: a\r\nOrigin: a\r\n" END), 400, CLOSES, NULL},
        {"Sec-WebSocket-Key", VIEW(GET_HEAD "Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: a\r\n" END),
         400, CLOSES, NULL},
        {"Sec-WebSocket-Version",
         VIEW(GET_HEAD "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n" END), 400,
         CLOSES, NULL},
        {"another", VIEW(GET_HEAD "X: a\r\nX: a\r\n" END), 200, STAYS, NULL},
    };
    CHECK(cases);
}

static void framing_headers_are_checked(void **state)
{
    (void)state;
#define TE(value) VIEW(POST_ECHO "Transfer-Encoding: " value "\r\n" END "0\r\n\r\n")
#define CL(value) VIEW(POST_ECHO "Content-Length: " value "\r\n" END "12345")
    static const struct head_case cases[] = {
        {"coding then length",
         VIEW(POST_ECHO "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n" END "0\r\n\r\n"), 400,
         CLOSES, "bad_framing"},
        {"length then coding",
         VIEW(POST_ECHO "Content-Length: 5\r\ntRANSFER-eNCODING: cHUNKED\r\n" END "0\r\n\r\n"), 400,
         CLOSES, "bad_framing"},
        {"unknown coding and length",
         VIEW(POST_ECHO "Transfer-Encoding: x\r\nContent-Length: 5\r\n" END), 400, CLOSES,
         "bad_framing"},
        {"length", CL("5"), 200, STAYS, "12345"},
        {"length with zeros", CL("0005"), 200, STAYS, "12345"},
        {"length with blanks around", CL(" 5 "), 200, STAYS, "12345"},
        {"length +5", CL("+5"), 400, CLOSES, "bad_content_length"},
        {"length -5", CL("-5"), 400, CLOSES, "bad_content_length"},
        {"length 5 5", CL("5 5"), 400, CLOSES, "bad_content_length"},
        {"length 5,5", CL("5,5"), 400, CLOSES, "bad_content_length"},
        {"length 0x5", CL("0x5"), 400, CLOSES, "bad_content_length"},
        {"length 5.0", CL("5.0"), 400, CLOSES, "bad_content_length"},
        {"length empty", CL(""), 400, CLOSES, "bad_content_length"},
        {"length of 20 digits", CL("00000000000000000005"), 400, CLOSES, "bad_content_length"},
        {"length 2^63", CL("9223372036854775808"), 400, CLOSES, "bad_content_length"},
        {"length 2^63-1", CL("9223372036854775807"), 413, CLOSES, "payload_too_large"},
        {"length over the limit", CL("65"), 413, CLOSES, "payload_too_large"},
        {"chunked", TE("chunked"), 200, STAYS, NULL},
        {"Chunked", TE("Chunked"), 200, STAYS, NULL},
        {"identity", TE("identity"), 501, CLOSES, NULL},
        {"xchunked", TE("xchunked"), 501, CLOSES, NULL},
        {"gzip, chunked", TE("gzip, chunked"), 501, CLOSES, NULL},
        {"chunked, chunked", TE("chunked, chunked"), 501, CLOSES, NULL},
        {"chunked,", TE("chunked,"), 400, CLOSES, NULL},
        {"quoted", TE("\"chunked\""), 400, CLOSES, NULL},
        {"empty", TE(""), 400, CLOSES, NULL},
        {"with a vertical tab",
         TE("\x0b"
            "chunked"),
         400, CLOSES, NULL},
        {"with a parameter", TE("chunked;q=1"), 400, CLOSES, NULL},
        {"in 1.0",
         VIEW("POST /echo HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n" END "0\r\n\r\n"), 400,
         CLOSES, "bad_framing"},
    };
    CHECK(cases);
}

static void persistence_follows_version_and_connection(void **state)
{
    (void)state;
    static const struct head_case cases[] = {
        {"1.1", VIEW(GET_HEAD END), 200, STAYS, NULL},
        {"close", VIEW(GET_HEAD "Connection: close\r\n" END), 200, CLOSES, NULL},
        {"close in a list", VIEW(GET_HEAD "Connection: foo, CLOSE\r\n" END), 200, CLOSES, NULL},
        {"close on the second line", VIEW(GET_HEAD "Connection: foo\r\nConnection: close\r\n" END),
         200, CLOSES, NULL},
        {"1.0", VIEW("GET /head HTTP/1.0\r\n" END), 200, CLOSES, NULL},
        {"1.0 keep-alive", VIEW("GET /head HTTP/1.0\r\nConnection: Keep-Alive\r\n" END), 200, STAYS,
         NULL},
    };
    CHECK(cases);
}

static void expectations_and_upgrades_are_read(void **state)
{
    (void)state;
#define UPGRADE "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    static const struct head_case cases[] = {
        {"another expectation", VIEW(GET_HEAD "Expect: tea\r\n" END), 417, STAYS,
         "expectation_failed"},
        {"100-continue without a body", VIEW(GET_HEAD "Expect: 100-continue\r\n" END), 200, STAYS,
         NULL},
        {"ignored in 1.0", VIEW("GET /head HTTP/1.0\r\nExpect: tea\r\n" END), 200, CLOSES, NULL},
        {"websocket", VIEW(GET_HEAD UPGRADE END), 200, STAYS, "upgrade=1"},
        {"without Connection", VIEW(GET_HEAD "Upgrade: websocket\r\n" END), 200, STAYS,
         "upgrade=0"},
        {"h2c",
         VIEW(GET_HEAD
              "Upgrade: h2c\r\nConnection: upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n" END),
         200, STAYS, "upgrade=0"},
        {"in 1.0", VIEW("GET /head HTTP/1.0\r\n" UPGRADE END), 200, STAYS, "upgrade=0"},
        {"with a body",
         VIEW("POST /head HTTP/1.1\r\n" HOST UPGRADE "Transfer-Encoding: chunked\r\n" END), 200,
         CLOSES, "body=1 upgrade=0"},
    };
    CHECK(cases);
}

/* What is long enough to be built: filler bytes between two texts. */
static void build(struct str *out, const char *before, size_t filler, const char *after)
{
    str_append_string(out, before);
    memset(str_reserve(out, filler), 'a', filler);
    str_advance(out, filler);
    str_append_string(out, after);
}

static void sizes_are_limited(void **state)
{
    (void)state;
    static const struct {
        const char *name, *before;
        size_t filler;
        const char *after;
        int status;
    } cases[] = {
        {"target of 8 KiB", "GET /", HTTP_TARGET_MAX - 1, " HTTP/1.1\r\nHost: a\r\n\r\n", 200},
        {"target too long", "GET /", HTTP_TARGET_MAX, " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
        {"endless target", "GET /", HTTP_TARGET_MAX + 100, "", 414},
        {"a small letter first", "", 1, "", 400},
        {"line of 8 KiB", GET_HEAD "X:", HTTP_LINE_MAX - 2, "\r\n\r\n", 200},
        {"line too long", GET_HEAD "X:", HTTP_LINE_MAX - 1, "\r\n\r\n", 431},
        {"endless line", GET_HEAD "X:", HTTP_LINE_MAX + 100, "", 431},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO(str_free) struct str request = STR_INIT(SCRATCH_MAX);
        build(&request, cases[i].before, cases[i].filler, cases[i].after);
        const struct head_case c = {
            .name = cases[i].name,
            .request = str_view(&request),
            .status = cases[i].status,
            .after = cases[i].status == 200 ? STAYS : CLOSES,
        };
        check_case(&c, false);
        check_case(&c, true);
    }
}

static void the_header_section_is_limited(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t lines, line_len; /* with the CR LF */
        int status;
    } cases[] = {
        {"100 lines", 99, 10, 200},
        {"101 lines", 100, 10, 431},
        {"16 KiB", 4, 4096 - 3, 200}, /* with the 9 bytes of Host: 16,381 */
        {"over 16 KiB", 4, 4096 - 2, 431},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AUTO(str_free) struct str request = STR_INIT(SCRATCH_MAX);
        str_append_string(&request, GET_HEAD);
        for (size_t line = 0; line < cases[i].lines; line++) {
            build(&request, "X:", cases[i].line_len - 4, "\r\n");
        }
        str_append_string(&request, "\r\n");
        const struct head_case c = {
            .name = cases[i].name,
            .request = str_view(&request),
            .status = cases[i].status,
            .after = cases[i].status == 200 ? STAYS : CLOSES,
        };
        check_case(&c, false);
        check_case(&c, true);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_lines_are_checked),
        cmocka_unit_test(targets_are_checked),
        cmocka_unit_test(lines_and_headers_are_checked),
        cmocka_unit_test(hosts_are_checked),
        cmocka_unit_test(repeated_headers_are_refused),
        cmocka_unit_test(framing_headers_are_checked),
        cmocka_unit_test(persistence_follows_version_and_connection),
        cmocka_unit_test(expectations_and_upgrades_are_read),
        cmocka_unit_test(sizes_are_limited),
        cmocka_unit_test(the_header_section_is_limited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
