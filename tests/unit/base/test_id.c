#include "common/base/id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define UUID "0f8fad5b-d9cb-469f-a165-70867728950e"

static void new_ids_are_random_version_4(void **state)
{
    (void)state;
    struct err err;
    char first[ID_SIZE];
    char second[ID_SIZE];
    char parsed[ID_SIZE];
    assert_true(id_new(first, &err));
    assert_true(id_new(second, &err));
    assert_string_not_equal(first, second);
    assert_true(id_parse(view_of(first), parsed));
    assert_string_equal(first, parsed);
    assert_int_equal(first[14], '4');
    assert_non_null(strchr("89ab", first[19]));
}

static void either_letter_case_is_read_as_lower(void **state)
{
    (void)state;
    char id[ID_SIZE];
    assert_true(id_parse(VIEW("0F8FAD5B-D9CB-469F-A165-70867728950E"), id));
    assert_string_equal(id, UUID);
}

static void other_forms_are_refused(void **state)
{
    (void)state;
    static const struct view texts[] = {
        VIEW(""),
        VIEW("0f8fad5bd9cb469fa16570867728950e"),
        VIEW("{0f8fad5b-d9cb-469f-a165-70867728950e}"),
        VIEW("0f8fad5b-d9cb-469f-a165-70867728950"),
        VIEW("0f8fad5b-d9cb-469f-a165-70867728950e "),
        VIEW("0f8fad5bd-9cb-469f-a165-70867728950e"),
        VIEW("0f8fad5b-d9cb-469f-a165-70867728950g"),
        VIEW("0f8fad5b_d9cb_469f_a165_70867728950e"),
        VIEW("0f8fad5b-d9cb-469f-a165-708677289\0"
             "0e"),
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char id[ID_SIZE];
        assert_false(id_parse(texts[i], id));
    }
}

static void dashes_can_be_dropped_and_put_back(void **state)
{
    (void)state;
    char id32[ID32_SIZE];
    char id[ID_SIZE];
    id_to_id32(UUID, id32);
    assert_string_equal(id32, "0f8fad5bd9cb469fa16570867728950e");
    assert_true(id_from_id32(view_of(id32), id));
    assert_string_equal(id, UUID);
    assert_false(id_from_id32(VIEW(UUID), id));
    assert_false(id_from_id32(VIEW("0f8fad5bd9cb469fa16570867728950"), id));
    assert_false(id_from_id32(VIEW("0f8fad5bd9cb469fa16570867728950x"), id));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_ids_are_random_version_4),
        cmocka_unit_test(either_letter_case_is_read_as_lower),
        cmocka_unit_test(other_forms_are_refused),
        cmocka_unit_test(dashes_can_be_dropped_and_put_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
