/* sandbox-service/network/cidr.h: ranges of IPv4 addresses. */
#ifndef SANDBOX_NETWORK_CIDR_H
#define SANDBOX_NETWORK_CIDR_H

#include "common/base/cleanup.h"
#include "common/base/view.h"

#include <stdint.h>

enum {
    CIDR_TEXT_SIZE = 19, /* 255.255.255.255/32 */
    ADDRESS_SIZE = 16,
};

struct cidr {
    uint32_t address; /* host byte order, bits after the mask are zero */
    unsigned bits;
};

/* "10.0.0.0/8", or a lone address as /32. Bits set beyond the mask are refused. */
bool cidr_parse(struct view text, struct cidr *out) MUST_CHECK;
void cidr_format(const struct cidr *cidr, char out[CIDR_TEXT_SIZE]);
bool cidr_contains(const struct cidr *cidr, uint32_t address);

/* Host byte order. */
bool address_parse(struct view text, uint32_t *out) MUST_CHECK;
void address_format(uint32_t address, char out[ADDRESS_SIZE]);

#endif
