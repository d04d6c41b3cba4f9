/* Any bytes as a question of a sandbox and as an answer of the host's resolver. */
#include "sandbox-service/network/dns_message.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_query(struct view packet)
{
    struct dns_query query;
    const struct dns_answer answer = {.count = DNS_ADDRESSES_MAX};
    uint8_t out[DNS_MESSAGE_MAX];
    if (dns_read_query(packet, &query)) {
        assert(memchr(query.name, '\0', sizeof query.name) != NULL);
        assert(dns_write_answer(&query, &answer, out) <= sizeof out);
    }
}

static void try_answer(struct view packet)
{
    struct dns_answer answer;
    if (dns_read_answer(packet, 0, "a.b", &answer)) {
        assert(answer.count <= DNS_ADDRESSES_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct view packet = {(const char *)data, size};
    try_query(packet);
    try_answer(packet);
    return 0;
}
