/* common/ipc/tls.h: mutual TLS (1.2) between our processes on different machines.
 *
 * Whoever has a certificate of the common authority is one of ours, and its name says which:
 * ROLE.insien.internal as a DNS name (RFC 5280 4.2.1.6), whatever host it is on. Both sides show a
 * certificate, and each refuses a peer of another role. */
#ifndef COMMON_IPC_TLS_H
#define COMMON_IPC_TLS_H

#include "common/base/err.h"

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>

/* Files in PEM; NULL or "" is one that is not set. Borrowed during the call that is given it. */
struct ipc_tls {
    const char *ca_file; /* of the authority */
    const char *certificate_file;
    const char *key_file;
    const char *peer_role; /* who may be on the other side: "auth", "sandbox", "gateway" */
};

/* Whether bytes to that address leave this machine's control, so that tls is needed. Fails with
 * ERR_INVALID for one that is neither ipc:///path, tls+tcp://host:port, nor tcp://address:port of
 * the loopback. */
bool ipc_tls_is_needed(const char *url, bool *needed, struct err *err) MUST_CHECK;

/* Reads the files and wipes what it read. The caller frees it with nng_tls_config_free; those that
 * it was set on keep it. NULL and err: a file is missing or is not what it should be. */
nng_tls_config *ipc_tls_open(const struct ipc_tls *tls, nng_tls_mode mode,
                             struct err *err) MUST_CHECK;

#endif
