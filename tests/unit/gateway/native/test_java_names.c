#include "gateway/native/java_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void expect(const char *code, const char *package, const char *file, const char *main_class)
{
    struct java_names names;
    assert_true(java_names_find(view_of(code), &names));
    assert_true(view_equal(names.package, view_of(package)));
    assert_true(view_equal(names.file, view_of(file)));
    assert_true(view_equal(names.main_class, view_of(main_class)));
}

static void a_public_class_names_the_file(void **state)
{
    (void)state;
    expect("public class Solution { public static void main(String[] a) {} }", "", "Solution",
           "Solution");
}

static void the_class_with_main_is_run(void **state)
{
    (void)state;
    expect("class Helper { int main2; }\npublic interface Shape {}\n"
           "final class App { static void main(String[] a) { } }",
           "", "Shape", "App");
}

static void a_package_is_known(void **state)
{
    (void)state;
    expect("package a.b ;\nimport java.util.*;\npublic record P(int x) { void main() {} }", "a.b",
           "P", "P");
}

static void what_is_no_code_is_skipped(void **state)
{
    (void)state;
    expect("// class A {\n/* public class B { main */ @Named(\"class C { \\\" main\")\n"
           "class D { char c = '{'; char q = '\\''; String s = \"\"\"\n class E { main \"\"\"; }\n"
           "class F { void main() { } }",
           "", "F", "F");
}

static void a_nested_class_does_not_count(void **state)
{
    (void)state;
    expect("class A { public static class B { void main() {} } }", "", "A", "A");
}

static void without_a_type_there_is_no_name(void **state)
{
    (void)state;
    struct java_names names;
    assert_false(java_names_find(VIEW(""), &names));
    assert_false(java_names_find(VIEW("int x = 1;"), &names));
    assert_false(java_names_find(VIEW("/* class A {"), &names));
    assert_false(java_names_find(VIEW("class"), &names));
    assert_false(java_names_find(VIEW("\"\\"), &names));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_public_class_names_the_file),
        cmocka_unit_test(the_class_with_main_is_run),
        cmocka_unit_test(a_package_is_known),
        cmocka_unit_test(what_is_no_code_is_skipped),
        cmocka_unit_test(a_nested_class_does_not_count),
        cmocka_unit_test(without_a_type_there_is_no_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
