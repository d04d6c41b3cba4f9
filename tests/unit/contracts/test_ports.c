#include "common/contracts/ports.h"
#include "tests/unit/contracts/round_trip.h"

#include <stdio.h>

#define SANDBOX "11111111-1111-4111-8111-111111111111"
#define USER "22222222-2222-4222-8222-222222222222"
#define GENERATION "33333333-3333-4333-8333-333333333333"
#define TIME "2026-01-31T23:59:59.123Z"

static void messages_survive_writing_and_reading(void **state)
{
    (void)state;
    struct port_expose expose;
    struct port_answer answer;
    struct port_list list;
    struct port_list_answer list_answer;
    struct port_close close;
    expect_round_trip(&port_expose_schema, &expose,
                      "{\"sandboxId\":\"" SANDBOX "\",\"userId\":\"" USER
                      "\",\"visibility\":\"token\",\"containerPort\":8080,"
                      "\"hostPortFirst\":30000,\"hostPortLast\":30999,\"takenPort\":30001}");
    expect_round_trip(&port_answer_schema, &answer, "{\"port\":\"80 0 public x y\"}");
    expect_round_trip(&port_list_schema, &list, "{\"sandboxId\":\"" SANDBOX "\"}");
    expect_round_trip(&port_list_answer_schema, &list_answer,
                      "{\"userId\":\"" USER "\",\"ports\":[\"a\",\"b\"],\"isLive\":true}");
    expect_round_trip(&port_close_schema, &close,
                      "{\"sandboxId\":\"" SANDBOX "\",\"userId\":\"" USER
                      "\",\"containerPort\":65535}");
}

static void ports_out_of_range_are_refused(void **state)
{
    (void)state;
    struct port_close close;
    struct err err;
    static const char *const wrong[] = {"0", "65536", "-1", "80.5", "\"80\""};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[256];
        (void)snprintf(text, sizeof text,
                       "{\"sandboxId\":\"" SANDBOX "\",\"userId\":\"" USER
                       "\",\"containerPort\":%s}",
                       wrong[i]);
        if (refusal(&port_close_schema, &close, text, &err)[0] == '\0') {
            fail_msg("%s was read", wrong[i]);
        }
    }
}

static void row_reads_back_as_it_was_written(void **state)
{
    (void)state;
    const struct port_row row = {.container_port = 65535,
                                 .host_port = 30999,
                                 .is_public = true,
                                 .generation = GENERATION,
                                 .created_at = TIME};
    struct port_row read;
    struct err err = {0};
    char text[PORT_ROW_TEXT_SIZE];
    port_row_write(&row, text);
    assert_string_equal(text, "65535 30999 public " GENERATION " " TIME);
    assert_true(port_row_read(view_of(text), &read, &err));
    assert_int_equal(read.container_port, 65535);
    assert_int_equal(read.host_port, 30999);
    assert_true(read.is_public);
    assert_string_equal(read.generation, GENERATION);
    assert_string_equal(read.created_at, TIME);
}

static void rows_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        " ",
        "80",
        "80 30000 token",
        "0 30000 token " GENERATION " " TIME,
        "65536 30000 token " GENERATION " " TIME,
        "123456 30000 token " GENERATION " " TIME,
        "80 65536 token " GENERATION " " TIME,
        "80 -1 token " GENERATION " " TIME,
        "80 30000 everybody " GENERATION " " TIME,
        "80 30000 token 33333333 " TIME,
        "80 30000 token " GENERATION " " TIME TIME,
        " 80 30000 token " GENERATION " " TIME,
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct port_row row;
        struct err err = {0};
        if (port_row_read(view_of(wrong[i]), &row, &err)) {
            fail_msg("\"%s\" was read", wrong[i]);
        }
        assert_int_equal(err.code, ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_survive_writing_and_reading),
        cmocka_unit_test(ports_out_of_range_are_refused),
        cmocka_unit_test(row_reads_back_as_it_was_written),
        cmocka_unit_test(rows_that_are_none_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
