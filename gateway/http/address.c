#include "gateway/http/address.h"

#include "gateway/http/syntax.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    MAPPED_PREFIX_BYTES = 12, /* ::ffff:0:0/96 */
    SHARED_PREFIX_BYTES = 8,  /* an IPv6 host commands a whole /64 */
    LIST_MAX = 256,
};

static const uint8_t mapped_prefix[MAPPED_PREFIX_BYTES] = {[10] = 0xff, [11] = 0xff};

struct address_network {
    struct address address;
    unsigned bits;
};

static bool is_ipv4(const struct address *address)
{
    return memcmp(address->bytes, mapped_prefix, sizeof mapped_prefix) == 0;
}

static void map_ipv4(const struct in_addr *ipv4, struct address *out)
{
    memcpy(out->bytes, mapped_prefix, sizeof mapped_prefix);
    memcpy(out->bytes + sizeof mapped_prefix, ipv4, sizeof *ipv4);
}

bool address_of(const struct sockaddr *sockaddr, struct address *out)
{
    if (sockaddr->sa_family == AF_INET) {
        const struct sockaddr_in *ipv4 = (const void *)sockaddr;
        map_ipv4(&ipv4->sin_addr, out);
        return true;
    }
    if (sockaddr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *ipv6 = (const void *)sockaddr;
        memcpy(out->bytes, &ipv6->sin6_addr, sizeof out->bytes);
        return true;
    }
    return false;
}

void address_format(const struct address *address, char out[ADDRESS_TEXT_SIZE])
{
    bool ipv4 = is_ipv4(address);
    const void *bytes = ipv4 ? address->bytes + MAPPED_PREFIX_BYTES : address->bytes;
    if (inet_ntop(ipv4 ? AF_INET : AF_INET6, bytes, out, ADDRESS_TEXT_SIZE) == NULL) {
        out[0] = '\0';
    }
}

static bool read_address(struct view text, struct address *out, unsigned *bits_max)
{
    char buffer[ADDRESS_TEXT_SIZE];
    struct in_addr ipv4;
    if (!view_copy(text, buffer, sizeof buffer)) {
        return false;
    }
    if (inet_pton(AF_INET, buffer, &ipv4) == 1) {
        map_ipv4(&ipv4, out);
        *bits_max = 32;
        return true;
    }
    *bits_max = 128;
    return inet_pton(AF_INET6, buffer, out->bytes) == 1;
}

bool address_parse(struct view text, struct address *out)
{
    unsigned bits_max;
    return read_address(text, out, &bits_max);
}

static bool parse_bits(struct view text, unsigned bits_max, unsigned *out)
{
    unsigned bits = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || i == 3) {
            return false;
        }
        bits = bits * 10 + (unsigned)(text.ptr[i] - '0');
    }
    *out = bits;
    return text.len > 0 && bits <= bits_max;
}

static bool parse_network(struct view text, struct address_network *out)
{
    const char *slash = text.len == 0 ? NULL : memchr(text.ptr, '/', text.len);
    size_t address_len = slash == NULL ? text.len : (size_t)(slash - text.ptr);
    unsigned bits_max;
    if (!read_address((struct view){text.ptr, address_len}, &out->address, &bits_max)) {
        return false;
    }
    out->bits = bits_max;
    if (slash != NULL && !parse_bits(view_from(text, address_len + 1), bits_max, &out->bits)) {
        return false;
    }
    out->bits += bits_max == 32 ? MAPPED_PREFIX_BYTES * 8 : 0;
    return true;
}

bool address_list_parse(struct address_list *list, const char *text, struct err *err)
{
    *list = (struct address_list){0};
    struct view rest = view_of(text == NULL ? "" : text);
    struct view item;
    if (syntax_trim(rest).len == 0) {
        return true;
    }
    list->networks = calloc(LIST_MAX, sizeof *list->networks);
    if (list->networks == NULL) {
        return err_set(err, ERR_INTERNAL, "address list: out of memory");
    }
    while (syntax_next_item(&rest, &item)) {
        if (list->count == LIST_MAX || !parse_network(item, &list->networks[list->count])) {
            return err_set(err, ERR_INVALID, "\"%.*s\" is not an address or a network (CIDR)",
                           (int)item.len, item.ptr);
        }
        list->count++;
    }
    return true;
}

static bool network_has(const struct address_network *network, const struct address *address)
{
    unsigned bytes = network->bits / 8;
    unsigned rest = network->bits % 8;
    if (memcmp(network->address.bytes, address->bytes, bytes) != 0) {
        return false;
    }
    unsigned differs = rest == 0 ? 0 : network->address.bytes[bytes] ^ address->bytes[bytes];
    return differs >> (8U - rest) == 0;
}

bool address_list_has(const struct address_list *list, const struct address *address)
{
    for (size_t i = 0; i < list->count; i++) {
        if (network_has(&list->networks[i], address)) {
            return true;
        }
    }
    return false;
}

void address_list_free(struct address_list *list)
{
    free(list->networks);
    *list = (struct address_list){0};
}

struct address address_shared(const struct address *address)
{
    struct address shared = *address;
    if (!is_ipv4(address)) {
        memset(shared.bytes + SHARED_PREFIX_BYTES, 0, sizeof shared.bytes - SHARED_PREFIX_BYTES);
    }
    return shared;
}

static struct address_entry *find(const struct map *table, const struct address *key)
{
    struct view bytes = {(const char *)key->bytes, sizeof key->bytes};
    struct map_node *node = map_find(table, bytes);
    return node == NULL ? NULL : MAP_ENTRY(node, struct address_entry, node);
}

struct address_entry *address_entry_take(struct map *table, const struct address *address)
{
    struct address key = address_shared(address);
    struct address_entry *entry = find(table, &key);
    if (entry == NULL) {
        entry = calloc(1, sizeof *entry);
        if (entry == NULL) {
            return NULL;
        }
        entry->key = key;
        map_insert(table, &entry->node,
                   (struct view){(const char *)entry->key.bytes, sizeof entry->key.bytes});
    }
    entry->count++;
    return entry;
}

void address_entry_release(struct map *table, struct address_entry *entry)
{
    entry->count--;
    if (entry->count == 0) {
        map_remove(table, &entry->node);
        free(entry);
    }
}

size_t address_entry_count(const struct map *table, const struct address *address)
{
    struct address key = address_shared(address);
    const struct address_entry *entry = find(table, &key);
    return entry == NULL ? 0 : entry->count;
}
