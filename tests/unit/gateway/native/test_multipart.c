#include "gateway/native/multipart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { FED_MAX = 1024 * 1024 };

#define TYPE "multipart/form-data; boundary=xYz"

/* What a body is, as one text: "(name|filename)data." a part, "!" the end, "?" broken. */
static void read_all(const char *type, struct view body, size_t piece, struct str *out)
{
    struct multipart parser;
    struct err err = {0};
    enum multipart_event event = MULTIPART_MORE;
    assert_true(multipart_open(&parser, view_of(type), &err));
    for (size_t at = 0; at < body.len && event != MULTIPART_BROKEN; at += piece) {
        size_t len = body.len - at < piece ? body.len - at : piece;
        struct view input = {body.ptr + at, len};
        struct view data = {0};
        while ((event = multipart_next(&parser, &input, &data)) != MULTIPART_MORE) {
            if (event == MULTIPART_PART) {
                str_appendf(out, "(%s|%s)", parser.name.data,
                            parser.has_filename ? parser.filename.data : "-");
            } else if (event == MULTIPART_DATA) {
                assert_true(data.len > 0);
                str_append_view(out, data);
            } else if (event == MULTIPART_BROKEN) {
                str_append_char(out, '?');
                break;
            } else {
                str_append_char(out, event == MULTIPART_END ? '!' : '.');
            }
        }
    }
    if (event == MULTIPART_MORE && !multipart_is_complete(&parser)) {
        str_append_char(out, '~');
    }
    multipart_close(&parser);
}

static void a_form_is_read_whatever_its_pieces(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view body;
        const char *read;
    } cases[] = {
        {"two files",
         VIEW("--xYz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a/b.txt\"\r\n"
              "Content-Type: text/plain\r\n\r\nhello\r\n--xYz\r\n"
              "content-disposition:form-data;name=g;filename=c\r\n\r\n\r\n--xYz--\r\n"),
         "(f|a/b.txt)hello.(g|c).!"},
        {"almost delimiters in the data",
         VIEW("--xYz\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n"
              "\r\n--xY\r\n\r\n--xy\r\r\n-\n--xYz\r\n--xYz--"),
         "(f|-)\r\n--xY\r\n\r\n--xy\r\r\n-\n--xYz.!"},
        {"a preamble, padding, an epilogue",
         VIEW("hello\r\n--xYz \t\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\nd"
              "\r\n--xYz--\r\nbye\r\n--xYz\r\n"),
         "(f|-)d.!"},
        {"quotes in a name",
         VIEW("--xYz\r\nContent-Disposition: form-data; name=\"a;\\\"b\\\\c\\d%22\"\r\n\r\n1"
              "\r\n--xYz--"),
         "(a;\"b\\c\\d\"|-)1.!"},
        {"nothing in it", VIEW("--xYz--\r\n"), "!"},
        {"cut in the data", VIEW("--xYz\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\nabc"),
         "(f|-)abc~"},
        {"cut behind a delimiter", VIEW("--xYz"), "~"},
        {"no boundary at all", VIEW("hello"), "~"},
        {"no name", VIEW("--xYz\r\nContent-Type: a\r\n\r\nabc\r\n--xYz--"), "?"},
        {"no header", VIEW("--xYz\r\n\r\nabc\r\n--xYz--"), "?"},
        {"two names",
         VIEW("--xYz\r\nContent-Disposition: form-data; name=a\r\n"
              "Content-Disposition: form-data; name=b\r\n\r\nabc\r\n--xYz--"),
         "?"},
        {"another disposition",
         VIEW("--xYz\r\nContent-Disposition: attachment; name=a\r\n\r\nabc\r\n--xYz--"), "?"},
        {"a bare line end in the head",
         VIEW("--xYz\r\nContent-Disposition: form-data; name=a\n\r\n\r\nabc\r\n--xYz--"), "?"},
        {"a bare line end behind a delimiter", VIEW("--xYz\nContent"), "?"},
        {"text behind a delimiter", VIEW("--xYzq\r\n"), "?"},
        {"a NUL in a name",
         VIEW("--xYz\r\nContent-Disposition: form-data; name=\"a\0b\"\r\n\r\nabc"), "?"},
        {"a name that is not UTF-8",
         VIEW("--xYz\r\nContent-Disposition: form-data; name=\"a\xff\"\r\n\r\nabc"), "?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t piece = 1; piece <= cases[i].body.len; piece++) {
            struct str out = STR_INIT(4096);
            read_all(TYPE, cases[i].body, piece, &out);
            if (!view_equal(str_view(&out), view_of(cases[i].read))) {
                fail_msg("%s in pieces of %zu: %s", cases[i].name, piece,
                         out.data == NULL ? "" : out.data);
            }
            str_free(&out);
        }
    }
}

static void a_boundary_is_taken_from_the_type(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        bool good;
    } cases[] = {
        {"multipart/form-data; boundary=a", true},
        {"Multipart/Form-Data; charset=utf-8; Boundary=\"a b:c\"", true},
        {"multipart/form-data;boundary="
         "0123456789012345678901234567890123456789012345678901234567890123456789",
         true},
        {"multipart/form-data;boundary="
         "01234567890123456789012345678901234567890123456789012345678901234567890",
         false},
        {"multipart/form-data", false},
        {"multipart/form-data; boundary=", false},
        {"multipart/form-data; boundary=\"\"", false},
        {"multipart/form-data; boundary=\"a", false},
        {"multipart/form-data; boundary=\"a\\\"b\"", false},
        {"multipart/mixed; boundary=a", false},
        {"application/json", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct multipart parser;
        struct err err = {0};
        if (multipart_open(&parser, view_of(cases[i].type), &err) != cases[i].good) {
            fail_msg("%s", cases[i].type);
        }
        if (!cases[i].good) {
            assert_string_equal(err.reason, "unsupported_media_type");
        }
        multipart_close(&parser);
    }
}

/* Feeds the text over and over, and tells after how many bytes it was too much. */
static size_t feed_until_broken(const char *start, const char *again)
{
    struct multipart parser;
    struct err err = {0};
    struct view data;
    size_t fed = 0;
    assert_true(multipart_open(&parser, VIEW(TYPE), &err));
    struct view input = view_of(start);
    while (multipart_next(&parser, &input, &data) != MULTIPART_BROKEN && fed < FED_MAX) {
        if (input.len == 0) {
            input = view_of(again);
            fed += input.len;
        }
    }
    multipart_close(&parser);
    return fed;
}

static void what_is_not_a_file_is_bounded(void **state)
{
    (void)state;
    assert_in_range(feed_until_broken("", "a preamble without an end"), MULTIPART_PREAMBLE_MAX,
                    MULTIPART_PREAMBLE_MAX + 100);
    assert_in_range(feed_until_broken("--xYz\r\n", "A: b\r\n"), MULTIPART_HEAD_MAX - 10,
                    MULTIPART_HEAD_MAX + 10);
    assert_in_range(feed_until_broken("--xYz", "     "), 1, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_form_is_read_whatever_its_pieces),
        cmocka_unit_test(a_boundary_is_taken_from_the_type),
        cmocka_unit_test(what_is_not_a_file_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
