#include "auth-service/jwt/issuer.h"

bool issuer_url_is_allowed(const char *url)
{
    static const struct view loopback[] = {VIEW("http://127.0.0.1"), VIEW("http://localhost"),
                                           VIEW("http://[::1]")};
    struct view view = view_of(url);
    if (view_starts_with(view, VIEW("https://"))) {
        return true;
    }
    for (size_t i = 0; i < sizeof loopback / sizeof loopback[0]; i++) {
        if (view_starts_with(view, loopback[i])) {
            /* The host must end there: 127.0.0.1.example.com is no loopback address, and neither is
             * what follows a user name. */
            const char *rest = url + loopback[i].len;
            size_t port_len = rest[0] == ':' ? 1 + strspn(rest + 1, "0123456789") : 0;
            return rest[port_len] == '/' || rest[port_len] == '\0';
        }
    }
    return false;
}
