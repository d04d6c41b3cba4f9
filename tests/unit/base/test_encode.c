#include "common/base/encode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static void hex_is_written_in_lower_case(void **state)
{
    (void)state;
    char text[ENCODE_HEX_SIZE(4)];
    encode_hex("\x00\x9a\xbc\xff", 4, text);
    assert_string_equal(text, "009abcff");
    encode_hex(NULL, 0, text);
    assert_string_equal(text, "");
}

static void hex_of_either_case_is_read(void **state)
{
    (void)state;
    uint8_t bytes[3];
    assert_true(encode_hex_decode(VIEW("0aF9cD"), bytes, sizeof bytes));
    assert_memory_equal(bytes, "\x0a\xf9\xcd", 3);
}

static void other_hex_is_refused(void **state)
{
    (void)state;
    static const struct view texts[] = {VIEW(""),
                                        VIEW("0aF9c"),
                                        VIEW("0aF9cDe"),
                                        VIEW("0aF9cDee"),
                                        VIEW("0aF9cg"),
                                        VIEW("0a F9c"),
                                        VIEW("0xF9cD"),
                                        VIEW("0a\0"
                                             "9cD")};
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        uint8_t bytes[3];
        assert_false(encode_hex_decode(texts[i], bytes, sizeof bytes));
    }
}

/* RFC 4648, section 10, and the two letters in which the alphabets differ. */
static const struct {
    struct view bytes;
    const char *base64;
    const char *base64_url;
} vectors[] = {
    {VIEW(""), "", ""},
    {VIEW("f"), "Zg==", "Zg"},
    {VIEW("fo"), "Zm8=", "Zm8"},
    {VIEW("foo"), "Zm9v", "Zm9v"},
    {VIEW("foob"), "Zm9vYg==", "Zm9vYg"},
    {VIEW("fooba"), "Zm9vYmE=", "Zm9vYmE"},
    {VIEW("foobar"), "Zm9vYmFy", "Zm9vYmFy"},
    {VIEW("\xfb\xff\xfe\0"), "+//+AA==", "-__-AA"},
};

static void base64_is_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        char text[ENCODE_BASE64_SIZE(8)];
        struct view bytes = vectors[i].bytes;
        assert_int_equal(encode_base64(ENCODE_BASE64, bytes.ptr, bytes.len, text),
                         strlen(vectors[i].base64));
        assert_string_equal(text, vectors[i].base64);
        assert_int_equal(encode_base64(ENCODE_BASE64_URL, bytes.ptr, bytes.len, text),
                         strlen(vectors[i].base64_url));
        assert_string_equal(text, vectors[i].base64_url);
    }
}

static void base64_reads_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        uint8_t bytes[ENCODE_BASE64_DECODED_MAX(12)];
        size_t len;
        assert_true(encode_base64_decode(ENCODE_BASE64, view_of(vectors[i].base64), bytes, &len));
        assert_int_equal(len, vectors[i].bytes.len);
        assert_memory_equal(bytes, vectors[i].bytes.ptr, len);
        assert_true(
            encode_base64_decode(ENCODE_BASE64_URL, view_of(vectors[i].base64_url), bytes, &len));
        assert_int_equal(len, vectors[i].bytes.len);
        assert_memory_equal(bytes, vectors[i].bytes.ptr, len);
    }
}

static void other_base64_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum encode_base64 alphabet;
        struct view text;
    } cases[] = {
        {"no padding", ENCODE_BASE64, VIEW("Zg")},
        {"half the padding", ENCODE_BASE64, VIEW("Zg=")},
        {"three pads", ENCODE_BASE64, VIEW("Z===")},
        {"pads alone", ENCODE_BASE64, VIEW("====")},
        {"pads too many", ENCODE_BASE64, VIEW("Zg======")},
        {"pad inside", ENCODE_BASE64, VIEW("Zg==Zg==")},
        {"unused bits", ENCODE_BASE64, VIEW("Zh==")},
        {"unused bits of two bytes", ENCODE_BASE64, VIEW("Zm9=")},
        {"letters of the other alphabet", ENCODE_BASE64, VIEW("-__-")},
        {"a blank", ENCODE_BASE64, VIEW("Zm 9")},
        {"a newline behind", ENCODE_BASE64, VIEW("Zm9v\n")},
        {"a NUL", ENCODE_BASE64, VIEW("Zm9\0")},
        {"padded", ENCODE_BASE64_URL, VIEW("Zg==")},
        {"one letter", ENCODE_BASE64_URL, VIEW("Z")},
        {"letters of the other alphabet", ENCODE_BASE64_URL, VIEW("+//+")},
        {"unused bits", ENCODE_BASE64_URL, VIEW("Zh")},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint8_t bytes[ENCODE_BASE64_DECODED_MAX(12)];
        size_t len;
        print_message("%s\n", cases[i].name);
        assert_false(encode_base64_decode(cases[i].alphabet, cases[i].text, bytes, &len));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_is_written_in_lower_case),
        cmocka_unit_test(hex_of_either_case_is_read),
        cmocka_unit_test(other_hex_is_refused),
        cmocka_unit_test(base64_is_written),
        cmocka_unit_test(base64_reads_back),
        cmocka_unit_test(other_base64_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
