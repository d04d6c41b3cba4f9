#include "gateway/native/signed_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SECRET VIEW("0123456789abcdef0123456789abcdef")

static const struct signed_url sample = {
    .sandbox_id = "33333333-3333-4333-8333-333333333333",
    .path = "/a b/\xc3\xa9",
    .user = "",
    .expires_s = 2000,
};

/* Signs url; the signature is what stands behind "sig=". */
static void sign(const struct signed_url *url, char out[SIGNATURE_SIZE])
{
    struct str text = STR_INIT(4096);
    struct err err = {0};
    assert_true(signed_url_write(url, SECRET, "http://h", &text, &err));
    const char *signature = strstr(text.data, "&sig=");
    assert_non_null(signature);
    assert_true(view_copy(view_of(signature + 5), out, SIGNATURE_SIZE));
    str_free(&text);
}

static void a_url_names_the_file_and_its_end(void **state)
{
    (void)state;
    struct str text = STR_INIT(4096);
    struct err err = {0};
    assert_true(signed_url_write(&sample, SECRET, "http://h", &text, &err));
    const char start[] = "http://h/files/33333333-3333-4333-8333-333333333333"
                         "?op=download&path=/a%20b/%C3%A9&exp=2000&sig=";
    assert_true(strncmp(text.data, start, sizeof start - 1) == 0);
    assert_int_equal(text.len, sizeof start - 1 + SIGNATURE_SIZE - 1);
    str_free(&text);
}

static void a_url_is_good_until_its_end(void **state)
{
    (void)state;
    char signature[SIGNATURE_SIZE] = "";
    struct err err = {0};
    sign(&sample, signature);
    assert_true(signed_url_check(&sample, SECRET, signature, 1999, &err));
    assert_false(signed_url_check(&sample, SECRET, signature, 2000, &err));
    assert_string_equal(err.reason, "url_expired");
    assert_int_equal(err.code, ERR_DENIED);
}

static void a_changed_url_is_refused(void **state)
{
    (void)state;
    char signature[SIGNATURE_SIZE] = "";
    struct err err = {0};
    struct signed_url changed[6] = {sample, sample, sample, sample, sample, sample};
    changed[0].sandbox_id = "43333333-3333-4333-8333-333333333333";
    changed[1].path = "/a b/";
    changed[2].user = "root";
    changed[3].expires_s = 2001;
    changed[4].is_upload = true;
    changed[5].path = "/a b/\xc3"; /* the rest of the path as the user */
    changed[5].user = "\xa9";
    sign(&sample, signature);
    for (size_t i = 0; i < sizeof changed / sizeof changed[0]; i++) {
        if (signed_url_check(&changed[i], SECRET, signature, 1000, &err)) {
            fail_msg("case %zu", i);
        }
        assert_string_equal(err.reason, "url_invalid");
    }
}

static void another_key_or_signature_is_refused(void **state)
{
    (void)state;
    char signature[SIGNATURE_SIZE] = "";
    struct err err = {0};
    sign(&sample, signature);
    assert_false(
        signed_url_check(&sample, VIEW("0123456789abcdef0123456789abcdeX"), signature, 1, &err));
    assert_false(signed_url_check(&sample, SECRET, "", 1, &err));
    signature[0] = signature[0] == 'A' ? 'B' : 'A';
    assert_false(signed_url_check(&sample, SECRET, signature, 1, &err));
    /* An expired URL that is forged, too, is only invalid. */
    assert_false(signed_url_check(&sample, SECRET, signature, 9999, &err));
    assert_string_equal(err.reason, "url_invalid");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_url_names_the_file_and_its_end),
        cmocka_unit_test(a_url_is_good_until_its_end),
        cmocka_unit_test(a_changed_url_is_refused),
        cmocka_unit_test(another_key_or_signature_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
