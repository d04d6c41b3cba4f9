#include "sandbox-service/network/cidr.h"

#include <arpa/inet.h>
#include <stdio.h>

static uint32_t mask(unsigned bits)
{
    return bits == 0 ? 0 : UINT32_MAX << (32U - bits);
}

bool address_parse(struct view text, uint32_t *out)
{
    char buffer[ADDRESS_SIZE];
    struct in_addr address;
    if (!view_copy(text, buffer, sizeof buffer) || inet_pton(AF_INET, buffer, &address) != 1) {
        return false;
    }
    *out = ntohl(address.s_addr);
    return true;
}

void address_format(uint32_t address, char out[ADDRESS_SIZE])
{
    (void)snprintf(out, ADDRESS_SIZE, "%u.%u.%u.%u", address >> 24U, (address >> 16U) & 255U,
                   (address >> 8U) & 255U, address & 255U);
}

static bool parse_bits(struct view text, unsigned *out)
{
    *out = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
        *out = *out * 10 + (unsigned)(text.ptr[i] - '0');
    }
    return text.len > 0 && text.len <= 2 && *out <= 32;
}

bool cidr_parse(struct view text, struct cidr *out)
{
    const char *slash = text.len == 0 ? NULL : memchr(text.ptr, '/', text.len);
    size_t address_len = slash == NULL ? text.len : (size_t)(slash - text.ptr);
    out->bits = 32;
    if (slash != NULL && !parse_bits(view_from(text, address_len + 1), &out->bits)) {
        return false;
    }
    return address_parse((struct view){text.ptr, address_len}, &out->address) &&
           (out->address & ~mask(out->bits)) == 0;
}

void cidr_format(const struct cidr *cidr, char out[CIDR_TEXT_SIZE])
{
    char address[ADDRESS_SIZE];
    address_format(cidr->address, address);
    (void)snprintf(out, CIDR_TEXT_SIZE, "%s/%u", address, cidr->bits % 100);
}

bool cidr_contains(const struct cidr *cidr, uint32_t address)
{
    return (address & mask(cidr->bits)) == cidr->address;
}
