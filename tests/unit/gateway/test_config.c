#include "gateway/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void an_origin_must_be_on_the_list_if_there_is_one(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *list;
        bool allowed; /* "https://b.example" */
    } cases[] = {
        {"no list", "", true},
        {"alone", "https://b.example", true},
        {"first", "https://b.example,https://a.example", true},
        {"behind a comma", "https://a.example,https://b.example", true},
        {"behind a comma and a blank", "https://a.example, https://b.example", true},
        {"with blanks around", " https://b.example ,https://a.example", true},
        {"another", "https://a.example", false},
        {"a longer one", "https://b.example.org", false},
        {"another scheme", "http://b.example", false},
        {"only a comma", ",", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gateway_config config = {0};
        assert_true(view_copy(view_of(cases[i].list), config.allowed_origins,
                              sizeof config.allowed_origins));
        if (gateway_origin_is_allowed(&config, VIEW("https://b.example")) != cases[i].allowed) {
            fail_msg("%s", cases[i].name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_origin_must_be_on_the_list_if_there_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
