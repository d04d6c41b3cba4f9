#include "gateway/http/syntax.h"

#include "common/base/utf8.h"

#include <arpa/inet.h>

enum {
    HOST_NAME_MAX_LEN = 255,
    PORT_DIGITS_MAX = 5,
    PORT_MAX = 65535,
};

static const bool token_bytes[256] = {
    ['!'] = true,         ['#'] = true,         ['$'] = true,         ['%'] = true, ['&'] = true,
    ['\''] = true,        ['*'] = true,         ['+'] = true,         ['-'] = true, ['.'] = true,
    ['^'] = true,         ['_'] = true,         ['`'] = true,         ['|'] = true, ['~'] = true,
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true,
};

bool syntax_is_token_byte(char c)
{
    return token_bytes[(unsigned char)c];
}

bool syntax_is_token(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!syntax_is_token_byte(text.ptr[i])) {
            return false;
        }
    }
    return text.len > 0;
}

bool syntax_is_value_byte(char c)
{
    unsigned char byte = (unsigned char)c;
    return (byte >= ' ' && byte != 0x7f) || byte == '\t';
}

bool syntax_is_value(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!syntax_is_value_byte(text.ptr[i])) {
            return false;
        }
    }
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_port(struct view text)
{
    int port = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.ptr[i]) || i == PORT_DIGITS_MAX) {
            return false;
        }
        port = port * 10 + (text.ptr[i] - '0');
    }
    return text.len > 0 && port <= PORT_MAX;
}

static bool is_name(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !is_digit(c) && c != '.' && c != '-' && c != '_') {
            return false;
        }
    }
    return text.len > 0 && text.len <= HOST_NAME_MAX_LEN;
}

static bool is_ipv6(struct view text)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr parsed;
    return view_copy(text, address, sizeof address) && inet_pton(AF_INET6, address, &parsed) == 1;
}

bool syntax_is_host(struct view text)
{
    size_t host_len;
    bool host_ok;
    if (text.len > 0 && text.ptr[0] == '[') {
        const char *end = memchr(text.ptr, ']', text.len);
        if (end == NULL) {
            return false;
        }
        host_len = (size_t)(end - text.ptr) + 1;
        host_ok = is_ipv6((struct view){text.ptr + 1, host_len - 2});
    } else {
        const char *colon = text.len == 0 ? NULL : memchr(text.ptr, ':', text.len);
        host_len = colon == NULL ? text.len : (size_t)(colon - text.ptr);
        host_ok = is_name((struct view){text.ptr, host_len});
    }
    if (!host_ok || host_len == text.len) {
        return host_ok;
    }
    return text.ptr[host_len] == ':' && is_port(view_from(text, host_len + 1));
}

int syntax_hex_digit(char c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

/* The byte that the escape at the front of text stands for; -1 for a bad one. */
static int escaped_byte(struct view text)
{
    int high = text.len >= 3 ? syntax_hex_digit(text.ptr[1]) : -1;
    int low = text.len >= 3 ? syntax_hex_digit(text.ptr[2]) : -1;
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool syntax_unescape(struct view text, enum syntax_plus plus, char *out, size_t size,
                     size_t *out_len)
{
    size_t len = 0;
    while (text.len > 0 && len + 1 < size) {
        bool is_escape = text.ptr[0] == '%';
        int byte = is_escape ? escaped_byte(text) : (unsigned char)text.ptr[0];
        if (byte <= 0) {
            return false;
        }
        if (!is_escape && byte == '+' && plus == SYNTAX_SPACE) {
            byte = ' ';
        }
        out[len++] = (char)byte;
        text = view_from(text, is_escape ? 3 : 1);
    }
    if (text.len > 0 || size == 0) {
        return false;
    }
    out[len] = '\0';
    *out_len = len;
    return utf8_is_valid((struct view){out, len});
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct view syntax_trim(struct view text)
{
    while (text.len > 0 && is_blank(text.ptr[0])) {
        text = view_from(text, 1);
    }
    while (text.len > 0 && is_blank(text.ptr[text.len - 1])) {
        text.len--;
    }
    return text;
}

bool syntax_next_item(struct view *list, struct view *item)
{
    if (list->ptr == NULL) {
        return false;
    }
    const char *comma = list->len == 0 ? NULL : memchr(list->ptr, ',', list->len);
    size_t len = comma == NULL ? list->len : (size_t)(comma - list->ptr);
    *item = syntax_trim((struct view){list->ptr, len});
    *list = comma == NULL ? (struct view){0} : view_from(*list, len + 1);
    return true;
}

bool syntax_list_has(struct view list, struct view item)
{
    struct view each;
    while (syntax_next_item(&list, &each)) {
        if (view_equal_nocase(each, item)) {
            return true;
        }
    }
    return false;
}
