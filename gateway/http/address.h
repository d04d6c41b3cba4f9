/* gateway/http/address.h: peers' addresses: lists of networks, and how many connections each has.
 */
#ifndef GATEWAY_HTTP_ADDRESS_H
#define GATEWAY_HTTP_ADDRESS_H

#include "common/base/err.h"
#include "common/base/map.h"
#include "common/base/view.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDRESS_BYTES = 16, ADDRESS_TEXT_SIZE = INET6_ADDRSTRLEN };

/* IPv6; IPv4 in its mapped form. */
struct address {
    uint8_t bytes[ADDRESS_BYTES];
};

/* False for other families. */
bool address_of(const struct sockaddr *sockaddr, struct address *out) MUST_CHECK;
/* An address alone, as text. */
bool address_parse(struct view text, struct address *out) MUST_CHECK;
/* Stands for all addresses that one host commands: the IPv4 address, or the IPv6 /64. */
struct address address_shared(const struct address *address);
/* IPv4 in its own notation. */
void address_format(const struct address *address, char out[ADDRESS_TEXT_SIZE]);

struct address_network;
struct address_list {
    struct address_network *networks; /* owned */
    size_t count;
};
/* Comma-separated addresses and CIDRs; "" and NULL are an empty list. */
bool address_list_parse(struct address_list *list, const char *text, struct err *err) MUST_CHECK;
bool address_list_has(const struct address_list *list, const struct address *address) MUST_CHECK;
void address_list_free(struct address_list *list);

/* Connections of one IPv4 address or one IPv6 /64. Freed when its count is 0 again. */
struct address_entry {
    struct map_node node;
    struct address key;
    size_t count;
};
/* Finds or makes the entry; NULL when out of memory. */
struct address_entry *address_entry_take(struct map *table,
                                         const struct address *address) MUST_CHECK;
void address_entry_release(struct map *table, struct address_entry *entry);
size_t address_entry_count(const struct map *table, const struct address *address) MUST_CHECK;

#endif
