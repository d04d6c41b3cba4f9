/* A request's head through both readers. Whole and byte by byte must come to the same end, and what
 * head_check passes must be what llhttp understands, or be refused by it. */
#include "common/base/cleanup.h"
#include "gateway/http/head_check.h"
#include "gateway/http/parser.h"
#include "gateway/http/target.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum head_verdict feed_by_byte(struct head_check *check, const char *bytes, size_t len)
{
    enum head_verdict verdict = HEAD_INCOMPLETE;
    for (size_t i = 1; i <= len && verdict == HEAD_INCOMPLETE; i++) {
        verdict = head_check_feed(check, bytes, i);
    }
    return verdict;
}

static void compare_readers(const struct head_check *check, const char *bytes)
{
    struct view head = {bytes + check->head_offset, check->next_line - check->head_offset};
    struct parser *parser = parser_new(head, check->header_count);
    struct parsed_head parsed;
    assert(parser != NULL);
    if (parser_read_head(parser, &parsed)) {
        struct target target;
        bool split = target_split(parsed.target, check->method == HTTP_OPTIONS, &target);
        assert(split && target.path.len > 0);
        bool valid = target_escapes_are_valid(&target);
        assert(!valid || memchr(target.path.ptr, '\\', target.path.len) == NULL);
        assert(parsed.header_count == check->header_count);
        assert(parsed.is_chunked == check->is_chunked);
        assert(parsed.content_length == check->content_length);
        bool has_body = check->is_chunked || check->content_length > 0;
        assert(parser_is_complete(parser) == !has_body);
    }
    parser_free(parser);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct head_check whole = {0};
    struct head_check by_byte = {0};
    const char *bytes = (const char *)data;
    size_t len = size < HEAD_WINDOW ? size : HEAD_WINDOW;
    if (len == 0) {
        return 0;
    }
    enum head_verdict verdict = head_check_feed(&whole, bytes, len);
    enum head_verdict verdict_by_byte = feed_by_byte(&by_byte, bytes, len);
    assert(verdict == verdict_by_byte && whole.refusal == by_byte.refusal);
    assert(verdict != HEAD_INCOMPLETE || len < HEAD_WINDOW);
    if (verdict == HEAD_COMPLETE) {
        assert(whole.next_line == by_byte.next_line);
        compare_readers(&whole, bytes);
    }
    return 0;
}
