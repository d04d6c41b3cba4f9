/* Whatever a Range header asks for lies in the file; tags, dates and the lines of a search may hold
 * anything. The first two bytes are the file's size. */
#include "gateway/native/conditions.h"
#include "common/json/scan.h"
#include "gateway/native/search_lines.h"
#include "gateway/native/text_carry.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OUT_MAX = 1024 * 1024 };

static void check_range(struct view header, int64_t size)
{
    struct byte_range range = {-1, -1};
    if (range_resolve(header, size, &range) == RANGE_PART) {
        assert(range.first >= 0 && range.length > 0);
        assert(range.first + range.length <= size);
    }
}

static void check_lines(struct view lines)
{
    struct str out = STR_INIT(OUT_MAX);
    struct err err = {0};
    search_lines_write(lines, &out);
    bool is_json = json_scan(str_view(&out), NULL, NULL, &err);
    assert(is_json || out.failed);
    str_free(&out);
}

/* Nothing is lost, and no more than the beginning of a character is held back. */
static void check_carry(struct view text, size_t cut)
{
    struct text_carry carry = {0};
    struct str scratch = STR_INIT(OUT_MAX);
    struct view first = {text.ptr, cut % (text.len + 1)};
    size_t len = text_carry_join(&carry, first, &scratch).len;
    len += text_carry_join(&carry, view_from(text, first.len), &scratch).len;
    assert(len + carry.len == text.len && carry.len <= TEXT_CARRY_MAX);
    str_free(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char date[HTTP_DATE_SIZE];
    if (size < 2) {
        return 0;
    }
    struct view text = {(const char *)data + 2, size - 2};
    int64_t file_size = data[0] << 8 | data[1];
    check_range(text, file_size);
    check_lines(text);
    check_carry(text, data[0]);
    (void)!etag_list_has(text, VIEW("\"1-2-3\""));
    (void)!http_date_of_iso(text, date);
    return 0;
}
