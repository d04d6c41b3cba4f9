/* sandbox-service/network/dns_message.c */
#include "sandbox-service/network/dns_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define BYTES(literal) VIEW(literal)
/* The question for the address of www.EXAMPLE.com, behind a header. */
#define QUESTION "\3www\7EXAMPLE\3com\0\0\1\0\1"
#define ASKED "\x12\x34\1\0\0\1\0\0\0\0\0\0" QUESTION

static struct view bytes(const uint8_t *data, size_t len)
{
    return (struct view){(const char *)data, len};
}

static void question_is_read_in_lower_case(void **state)
{
    (void)state;
    struct dns_query query;
    assert_true(dns_read_query(BYTES(ASKED), &query));
    assert_int_equal(query.id, 0x1234);
    assert_string_equal(query.name, "www.example.com");
    assert_int_equal(query.type, DNS_TYPE_A);
    assert_true(dns_query_is_ordinary(&query));
}

static void additional_records_of_a_question_do_no_harm(void **state)
{
    (void)state;
    struct dns_query query;
    assert_true(dns_read_query(
        BYTES("\x12\x34\1\0\0\1\0\0\0\0\0\1" QUESTION "\0\0\x29\4\xd0\0\0\0\0\0\0"), &query));
    assert_string_equal(query.name, "www.example.com");
}

static void what_is_no_question_is_not_answered(void **state)
{
    (void)state;
    static const struct view wrong[] = {
        VIEW(""),
        VIEW("\x12\x34\1\0\0\1\0\0\0\0\0"),                   /* less than a header */
        VIEW("\x12\x34\x81\0\0\1\0\0\0\0\0\0" QUESTION),      /* an answer */
        VIEW("\x12\x34\1\0\0\2\0\0\0\0\0\0" QUESTION),        /* two */
        VIEW("\x12\x34\1\0\0\1\0\0\0\0\0\0\3www"),            /* cut */
        VIEW("\x12\x34\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1"), /* a name that points at itself */
        VIEW("\x12\x34\1\0\0\1\0\0\0\0\0\0\3a.b\0\0\1\0\1"),  /* a dot within a label */
        VIEW("\x12\x34\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0"),      /* half a class */
    };
    struct dns_query query;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (dns_read_query(wrong[i], &query)) {
            fail_msg("case %zu was read", i);
        }
    }
}

static void longest_name_is_read_and_a_longer_one_is_not(void **state)
{
    (void)state;
    uint8_t packet[DNS_PACKET_MAX] = {0x12, 0x34, 1, 0, 0, 1};
    struct dns_query query;
    size_t at = 12;
    for (int label = 0; label < 4; label++) {
        uint8_t len = label < 3 ? 63 : 61;
        packet[at++] = len;
        memset(packet + at, 'a', len);
        at += len;
    }
    assert_true(dns_read_query(bytes(packet, at + 5), &query)); /* the rest is 0 */
    assert_int_equal(strlen(query.name), 253);
    packet[12 + 3 * 64] = 62;
    packet[at] = 'a';
    assert_false(dns_read_query(bytes(packet, at + 6), &query));
}

static void own_question_can_be_read_again(void **state)
{
    enum { OPT_LEN = 11 };
    (void)state;
    uint8_t packet[DNS_MESSAGE_MAX];
    struct dns_query query;
    size_t len = dns_write_query(77, "a.example.com", false, packet);
    assert_true(dns_read_query(bytes(packet, len), &query));
    assert_int_equal(query.id, 77);
    assert_string_equal(query.name, "a.example.com");
    assert_int_equal(dns_write_query(77, "a.example.com", true, packet), len + OPT_LEN);
    assert_int_equal(packet[11], 1);
    assert_int_equal(packet[len + 2], DNS_TYPE_OPT);
    assert_int_equal(packet[len + 3] << 8 | packet[len + 4], DNS_PACKET_MAX);
    assert_int_equal(dns_write_query(77, "", true, packet), 0);
    assert_int_equal(dns_write_query(77, "a..b", true, packet), 0);
}

