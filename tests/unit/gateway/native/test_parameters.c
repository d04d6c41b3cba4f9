#include "gateway/native/media_types.h"
#include "gateway/native/parameters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void parameters_are_decoded(void **state)
{
    (void)state;
    static const char *const words[] = {"tar.gz", "tar", NULL};
    char path[32];
    char mode[PARAMETER_MODE_SIZE];
    struct err err = {0};
    struct parameters parameters = {
        .query = VIEW("path=%2Fa+b%2F%C3%A9&sync=1&depth=3&format=tar&mode=0644")};
    parameter_text(&parameters, "path", PARAMETER_REQUIRED, path, sizeof path);
    assert_string_equal(path, "/a b/\xc3\xa9");
    assert_true(parameter_bool(&parameters, "sync", false));
    assert_true(parameter_bool(&parameters, "parents", true));
    assert_int_equal(parameter_int(&parameters, "depth", 1, 32, 1), 3);
    assert_int_equal(parameter_int(&parameters, "limit", 1, 32, 7), 7);
    assert_int_equal(parameter_word(&parameters, "format", words), 1);
    parameter_mode(&parameters, "mode", mode);
    assert_string_equal(mode, "0644");
    assert_true(parameters_check(&parameters, &err));
}

static void every_mistake_is_told(void **state)
{
    (void)state;
    static const char *const words[] = {"tar.gz", "tar", NULL};
    char path[4];
    char user[4];
    char empty[4];
    char mode[PARAMETER_MODE_SIZE];
    struct err err = {0};
    struct parameters parameters = {
        .query = VIEW("user=longer&sync=yes&depth=0&format=zip&mode=689&empty=&offset=%31x")};
    parameter_text(&parameters, "path", PARAMETER_REQUIRED, path, sizeof path);
    parameter_text(&parameters, "user", PARAMETER_OPTIONAL, user, sizeof user);
    parameter_text(&parameters, "empty", PARAMETER_REQUIRED, empty, sizeof empty);
    assert_string_equal(path, "");
    assert_string_equal(user, "");
    assert_false(parameter_bool(&parameters, "sync", false));
    assert_int_equal(parameter_int(&parameters, "depth", 1, 32, 1), 1);
    assert_int_equal(parameter_int(&parameters, "offset", -1, INT64_MAX, -2), -2);
    assert_int_equal(parameter_word(&parameters, "format", words), 0);
    parameter_mode(&parameters, "mode", mode);
    assert_string_equal(mode, "");
    assert_false(parameters_check(&parameters, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.reason, "validation_failed");
    assert_int_equal(parameters.violations.count, 8);
    assert_string_equal(parameters.violations.items[0].message, "is required");
    assert_string_equal(parameters.violations.items[6].message, "must be one of: tar.gz, tar");
}

static void words_ids_and_cursors_are_themselves_or_nothing(void **state)
{
    (void)state;
    static const char *const words[] = {"one", "two", NULL};
    char id[ID_SIZE];
    char cursor[PARAMETER_CURSOR_SIZE];
    char long_query[PARAMETER_CURSOR_SIZE + 16] = "cursor=";
    struct err err = {0};
    struct parameters parameters = {
        .query = VIEW("w=two&id=6F1C1C1E-0d4c-4f0e-9a51-3f1d2b8c7a60&cursor=a%62c")};
    assert_true(view_equal(parameter_choice(&parameters, "w", words), VIEW("two")));
    assert_int_equal(parameter_choice(&parameters, "v", words).len, 0);
    parameter_id(&parameters, "id", id);
    assert_string_equal(id, "6f1c1c1e-0d4c-4f0e-9a51-3f1d2b8c7a60");
    assert_true(parameter_cursor(&parameters, cursor, &err));
    assert_string_equal(cursor, "abc");
    assert_true(parameters_check(&parameters, &err));

    parameters = (struct parameters){.query = VIEW("w=three&id=6f1c1c1e&w=one")};
    assert_int_equal(parameter_choice(&parameters, "w", words).len, 0);
    parameter_id(&parameters, "id", id);
    assert_string_equal(id, "");
    assert_int_equal(parameters.violations.count, 2);
    assert_string_equal(parameters.violations.items[1].message, "must be a UUID");
    assert_true(parameter_cursor(&parameters, cursor, &err));
    assert_string_equal(cursor, "");
    memset(long_query + 7, 'a', sizeof long_query - 7);
    parameters.query = (struct view){long_query, sizeof long_query};
    assert_false(parameter_cursor(&parameters, cursor, &err));
    assert_string_equal(err.reason, "invalid_cursor");
}

static void a_violation_too_many_is_dropped(void **state)
{
    (void)state;
    char path[4];
    struct parameters parameters = {0};
    for (int i = 0; i < JSON_VIOLATIONS_MAX + 3; i++) {
        parameter_text(&parameters, "path", PARAMETER_REQUIRED, path, sizeof path);
    }
    assert_int_equal(parameters.violations.count, JSON_VIOLATIONS_MAX);
}

static void a_file_is_what_its_extension_says(void **state)
{
    (void)state;
    assert_string_equal(media_type_of(VIEW("/a/b.HTML")), "text/html; charset=utf-8");
    assert_string_equal(media_type_of(VIEW("a.tar.gz")), "application/gzip");
    assert_string_equal(media_type_of(VIEW("/a.html/b")), "application/octet-stream");
    assert_string_equal(media_type_of(VIEW("b.")), "application/octet-stream");
    assert_string_equal(media_type_of(VIEW("")), "application/octet-stream");
}

static void a_name_is_escaped_in_a_disposition(void **state)
{
    (void)state;
    struct str out = STR_INIT(256);
    media_disposition(VIEW("/x/a \"b\"\r\n\xc3\xa9.txt"), &out);
    assert_string_equal(out.data, "attachment; filename*=UTF-8''a%20%22b%22%0D%0A%C3%A9.txt");
    str_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_decoded),
        cmocka_unit_test(every_mistake_is_told),
        cmocka_unit_test(words_ids_and_cursors_are_themselves_or_nothing),
        cmocka_unit_test(a_violation_too_many_is_dropped),
        cmocka_unit_test(a_file_is_what_its_extension_says),
        cmocka_unit_test(a_name_is_escaped_in_a_disposition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
