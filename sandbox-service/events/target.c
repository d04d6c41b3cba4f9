#include "sandbox-service/events/target.h"

#include "common/contracts/events.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>

/* IANA's registry of special-purpose addresses, and multicast: nothing of it is a public host. */
static const struct cidr special_v4[] = {
    {0x00000000, 8},  /* 0.0.0.0/8: this host */
    {0x0a000000, 8},  /* 10.0.0.0/8 */
    {0x64400000, 10}, /* 100.64.0.0/10: carriers' own */
    {0x7f000000, 8},  /* 127.0.0.0/8 */
    {0xa9fe0000, 16}, /* 169.254.0.0/16: link-local, and clouds' metadata */
    {0xac100000, 12}, /* 172.16.0.0/12 */
    {0xc0000000, 24}, /* 192.0.0.0/24: protocols */
    {0xc0000200, 24}, /* 192.0.2.0/24: documentation */
    {0xc0586300, 24}, /* 192.88.99.0/24: relays of 6to4 */
    {0xc0a80000, 16}, /* 192.168.0.0/16 */
    {0xc6120000, 15}, /* 198.18.0.0/15: benchmarks */
    {0xc6336400, 24}, /* 198.51.100.0/24: documentation */
    {0xcb007100, 24}, /* 203.0.113.0/24: documentation */
    {0xe0000000, 3},  /* 224.0.0.0/3: multicast, reserved, broadcast */
};

/* Of 2000::/3, which is all that is routed. */
static const struct {
    uint8_t prefix[4];
    unsigned bits;
} special_v6[] = {
    {{0x20, 0x01, 0x00, 0x00}, 23}, /* 2001::/23: protocols, among them Teredo */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* 2001:db8::/32: documentation */
    {{0x20, 0x02, 0x00, 0x00}, 16}, /* 2002::/16: 6to4, which holds an address of IPv4 */
    {{0x3f, 0xff, 0x00, 0x00}, 20}, /* 3fff::/20: documentation */
};

static bool is_in(const struct cidr *ranges, size_t count, uint32_t address)
{
    for (size_t i = 0; i < count; i++) {
        if (cidr_contains(&ranges[i], address)) {
            return true;
        }
    }
    return false;
}

static uint32_t first_bits(const uint8_t bytes[4], unsigned bits)
{
    uint32_t word = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
                    (uint32_t)bytes[3];
    return word >> (32 - bits);
}

static bool is_public_v6(const uint8_t bytes[16])
{
    for (size_t i = 0; i < sizeof special_v6 / sizeof special_v6[0]; i++) {
        unsigned bits = special_v6[i].bits;
        if (first_bits(bytes, bits) == first_bits(special_v6[i].prefix, bits)) {
            return false;
        }
    }
    return bytes[0] >> 5 == 1;
}

bool target_address_is_allowed(const struct target_policy *policy, const struct sockaddr *address,
                               bool is_plain)
{
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)address;
        return !is_plain && is_public_v6(v6->sin6_addr.s6_addr);
    }
    if (address->sa_family != AF_INET) {
        return false;
    }
    uint32_t v4 = ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr);
    return is_in(policy->allowed, policy->allowed_count, v4) ||
           (!is_plain && !is_in(special_v4, sizeof special_v4 / sizeof special_v4[0], v4));
}

bool target_is_plain(struct view url)
{
    static const struct view plain = VIEW("http:");
    return url.len > plain.len && view_equal_nocase((struct view){url.ptr, plain.len}, plain);
}

static bool is_visible(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

static void free_url(CURLU **url)
{
    curl_url_cleanup(*url);
}

static void free_part(char **part)
{
    curl_free(*part);
}

/* True for a host's name: it is looked up, and checked, each time. */
static bool is_allowed_host(const struct target_policy *policy, const char *host, bool is_plain)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    char bare[INET6_ADDRSTRLEN];
    size_t len = strlen(host);
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        return target_address_is_allowed(policy, (const struct sockaddr *)&v4, is_plain);
    }
    if (host[0] != '[') {
        return len > 0;
    }
    return len > 2 && view_copy((struct view){host + 1, len - 2}, bare, sizeof bare) &&
           inet_pton(AF_INET6, bare, &v6.sin6_addr) == 1 &&
           target_address_is_allowed(policy, (const struct sockaddr *)&v6, is_plain);
}

static bool is_sound(const struct target_policy *policy, const char *text)
{
    bool is_plain = target_is_plain(view_of(text));
    AUTO(free_url) CURLU *url = curl_url();
    AUTO(free_part) char *scheme = NULL;
    AUTO(free_part) char *host = NULL;
    AUTO(free_part) char *user = NULL;
    AUTO(free_part) char *fragment = NULL;
    if (url == NULL || curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_USER, &user, 0) != CURLUE_NO_USER ||
        curl_url_get(url, CURLUPART_FRAGMENT, &fragment, 0) != CURLUE_NO_FRAGMENT) {
        return false;
    }
    bool is_known = strcmp(scheme, "https") == 0 || (is_plain && policy->allowed_count > 0);
    return is_known && is_allowed_host(policy, host, is_plain);
}

bool target_url_check(const struct target_policy *policy, struct view url, struct err *err)
{
    char text[WEBHOOK_URL_MAX + 1];
    return (is_visible(url) && view_copy(url, text, sizeof text) && is_sound(policy, text)) ||
           err_set_reason(err, ERR_INVALID, "invalid_webhook_url",
                          "The URL must be https://, of a public host, without a user or a "
                          "fragment.");
}
