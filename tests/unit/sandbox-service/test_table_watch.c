/* tests/unit/sandbox-service/test_table_watch.c: what the kernel says of tables, told apart. */
#include "sandbox-service/network/table_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdlib.h>

enum { ROOM = 512 };

struct datagram {
    char bytes[ROOM];
    size_t len;
};

static void put(struct datagram *to, const void *bytes, size_t len)
{
    enum { STEP = 4 };
    size_t aligned = (len + STEP - 1) / STEP * STEP;
    assert_true(to->len + aligned <= ROOM);
    memcpy(to->bytes + to->len, bytes, len);
    to->len += aligned;
}

static void add_message(struct datagram *to, unsigned kind, const char *table)
{
    static const char use[] = {0, 0, 0, 1};
    const struct nfgenmsg family = {0};
    size_t name_len = strlen(table) + 1;
    const struct nlattr number = {sizeof number + sizeof use, NFTA_TABLE_USE};
    const struct nlattr name = {(uint16_t)(sizeof name + name_len), NFTA_TABLE_NAME};
    const struct nlmsghdr head = {
        .nlmsg_len = (uint32_t)(sizeof head + sizeof family + number.nla_len + name.nla_len),
        .nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | kind)};
    put(to, &head, sizeof head);
    put(to, &family, sizeof family);
    put(to, &number, sizeof number);
    put(to, use, sizeof use);
    put(to, &name, sizeof name);
    put(to, table, name_len);
}

static bool is_about(const struct datagram *datagram, const char *table)
{
    return table_watch_is_about((struct view){datagram->bytes, datagram->len}, table);
}

static void end_of_the_table_is_heard(void **state)
{
    (void)state;
    struct datagram datagram = {0};
    add_message(&datagram, NFT_MSG_DELTABLE, "another");
    assert_false(is_about(&datagram, "ours"));
    add_message(&datagram, NFT_MSG_DELTABLE, "ours");
    assert_true(is_about(&datagram, "ours"));
    assert_false(is_about(&datagram, "our"));
    assert_false(is_about(&datagram, "ours2"));
}

static void its_beginning_is_none(void **state)
{
    (void)state;
    struct datagram datagram = {0};
    add_message(&datagram, NFT_MSG_NEWTABLE, "ours");
    assert_false(is_about(&datagram, "ours"));
}

static void what_is_cut_off_is_left_alone(void **state)
{
    (void)state;
    struct datagram whole = {0};
    add_message(&whole, NFT_MSG_DELTABLE, "ours");
    for (size_t len = 0; len < whole.len - sizeof "ours"; len++) {
        char *copy = malloc(len + 1); /* so that a reader that goes too far is seen */
        assert_non_null(copy);
        memcpy(copy, whole.bytes, len);
        assert_false(table_watch_is_about((struct view){copy, len}, "ours"));
        free(copy);
    }
    whole.bytes[sizeof(struct nlmsghdr) + sizeof(struct nfgenmsg)] = 1; /* shorter than itself */
    assert_false(is_about(&whole, "ours"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(end_of_the_table_is_heard),
        cmocka_unit_test(its_beginning_is_none),
        cmocka_unit_test(what_is_cut_off_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
