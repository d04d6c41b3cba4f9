/* sandbox-service/network/dns_message.h: the little of DNS (RFC 1035) that the resolver of
 * restricted sandboxes speaks: one question, and addresses of IPv4 as the answer. */
#ifndef SANDBOX_NETWORK_DNS_MESSAGE_H
#define SANDBOX_NETWORK_DNS_MESSAGE_H

#include "common/base/view.h"
#include "sandbox-service/network/policy.h"

#include <stdint.h>

enum {
    DNS_MESSAGE_MAX = 512, /* over UDP, without EDNS: what is written always fits */
    DNS_PACKET_MAX = 1232, /* what is read of a packet; RFC 9715's bound for what is not cut up */
    DNS_ADDRESSES_MAX = 12,
    DNS_QUESTION_MAX = 255 + 4,
};

enum dns_code {
    DNS_OK = 0,
    DNS_FORMAT_ERROR = 1,
    DNS_SERVER_FAILURE = 2,
    DNS_NO_NAME = 3,
    DNS_NOT_IMPLEMENTED = 4,
    DNS_REFUSED = 5,
};

enum { DNS_TYPE_A = 1, DNS_TYPE_OPT = 41, DNS_CLASS_IN = 1 };

struct dns_query {
    uint16_t id;
    uint16_t flags;
    uint16_t type;
    uint16_t class;
    char name[DOMAIN_SIZE];             /* lower case, without a dot at the end; "" for the root */
    uint8_t question[DNS_QUESTION_MAX]; /* as it came: the answer repeats it */
    size_t question_len;
};

/* False: there is nothing to answer, not even that it is wrong (too short, itself an answer, or
 * not one readable question). */
bool dns_read_query(struct view packet, struct dns_query *out) MUST_CHECK;
/* Whether it is an ordinary question (RFC 1035, opcode 0). */
bool dns_query_is_ordinary(const struct dns_query *query) MUST_CHECK;

struct dns_answer {
    enum dns_code code;
    bool is_cut;                           /* not all of it fitted the packet */
    uint32_t addresses[DNS_ADDRESSES_MAX]; /* host byte order; what is more is left out */
    size_t count;
    uint32_t ttl_s; /* the least of theirs */
};

/* A question for the addresses of a name, with recursion wanted. with_size: it says that answers
 * may have DNS_PACKET_MAX bytes (EDNS, RFC 6891), which some servers do not know. Returns its
 * length, 0 when the name is none. */
size_t dns_write_query(uint16_t id, const char *name, bool with_size, uint8_t out[DNS_MESSAGE_MAX]);
/* The answer to that question. False: it is none, or to another question (a guess by a third
 * party); the right one may still come. */
bool dns_read_answer(struct view packet, uint16_t id, const char *name,
                     struct dns_answer *out) MUST_CHECK;
/* What the sandbox is told. Returns its length. */
size_t dns_write_answer(const struct dns_query *query, const struct dns_answer *answer,
                        uint8_t out[DNS_MESSAGE_MAX]);

#endif
