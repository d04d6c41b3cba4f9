#include "sandbox-service/agent/token.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void only_what_fits_a_header_is_a_token(void **state)
{
    (void)state;
    struct token token = {"old"};
    static char too_long[AGENT_TOKEN_MAX + 1];
    memset(too_long, 'a', sizeof too_long);
    assert_true(token_set(&token, VIEW("aZ09.-_")));
    assert_string_equal(token.text, "aZ09.-_");
    assert_false(token_set(&token, VIEW("")));
    assert_false(token_set(&token, VIEW("a\r\nX: y")));
    assert_false(token_set(&token, VIEW("a b")));
    assert_false(token_set(&token, (struct view){too_long, sizeof too_long}));
    assert_string_equal(token.text, "aZ09.-_");
    assert_true(token_set(&token, (struct view){too_long, AGENT_TOKEN_MAX}));
}

static void an_older_token_leaves_nothing_behind(void **state)
{
    (void)state;
    struct token token = {""};
    static const char zeros[AGENT_TOKEN_MAX] = {0};
    assert_true(token_set(&token, VIEW("a-rather-long-old-token")));
    assert_true(token_set(&token, VIEW("new")));
    assert_memory_equal(token.text + 3, zeros, sizeof zeros - 3);
    token_wipe(&token);
    assert_memory_equal(token.text, zeros, sizeof zeros);
}

static void a_token_file_is_read_if_it_is_there(void **state)
{
    (void)state;
    char path[] = "/tmp/insien-test-token-XXXXXX";
    struct token token = {""};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_false(token_load(&token, path));
    write_file(path, "first.token\n");
    assert_true(token_load(&token, path));
    assert_string_equal(token.text, "first.token");
    write_file(path, "bad token");
    assert_false(token_load(&token, path));
    assert_int_equal(unlink(path), 0);
    assert_false(token_load(&token, path));
    assert_string_equal(token.text, "first.token");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_fits_a_header_is_a_token),
        cmocka_unit_test(an_older_token_leaves_nothing_behind),
        cmocka_unit_test(a_token_file_is_read_if_it_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
