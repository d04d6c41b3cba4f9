#include "common/contracts/volumes.h"
#include "tests/unit/contracts/round_trip.h"

#define VOLUME "11111111-1111-4111-8111-111111111111"
#define USER "22222222-2222-4222-8222-222222222222"

static void messages_survive_writing_and_reading(void **state)
{
    (void)state;
    struct volume_create create;
    struct volume_info info;
    struct volume_list list;
    struct volume_list_answer list_answer;
    struct volume_delete delete;
    expect_round_trip(&volume_create_schema, &create,
                      "{\"volumeId\":\"" VOLUME "\",\"userId\":\"" USER
                      "\",\"name\":\"data\",\"sizeMB\":16,\"isShared\":false}");
    expect_round_trip(&volume_info_schema, &info,
                      "{\"volumeId\":\"" VOLUME
                      "\",\"name\":\"data\",\"sizeMB\":16,\"isShared\":true,\"createdAt\":\"x\"}");
    expect_round_trip(&volume_list_schema, &list, "{\"userId\":\"" USER "\"}");
    expect_round_trip(&volume_list_answer_schema, &list_answer, "{\"volumes\":[{\"name\":\"a\"}]}");
    expect_round_trip(&volume_delete_schema, &delete,
                      "{\"userId\":\"" USER "\",\"name\":\"data\"}");
}

static void names_have_one_shape(void **state)
{
    (void)state;
    static const struct {
        struct view name;
        bool ok;
    } cases[] = {
        {VIEW("a"), true},   {VIEW("0.a_b-c"), true}, {VIEW(""), false},
        {VIEW(".a"), false}, {VIEW("A"), false},      {VIEW("a:ro"), false},
    };
    const char *problem;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(volume_name_check(cases[i].name, &problem), cases[i].ok);
    }
}

static void paths_stay_out_of_what_is_the_sandboxes_own(void **state)
{
    (void)state;
    static const struct {
        struct view path;
        bool ok;
    } cases[] = {
        {VIEW("/data"), true},   {VIEW("/a/b c/d"), true},      {VIEW("/process"), true},
        {VIEW("/run"), true},    {VIEW("/..."), true},          {VIEW("/"), false},
        {VIEW(""), false},       {VIEW("data"), false},         {VIEW("/data/"), false},
        {VIEW("//data"), false}, {VIEW("/a//b"), false},        {VIEW("/a/../b"), false},
        {VIEW("/./a"), false},   {VIEW("/a/.."), false},        {VIEW("/a\nb"), false},
        {VIEW("/proc"), false},  {VIEW("/proc/1"), false},      {VIEW("/sys/fs"), false},
        {VIEW("/dev"), false},   {VIEW("/run/secrets"), false}, {VIEW("/.insien/run"), false},
    };
    const char *problem;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (volume_path_check(cases[i].path, &problem) != cases[i].ok) {
            fail_msg("%.*s", (int)cases[i].path.len, cases[i].path.ptr);
        }
    }
}

static void uses_name_a_volume_and_how(void **state)
{
    (void)state;
    static const struct {
        struct view text;
        bool ok;
        bool read_only;
    } cases[] = {
        {VIEW("data"), true, false},    {VIEW("data:rw"), true, false},
        {VIEW("data:ro"), true, true},  {VIEW("data:"), false, false},
        {VIEW("data:x"), false, false}, {VIEW(":ro"), false, false},
        {VIEW(""), false, false},       {VIEW("data:ro:ro"), false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct volume_use use;
        bool ok = volume_use_read(cases[i].text, &use);
        if (ok != cases[i].ok || (ok && use.read_only != cases[i].read_only)) {
            fail_msg("%.*s", (int)cases[i].text.len, cases[i].text.ptr);
        }
        if (ok) {
            assert_true(view_equal(use.name, VIEW("data")));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_survive_writing_and_reading),
        cmocka_unit_test(names_have_one_shape),
        cmocka_unit_test(paths_stay_out_of_what_is_the_sandboxes_own),
        cmocka_unit_test(uses_name_a_volume_and_how),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
