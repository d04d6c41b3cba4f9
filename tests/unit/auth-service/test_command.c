/* auth-service/command.c: the command line as it is typed. */
#include "auth-service/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { WORDS_MAX = 8, WORD_SIZE = 400 };

struct row {
    const char *name;
    const char *words[WORDS_MAX]; /* after "issue-key" */
    const char *email;            /* NULL: refused */
    const char *tier;
    const char *key_name;
};

static const struct row rows[] = {
    {"an address alone", {"a@b.example"}, "a@b.example", NULL, ""},
    {"capitals are the same person", {"Ann@B.example"}, "ann@b.example", NULL, ""},
    {"a tier", {"a@b.example", "--tier", "pro"}, "a@b.example", "pro", ""},
    {"a name", {"a@b.example", "--name", "x y"}, "a@b.example", NULL, "x y"},
    {"both", {"a@b", "--name", "x", "--tier", "free"}, "a@b", "free", "x"},
    {.name = "nothing"},
    {"an option first", {"--tier", "pro"}, NULL, NULL, NULL},
    {"no address", {"ann"}, NULL, NULL, NULL},
    {"half an address", {"@b"}, NULL, NULL, NULL},
    {"a blank in it", {"a b@c"}, NULL, NULL, NULL},
    {"an unknown tier", {"a@b", "--tier", "gold"}, NULL, NULL, NULL},
    {"a tier without its value", {"a@b", "--tier"}, NULL, NULL, NULL},
    {"an unknown option", {"a@b", "--for", "ever"}, NULL, NULL, NULL},
};

static void what_is_typed_is_understood_or_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct row *row = &rows[i];
        struct command command;
        struct err err = {0};
        char words[WORDS_MAX][WORD_SIZE];
        char *arguments[WORDS_MAX];
        int count = 0;
        for (; count < WORDS_MAX && row->words[count] != NULL; count++) {
            assert_true(view_copy(view_of(row->words[count]), words[count], WORD_SIZE));
            arguments[count] = words[count];
        }
        bool understood = command_parse(arguments, count, &command, &err);
        if (understood != (row->email != NULL)) {
            fail_msg("%s: %s", row->name, err.message);
        }
        if (!understood) {
            assert_int_equal(err.code, ERR_INVALID);
            continue;
        }
        assert_string_equal(command.email, row->email);
        assert_string_equal(command.name, row->key_name);
        assert_string_equal(command.tier == NULL ? "" : command.tier,
                            row->tier == NULL ? "" : row->tier);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_typed_is_understood_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
