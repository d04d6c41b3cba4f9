/* auth-service/command.c: the command line as it is typed. */
#include "auth-service/command.h"

#include "common/contracts/auth.h"

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
    unsigned scopes;
};

static const struct row rows[] = {
    {"an address alone", {"a@b.example"}, "a@b.example", NULL, "", 0},
    {"capitals are the same person", {"Ann@B.example"}, "ann@b.example", NULL, "", 0},
    {"a tier", {"a@b.example", "--tier", "pro"}, "a@b.example", "pro", "", 0},
    {"a name", {"a@b.example", "--name", "x y"}, "a@b.example", NULL, "x y", 0},
    {"both", {"a@b", "--name", "x", "--tier", "free", 0}, "a@b", "free", "x", 0},
    {"a scope", {"a@b", "--scopes", "admin"}, "a@b", NULL, "", AUTH_ADMIN},
    {"scopes",
     {"a@b", "--scopes", "sandbox:read,files"},
     "a@b",
     NULL,
     "",
     AUTH_SANDBOX_READ | AUTH_FILES},
    {"an unknown scope", {"a@b", "--scopes", "exec,root"}, NULL, NULL, NULL, 0},
    {"no scope", {"a@b", "--scopes", ""}, NULL, NULL, NULL, 0},
    {"an empty scope", {"a@b", "--scopes", "exec,,files"}, NULL, NULL, NULL, 0},
    {.name = "nothing"},
    {"an option first", {"--tier", "pro"}, NULL, NULL, NULL, 0},
    {"no address", {"ann"}, NULL, NULL, NULL, 0},
    {"half an address", {"@b"}, NULL, NULL, NULL, 0},
    {"a blank in it", {"a b@c"}, NULL, NULL, NULL, 0},
    {"an unknown tier", {"a@b", "--tier", "gold"}, NULL, NULL, NULL, 0},
    {"a tier without its value", {"a@b", "--tier"}, NULL, NULL, NULL, 0},
    {"an unknown option", {"a@b", "--for", "ever"}, NULL, NULL, NULL, 0},
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
        assert_int_equal(command.scopes, row->scopes);
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
