/* sandbox-service/system/leftover_list.c: what is taken for nobody's, and what never is. */
#include "sandbox-service/system/leftover_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#define NOW "1790000000" /* 2026-09-21 */

static const struct leftover_policy policy = {
    .before = 1790000000, .agent_volume = "insien-agent-current", .instance = "test"};
static struct leftover_list leftovers;

static void expect(const char *json)
{
    AUTO(str_free) struct str out = STR_INIT(65536);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    leftover_list_write(&leftovers, &writer);
    json_end_object(&writer);
    assert_string_equal(out.data, json);
}

static int clear(void **state)
{
    (void)state;
    leftovers = (struct leftover_list){0};
    return 0;
}

static void old_volumes_of_other_agents_alone_are_left_over(void **state)
{
    (void)state;
    struct err err = {0};
    const char *body =
        "{\"Volumes\":["
        "{\"Name\":\"insien-agent-current\",\"CreatedAt\":\"2020-01-01T00:00:00Z\"},"
        "{\"Name\":\"insien-agent-new\",\"CreatedAt\":\"2026-12-01T00:00:00+01:00\"},"
        "{\"Name\":\"insien-agent-old\",\"CreatedAt\":\"2026-01-01T00:00:00+01:00\",\"X\":1},"
        "{\"Name\":\"insien-agent-odd\",\"CreatedAt\":\"yesterday\"},"
        "{\"Name\":\"somebodys-data\",\"CreatedAt\":\"2020-01-01T00:00:00Z\"}],\"Warnings\":null}";
    assert_true(leftover_list_add_volumes(&leftovers, view_of(body), &policy, &err));
    expect("{\"leftovers\":[{\"kind\":\"volume\",\"name\":\"insien-agent-old\",\"unknown\":false,"
           "\"removed\":false}],\"truncated\":false}");
}

static void none_at_all_is_no_mistake(void **state)
{
    (void)state;
    struct err err = {0};
    assert_true(leftover_list_add_volumes(&leftovers, VIEW("{\"Volumes\":null}"), &policy, &err));
    assert_true(leftover_list_add_images(&leftovers, VIEW("[]"), &policy, &err));
    expect("{\"leftovers\":[],\"truncated\":false}");
}

static void old_images_are_left_over_unless_they_are_in_use(void **state)
{
    (void)state;
    struct err err = {0};
    AUTO(str_free) struct str names = STR_INIT(4096);
    const char *body =
        "[{\"Id\":\"sha256:aa\",\"RepoTags\":[\"mine:1\",\"mine:2\"],\"Created\":1,\"Labels\":{}},"
        "{\"Id\":\"sha256:bb\",\"RepoTags\":null,\"Created\":1,\"Labels\":{\"insien.image\":\"x\"}}"
        ","
        "{\"Id\":\"sha256:cc\",\"RepoTags\":[\"<none>:<none>\"],\"Created\":1,\"Labels\":null},"
        "{\"Id\":\"sha256:dd\",\"RepoTags\":[\"new:1\"],\"Created\":" NOW ",\"Labels\":{}},"
        "{\"Id\":\"sha256:ee\",\"RepoTags\":[\"insien/base:1\"],\"Created\":1,"
        "\"Labels\":{\"insien.image\":\"base\"}},"
        "{\"Id\":\"sha256:e1\",\"RepoTags\":[\"insien/base:2\",\"insien/base:for-x\"],"
        "\"Created\":1,\"Labels\":{\"insien.image\":\"base\"}},"
        "{\"Id\":\"sha256:e2\",\"RepoTags\":[\"insien/base:3\",\"insien/base:latest\"],"
        "\"Created\":1,\"Labels\":{\"insien.image\":\"base\"}},"
        "{\"Id\":\"sha256:e3\",\"RepoTags\":[\"test/template:x\",\"mine:3\"],"
        "\"Created\":1,\"Labels\":{\"insien.image\":\"base\"}},"
        "{\"Id\":\"sha256:e4\",\"RepoTags\":[\"debian:bookworm-slim\"],"
        "\"Created\":1,\"Labels\":{\"insien.image\":\"debian\"}},"
        "{\"Id\":\"sha256:ff\",\"RepoTags\":[\"insien/"
        "empty:latest\"],\"Created\":1,\"Labels\":{}}]";
    assert_true(leftover_list_add_images(&leftovers, view_of(body), &policy, &err));
    leftover_list_write_names(&leftovers, LEFTOVER_IMAGE, &names);
    assert_string_equal(names.data, "[\"mine:1\",\"mine:2\",\"sha256:bb\",\"sha256:cc\","
                                    "\"insien/base:1\"]");
    leftover_list_drop(&leftovers, LEFTOVER_IMAGE, VIEW("mine:1"));
    leftover_list_drop(&leftovers, LEFTOVER_IMAGE, VIEW("never seen"));
    leftover_list_drop(&leftovers, LEFTOVER_VOLUME, VIEW("mine:2"));
    assert_int_equal(leftovers.count, 4);
}

static void what_is_no_answer_of_the_engine_is_an_error(void **state)
{
    (void)state;
    static const char *const bodies[] = {"[{\"Id\":1,\"Created\":1}]", "[{\"Id\":\"x\"}]", "[",
                                         "[1]"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct err err = {0};
        if (leftover_list_add_images(&leftovers, view_of(bodies[i]), &policy, &err) ||
            err.code == ERR_NONE) {
            fail_msg("%s", bodies[i]);
        }
    }
    struct err err = {0};
    assert_false(leftover_list_add_volumes(&leftovers, VIEW("[]"), &policy, &err));
    assert_false(leftover_list_add_volumes(&leftovers, VIEW("{\"Volumes\":[{}]}"), &policy, &err));
}

static void what_no_row_ever_told_of_is_marked(void **state)
{
    (void)state;
    leftover_list_add(&leftovers, LEFTOVER_CONTAINER, VIEW("a"))->unknown = true;
    expect("{\"leftovers\":[{\"kind\":\"container\",\"name\":\"a\",\"unknown\":true,"
           "\"removed\":false}],\"truncated\":false}");
}

static void there_are_no_more_than_fit_and_that_is_told(void **state)
{
    (void)state;
    for (int i = 0; i < LEFTOVERS_MAX + 1; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "image-%d", i);
        bool has_place = leftover_list_add(&leftovers, LEFTOVER_IMAGE, view_of(name)) != NULL;
        assert_int_equal(has_place, i < LEFTOVERS_MAX);
    }
    assert_int_equal(leftovers.count, LEFTOVERS_MAX);
    assert_true(leftovers.truncated);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(old_volumes_of_other_agents_alone_are_left_over, clear),
        cmocka_unit_test_setup(none_at_all_is_no_mistake, clear),
        cmocka_unit_test_setup(old_images_are_left_over_unless_they_are_in_use, clear),
        cmocka_unit_test_setup(what_is_no_answer_of_the_engine_is_an_error, clear),
        cmocka_unit_test_setup(what_no_row_ever_told_of_is_marked, clear),
        cmocka_unit_test_setup(there_are_no_more_than_fit_and_that_is_told, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
