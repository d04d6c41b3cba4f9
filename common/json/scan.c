#include "common/json/scan.h"

#include "common/base/utf8.h"
#include "common/json/names.h"
#include "common/json/plain.h"

enum { ENVELOPE_ID_MAX = 64 };

struct scanner {
    const char *start;
    const char *at;
    const char *end;
    int depth; /* of open objects and arrays */
    struct json_names names;
    json_member_fn *on_member;
    json_item_fn *on_item;
    void *arg;
    struct err *err;
};

static bool scan_value(struct scanner *scanner);

static bool fail(struct scanner *scanner, const char *why)
{
    return err_set_reason(scanner->err, ERR_INVALID, "invalid_json", "invalid JSON at byte %zu: %s",
                          (size_t)(scanner->at - scanner->start), why);
}

static struct view rest(const struct scanner *scanner)
{
    return (struct view){scanner->at, (size_t)(scanner->end - scanner->at)};
}

static struct view text_from(const struct scanner *scanner, const char *begin)
{
    return (struct view){begin, (size_t)(scanner->at - begin)};
}

/* The byte to be read next; NUL, which is valid nowhere, at the end. */
static char peek(const struct scanner *scanner)
{
    if (scanner->at == scanner->end) {
        return '\0';
    }
    return *scanner->at;
}

static bool skip_char(struct scanner *scanner, char c)
{
    if (peek(scanner) != c) {
        return false;
    }
    scanner->at++;
    return true;
}

static char skip_blanks(struct scanner *scanner)
{
    char c = peek(scanner);
    while (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
        scanner->at++;
        c = peek(scanner);
    }
    return c;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool scan_hex4(struct scanner *scanner, unsigned *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++) {
        char c = peek(scanner);
        char lower = (char)(c | 0x20);
        if (!is_digit(c) && (lower < 'a' || lower > 'f')) {
            return fail(scanner, "\\u must be followed by four hex digits");
        }
        *out = *out * 16 + (unsigned)(is_digit(c) ? c - '0' : lower - 'a' + 10);
        scanner->at++;
    }
    return true;
}

/* After "\u". */
static bool scan_unicode_escape(struct scanner *scanner)
{
    unsigned unit;
    if (!scan_hex4(scanner, &unit)) {
        return false;
    }
    if (unit < 0xd800 || unit > 0xdfff) {
        return true;
    }
    unsigned low = 0;
    if (unit > 0xdbff || !skip_char(scanner, '\\') || !skip_char(scanner, 'u')) {
        return fail(scanner, "a lone surrogate");
    }
    return scan_hex4(scanner, &low) &&
           ((low >= 0xdc00 && low <= 0xdfff) || fail(scanner, "a lone surrogate"));
}

static bool scan_escape(struct scanner *scanner)
{
    scanner->at++;
    char c = peek(scanner);
    if (c == '\0' || strchr("\"\\/bfnrtu", c) == NULL) {
        return fail(scanner, "an unknown escape in a string");
    }
    scanner->at++;
    return c != 'u' || scan_unicode_escape(scanner);
}

/* One character of a string that needs a closer look. */
static bool scan_special(struct scanner *scanner)
{
    if (scanner->at == scanner->end) {
        return fail(scanner, "a string does not end");
    }
    if (*scanner->at == '\\') {
        return scan_escape(scanner);
    }
    if ((unsigned char)*scanner->at < ' ') {
        return fail(scanner, "a control character in a string");
    }
    size_t length = utf8_length(rest(scanner), NULL);
    if (length == 0) {
        return fail(scanner, "invalid UTF-8");
    }
    scanner->at += length;
    return true;
}

/* content (may be NULL): what stands between the quotes. */
static bool scan_string(struct scanner *scanner, struct view *content)
{
    if (!skip_char(scanner, '"')) {
        return fail(scanner, "a string is expected");
    }
    const char *begin = scanner->at;
    scanner->at += json_plain_run(rest(scanner));
    while (peek(scanner) != '"') {
        if (!scan_special(scanner)) {
            return false;
        }
        scanner->at += json_plain_run(rest(scanner));
    }
    if (content != NULL) {
        *content = text_from(scanner, begin);
    }
    scanner->at++;
    return true;
}

