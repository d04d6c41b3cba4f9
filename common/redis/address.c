#include "common/redis/address.h"

#include "common/base/encode.h"

#include <limits.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>

static const struct view unix_scheme = VIEW("unix://");
static const struct view tcp_scheme = VIEW("redis://");
static const struct view db_query = VIEW("?db=");

static bool read_number(struct view text, int max, int *out)
{
    int value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || value > max / 10) {
            return false;
        }
        value = value * 10 + (text.ptr[i] - '0');
    }
    *out = value;
    return text.len > 0 && value <= max;
}

static bool percent_decode(struct view text, char *out, size_t size)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '%') {
            uint8_t byte = 0;
            if (text.len - i < 3 ||
                !encode_hex_decode((struct view){text.ptr + i + 1, 2}, &byte, 1)) {
                return false;
            }
            c = (char)byte;
            i += 2;
        }
        if (len + 1 >= size || c == '\0') {
            return false;
        }
        out[len++] = c;
    }
    out[len] = '\0';
    return true;
}

/* "user:password" */
static bool read_credentials(struct view text, struct redis_address *out)
{
    struct view user = view_cut(&text, ':');
    return percent_decode(user, out->user, sizeof out->user) &&
           percent_decode(text, out->password, sizeof out->password);
}

static bool read_unix(struct view text, struct redis_address *out)
{
    const char *path_start = memchr(text.ptr, '/', text.len);
    if (path_start != NULL && path_start > text.ptr) {
        size_t before = (size_t)(path_start - text.ptr);
        if (path_start[-1] != '@' || !read_credentials((struct view){text.ptr, before - 1}, out)) {
            return false;
        }
        text = view_from(text, before);
    }
    struct view path = view_cut(&text, '?');
    bool has_db = text.len > 0 || path.ptr[path.len] == '?';
    if (has_db) {
        struct view query = {text.ptr - 1, text.len + 1};
        if (!view_starts_with(query, db_query) ||
            !read_number(view_from(query, db_query.len), INT_MAX / 10, &out->db)) {
            return false;
        }
    }
    return path.len > 0 && path.ptr[0] == '/' &&
           view_copy(path, out->unix_path, sizeof out->unix_path);
}

static bool look_up(struct view host, struct redis_address *out, struct err *err)
{
    char name[NI_MAXHOST];
    if (!view_copy(host, name, sizeof name)) {
        return err_set(err, ERR_INVALID, "the Redis URL's host name is too long");
    }
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int failure = getaddrinfo(name, NULL, &hints, &found);
    if (failure != 0) {
        return err_set(err, ERR_UNAVAILABLE, "the Redis host %.80s: %s", name,
                       gai_strerror(failure));
    }
    for (struct addrinfo *each = found; each != NULL && out->ip_count < REDIS_ADDRESSES_MAX;
         each = each->ai_next) {
        if (getnameinfo(each->ai_addr, each->ai_addrlen, out->ips[out->ip_count],
                        sizeof out->ips[0], NULL, 0, NI_NUMERICHOST) == 0) {
            out->ip_count++;
        }
    }
    freeaddrinfo(found);
    return out->ip_count > 0 ||
           err_set(err, ERR_UNAVAILABLE, "the Redis host %.80s has no address", name);
}

static bool read_host(struct view text, struct redis_address *out, struct view *host)
{
    struct view place = view_cut(&text, '/');
    if (text.len > 0 && !read_number(text, INT_MAX / 10, &out->db)) {
        return false;
    }
    out->port = REDIS_PORT_DEFAULT;
    if (place.len > 0 && place.ptr[0] == '[') { /* an IPv6 address */
        place = view_from(place, 1);
        *host = view_cut(&place, ']');
        if (place.len > 0 && place.ptr[0] == ':') {
            place = view_from(place, 1);
        }
    } else {
        *host = view_cut(&place, ':');
    }
    return host->len > 0 && (place.len == 0 || read_number(place, UINT16_MAX, &out->port));
}

static bool read_tcp(struct view text, struct redis_address *out, struct view *host)
{
    const char *at = memrchr(text.ptr, '@', text.len);
    if (at != NULL) {
        struct view credentials = {text.ptr, (size_t)(at - text.ptr)};
        text = view_from(text, (size_t)(at - text.ptr) + 1);
        if (!read_credentials(credentials, out)) {
            return false;
        }
    }
    return read_host(text, out, host);
}

bool redis_address_read(const char *url, struct redis_address *out, struct err *err)
{
    *out = (struct redis_address){0};
    struct view text = view_of(url);
    struct view host = {0};
    if (view_starts_with(text, unix_scheme) && read_unix(view_from(text, unix_scheme.len), out)) {
        return true;
    }
    if (view_starts_with(text, tcp_scheme) &&
        read_tcp(view_from(text, tcp_scheme.len), out, &host)) {
        return look_up(host, out, err);
    }
    return err_set(err, ERR_INVALID,
                   "the Redis URL must be redis://[[user]:password@]host[:port][/db] or "
                   "unix://[user:password@]/path[?db=n]");
}
