/* common/redis/address.h: where a Redis is, as connecting needs it; private to this folder. */
#ifndef COMMON_REDIS_ADDRESS_H
#define COMMON_REDIS_ADDRESS_H

#include "common/base/err.h"

#include <netinet/in.h>
#include <sys/un.h>

enum {
    REDIS_ADDRESSES_MAX = 4, /* of one host name; further ones are not tried */
    REDIS_CREDENTIAL_SIZE = 256,
    REDIS_PORT_DEFAULT = 6379,
};

struct redis_address {
    char unix_path[sizeof((struct sockaddr_un *)NULL)->sun_path]; /* "": by network */
    char ips[REDIS_ADDRESSES_MAX][INET6_ADDRSTRLEN];
    int ip_count;
    int port;
    int db;
    char user[REDIS_CREDENTIAL_SIZE];
    char password[REDIS_CREDENTIAL_SIZE]; /* "": none */
};

/* Reads redis://[[user]:password@]host[:port][/db] or unix://[[user]:password@]/path[?db=n];
 * credentials may be percent-encoded. Looks a host name up, so that it may block. */
bool redis_address_read(const char *url, struct redis_address *out, struct err *err) MUST_CHECK;

#endif
