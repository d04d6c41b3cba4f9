#include "sandbox-service/templates/progress.h"

#include "common/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

static void lines_in_pieces_become_a_log(void **state)
{
    (void)state;
    struct progress progress;
    uint64_t from = 0;
    progress_open(&progress);
    progress_take(&progress,
                  VIEW("{\"status\":\"Pulling from library/x\",\"id\":\"1\"}\r\n{\"stre"));
    progress_take(&progress,
                  VIEW("am\":\"Step 1/2 : FROM a\\n\"}\n{\"aux\":{\"ID\":\"sha256:1\"}}\n"));
    struct view log = progress_log(&progress, &from);
    assert_true(view_equal(log, VIEW("1: Pulling from library/x\nStep 1/2 : FROM a\n")));
    assert_int_equal(progress_log_end(&progress), log.len);
    from = 3;
    assert_true(view_starts_with(progress_log(&progress, &from), VIEW("Pulling")));
    from = 1000;
    assert_int_equal(progress_log(&progress, &from).len, 0);
    assert_int_equal(from, log.len);
    progress_close(&progress);
}

static void bytes_of_all_layers_are_added_up(void **state)
{
    (void)state;
    struct progress progress;
    int64_t current;
    int64_t total;
    progress_open(&progress);
    progress_take(&progress, VIEW("{\"status\":\"Downloading\",\"progressDetail\":{\"current\":10,"
                                  "\"total\":100},\"progress\":\"x\",\"id\":\"a\"}\n"
                                  "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":5,"
                                  "\"total\":50},\"id\":\"b\"}\n"));
    progress_bytes(&progress, &current, &total);
    assert_int_equal(current, 15);
    assert_int_equal(total, 150);
    progress_take(&progress,
                  VIEW("{\"status\":\"Download complete\",\"progressDetail\":{},\"id\":\"a\"}\n"));
    progress_bytes(&progress, &current, &total);
    assert_int_equal(current, 105);
    progress_close(&progress);
}

static void first_error_is_kept(void **state)
{
    (void)state;
    struct progress progress;
    progress_open(&progress);
    progress_take(&progress, VIEW("{\"errorDetail\":{\"message\":\"no\"},\"error\":\"no\"}\n"
                                  "{\"error\":\"later\"}\nnonsense\n"));
    assert_string_equal(progress.error, "no");
    progress_close(&progress);
}

static void only_the_end_of_a_long_log_is_kept(void **state)
{
    (void)state;
    enum { LINES = 4000 };
    struct progress progress;
    uint64_t from = 0;
    progress_open(&progress);
    for (int i = 0; i < LINES; i++) {
        progress_say(&progress, "line %05d of a long log \u00e4", i);
    }
    uint64_t end = progress_log_end(&progress);
    struct view log = progress_log(&progress, &from);
    assert_true(from > 0);
    assert_int_equal(from + log.len, end);
    assert_in_range(log.len, PROGRESS_LOG_KEPT - 4, 2 * PROGRESS_LOG_KEPT);
    assert_non_null(strstr(log.ptr, "line 03999"));
    assert_int_not_equal((unsigned char)log.ptr[0] & 0xC0U, 0x80U);
    progress_close(&progress);
}

static void what_is_said_is_cut_behind_a_whole_character(void **state)
{
    (void)state;
    char words[1024];
    struct progress progress;
    uint64_t from = 0;
    progress_open(&progress);
    for (size_t i = 0; i + 2 < sizeof words; i += 2) {
        (void)snprintf(words + i, sizeof words - i, "\u00e4");
    }
    progress_say(&progress, "%s", words);
    progress_say(&progress, "x%s", words);
    assert_true(utf8_is_valid(progress_log(&progress, &from)));
    progress_close(&progress);
}

static void line_that_is_too_long_is_skipped(void **state)
{
    (void)state;
    static char piece[8192];
    struct progress progress;
    uint64_t from = 0;
    memset(piece, 'x', sizeof piece);
    progress_open(&progress);
    for (int i = 0; i < 20; i++) {
        progress_take(&progress, (struct view){piece, sizeof piece});
    }
    progress_take(&progress, VIEW("\n{\"stream\":\"on\"}\n"));
    assert_true(view_equal(progress_log(&progress, &from), VIEW("on")));
    progress_close(&progress);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_in_pieces_become_a_log),
        cmocka_unit_test(bytes_of_all_layers_are_added_up),
        cmocka_unit_test(first_error_is_kept),
        cmocka_unit_test(only_the_end_of_a_long_log_is_kept),
        cmocka_unit_test(what_is_said_is_cut_behind_a_whole_character),
        cmocka_unit_test(line_that_is_too_long_is_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