static bool scan_digits(struct scanner *scanner)
{
    if (!is_digit(peek(scanner))) {
        return fail(scanner, "a digit is expected");
    }
    while (is_digit(peek(scanner))) {
        scanner->at++;
    }
    return true;
}

static bool scan_number(struct scanner *scanner)
{
    const char *begin = scanner->at;
    (void)skip_char(scanner, '-');
    /* A zero ends the whole part: what follows in "01" is then refused as misplaced. */
    if (!skip_char(scanner, '0') && !scan_digits(scanner)) {
        return false;
    }
    if (skip_char(scanner, '.') && !scan_digits(scanner)) {
        return false;
    }
    if (skip_char(scanner, 'e') || skip_char(scanner, 'E')) {
        if (!skip_char(scanner, '+')) {
            (void)skip_char(scanner, '-');
        }
        if (!scan_digits(scanner)) {
            return false;
        }
    }
    return text_from(scanner, begin).len <= JSON_NUMBER_MAX ||
           fail(scanner, "a number of more than 64 bytes");
}

static bool scan_word(struct scanner *scanner, struct view word)
{
    if (!view_starts_with(rest(scanner), word)) {
        return fail(scanner, "an unknown word");
    }
    scanner->at += word.len;
    return true;
}

static bool open_container(struct scanner *scanner)
{
    if (scanner->depth == JSON_DEPTH_MAX) {
        return fail(scanner, "nesting deeper than 32");
    }
    scanner->at++;
    scanner->depth++;
    return true;
}

/* After an item: true and *more when a comma follows, true and not when close does. */
static bool scan_separator(struct scanner *scanner, char close, bool *more)
{
    char c = skip_blanks(scanner);
    if (c != ',' && c != close) {
        return fail(scanner, "a comma or a closing bracket is expected");
    }
    scanner->at++;
    *more = c == ',';
    if (*more) {
        (void)skip_blanks(scanner);
    }
    return true;
}

static bool scan_member(struct scanner *scanner)
{
    struct json_member member;
    const char *begin = scanner->at;
    if (!scan_string(scanner, &member.name)) {
        return false;
    }
    if (skip_blanks(scanner) != ':') {
        return fail(scanner, "a colon is expected");
    }
    scanner->at++;
    (void)skip_blanks(scanner);
    const char *value = scanner->at;
    if (!scan_value(scanner)) {
        return false;
    }
    member.value = text_from(scanner, value);
    member.whole = text_from(scanner, begin);
    if (!json_names_push(&scanner->names, member.name)) {
        return err_set(scanner->err, ERR_INTERNAL, "reading JSON: out of memory");
    }
    if (scanner->depth == 1 && scanner->on_member != NULL) {
        scanner->on_member(&member, scanner->arg);
    }
    return true;
}

static bool scan_object(struct scanner *scanner)
{
    size_t first_name = scanner->names.count;
    if (!open_container(scanner)) {
        return false;
    }
    bool more = skip_blanks(scanner) != '}';
    if (!more) {
        scanner->at++;
    }
    while (more) {
        if (scanner->names.count - first_name == JSON_MEMBERS_MAX) {
            return fail(scanner, "an object of more than 1024 members");
        }
        if (!scan_member(scanner) || !scan_separator(scanner, '}', &more)) {
            return false;
        }
    }
    scanner->depth--;
    return json_names_pop_distinct(&scanner->names, first_name) ||
           fail(scanner, "a member stands twice in the object before");
}

static bool scan_array(struct scanner *scanner)
{
    if (!open_container(scanner)) {
        return false;
    }
    bool more = skip_blanks(scanner) != ']';
    if (!more) {
        scanner->at++;
    }
    while (more) {
        const char *begin = scanner->at;
        if (!scan_value(scanner)) {
            return false;
        }
        if (scanner->depth == 1 && scanner->on_item != NULL) {
            scanner->on_item(text_from(scanner, begin), scanner->arg);
        }
        if (!scan_separator(scanner, ']', &more)) {
            return false;
        }
    }
    scanner->depth--;
    return true;
}

