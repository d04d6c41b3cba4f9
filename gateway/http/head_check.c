#include "gateway/http/head_check.h"

#include "gateway/http/syntax.h"
#include "gateway/http/target.h"

enum {
    REQUEST_LINE_MAX = HEAD_METHOD_MAX + 1 + HTTP_TARGET_MAX + sizeof " HTTP/1.1" - 1,
    LENGTH_DIGITS_MAX = 19,
};

static const struct {
    struct view name;
    enum http_method method;
} methods[] = {
    {VIEW("GET"), HTTP_GET},         {VIEW("HEAD"), HTTP_HEAD},   {VIEW("POST"), HTTP_POST},
    {VIEW("PUT"), HTTP_PUT},         {VIEW("PATCH"), HTTP_PATCH}, {VIEW("DELETE"), HTTP_DELETE},
    {VIEW("OPTIONS"), HTTP_OPTIONS},
};

/* Registered, but not ours: 405 instead of 501. */
static const struct view other_methods[] = {
    VIEW("TRACE"),
    VIEW("CONNECT"),
    VIEW("ACL"),
    VIEW("BIND"),
    VIEW("CHECKOUT"),
    VIEW("COPY"),
    VIEW("LABEL"),
    VIEW("LINK"),
    VIEW("LOCK"),
    VIEW("MERGE"),
    VIEW("MKACTIVITY"),
    VIEW("MKCALENDAR"),
    VIEW("MKCOL"),
    VIEW("MKREDIRECTREF"),
    VIEW("MKWORKSPACE"),
    VIEW("MOVE"),
    VIEW("ORDERPATCH"),
    VIEW("PROPFIND"),
    VIEW("PROPPATCH"),
    VIEW("QUERY"),
    VIEW("REBIND"),
    VIEW("REPORT"),
    VIEW("SEARCH"),
    VIEW("UNBIND"),
    VIEW("UNCHECKOUT"),
    VIEW("UNLINK"),
    VIEW("UNLOCK"),
    VIEW("UPDATE"),
    VIEW("UPDATEREDIRECTREF"),
    VIEW("VERSION-CONTROL"),
};

static enum refusal take_host(struct head_check *check, struct view value)
{
    (void)check;
    return syntax_is_host(value) ? REFUSAL_NONE : REFUSAL_HOST;
}

static enum refusal take_length(struct head_check *check, struct view value)
{
    if (value.len == 0 || value.len > LENGTH_DIGITS_MAX) {
        return REFUSAL_LENGTH;
    }
    uint64_t length = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9') {
            return REFUSAL_LENGTH;
        }
        length = length * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    check->has_length = true;
    check->content_length = length;
    return length <= INT64_MAX ? REFUSAL_NONE : REFUSAL_LENGTH;
}

/* Anything but "chunked" is refused at the end of the head, where a Content-Length beside it, being
 * the worse mistake, is known too. */
static enum refusal take_coding(struct head_check *check, struct view value)
{
    check->has_coding = true;
    check->is_chunked = view_equal_nocase(value, VIEW("chunked"));
    if (check->is_chunked) {
        return REFUSAL_NONE;
    }
    check->coding_refusal = REFUSAL_CODING_UNKNOWN;
    struct view item;
    while (syntax_next_item(&value, &item)) {
        if (!syntax_is_token(item)) {
            check->coding_refusal = REFUSAL_CODING;
        }
    }
    return REFUSAL_NONE;
}

/* May come once only. */
static const struct {
    struct view name;
    enum refusal repeated;
    enum refusal (*take)(struct head_check *check, struct view value);
} single_headers[] = {
    {VIEW("Host"), REFUSAL_HOST, take_host},
    {VIEW("Content-Length"), REFUSAL_HEADER_REPEATED, take_length},
    {VIEW("Transfer-Encoding"), REFUSAL_HEADER_REPEATED, take_coding},
    {VIEW("Authorization"), REFUSAL_HEADER_REPEATED, NULL},
    {VIEW("X-API-Key"), REFUSAL_HEADER_REPEATED, NULL},
    {VIEW("Content-Type"), REFUSAL_HEADER_REPEATED, NULL},
    {VIEW("Origin"), REFUSAL_HEADER_REPEATED, NULL},
    {VIEW("Sec-WebSocket-Key"), REFUSAL_HEADER_REPEATED, NULL},
    {VIEW("Sec-WebSocket-Version"), REFUSAL_HEADER_REPEATED, NULL},
};
enum { SINGLE_HOST = 0, SINGLE_COUNT = sizeof single_headers / sizeof single_headers[0] };

