#include "sandbox-service/network/dns_message.h"

enum {
    HEADER_LEN = 12,
    ADDITIONAL_AT = 11, /* in it: how many such records there are, the lower byte */
    LABEL_MAX = 63,
    POINTER_BITS = 0xc0, /* the two highest of a length: not a label but where it goes on */
    FLAG_ANSWER = 0x8000,
    FLAG_OPCODE = 0x7800,
    FLAG_CUT = 0x0200,
    FLAG_RECURSION_WANTED = 0x0100,
    FLAG_RECURSION_DONE = 0x0080,
    CODE_BITS = 0x000f,
    RECORD_FIXED_LEN = 10, /* type, class, ttl, length */
    RECORD_LEN = 2 + RECORD_FIXED_LEN + 4,
    ADDRESS_LEN = 4,
    NAME_AT = 0xc000 + HEADER_LEN, /* a pointer to the question's name */
};

/* What is left of a packet. Reading beyond its end yields 0 and is remembered. */
struct cursor {
    struct view packet;
    size_t at;
    bool failed;
};

static uint8_t take8(struct cursor *cursor)
{
    if (cursor->at >= cursor->packet.len) {
        cursor->failed = true;
        return 0;
    }
    return (uint8_t)cursor->packet.ptr[cursor->at++];
}

static uint16_t take16(struct cursor *cursor)
{
    unsigned high = take8(cursor);
    return (uint16_t)(high << 8U | take8(cursor));
}

static uint32_t take32(struct cursor *cursor)
{
    uint32_t high = take16(cursor);
    return high << 16U | take16(cursor);
}

static void skip(struct cursor *cursor, size_t len)
{
    cursor->failed |= len > cursor->packet.len - cursor->at;
    cursor->at = cursor->failed ? cursor->packet.len : cursor->at + len;
}

