#include "gateway/http/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static struct address parse(const char *text)
{
    struct sockaddr_in ipv4 = {.sin_family = AF_INET};
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};
    struct address address;
    bool is_ipv4 = inet_pton(AF_INET, text, &ipv4.sin_addr) == 1;
    assert_true(is_ipv4 || inet_pton(AF_INET6, text, &ipv6.sin6_addr) == 1);
    assert_true(is_ipv4 ? address_of((const struct sockaddr *)&ipv4, &address)
                        : address_of((const struct sockaddr *)&ipv6, &address));
    return address;
}

static void addresses_print_in_their_own_notation(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"10.1.2.3", "10.1.2.3"},
        {"::ffff:10.1.2.3", "10.1.2.3"},
        {"2001:db8::1", "2001:db8::1"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char out[ADDRESS_TEXT_SIZE];
        struct address address = parse(texts[i][0]);
        address_format(&address, out);
        assert_string_equal(out, texts[i][1]);
    }
}

static void lists_hold_addresses_and_networks(void **state)
{
    (void)state;
    static const struct {
        const char *list, *address;
        bool has;
    } cases[] = {
        {"", "10.0.0.1", false},
        {"10.0.0.1", "10.0.0.1", true},
        {"10.0.0.1", "10.0.0.2", false},
        {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.1", false},
        {"10.0.0.0/31", "10.0.0.1", true},
        {"10.0.0.0/31", "10.0.0.2", false},
        {"0.0.0.0/0", "1.2.3.4", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "2001:db8::1", true},
        {"2001:db8::/33", "2001:db8:7fff::", true},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"::1/128 , 10.0.0.1", "::1", true},
        {"10.0.0.1", "::ffff:10.0.0.1", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct address_list list;
        struct err err = {0};
        struct address address = parse(cases[i].address);
        assert_true(address_list_parse(&list, cases[i].list, &err));
        if (address_list_has(&list, &address) != cases[i].has) {
            fail_msg("%s in %s", cases[i].address, cases[i].list);
        }
        address_list_free(&list);
    }
}

static void malformed_lists_are_refused(void **state)
{
    (void)state;
    static const char *const lists[] = {"10.0.0.0/33", "10.0.0.0/",        "10.0.0.0/-1", "10.0.0",
                                        "::/129",      "10.0.0.1,",        "localhost",   "::/0001",
                                        ",10.0.0.1",   "10.0.0.1 10.0.0.2"};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct address_list list;
        struct err err = {0};
        if (address_list_parse(&list, lists[i], &err)) {
            fail_msg("%s", lists[i]);
        }
        assert_int_equal(err.code, ERR_INVALID);
        address_list_free(&list);
    }
}

static void connections_are_counted_by_address_and_ipv6_network(void **state)
{
    (void)state;
    struct map table;
    struct err err = {0};
    assert_true(map_init(&table, &err));
    struct address one = parse("10.0.0.1");
    struct address other = parse("10.0.0.2");
    struct address host = parse("2001:db8::1");
    struct address neighbour = parse("2001:db8::ffff");
    struct address stranger = parse("2001:db8:0:1::1");
    struct address_entry *first = address_entry_take(&table, &one);
    struct address_entry *second = address_entry_take(&table, &one);
    struct address_entry *third = address_entry_take(&table, &host);
    assert_ptr_equal(first, second);
    assert_int_equal(address_entry_count(&table, &one), 2);
    assert_int_equal(address_entry_count(&table, &other), 0);
    assert_int_equal(address_entry_count(&table, &neighbour), 1);
    assert_int_equal(address_entry_count(&table, &stranger), 0);
    address_entry_release(&table, first);
    assert_int_equal(address_entry_count(&table, &one), 1);
    address_entry_release(&table, second);
    address_entry_release(&table, third);
    assert_int_equal(table.count, 0);
    map_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_print_in_their_own_notation),
        cmocka_unit_test(lists_hold_addresses_and_networks),
        cmocka_unit_test(malformed_lists_are_refused),
        cmocka_unit_test(connections_are_counted_by_address_and_ipv6_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
