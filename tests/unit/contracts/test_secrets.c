#include "common/contracts/secrets.h"
#include "tests/unit/contracts/round_trip.h"

#define USER "22222222-2222-4222-8222-222222222222"
#define KEY "33333333-3333-4333-8333-333333333333"

static void messages_survive_writing_and_reading(void **state)
{
    (void)state;
    struct secret_set set;
    struct secret_info info;
    struct secret_list list;
    struct secret_list_answer list_answer;
    struct secret_delete delete;
    expect_round_trip(&secret_set_schema, &set,
                      "{\"userId\":\"" USER "\",\"actorKeyId\":\"" KEY
                      "\",\"name\":\"token\",\"value\":\"\"}");
    expect_round_trip(
        &secret_info_schema, &info,
        "{\"name\":\"token\",\"createdAt\":\"x\",\"updatedAt\":\"y\",\"isNew\":true}");
    expect_round_trip(&secret_list_schema, &list, "{\"userId\":\"" USER "\"}");
    expect_round_trip(&secret_list_answer_schema, &list_answer, "{\"secrets\":[{\"name\":\"a\"}]}");
    expect_round_trip(&secret_delete_schema, &delete,
                      "{\"userId\":\"" USER "\",\"name\":\"token\"}");
}

static void names_have_one_shape(void **state)
{
    (void)state;
    static const struct {
        struct view name;
        bool of_a_secret;
        bool of_a_file;
    } cases[] = {
        {VIEW("a"), true, true},          {VIEW("A.b_c-9"), true, true},
        {VIEW(""), false, false},         {VIEW(".npmrc"), false, true},
        {VIEW("-x"), false, true},        {VIEW("a b"), false, false},
        {VIEW("a/b"), false, false},      {VIEW("."), false, false},
        {VIEW(".."), false, false},       {VIEW("~new"), false, false},
        {VIEW("\xc3\xa4"), false, false},
    };
    const char *problem;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(secret_name_check(cases[i].name, &problem), cases[i].of_a_secret);
        assert_int_equal(secret_file_name_check(cases[i].name, &problem), cases[i].of_a_file);
    }
    char longest[SECRET_FILE_NAME_MAX + 1];
    memset(longest, 'a', sizeof longest);
    assert_true(secret_name_check((struct view){longest, SECRET_NAME_MAX}, &problem));
    assert_false(secret_name_check((struct view){longest, SECRET_NAME_MAX + 1}, &problem));
    assert_true(secret_file_name_check((struct view){longest, SECRET_FILE_NAME_MAX}, &problem));
    assert_false(secret_file_name_check((struct view){longest, sizeof longest}, &problem));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_survive_writing_and_reading),
        cmocka_unit_test(names_have_one_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