static enum head_verdict refuse(struct head_check *check, enum refusal refusal)
{
    check->refusal = refusal;
    return HEAD_REFUSED;
}

static bool method_is_well_formed(struct view method)
{
    for (size_t i = 0; i < method.len; i++) {
        if (method.ptr[i] < 'A' || method.ptr[i] > 'Z') {
            return false;
        }
    }
    return method.len > 0 && method.len <= HEAD_METHOD_MAX;
}

static void find_method(struct head_check *check, struct view name)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (view_equal(methods[i].name, name)) {
            check->method = methods[i].method;
            return;
        }
    }
    check->method_refusal = REFUSAL_METHOD_UNKNOWN;
    for (size_t i = 0; i < sizeof other_methods / sizeof other_methods[0]; i++) {
        if (view_equal(other_methods[i], name)) {
            check->method_refusal = REFUSAL_METHOD_NOT_ALLOWED;
        }
    }
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static enum refusal take_version(struct head_check *check, struct view version)
{
    if (version.len != 8 || !view_starts_with(version, VIEW("HTTP/")) ||
        !is_digit(version.ptr[5]) || version.ptr[6] != '.' || !is_digit(version.ptr[7])) {
        return REFUSAL_REQUEST_LINE;
    }
    check->is_1_0 = version.ptr[7] == '0';
    return version.ptr[5] == '1' ? REFUSAL_NONE : REFUSAL_VERSION;
}

/* Cuts text at its first space; false when there is none. */
static bool cut_at_space(struct view *text, struct view *part)
{
    const char *space = text->len == 0 ? NULL : memchr(text->ptr, ' ', text->len);
    if (space == NULL) {
        return false;
    }
    part->ptr = text->ptr;
    part->len = (size_t)(space - text->ptr);
    *text = view_from(*text, part->len + 1);
    return true;
}

static enum refusal take_request_line(struct head_check *check, struct view line)
{
    struct view method;
    struct view target;
    if (!cut_at_space(&line, &method) || !method_is_well_formed(method) ||
        !cut_at_space(&line, &target) || target.len == 0) {
        return REFUSAL_REQUEST_LINE;
    }
    if (target.len > HTTP_TARGET_MAX) {
        return REFUSAL_TARGET_TOO_LONG;
    }
    if (!target_bytes_are_valid(target)) {
        return REFUSAL_TARGET;
    }
    enum refusal refusal = take_version(check, line);
    if (refusal != REFUSAL_NONE) {
        return refusal;
    }
    find_method(check, method);
    struct target split;
    bool ours = check->method_refusal == REFUSAL_NONE;
    if (ours && !target_split(target, check->method == HTTP_OPTIONS, &split)) {
        return REFUSAL_TARGET;
    }
    check->has_request_line = true;
    return REFUSAL_NONE;
}

static bool split_header(struct view line, struct http_header *out)
{
    const char *colon = line.len == 0 ? NULL : memchr(line.ptr, ':', line.len);
    if (colon == NULL) {
        return false;
    }
    out->name = (struct view){line.ptr, (size_t)(colon - line.ptr)};
    out->value = syntax_trim(view_from(line, out->name.len + 1));
    return syntax_is_token(out->name) && syntax_is_value(out->value);
}

static enum refusal take_header(struct head_check *check, struct view line)
{
    check->header_bytes += line.len + 2;
    check->header_count++;
    if (line.len > HTTP_LINE_MAX || check->header_bytes > HTTP_HEAD_MAX ||
        check->header_count > HTTP_HEADERS_MAX) {
        return REFUSAL_HEADERS_TOO_LARGE;
    }
    struct http_header header;
    if (!split_header(line, &header)) {
        return REFUSAL_HEADER;
    }
    for (unsigned i = 0; i < SINGLE_COUNT; i++) {
        if (!view_equal_nocase(single_headers[i].name, header.name)) {
            continue;
        }
        if ((check->seen & (1U << i)) != 0) {
            return single_headers[i].repeated;
        }
        check->seen |= 1U << i;
        return single_headers[i].take == NULL ? REFUSAL_NONE
                                              : single_headers[i].take(check, header.value);
    }
    return REFUSAL_NONE;
}

