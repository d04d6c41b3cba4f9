#include "gateway/http/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void segments_are_decoded_once_and_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view encoded;
        const char *decoded; /* NULL: refused */
    } cases[] = {
        {"plain", VIEW("abc"), "abc"},
        {"empty", VIEW(""), ""},
        {"escapes in both cases", VIEW("%41%c3%A4"), "A\xc3\xa4"},
        {"plus stays", VIEW("a+b"), "a+b"},
        {"only once", VIEW("%2541"), "%41"},
        {"cut short", VIEW("a%4"), NULL},
        {"percent alone", VIEW("%"), NULL},
        {"not hex", VIEW("%g0"), NULL},
        {"NUL", VIEW("a%00b"), NULL},
        {"encoded slash", VIEW("a%2Fb"), NULL},
        {"encoded backslash", VIEW("a%5cb"), NULL},
        {"dot", VIEW("."), NULL},
        {"encoded dot dot", VIEW("%2e."), NULL},
        {"three dots", VIEW("..."), "..."},
        {"not UTF-8", VIEW("%80"), NULL},
        {"surrogate", VIEW("%ed%a0%80"), NULL},
        {"as long as fits", VIEW("1234567"), "1234567"},
        {"too long", VIEW("12345678"), NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[8];
        bool ok = http_decode(cases[i].encoded, out, sizeof out);
        if (ok != (cases[i].decoded != NULL) || (ok && strcmp(out, cases[i].decoded) != 0)) {
            fail_msg("%s", cases[i].name);
        }
    }
}

static void parameters_are_found_and_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view query;
        const char *value; /* of "key"; NULL: not found */
    } cases[] = {
        {"alone", VIEW("key=v"), "v"},
        {"last", VIEW("a=b&c&key=v"), "v"},
        {"first of two", VIEW("key=v&key=w"), "v"},
        {"empty", VIEW("key="), ""},
        {"without equals", VIEW("key&a=b"), ""},
        {"equals in the value", VIEW("key=a=b"), "a=b"},
        {"plus is a space", VIEW("key=a+b%2B"), "a b+"},
        {"slashes are values like others", VIEW("key=%2Fa%2f.."), "/a/.."},
        {"escaped name", VIEW("%6bey=v"), "v"},
        {"longer name", VIEW("keys=v"), NULL},
        {"shorter name", VIEW("ke=v"), NULL},
        {"other case", VIEW("Key=v"), NULL},
        {"bad escape", VIEW("key=%"), NULL},
        {"too long", VIEW("key=12345678901"), NULL},
        {"none", VIEW(""), NULL},
        {"only ampersands", VIEW("&&"), NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[11];
        bool ok = http_query_find(cases[i].query, "key", out, sizeof out);
        if (ok != (cases[i].value != NULL) || (ok && strcmp(out, cases[i].value) != 0)) {
            fail_msg("%s", cases[i].name);
        }
    }
}

static void a_parameter_is_there_whatever_its_value(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view query;
        bool has; /* "key" */
    } cases[] = {
        {"with a value", VIEW("a=b&key=v"), true},
        {"empty", VIEW("key="), true},
        {"without equals", VIEW("key"), true},
        {"bad escape in the value", VIEW("key=%"), true},
        {"longer name", VIEW("xkey=v"), false},
        {"in a value", VIEW("a=key=v"), false},
        {"none", VIEW(""), false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (http_query_has(cases[i].query, "key") != cases[i].has) {
            fail_msg("%s", cases[i].name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_decoded_once_and_strictly),
        cmocka_unit_test(parameters_are_found_and_decoded),
        cmocka_unit_test(a_parameter_is_there_whatever_its_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
