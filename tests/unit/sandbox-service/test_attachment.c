/* sandbox-service/docker/attachment.c */
#include "sandbox-service/docker/attachment.h"

#include "common/base/id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define ID_A "11111111-2222-4333-8444-555555555555"
#define ID_B "66666666-7777-4888-9999-aaaaaaaaaaaa"

struct seen {
    size_t count;
    char sandbox_id[ID_SIZE];
    uint32_t address;
};

static void on_address(const char *sandbox_id, uint32_t address, void *arg)
{
    struct seen *seen = arg;
    seen->count++;
    seen->address = address;
    memcpy(seen->sandbox_id, sandbox_id, ID_SIZE);
}

static bool read_addresses(const char *body, const char *network, struct seen *seen)
{
    struct err err = {0};
    *seen = (struct seen){0};
    return attachment_read_addresses(view_of(body), network, on_address, seen, &err);
}

static void addresses_are_those_of_the_network(void **state)
{
    (void)state;
    static const char body[] =
        "[{\"Id\":\"a\",\"Names\":[\"/insien-" ID_A "\"],\"Labels\":{\"insien.sandbox\":\"" ID_A
        "\"},\"NetworkSettings\":"
        "{\"Networks\":{\"open\":{\"IPAddress\":\"10.200.0.7\",\"Gateway\":\"10.200.0.1\"}}}},"
        "{\"Id\":\"b\",\"Names\":[\"/insien-" ID_B "\"],\"Labels\":{\"insien.sandbox\":\"" ID_B
        "\"},\"NetworkSettings\":"
        "{\"Networks\":{\"none\":{\"IPAddress\":\"\"}}}},"
        /* a build, whose Dockerfile has the label of somebody's sandbox */
        "{\"Id\":\"d\",\"Names\":[\"/quirky_bohr\"],\"Labels\":{\"insien.sandbox\":\"" ID_B
        "\"},\"NetworkSettings\":{\"Networks\":{\"open\":{\"IPAddress\":\"10.200.0.9\"}}}},"
        "{\"Id\":\"c\",\"Labels\":null,\"NetworkSettings\":null}]";
    struct seen seen;
    assert_true(read_addresses(body, "open", &seen));
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.sandbox_id, ID_A);
    assert_int_equal(seen.address, 0x0ac80007);
    assert_true(read_addresses(body, "none", &seen));
    assert_int_equal(seen.count, 0);
    assert_true(read_addresses("[]", "open", &seen));
}

static void what_is_no_list_is_refused(void **state)
{
    (void)state;
    struct seen seen;
    assert_false(read_addresses("", "open", &seen));
    assert_false(read_addresses("{}", "open", &seen));
    assert_false(read_addresses("[{\"Labels\":1}]", "open", &seen));
    assert_int_equal(seen.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_those_of_the_network),
        cmocka_unit_test(what_is_no_list_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
