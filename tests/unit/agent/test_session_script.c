/* The end of a line in what a shell prints. */
#include "sandbox-service/agent/session_script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define NONCE "0123456789abcdef0123456789abcdef"

enum { TEXT_SIZE = 256 };

struct output {
    char text[TEXT_SIZE];
    size_t len;
};

static void emit(struct view bytes, void *arg)
{
    struct output *output = arg;
    assert_true(output->len + bytes.len <= TEXT_SIZE);
    memcpy(output->text + output->len, bytes.ptr, bytes.len);
    output->len += bytes.len;
}

/* Feeds text in two pieces; returns how much of it was taken. */
static size_t scan(struct session_mark *mark, struct output *output, struct view text, size_t cut)
{
    *mark = (struct session_mark){.nonce = NONCE};
    *output = (struct output){.len = 0};
    size_t taken = session_mark_scan(mark, (struct view){text.ptr, cut}, emit, output);
    if (taken < cut) {
        return taken;
    }
    return taken + session_mark_scan(mark, view_from(text, cut), emit, output);
}

static void mark_is_found_wherever_it_is_cut(void **state)
{
    (void)state;
    static const struct view text = VIEW("out\0put\0insien:\0insien:" NONCE ":17\nrest");
    static const struct view expected = VIEW("out\0put\0insien:");
    struct session_mark mark;
    struct output output;
    for (size_t cut = 0; cut <= text.len; cut++) {
        assert_int_equal(scan(&mark, &output, text, cut), text.len - 4);
        assert_true(mark.found);
        assert_int_equal(mark.status, 17);
        assert_int_equal(output.len, expected.len);
        assert_memory_equal(output.text, expected.ptr, expected.len);
    }
}

static void mark_of_another_is_output(void **state)
{
    (void)state;
    static const struct view text = VIEW("\0insien:ffff6789abcdef0123456789abcdef01:0\n");
    struct session_mark mark;
    struct output output;
    for (size_t cut = 0; cut <= text.len; cut++) {
        assert_int_equal(scan(&mark, &output, text, cut), text.len);
        assert_false(mark.found);
        assert_int_equal(output.len, text.len);
        assert_memory_equal(output.text, text.ptr, text.len);
    }
}

static void line_is_quoted_whole(void **state)
{
    (void)state;
    static const struct json_pair pairs[] = {{VIEW("A"), VIEW("it's")}};
    const struct agent_exec request = {
        .cmd = VIEW("echo 'a'\nb"), .cwd = VIEW("-x'"), .env = {pairs, 1}};
    struct str script = STR_INIT(SESSION_SCRIPT_MAX);
    session_script_line(&script, &request, NONCE);
    assert_string_equal(script.data,
                        "{\nexport A='it'\\''s'\ncd -- '-x'\\''' &&\neval 'echo '\\''a'\\''\nb'\n"
                        "} </dev/null 7>&- 8>&-\n"
                        "printf '\\000insien:" NONCE ":%d\\n' \"$?\" >&7; "
                        "printf '\\000insien:" NONCE ":0\\n' >&8\n");
    str_free(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mark_is_found_wherever_it_is_cut),
        cmocka_unit_test(mark_of_another_is_output),
        cmocka_unit_test(line_is_quoted_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
