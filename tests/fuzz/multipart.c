/* A form is read the same way whole and in pieces; what is data in it was in the body. The first
 * byte is the size of the pieces. */
#include "gateway/native/multipart.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 8 * 1024 * 1024 };

/* Writes what is found, so that two readings can be compared. */
static void read_form(struct view body, size_t piece, struct str *out)
{
    struct multipart parser;
    struct err err = {0};
    enum multipart_event event = MULTIPART_MORE;
    bool opened = multipart_open(&parser, VIEW("multipart/form-data; boundary=B"), &err);
    assert(opened);
    while (body.len > 0 && event != MULTIPART_BROKEN) {
        struct view input = {body.ptr, body.len < piece ? body.len : piece};
        struct view data = {0};
        body = view_from(body, input.len);
        while ((event = multipart_next(&parser, &input, &data)) != MULTIPART_MORE &&
               event != MULTIPART_BROKEN) {
            if (event == MULTIPART_DATA) {
                assert(data.len > 0);
                str_append_view(out, data);
                continue;
            }
            str_appendf(out, "<%d>", (int)event);
            if (event == MULTIPART_PART) {
                str_append_view(out, str_view(&parser.name));
                str_append_view(out, str_view(&parser.filename));
            }
        }
    }
    str_appendf(out, "<%d %d>", event == MULTIPART_BROKEN, multipart_is_complete(&parser));
    multipart_close(&parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str whole = STR_INIT(OUT_MAX);
    struct str pieces = STR_INIT(OUT_MAX);
    if (size < 2) {
        return 0;
    }
    struct view body = {(const char *)data + 1, size - 1};
    read_form(body, body.len, &whole);
    read_form(body, data[0] == 0 ? 1 : data[0], &pieces);
    assert(view_equal(str_view(&whole), str_view(&pieces)));
    str_free(&whole);
    str_free(&pieces);
    return 0;
}
