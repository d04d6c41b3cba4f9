#include "common/json/names.h"

#include <stdint.h>
#include <stdlib.h>

/* Up to here comparing each with each is cheaper than sorting. */
enum { PAIRWISE_MAX = 12 };

void json_names_init(struct json_names *names)
{
    names->items = names->inline_items;
    names->count = 0;
    names->capacity = JSON_NAMES_INLINE;
}

void json_names_free(struct json_names *names)
{
    if (names->items != names->inline_items) {
        free(names->items);
    }
    json_names_init(names);
}

bool json_names_push(struct json_names *names, struct view name)
{
    if (names->count == names->capacity) {
        bool is_inline = names->items == names->inline_items;
        struct view *items =
            realloc(is_inline ? NULL : names->items, names->capacity * 2 * sizeof(struct view));
        if (items == NULL) {
            return false;
        }
        if (is_inline) {
            memcpy(items, names->inline_items, sizeof names->inline_items);
        }
        names->items = items;
        names->capacity *= 2;
    }
    names->items[names->count++] = name;
    return true;
}

static bool has_escapes(struct view name)
{
    return name.len > 0 && memchr(name.ptr, '\\', name.len) != NULL;
}

static uint32_t hex4(const char *digits)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = digits[i];
        uint32_t digit = c <= '9' ? (uint32_t)(c - '0') : ((uint32_t)c | 0x20U) - 'a' + 10;
        value = value << 4U | digit;
    }
    return value;
}

static uint32_t take_unicode_escape(struct view *rest)
{
    uint32_t unit = hex4(rest->ptr + 2);
    *rest = view_from(*rest, 6);
    if (unit >= 0xd800 && unit <= 0xdbff) {
        uint32_t low = hex4(rest->ptr + 2);
        *rest = view_from(*rest, 6);
        return 0x10000 + ((unit - 0xd800) << 10U) + (low - 0xdc00);
    }
    return unit;
}

static uint32_t take_escape(struct view *rest)
{
    char letter = rest->ptr[1];
    if (letter == 'u') {
        return take_unicode_escape(rest);
    }
    *rest = view_from(*rest, 2);
    switch (letter) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return (unsigned char)letter;
    }
}

static uint32_t take_utf8(struct view *rest)
{
    const uint8_t *bytes = (const uint8_t *)rest->ptr;
    size_t length = bytes[0] < 0x80 ? 1 : bytes[0] < 0xe0 ? 2 : bytes[0] < 0xf0 ? 3 : 4;
    uint32_t code_point = length == 1 ? bytes[0] : bytes[0] & (0x7fU >> length);
    for (size_t i = 1; i < length; i++) {
        code_point = code_point << 6U | (bytes[i] & 0x3fU);
    }
    *rest = view_from(*rest, length);
    return code_point;
}

static uint32_t take_code_point(struct view *rest)
{
    return rest->ptr[0] == '\\' ? take_escape(rest) : take_utf8(rest);
}

/* Order by code points is the order of the UTF-8 bytes, so that this agrees with memcmp. */
static int compare_resolved(struct view a, struct view b)
{
    while (a.len > 0 && b.len > 0) {
        uint32_t left = take_code_point(&a);
        uint32_t right = take_code_point(&b);
        if (left != right) {
            return left < right ? -1 : 1;
        }
    }
    return (a.len > 0) - (b.len > 0);
}

static int compare(const void *a, const void *b)
{
    const struct view *left = a;
    const struct view *right = b;
    if (has_escapes(*left) || has_escapes(*right)) {
        return compare_resolved(*left, *right);
    }
    size_t shorter = left->len < right->len ? left->len : right->len;
    int order = shorter == 0 ? 0 : memcmp(left->ptr, right->ptr, shorter);
    return order != 0 ? order : (left->len > right->len) - (left->len < right->len);
}

bool json_name_equal(struct view a, struct view b)
{
    if (has_escapes(a) || has_escapes(b)) {
        return compare_resolved(a, b) == 0;
    }
    return view_equal(a, b);
}

static bool are_distinct_pairwise(const struct view *names, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (json_name_equal(names[i], names[j])) {
                return false;
            }
        }
    }
    return true;
}

static bool are_distinct_sorted(struct view *names, size_t count)
{
    qsort(names, count, sizeof *names, compare);
    for (size_t i = 1; i < count; i++) {
        if (compare(&names[i - 1], &names[i]) == 0) {
            return false;
        }
    }
    return true;
}

bool json_names_pop_distinct(struct json_names *names, size_t first)
{
    struct view *popped = names->items + first;
    size_t count = names->count - first;
    names->count = first;
    return count <= PAIRWISE_MAX ? are_distinct_pairwise(popped, count)
                                 : are_distinct_sorted(popped, count);
}