static bool is_name_char(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static char lower(uint8_t c)
{
    bool is_upper = c >= 'A' && c <= 'Z';
    return (char)(is_upper ? c - 'A' + 'a' : c);
}

/* The name of a question: labels alone, and of characters that hosts' names have. */
static bool take_name(struct cursor *cursor, char out[DOMAIN_SIZE])
{
    size_t used = 0;
    for (uint8_t len = take8(cursor); len > 0; len = take8(cursor)) {
        if (len > LABEL_MAX || used + len + 2 > DOMAIN_SIZE) {
            return false;
        }
        if (used > 0) {
            out[used++] = '.';
        }
        for (uint8_t i = 0; i < len; i++) {
            char c = lower(take8(cursor));
            if (!is_name_char((uint8_t)c)) {
                return false;
            }
            out[used++] = c;
        }
    }
    out[used] = '\0';
    return !cursor->failed;
}

/* A name anywhere else: what it is does not matter, only where it ends. */
static void skip_name(struct cursor *cursor)
{
    for (uint8_t len = take8(cursor); len > 0; len = take8(cursor)) {
        if ((len & POINTER_BITS) == POINTER_BITS) {
            skip(cursor, 1);
            return;
        }
        cursor->failed |= len > LABEL_MAX;
        skip(cursor, len);
        if (cursor->failed) {
            return;
        }
    }
}

bool dns_read_query(struct view packet, struct dns_query *out)
{
    struct cursor cursor = {.packet = packet};
    *out = (struct dns_query){0};
    out->id = take16(&cursor);
    out->flags = take16(&cursor);
    uint16_t questions = take16(&cursor);
    skip(&cursor, HEADER_LEN - 6);
    if (cursor.failed || (out->flags & FLAG_ANSWER) != 0 || questions != 1 ||
        !take_name(&cursor, out->name)) {
        return false;
    }
    out->type = take16(&cursor);
    out->class = take16(&cursor);
    out->question_len = cursor.at - HEADER_LEN;
    if (cursor.failed || out->question_len > sizeof out->question) {
        return false;
    }
    memcpy(out->question, packet.ptr + HEADER_LEN, out->question_len);
    return true;
}

bool dns_query_is_ordinary(const struct dns_query *query)
{
    return (query->flags & FLAG_OPCODE) == 0 && query->class == DNS_CLASS_IN;
}

static void put16(uint8_t *out, size_t *at, unsigned value)
{
    out[(*at)++] = (uint8_t)(value >> 8U);
    out[(*at)++] = (uint8_t)value;
}

static void put32(uint8_t *out, size_t *at, uint32_t value)
{
    put16(out, at, value >> 16U);
    put16(out, at, value & 0xffffU);
}

static void put_header(uint8_t *out, size_t *at, uint16_t id, unsigned flags, size_t answers)
{
    put16(out, at, id);
    put16(out, at, flags);
    put16(out, at, 1);
    put16(out, at, (unsigned)answers);
    put16(out, at, 0);
    put16(out, at, 0);
}

/* An additional record, of the root: its class is the size. */
static void put_size(uint8_t *out, size_t *at)
{
    out[ADDITIONAL_AT] = 1;
    out[(*at)++] = 0;
    put16(out, at, DNS_TYPE_OPT);
    put16(out, at, DNS_PACKET_MAX);
    put32(out, at, 0);
    put16(out, at, 0);
}

size_t dns_write_query(uint16_t id, const char *name, bool with_size, uint8_t out[DNS_MESSAGE_MAX])
{
    size_t at = 0;
    struct view rest = view_of(name);
    put_header(out, &at, id, FLAG_RECURSION_WANTED, 0);
    if (rest.len == 0 || rest.len >= DOMAIN_SIZE) {
        return 0;
    }
    while (rest.len > 0) {
        struct view label = view_cut(&rest, '.');
        if (label.len == 0 || label.len > LABEL_MAX) {
            return 0;
        }
        out[at++] = (uint8_t)label.len;
        memcpy(out + at, label.ptr, label.len);
        at += label.len;
    }
    out[at++] = 0;
    put16(out, &at, DNS_TYPE_A);
    put16(out, &at, DNS_CLASS_IN);
    if (with_size) {
        put_size(out, &at);
    }
    return at;
}

/* The names on the way (CNAME) are the resolver's business. */
static void take_record(struct cursor *cursor, struct dns_answer *out)
{
    skip_name(cursor);
    uint16_t type = take16(cursor);
    uint16_t class = take16(cursor);
    uint32_t ttl_s = take32(cursor);
    uint16_t len = take16(cursor);
    if (cursor->failed || type != DNS_TYPE_A || class != DNS_CLASS_IN || len != ADDRESS_LEN) {
        skip(cursor, len);
        return;
    }
    uint32_t address = take32(cursor);
    if (cursor->failed || out->count == DNS_ADDRESSES_MAX) {
        return;
    }
    out->ttl_s = out->count == 0 || ttl_s < out->ttl_s ? ttl_s : out->ttl_s;
    out->addresses[out->count++] = address;
}

bool dns_read_answer(struct view packet, uint16_t id, const char *name, struct dns_answer *out)
{
    struct cursor cursor = {.packet = packet};
    char asked[DOMAIN_SIZE];
    *out = (struct dns_answer){0};
    uint16_t got_id = take16(&cursor);
    uint16_t flags = take16(&cursor);
    uint16_t questions = take16(&cursor);
    uint16_t records = take16(&cursor);
    skip(&cursor, HEADER_LEN - 8);
    if (cursor.failed || got_id != id || (flags & FLAG_ANSWER) == 0 || questions != 1 ||
        !take_name(&cursor, asked) || strcmp(asked, name) != 0 || take16(&cursor) != DNS_TYPE_A ||
        take16(&cursor) != DNS_CLASS_IN) {
        return false;
    }
    out->code = (enum dns_code)(flags & CODE_BITS);
    out->is_cut = (flags & FLAG_CUT) != 0;
    while (records-- > 0 && !cursor.failed) {
        take_record(&cursor, out);
    }
    out->is_cut |= cursor.failed;
    return true;
}

size_t dns_write_answer(const struct dns_query *query, const struct dns_answer *answer,
                        uint8_t out[DNS_MESSAGE_MAX])
{
    size_t at = 0;
    _Static_assert(HEADER_LEN + DNS_QUESTION_MAX + DNS_ADDRESSES_MAX * RECORD_LEN <=
                       DNS_MESSAGE_MAX,
                   "every answer fits a packet");
    unsigned flags = FLAG_ANSWER | FLAG_RECURSION_DONE | (unsigned)answer->code |
                     (query->flags & (FLAG_RECURSION_WANTED | FLAG_OPCODE));
    put_header(out, &at, query->id, flags, answer->count);
    memcpy(out + at, query->question, query->question_len);
    at += query->question_len;
    for (size_t i = 0; i < answer->count; i++) {
        put16(out, &at, NAME_AT);
        put16(out, &at, DNS_TYPE_A);
        put16(out, &at, DNS_CLASS_IN);
        put32(out, &at, answer->ttl_s);
        put16(out, &at, ADDRESS_LEN);
        put32(out, &at, answer->addresses[i]);
    }
    return at;
}
