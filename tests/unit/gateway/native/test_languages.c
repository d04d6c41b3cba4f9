#include "gateway/native/languages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void languages_have_aliases(void **state)
{
    (void)state;
    static const struct {
        const char *called;
        const char *name;
    } cases[] = {
        {"python", "python"}, {"py", "python"}, {"JS", "javascript"}, {"ts", "typescript"},
        {"Java", "java"},     {"c", "c"},       {"c++", "cpp"},       {"golang", "go"},
        {"rs", "rust"},       {"sh", "bash"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct language *language = language_find(view_of(cases[i].called));
        assert_non_null(language);
        assert_string_equal(language->name, cases[i].name);
    }
    assert_null(language_find(VIEW("cobol")));
    assert_null(language_find(VIEW("")));
}

static void all_have_a_name_and_a_way_to_run(void **state)
{
    (void)state;
    size_t count = 0;
    for (const char *const *name = language_names(); *name != NULL; name++) {
        const struct language *language = language_find(view_of(*name));
        assert_non_null(language);
        assert_non_null(language->run[0]);
        assert_non_null(language->template_name);
        count++;
    }
    assert_int_equal(count, 9);
}

static void java_runs_its_main_class(void **state)
{
    (void)state;
    struct program program;
    struct err err = {0};
    struct view words[LANGUAGE_WORDS_MAX];
    const struct language *java = language_find(VIEW("java"));
    assert_true(
        program_name(java, VIEW("package p; public class A { void main() {} }"), &program, &err));
    assert_string_equal(program.source, "A.java");
    size_t count = language_command(java->run, &program, words);
    assert_true(view_equal(words[0], VIEW("java")));
    assert_true(view_equal(words[count - 1], VIEW("p.A")));
    count = language_command(java->compile, &program, words);
    assert_true(view_equal(words[count - 1], VIEW("A.java")));
    assert_false(program_name(java, VIEW("1"), &program, &err));
    assert_string_equal(err.reason, "invalid_code");
}

static void others_have_a_fixed_file(void **state)
{
    (void)state;
    struct program program;
    struct err err = {0};
    struct view words[LANGUAGE_WORDS_MAX];
    const struct language *python = language_find(VIEW("python"));
    assert_true(program_name(python, VIEW("1"), &program, &err));
    assert_string_equal(program.source, "main.py");
    assert_int_equal(language_command(python->run, &program, words), 2);
    assert_int_equal(language_command(python->compile, &program, words), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(languages_have_aliases),
        cmocka_unit_test(all_have_a_name_and_a_way_to_run),
        cmocka_unit_test(java_runs_its_main_class),
        cmocka_unit_test(others_have_a_fixed_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