#define ALIAS "\xc0\x0c\0\5\0\1\0\0\0\x3c\0\4\1b\xc0\x10"
#define FIRST "\xc0\x2f\0\1\0\1\0\0\1\0\0\4\xcb\0\x71\7"
#define SECOND "\xc0\x2f\0\1\0\1\0\0\0\x0a\0\4\xcb\0\x71\x08"

static void addresses_behind_an_alias_are_found(void **state)
{
    (void)state;
    struct dns_answer answer;
    assert_true(
        dns_read_answer(BYTES("\x12\x34\x81\x80\0\1\0\3\0\0\0\0" QUESTION ALIAS FIRST SECOND),
                        0x1234, "www.example.com", &answer));
    assert_int_equal(answer.code, DNS_OK);
    assert_false(answer.is_cut);
    assert_int_equal(answer.count, 2);
    assert_int_equal(answer.addresses[0], 0xcb007107);
    assert_int_equal(answer.addresses[1], 0xcb007108);
    assert_int_equal(answer.ttl_s, 10);
}

static void answers_to_other_questions_are_not_taken(void **state)
{
    (void)state;
    static const struct view packet = VIEW("\x12\x34\x81\x80\0\1\0\1\0\0\0\0" QUESTION FIRST);
    struct dns_answer answer;
    assert_true(dns_read_answer(packet, 0x1234, "www.example.com", &answer));
    assert_false(dns_read_answer(packet, 0x1235, "www.example.com", &answer));
    assert_false(dns_read_answer(packet, 0x1234, "example.com", &answer));
    assert_false(dns_read_answer(BYTES(ASKED), 0x1234, "www.example.com", &answer));
}

static void answer_that_ends_early_is_cut(void **state)
{
    (void)state;
    struct dns_answer answer;
    assert_true(dns_read_answer(BYTES("\x12\x34\x81\x80\0\1\0\2\0\0\0\0" QUESTION FIRST "\xc0"),
                                0x1234, "www.example.com", &answer));
    assert_true(answer.is_cut);
    assert_int_equal(answer.count, 1);
}

static void answer_repeats_the_question(void **state)
{
    (void)state;
    struct dns_query query;
    struct dns_answer given = {.count = 1, .addresses = {0xcb007107}, .ttl_s = 60};
    struct dns_answer got;
    uint8_t packet[DNS_MESSAGE_MAX];
    assert_true(dns_read_query(BYTES(ASKED), &query));
    size_t len = dns_write_answer(&query, &given, packet);
    assert_memory_equal(packet + 12, QUESTION, sizeof QUESTION - 1);
    assert_true(dns_read_answer(bytes(packet, len), 0x1234, "www.example.com", &got));
    assert_int_equal(got.count, 1);
    assert_int_equal(got.addresses[0], 0xcb007107);
    assert_int_equal(got.ttl_s, 60);
    given = (struct dns_answer){.code = DNS_REFUSED};
    len = dns_write_answer(&query, &given, packet);
    assert_true(dns_read_answer(bytes(packet, len), 0x1234, "www.example.com", &got));
    assert_int_equal(got.code, DNS_REFUSED);
    assert_int_equal(got.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(question_is_read_in_lower_case),
        cmocka_unit_test(additional_records_of_a_question_do_no_harm),
        cmocka_unit_test(what_is_no_question_is_not_answered),
        cmocka_unit_test(longest_name_is_read_and_a_longer_one_is_not),
        cmocka_unit_test(own_question_can_be_read_again),
        cmocka_unit_test(addresses_behind_an_alias_are_found),
        cmocka_unit_test(answers_to_other_questions_are_not_taken),
        cmocka_unit_test(answer_that_ends_early_is_cut),
        cmocka_unit_test(answer_repeats_the_question),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