static enum refusal take_head_end(struct head_check *check)
{
    if (!check->is_1_0 && (check->seen & (1U << SINGLE_HOST)) == 0) {
        return REFUSAL_HOST;
    }
    if (check->has_coding && (check->has_length || check->is_1_0)) {
        return REFUSAL_FRAMING;
    }
    return check->coding_refusal != REFUSAL_NONE ? check->coding_refusal : check->method_refusal;
}

static enum head_verdict take_line(struct head_check *check, struct view line)
{
    enum refusal refusal;
    enum head_verdict verdict = HEAD_INCOMPLETE;
    if (!check->has_request_line && line.len == 0) {
        check->empty_lines++;
        check->head_offset = check->next_line;
        refusal = check->empty_lines > HEAD_EMPTY_LINES_MAX ? REFUSAL_REQUEST_LINE : REFUSAL_NONE;
    } else if (!check->has_request_line) {
        refusal = take_request_line(check, line);
    } else if (line.len > 0) {
        refusal = take_header(check, line);
    } else {
        refusal = take_head_end(check);
        verdict = HEAD_COMPLETE;
    }
    return refusal == REFUSAL_NONE ? verdict : refuse(check, refusal);
}

static bool line_is_too_long(const struct head_check *check, size_t len)
{
    if (!check->has_request_line) {
        return len > REQUEST_LINE_MAX;
    }
    return len > HTTP_LINE_MAX || check->header_bytes + len > HTTP_HEAD_MAX;
}

static enum refusal too_long(const struct head_check *check, struct view line)
{
    if (check->has_request_line) {
        return REFUSAL_HEADERS_TOO_LARGE;
    }
    bool has_method = memchr(line.ptr, ' ', HEAD_METHOD_MAX + 1) != NULL;
    return has_method ? REFUSAL_TARGET_TOO_LONG : REFUSAL_REQUEST_LINE;
}

/* Refuses what no further byte can mend, in the order of the bytes: a client whose line is not
 * finished may be waiting for us, and is to hear the same as one who sent all of it at once. line
 * has what is here of it before its LF. */
static enum refusal look_at_line(const struct head_check *check, struct view line)
{
    const char *cr = line.len == 0 ? NULL : memchr(line.ptr, '\r', line.len);
    size_t len = cr == NULL ? line.len : (size_t)(cr - line.ptr);
    if (!check->has_request_line && len > 0 && (line.ptr[0] < 'A' || line.ptr[0] > 'Z')) {
        return REFUSAL_REQUEST_LINE;
    }
    if (line_is_too_long(check, len)) {
        return too_long(check, line);
    }
    return cr == NULL || len + 1 == line.len ? REFUSAL_NONE : REFUSAL_LINE_END;
}

/* The line up to its LF. */
static enum head_verdict take_whole_line(struct head_check *check, struct view line)
{
    enum refusal refusal = look_at_line(check, line);
    if (refusal == REFUSAL_NONE && (line.len == 0 || line.ptr[line.len - 1] != '\r')) {
        refusal = REFUSAL_LINE_END;
    }
    return refusal == REFUSAL_NONE ? take_line(check, (struct view){line.ptr, line.len - 1})
                                   : refuse(check, refusal);
}

static enum head_verdict wait_for_line(struct head_check *check, struct view line)
{
    enum refusal refusal = look_at_line(check, line);
    return refusal == REFUSAL_NONE ? HEAD_INCOMPLETE : refuse(check, refusal);
}

enum head_verdict head_check_feed(struct head_check *check, const char *bytes, size_t len)
{
    enum head_verdict verdict = HEAD_INCOMPLETE;
    while (verdict == HEAD_INCOMPLETE) {
        size_t start = check->next_line;
        const char *lf = check->scanned == len
                             ? NULL
                             : memchr(bytes + check->scanned, '\n', len - check->scanned);
        size_t end = lf == NULL ? len : (size_t)(lf - bytes);
        struct view line = {bytes + start, end - start};
        if (lf == NULL) {
            check->scanned = len;
            return wait_for_line(check, line);
        }
        check->scanned = end + 1;
        check->next_line = end + 1;
        verdict = take_whole_line(check, line);
    }
    return verdict;
}
