#include "sandbox-service/templates/dockerfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void images_are_found_and_replaced(void **state)
{
    (void)state;
    static const char text[] = "# first\n"
                               "FROM golang:1.21 AS build\n"
                               "RUN go build \\\n"
                               "# in between\n"
                               "\n"
                               "    ./...\n"
                               "FROM scratch\n"
                               "COPY --from=build /app /app\n"
                               "COPY --from=0 /app /app2\n"
                               "  copy --chown=1 --from=busybox:1 /bin/sh /bin/sh\n"
                               "FROM build as again\r\n"
                               "COPY a.tar /\n";
    static const char *const ids[] = {"sha256:1", "sha256:2"};
    struct dockerfile dockerfile;
    struct err err = {0};
    AUTO(str_free) struct str out = STR_INIT(1024);
    if (!dockerfile_read(VIEW(text), &dockerfile, &err)) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(dockerfile.image_count, 2);
    assert_true(view_equal(dockerfile.images[0], VIEW("golang:1.21")));
    assert_true(view_equal(dockerfile.images[1], VIEW("busybox:1")));
    assert_int_equal(dockerfile.stage_count, 3);
    dockerfile_write(&dockerfile, ids, "LABEL a=b", &out);
    assert_non_null(strstr(out.data, "FROM sha256:1 AS build\nLABEL a=b\nRUN go"));
    assert_non_null(strstr(out.data, "FROM scratch\nLABEL a=b\nCOPY"));
    assert_non_null(strstr(out.data, "--from=sha256:2 /bin/sh"));
    assert_non_null(strstr(out.data, "FROM build as again\nLABEL a=b\r\n"));
    assert_int_equal(out.len, strlen(text) - strlen("golang:1.21busybox:1") +
                                  2 * strlen("sha256:1") + 3 * strlen("\nLABEL a=b"));
}

static void what_the_engine_would_do_itself_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "RUN true\n",
        "FROM\n",
        "FROM a b c\n",
        "FROM a AS b c\n",
        "FROM $IMAGE\n",
        "ARG V\nFROM a:${V}\n",
        "FROM --platform=x a\n",
        "FROM a\nADD http://169.254.169.254/ /x\n",
        "FROM a\nadd https://example.com/ /x\n",
        "FROM a\nADD [\"http://example.com/\", \"/x\"]\n",
        "FROM a\nADD $A$B /x\n",
        "FROM a\nADD git@example.com:x /x\n",
        "FROM a\nADD x\\\n /y\n",
        "FROM a\nADD\\\n http://x /y\n",
        "FROM a\nAD\\\nD http://x /y\n",
        "FROM a\nONBUILD ADD http://x /y\n",
        "FROM a\nonbuild RUN x\n",
        "FROM a\nRUN x \\\n ADD http://x /y\n",
        "FROM a\nRUN x \\\n  # hidden\nADD http://x /y\n",
        "FROM a\nRUN x \\\v\nRUN y\n",
        "FROM a\n\302\240ADD http://x /y\n",
        "\357\273\277FROM a\n",
        "# escape=`\nFROM a\n",
        "#syntax = docker/dockerfile:1\nFROM a\n",
        "FROM a\nRUN <<EOF\nADD http://x /y\nEOF\n",
        "FROM a\nCOPY --from= /x /y\n",
        "FROM a\nCOPY --from=$X /x /y\n",
        "FROM a\nADD x.tar.gz /opt/\n", /* is unpacked by the engine, without limits */
        "FROM a\nFETCH http://x\n",
        "FROM a\nRUN\n",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct dockerfile dockerfile;
        struct err err = {0};
        if (dockerfile_read(view_of(wrong[i]), &dockerfile, &err)) {
            fail_msg("taken: %s", wrong[i]);
        }
        assert_string_equal(err.reason, "invalid_dockerfile");
    }
}

/* An image that the engine would look up itself: any on this engine, by the begin of its id. */
static void no_image_is_named_but_where_it_is_looked_for(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "FROM a\nCOPY --fr\"\"om=b / /x\n",
        "FROM a\nCOPY --fr\\om=b / /x\n",
        "FROM a\nCOPY --chown=\"1 2\" --from=b / /x\n",
        "FROM a\nCOPY --chown=1\302\240--from=b / /x\n",
        "FROM a\nCOPY \302\240--from=b / /x\n",
        "FROM a\nCOPY --from=0 / /x\n",
        "FROM a\nFROM a\nCOPY --from=1 / /x\n",
        "FROM a\nCOPY --from=99999999999999999999 / /x\n",
        "FROM a AS x\302\240\n",
        "FROM a AS 1\n",
        "FROM a\nRUN true \\\\\nFR\\\nOM b\n",
        "FROM a\nRUN true \\\\  \nCO\\\nPY --from=b / /x\n",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct dockerfile dockerfile;
        struct err err = {0};
        if (dockerfile_read(view_of(wrong[i]), &dockerfile, &err)) {
            fail_msg("taken: %s", wrong[i]);
        }
        assert_string_equal(err.reason, "invalid_dockerfile");
    }
    struct dockerfile dockerfile;
    struct err err = {0};
    assert_true(dockerfile_read(VIEW("FROM a AS b\nCOPY --from=b / /x\n"), &dockerfile, &err));
    assert_int_equal(dockerfile.image_count, 2);
    assert_true(view_equal(dockerfile.images[1], VIEW("b")));
}

static void ordinary_files_are_taken(void **state)
{
    (void)state;
    static const char *const good[] = {
        "FROM a",
        "from a\nrun true\ncmd [\"sh\"]\n",
        "FROM a\nRUN apt-get update \\\n && apt-get install -y x \\\n# a comment\n    y\nUSER u\n",
        "FROM a\nENV A=b \\\n    C=d\nLABEL x=\"y z\"\nHEALTHCHECK NONE\n",
        "FROM a\nCOPY --chown=1:1 x\303\251.txt /opt/\nCOPY [\"a b\", \"/app\"]\n",
        "ARG V=1\nFROM a\nARG V\nRUN echo $V http://example.com\n",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct dockerfile dockerfile;
        struct err err = {0};
        if (!dockerfile_read(view_of(good[i]), &dockerfile, &err)) {
            fail_msg("%s: %s", err.message, good[i]);
        }
    }
}

static void error_names_the_line(void **state)
{
    (void)state;
    struct dockerfile dockerfile;
    struct err err = {0};
    assert_false(dockerfile_read(VIEW("FROM a\n\nADD http://x /\n"), &dockerfile, &err));
    assert_non_null(strstr(err.message, "line 3:"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_are_found_and_replaced),
        cmocka_unit_test(what_the_engine_would_do_itself_is_refused),
        cmocka_unit_test(no_image_is_named_but_where_it_is_looked_for),
        cmocka_unit_test(ordinary_files_are_taken),
        cmocka_unit_test(error_names_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
