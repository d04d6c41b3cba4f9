#include "common/ws/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

static enum ws_header_state read_header(enum ws_role role, struct view bytes,
                                        struct ws_header *header, struct ws_breach *breach)
{
    *header = (struct ws_header){0};
    *breach = (struct ws_breach){0};
    return ws_header_read(bytes, role, header, breach);
}

static void good_headers_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view bytes;
        enum ws_role role;
        struct ws_header header;
    } cases[] = {
        {"masked text", VIEW("\x81\x85mask"), WS_SERVER, {true, 1, 5, 6, {"mask", 0}}},
        {"text from a server", VIEW("\x81\x05"), WS_CLIENT, {true, 1, 5, 2, {{0}, 0}}},
        {"empty binary", VIEW("\x82\x80mask"), WS_SERVER, {true, 2, 0, 6, {"mask", 0}}},
        {"first fragment", VIEW("\x01\x85mask"), WS_SERVER, {false, 1, 5, 6, {"mask", 0}}},
        {"last fragment", VIEW("\x80\x85mask"), WS_SERVER, {true, 0, 5, 6, {"mask", 0}}},
        {"126 bytes", VIEW("\x82\xfe\x00\x7emask"), WS_SERVER, {true, 2, 126, 8, {"mask", 0}}},
        {"65535 bytes", VIEW("\x82\x7e\xff\xff"), WS_CLIENT, {true, 2, 65535, 4, {{0}, 0}}},
        {"65536 bytes",
         VIEW("\x82\x7f\0\0\0\0\0\1\0\0"),
         WS_CLIENT,
         {true, 2, 65536, 10, {{0}, 0}}},
        {"the longest",
         VIEW("\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"),
         WS_CLIENT,
         {true, 2, INT64_MAX, 10, {{0}, 0}}},
        {"ping of 125 bytes", VIEW("\x89\x7d"), WS_CLIENT, {true, 9, 125, 2, {{0}, 0}}},
        {"pong", VIEW("\x8a\x00"), WS_CLIENT, {true, 10, 0, 2, {{0}, 0}}},
        {"close", VIEW("\x88\x02"), WS_CLIENT, {true, 8, 2, 2, {{0}, 0}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ws_header header;
        struct ws_breach breach;
        print_message("%s\n", cases[i].name);
        assert_int_equal(read_header(cases[i].role, cases[i].bytes, &header, &breach),
                         WS_HEADER_WHOLE);
        assert_int_equal(header.fin, cases[i].header.fin);
        assert_int_equal(header.opcode, cases[i].header.opcode);
        assert_int_equal(header.payload_len, cases[i].header.payload_len);
        assert_int_equal(header.header_len, cases[i].header.header_len);
        assert_memory_equal(header.mask.key, cases[i].header.mask.key, WS_MASK_SIZE);
    }
}

static void a_header_that_was_written_is_read_as_it_was(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {0, 125, 126, UINT16_MAX, UINT16_MAX + 1, INT64_MAX};
    static const enum ws_role readers[] = {WS_SERVER, WS_CLIENT};
    for (size_t i = 0; i < 2 * sizeof lengths / sizeof lengths[0]; i++) {
        enum ws_role reader = readers[i % 2];
        const struct ws_header written = {
            .fin = true,
            .opcode = WS_BINARY,
            .payload_len = lengths[i / 2],
            .mask = {.key = {1, 2, 3, 4}},
        };
        char bytes[WS_HEADER_MAX];
        struct ws_header header;
        struct ws_breach breach;
        size_t len = ws_header_write(&written, readers[1 - i % 2], bytes);
        assert_int_equal(read_header(reader, (struct view){bytes, len}, &header, &breach),
                         WS_HEADER_WHOLE);
        assert_true(header.fin);
        assert_int_equal(header.opcode, WS_BINARY);
        assert_int_equal(header.payload_len, written.payload_len);
        assert_int_equal(header.header_len, len);
        if (reader == WS_SERVER) {
            assert_memory_equal(header.mask.key, written.mask.key, WS_MASK_SIZE);
        }
    }
}

static void bad_headers_are_refused_with_1002(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view bytes;
        enum ws_role role;
    } cases[] = {
        {"not masked toward a server", VIEW("\x81\x05"), WS_SERVER},
        {"masked toward a client", VIEW("\x81\x85"), WS_CLIENT},
        {"RSV1", VIEW("\xc1\x85"), WS_SERVER},
        {"RSV2", VIEW("\xa1\x85"), WS_SERVER},
        {"RSV3", VIEW("\x91\x85"), WS_SERVER},
        {"opcode 3", VIEW("\x83\x85"), WS_SERVER},
        {"opcode 7", VIEW("\x87\x85"), WS_SERVER},
        {"opcode 11", VIEW("\x8b\x85"), WS_SERVER},
        {"opcode 15", VIEW("\x8f\x85"), WS_SERVER},
        {"ping without FIN", VIEW("\x09\x80"), WS_SERVER},
        {"close without FIN", VIEW("\x08\x80"), WS_SERVER},
        {"ping of 126 bytes", VIEW("\x89\xfe"), WS_SERVER},
        {"ping of 64-bit length", VIEW("\x89\xff"), WS_SERVER},
        {"125 in 16 bits", VIEW("\x82\x7e\x00\x7d"), WS_CLIENT},
        {"65535 in 64 bits", VIEW("\x82\x7f\0\0\0\0\0\0\xff\xff"), WS_CLIENT},
        {"0 in 64 bits", VIEW("\x82\x7f\0\0\0\0\0\0\0\0"), WS_CLIENT},
        {"top bit of the length", VIEW("\x82\x7f\x80\0\0\0\0\1\0\0"), WS_CLIENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ws_header header;
        struct ws_breach breach;
        print_message("%s\n", cases[i].name);
        assert_int_equal(read_header(cases[i].role, cases[i].bytes, &header, &breach),
                         WS_HEADER_BAD);
        assert_int_equal(breach.code, WS_CLOSE_PROTOCOL);
        assert_non_null(breach.reason);
    }
}

static void a_header_that_goes_on_is_waited_for(void **state)
{
    (void)state;
    static const struct view whole = VIEW("\x82\xff\0\0\0\0\0\1\0\0mask");
    struct ws_header header;
    struct ws_breach breach;
    for (size_t len = 0; len < whole.len; len++) {
        assert_int_equal(read_header(WS_SERVER, (struct view){whole.ptr, len}, &header, &breach),
                         WS_HEADER_PARTIAL);
    }
    assert_int_equal(read_header(WS_SERVER, whole, &header, &breach), WS_HEADER_WHOLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_headers_are_read),
        cmocka_unit_test(a_header_that_was_written_is_read_as_it_was),
        cmocka_unit_test(bad_headers_are_refused_with_1002),
        cmocka_unit_test(a_header_that_goes_on_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
