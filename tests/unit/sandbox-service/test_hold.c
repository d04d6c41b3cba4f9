/* sandbox-service/volumes/hold.c: what the database says of a sandbox's volumes. */
#include "sandbox-service/volumes/hold.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FIRST "aaaaaaaa-aaaa-4aaa-8aaa-000000000001"
#define SECOND "aaaaaaaa-aaaa-4aaa-8aaa-000000000002"

static const struct disks disks = {.folder = "/var/volumes"};

static void lines_become_mounts(void **state)
{
    (void)state;
    struct volume_hold hold = {0};
    struct err err = {0};
    assert_true(volume_hold_read(
        &hold, &disks, VIEW(FIRST " 512 rw /data\n" SECOND " 16 ro /with a space\n"), &err));
    assert_int_equal(hold.count, 2);
    assert_string_equal(hold.items[0].id, FIRST);
    assert_int_equal(hold.items[0].size_mb, 512);
    assert_string_equal(hold.mounts[0].source,
                        "/var/volumes/aaaaaaaaaaaa4aaa8aaa000000000001/data");
    assert_string_equal(hold.mounts[0].target, "/data");
    assert_false(hold.mounts[0].read_only);
    assert_string_equal(hold.mounts[1].target, "/with a space");
    assert_true(hold.mounts[1].read_only);
}

static void the_largest_that_can_be_written_to_is_told(void **state)
{
    (void)state;
    struct volume_hold hold = {0};
    struct err err = {0};
    assert_int_equal(volume_hold_largest_mb(&hold), 0);
    assert_true(volume_hold_read(&hold, &disks,
                                 VIEW(FIRST " 512 ro /large\n" SECOND " 16 rw /small\n"), &err));
    assert_int_equal(volume_hold_largest_mb(&hold), 16);
}

static void no_lines_are_no_mounts(void **state)
{
    (void)state;
    struct volume_hold hold = {0};
    struct err err = {0};
    assert_true(volume_hold_read(&hold, &disks, VIEW(""), &err));
    assert_int_equal(hold.count, 0);
    volume_hold_end(&hold); /* was not begun */
}

static void what_is_no_line_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"x", "no-id 16 rw /a\n", FIRST " x rw /a\n",
                                        FIRST "  rw /a\n", FIRST " 1234567890 rw /a\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct volume_hold hold = {0};
        struct err err = {0};
        assert_false(volume_hold_read(&hold, &disks, view_of(wrong[i]), &err));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_become_mounts),
        cmocka_unit_test(the_largest_that_can_be_written_to_is_told),
        cmocka_unit_test(no_lines_are_no_mounts),
        cmocka_unit_test(what_is_no_line_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
