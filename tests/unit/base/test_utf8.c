#include "common/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

static void characters_at_the_borders_are_whole(void **state)
{
    (void)state;
    static const struct view characters[] = {
        VIEW("\0"),
        VIEW("\x7f"),
        VIEW("\xc2\x80"),
        VIEW("\xdf\xbf"),
        VIEW("\xe0\xa0\x80"),
        VIEW("\xed\x9f\xbf"),
        VIEW("\xee\x80\x80"),
        VIEW("\xef\xbf\xbf"),
        VIEW("\xf0\x90\x80\x80"),
        VIEW("\xf1\x80\x80\x80"),
        VIEW("\xf4\x8f\xbf\xbf"),
    };
    for (size_t i = 0; i < COUNT_OF(characters); i++) {
        assert_int_equal(utf8_length(characters[i], NULL), characters[i].len);
        assert_true(utf8_is_valid(characters[i]));
    }
}

/* How many bytes one U+FFFD stands for: the examples of the Unicode standard, section 3.9. */
static void ill_formed_beginnings_are_skipped(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view text;
        size_t skip;
    } cases[] = {
        {"nothing", {NULL, 0}, 0},
        {"continuation", VIEW("\x80"), 1},
        {"overlong NUL", VIEW("\xc0\x80"), 1},
        {"overlong of two", VIEW("\xc1\xbf"), 1},
        {"overlong of three", VIEW("\xe0\x9f\xbf"), 1},
        {"overlong of four", VIEW("\xf0\x8f\xbf\xbf"), 1},
        {"surrogate", VIEW("\xed\xa0\x80"), 1},
        {"above the last", VIEW("\xf4\x90\x80\x80"), 1},
        {"lead byte f5", VIEW("\xf5\x80\x80\x80"), 1},
        {"lead byte ff", VIEW("\xff"), 1},
        {"cut after one", VIEW("\xe2"), 1},
        {"cut after two", VIEW("\xe2\x82"), 2},
        {"cut after three", VIEW("\xf0\x9f\x98"), 3},
        {"broken off", VIEW("\xf0\x9f\x98x"), 3},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        size_t skip = 99;
        print_message("%s\n", cases[i].name);
        assert_int_equal(utf8_length(cases[i].text, &skip), 0);
        assert_int_equal(skip, cases[i].skip);
        assert_int_equal(utf8_is_valid(cases[i].text), cases[i].text.len == 0);
    }
}

static void mistakes_are_found_anywhere(void **state)
{
    (void)state;
    char text[40];
    for (size_t i = 0; i < sizeof text; i++) {
        memset(text, 'a', sizeof text);
        assert_true(utf8_is_valid((struct view){text, sizeof text}));
        text[i] = (char)0xff;
        assert_false(utf8_is_valid((struct view){text, sizeof text}));
    }
}

static void a_prefix_ends_with_a_whole_character(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view text;
        size_t whole;
        bool is_cut;
    } cases[] = {
        {"nothing", {NULL, 0}, 0, false},
        {"all whole", VIEW("ten chars \xc3\xa9"), 12, false},
        {"cut after one", VIEW("ten chars \xe2"), 10, true},
        {"cut after two", VIEW("ten chars \xe2\x82"), 10, true},
        {"cut after three", VIEW("\xf0\x9f\x98"), 0, true},
        {"impossible end", VIEW("ab\xff"), 2, false},
        {"continuation", VIEW("ab\x80"), 2, false},
        {"broken off", VIEW("ab\xe2(a"), 2, false},
        {"surrogate", VIEW("ab\xed\xa0"), 2, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        bool is_cut = !cases[i].is_cut;
        print_message("%s\n", cases[i].name);
        assert_int_equal(utf8_prefix(cases[i].text, &is_cut), cases[i].whole);
        assert_int_equal(is_cut, cases[i].is_cut);
        assert_int_equal(utf8_prefix(cases[i].text, NULL), cases[i].whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_at_the_borders_are_whole),
        cmocka_unit_test(ill_formed_beginnings_are_skipped),
        cmocka_unit_test(mistakes_are_found_anywhere),
        cmocka_unit_test(a_prefix_ends_with_a_whole_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