static bool scan_value(struct scanner *scanner)
{
    switch (peek(scanner)) {
    case '"':
        return scan_string(scanner, NULL);
    case '{':
        return scan_object(scanner);
    case '[':
        return scan_array(scanner);
    case 't':
        return scan_word(scanner, VIEW("true"));
    case 'f':
        return scan_word(scanner, VIEW("false"));
    case 'n':
        return scan_word(scanner, VIEW("null"));
    default:
        if (is_digit(peek(scanner)) || peek(scanner) == '-') {
            return scan_number(scanner);
        }
        return fail(scanner, "a value is expected");
    }
}

static bool scan(struct view text, json_member_fn *on_member, json_item_fn *on_item, void *arg,
                 struct err *err)
{
    const char *start = text.len == 0 ? "" : text.ptr;
    struct scanner scanner = {.start = start,
                              .at = start,
                              .end = start + text.len,
                              .on_member = on_member,
                              .on_item = on_item,
                              .arg = arg,
                              .err = err};
    json_names_init(&scanner.names);
    (void)skip_blanks(&scanner);
    bool valid = scan_value(&scanner);
    json_names_free(&scanner.names);
    if (!valid) {
        return false;
    }
    (void)skip_blanks(&scanner);
    return scanner.at == scanner.end || fail(&scanner, "more text after the value");
}

bool json_scan(struct view text, json_member_fn *on_member, void *arg, struct err *err)
{
    return scan(text, on_member, NULL, arg, err);
}

bool json_scan_items(struct view text, json_item_fn *on_item, void *arg, struct err *err)
{
    return scan(text, NULL, on_item, arg, err);
}

/* The content of a string without escapes; empty for anything else. */
static struct view plain_string(struct view value)
{
    if (value.len < 2 || value.ptr[0] != '"' || memchr(value.ptr, '\\', value.len) != NULL) {
        return (struct view){0};
    }
    return (struct view){value.ptr + 1, value.len - 2};
}

/* 0 for anything but the digits of an integer from 1 to 2^31-1. */
static uint32_t positive_int32(struct view value)
{
    uint64_t number = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (!is_digit(value.ptr[i]) || number > INT32_MAX) {
            return 0;
        }
        number = number * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    return number > INT32_MAX ? 0 : (uint32_t)number;
}

static void on_envelope_member(const struct json_member *member, void *arg)
{
    struct json_envelope *envelope = arg;
    if (json_name_equal(member->name, VIEW("id"))) {
        struct view id = plain_string(member->value);
        envelope->id = id.len <= ENVELOPE_ID_MAX ? id : (struct view){0};
        envelope->id_member = member->whole;
    } else if (json_name_equal(member->name, VIEW("type"))) {
        envelope->type = plain_string(member->value);
    } else if (json_name_equal(member->name, VIEW("streamId"))) {
        envelope->stream_id = positive_int32(member->value);
        envelope->stream_member = member->whole;
    } else if (json_name_equal(member->name, VIEW("stream"))) {
        envelope->is_stream = view_equal(member->value, VIEW("true"));
    } else if (json_name_equal(member->name, VIEW("once"))) {
        envelope->has_once = true;
    } else if (json_name_equal(member->name, VIEW("timeoutMs"))) {
        envelope->timeout = member->value;
    }
}

bool json_scan_envelope(struct view text, struct json_envelope *out, struct err *err)
{
    *out = (struct json_envelope){0};
    if (!json_scan(text, on_envelope_member, out, err)) {
        return false;
    }
    size_t blanks = strspn(text.ptr, " \t\r\n");
    return text.ptr[blanks] == '{' ||
           err_set_reason(err, ERR_INVALID, "invalid_json", "a JSON object is expected");
}
