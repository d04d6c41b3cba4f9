#include "common/contracts/network.h"
#include "tests/unit/contracts/round_trip.h"

#define SANDBOX "11111111-1111-4111-8111-111111111111"
#define USER "22222222-2222-4222-8222-222222222222"
#define TIME "2026-01-31T23:59:59.123Z"

static void messages_survive_writing_and_reading(void **state)
{
    (void)state;
    struct network_set set;
    struct network_get get;
    struct network_answer answer;
    expect_round_trip(&network_set_schema, &set,
                      "{\"sandboxId\":\"" SANDBOX "\",\"userId\":\"" USER
                      "\",\"network\":\"restricted\",\"allow\":[\"a.com\",\"1.1.1.1:53/udp\"]}");
    expect_round_trip(&network_get_schema, &get, "{\"sandboxId\":\"" SANDBOX "\"}");
    expect_round_trip(&network_answer_schema, &answer,
                      "{\"userId\":\"" USER "\",\"network\":\"none\",\"allow\":[],"
                      "\"denials\":[\"name 1 x a.com\"]}");
}

static void unknown_network_is_refused(void **state)
{
    (void)state;
    struct network_set set;
    struct err err;
    assert_string_not_equal(refusal(&network_set_schema, &set,
                                    "{\"sandboxId\":\"" SANDBOX "\",\"userId\":\"" USER
                                    "\",\"network\":\"host\"}",
                                    &err),
                            "");
}

static void denial_reads_back_as_it_was_written(void **state)
{
    (void)state;
    const struct network_denial other = {VIEW("other"), 12, VIEW(TIME), VIEW("")};
    struct network_denial got;
    struct err err = {0};
    char text[NETWORK_DENIAL_TEXT_SIZE];
    network_denial_write(&other, text);
    assert_string_equal(text, "other 12 " TIME " ");
    assert_true(network_denial_read(view_of(text), &got, &err));
    assert_true(view_equal(got.kind, other.kind));
    assert_true(view_equal(got.target, other.target));
    assert_int_equal(got.attempts, 12);
    assert_false(network_denial_read(VIEW("name x " TIME " a.com"), &got, &err));
    assert_false(network_denial_read(VIEW("name"), &got, &err));
}

static void unknown_mode_is_the_strictest(void **state)
{
    (void)state;
    assert_string_equal(network_mode(VIEW("open")), "open");
    assert_string_equal(network_mode(VIEW("restricted")), "restricted");
    assert_string_equal(network_mode(VIEW("opener")), "none");
    assert_string_equal(network_mode(VIEW("")), "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_survive_writing_and_reading),
        cmocka_unit_test(unknown_network_is_refused),
        cmocka_unit_test(unknown_mode_is_the_strictest),
        cmocka_unit_test(denial_reads_back_as_it_was_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
