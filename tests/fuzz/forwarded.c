/* Lines of X-Forwarded-For, the last two of them the scheme and the host instead. Whoever stands
 * behind a trusted proxy is whom that proxy names, whatever was said before; nobody else is
 * believed. */
#include "gateway/http/forwarded.h"
#include "gateway/http/syntax.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LINES_MAX = 40 };

static bool same(const struct address *a, const struct address *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static struct address address_from(const char *text)
{
    struct address address;
    bool parsed = address_parse(view_of(text), &address);
    assert(parsed);
    return address;
}

static size_t read_lines(struct view rest, struct http_header *headers)
{
    size_t count = 0;
    while (rest.len > 0 && count < LINES_MAX) {
        headers[count++] = (struct http_header){VIEW("X-Forwarded-For"), view_cut(&rest, '\n')};
    }
    if (count > 2) {
        headers[count - 2].name = VIEW("X-Forwarded-Proto");
        headers[count - 1].name = VIEW("X-Forwarded-Host");
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_header headers[LINES_MAX + 1];
    struct view input = {(const char *)data, size};
    size_t count = read_lines(input, headers);
    struct address_list trusted;
    struct forwarded forwarded;
    struct err err = {0};
    bool listed = address_list_parse(&trusted, "10.0.0.0/8,2001:db8::/32", &err);
    assert(listed);
    const struct address proxy = address_from("10.0.0.1");
    const struct address stranger = address_from("192.0.2.1");
    const struct address client = address_from("203.0.113.7");

    forwarded_read(&trusted, &stranger, headers, count, &forwarded);
    assert(same(&forwarded.client, &stranger) && forwarded.host.len == 0 &&
           forwarded.scheme == FORWARDED_SCHEME_UNKNOWN);
    forwarded_read(&trusted, &proxy, headers, count, &forwarded);
    assert(forwarded.host.len == 0 || syntax_is_host(forwarded.host));
    headers[count++] = (struct http_header){VIEW("X-Forwarded-For"), VIEW("203.0.113.7:80")};
    forwarded_read(&trusted, &proxy, headers, count, &forwarded);
    assert(same(&forwarded.client, &client));
    address_list_free(&trusted);
    return 0;
}
