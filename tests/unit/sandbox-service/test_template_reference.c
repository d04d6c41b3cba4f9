#include "sandbox-service/templates/reference.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void good_names_are_taken_apart_and_put_together(void **state)
{
    (void)state;
    static const struct {
        const char *text, *registry, *repository, *tag, *written;
    } cases[] = {
        {"debian", "docker.io", "debian", "latest", "debian:latest"},
        {"debian:bookworm-slim", "docker.io", "debian", "bookworm-slim", "debian:bookworm-slim"},
        {"library/debian:12", "docker.io", "debian", "12", "debian:12"},
        {"docker.io/library/debian", "docker.io", "debian", "latest", "debian:latest"},
        {"index.docker.io/a/b", "docker.io", "a/b", "latest", "a/b:latest"},
        {"ghcr.io/a/b/c:1.2_3-x", "ghcr.io", "a/b/c", "1.2_3-x", "ghcr.io/a/b/c:1.2_3-x"},
        {"localhost:5000/a", "localhost:5000", "a", "latest", "localhost:5000/a:latest"},
        {"localhost/a:b", "localhost", "a", "b", "localhost/a:b"},
        {"library/a.b/c", "docker.io", "library/a.b/c", "latest", "library/a.b/c:latest"},
        {"docker.io/a.b/c", "docker.io", "a.b/c", "latest", "docker.io/a.b/c:latest"},
        {"127.0.0.1:5000/a/b:c", "127.0.0.1:5000", "a/b", "c", "127.0.0.1:5000/a/b:c"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct reference reference;
        struct err err = {0};
        char written[REFERENCE_TEXT_SIZE];
        if (!reference_parse(view_of(cases[i].text), &reference, &err)) {
            fail_msg("%s: %s", cases[i].text, err.message);
        }
        assert_string_equal(reference.registry, cases[i].registry);
        assert_string_equal(reference.repository, cases[i].repository);
        assert_string_equal(reference.tag, cases[i].tag);
        reference_write(&reference, written);
        assert_string_equal(written, cases[i].written);
    }
}

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void digest_stands_behind_or_instead_of_a_tag(void **state)
{
    (void)state;
    struct reference reference;
    struct err err = {0};
    char written[REFERENCE_TEXT_SIZE];
    assert_true(reference_parse(VIEW("a/b@" DIGEST), &reference, &err));
    assert_string_equal(reference.tag, "");
    assert_string_equal(reference.digest, DIGEST);
    reference_write(&reference, written);
    assert_string_equal(written, "a/b@" DIGEST);
    assert_true(reference_parse(VIEW("a/b:c@" DIGEST), &reference, &err));
    assert_string_equal(reference.tag, "c");
}

static void what_is_no_name_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",         "/",           "a/",
        "/a",       "A",           "a b",
        "a:",       "a:-x",        "a:.x",
        "a?x",      "a&b",         "a%20",
        "-a",       "a-",          "a..b",
        "a//b",     "a@b",         "a@sha256:1",
        "a:b:c",    "ghcr.io/",    "a/../b",
        "x.y/A",    "a:b/c",       "a#b",
        "sha256:@", "GHCR.IO/a/b", "a/b@sha512:00",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct reference reference;
        struct err err = {0};
        if (reference_parse(view_of(wrong[i]), &reference, &err)) {
            fail_msg("%s was taken", wrong[i]);
        }
        assert_string_equal(err.reason, "invalid_image");
    }
}

static struct reference parse(const char *text)
{
    struct reference reference;
    struct err err = {0};
    assert_true(reference_parse(view_of(text), &reference, &err));
    return reference;
}

static void lists_of_registries_and_images_are_searched(void **state)
{
    (void)state;
    const struct reference debian = parse("debian:12");
    const struct reference mine = parse("ghcr.io/me/it");
    assert_true(reference_registry_is_among(&debian, "ghcr.io, docker.io"));
    assert_false(reference_registry_is_among(&debian, "ghcr.io"));
    assert_false(reference_registry_is_among(&debian, ""));
    assert_true(reference_is_among(&debian, "insien/base,debian"));
    assert_false(reference_is_among(&debian, "insien/base,debia"));
    assert_true(reference_is_among(&debian, "deb*"));
    assert_true(reference_is_among(&mine, "ghcr.io/me/*"));
    assert_false(reference_is_among(&mine, "me/*"));
    assert_false(reference_is_among(&mine, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_names_are_taken_apart_and_put_together),
        cmocka_unit_test(digest_stands_behind_or_instead_of_a_tag),
        cmocka_unit_test(what_is_no_name_is_refused),
        cmocka_unit_test(lists_of_registries_and_images_are_searched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
