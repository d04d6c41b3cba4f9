#include "common/ipc/tls.h"

#include "common/base/config.h"
#include "common/base/secret.h"
#include "common/base/view.h"

#include <arpa/inet.h>
#include <stdio.h>

enum { HOST_SIZE = INET6_ADDRSTRLEN, PEER_NAME_SIZE = 64 };

static const struct view tls_scheme = VIEW("tls+tcp://");
static const struct view ipc_scheme = VIEW("ipc:///");
static const struct view tcp_scheme = VIEW("tcp://");

/* text is "address:port", of IPv6 "[address]:port". */
static bool is_loopback(struct view text)
{
    char host[HOST_SIZE];
    struct in_addr ip;
    struct in6_addr ip6;
    if (text.len > 0 && text.ptr[0] == '[') {
        text = view_from(text, 1);
        return view_copy(view_cut(&text, ']'), host, sizeof host) &&
               inet_pton(AF_INET6, host, &ip6) == 1 && IN6_IS_ADDR_LOOPBACK(&ip6);
    }
    return view_copy(view_cut(&text, ':'), host, sizeof host) &&
           inet_pton(AF_INET, host, &ip) == 1 && ntohl(ip.s_addr) >> 24 == IN_LOOPBACKNET;
}

bool ipc_tls_is_needed(const char *url, bool *needed, struct err *err)
{
    struct view text = view_of(url);
    *needed = view_starts_with(text, tls_scheme);
    return *needed || view_starts_with(text, ipc_scheme) ||
           (view_starts_with(text, tcp_scheme) && is_loopback(view_from(text, tcp_scheme.len))) ||
           err_set(err, ERR_INVALID,
                   "%.80s must be ipc:///path, tls+tcp://host:port, or tcp://127.0.0.1:port", url);
}

static bool read_pem(const char *file, char pem[CONFIG_PEM_SIZE], struct err *err)
{
    if (file == NULL || file[0] == '\0') {
        return err_set(err, ERR_INVALID,
                       "tls+tcp:// needs IPC_CA_FILE, IPC_CERT_FILE and IPC_KEY_FILE; "
                       "deploy/certs makes them");
    }
    return config_read_file(file, pem, CONFIG_PEM_SIZE, err);
}

static bool check(int failure, const char *file, struct err *err)
{
    return failure == 0 ||
           err_set(err, ERR_INVALID, "can't use %s: %s", file, nng_strerror(failure));
}

static bool set_authority(nng_tls_config *config, const char *file, struct err *err)
{
    char pem[CONFIG_PEM_SIZE];
    return read_pem(file, pem, err) && check(nng_tls_config_ca_chain(config, pem, NULL), file, err);
}

static bool set_own(nng_tls_config *config, const struct ipc_tls *tls, struct err *err)
{
    char certificate[CONFIG_PEM_SIZE];
    char key[CONFIG_PEM_SIZE];
    bool ok = read_pem(tls->certificate_file, certificate, err) &&
              read_pem(tls->key_file, key, err) &&
              check(nng_tls_config_own_cert(config, certificate, key, NULL), tls->key_file, err);
    secret_wipe(key, sizeof key);
    return ok;
}

/* The library compares the name on either side, not only the client's. */
static bool set_demands(nng_tls_config *config, const char *peer_role, struct err *err)
{
    char name[PEER_NAME_SIZE];
    int length = snprintf(name, sizeof name, "%s.insien.internal", peer_role);
    if (length < 0 || (size_t)length >= sizeof name) {
        return err_set(err, ERR_INTERNAL, "ipc: the name of a role is too long");
    }
    int failure = nng_tls_config_auth_mode(config, NNG_TLS_AUTH_MODE_REQUIRED);
    failure = failure != 0 ? failure : nng_tls_config_server_name(config, name);
    failure = failure != 0 ? failure : nng_tls_config_version(config, NNG_TLS_1_2, NNG_TLS_1_2);
    return failure == 0 || err_set(err, ERR_INTERNAL, "ipc: TLS: %s", nng_strerror(failure));
}

nng_tls_config *ipc_tls_open(const struct ipc_tls *tls, nng_tls_mode mode, struct err *err)
{
    static const struct ipc_tls nothing = {.peer_role = ""};
    nng_tls_config *config = NULL;
    int failure = nng_tls_config_alloc(&config, mode);
    if (failure != 0) {
        err_set(err, ERR_INTERNAL, "ipc: TLS: %s", nng_strerror(failure));
        return NULL;
    }
    tls = tls == NULL ? &nothing : tls;
    if (!set_authority(config, tls->ca_file, err) || !set_own(config, tls, err) ||
        !set_demands(config, tls->peer_role, err)) {
        nng_tls_config_free(config);
        return NULL;
    }
    return config;
}
