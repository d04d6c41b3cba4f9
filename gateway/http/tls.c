#include "gateway/http/tls.h"

#include "common/base/cleanup.h"

#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

struct http_tls {
    char *certificate_path; /* owned */
    char *key_path;         /* owned */
    SSL_CTX *context;       /* owned; sessions keep the one they began with */
};

/* What OpenSSL says first is nearest to the cause. */
static bool fail(struct err *err, const char *what, const char *path)
{
    unsigned long code = ERR_peek_error();
    const char *reason =
        ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    ERR_clear_error();
    return err_set(err, ERR_INVALID, "%s %s: %s", what, path,
                   reason != NULL ? reason : "unknown reason");
}

/* OpenSSL would ask on the terminal. */
static int refuse_password(char *buffer, int size, int writes, void *arg)
{
    (void)buffer;
    (void)size;
    (void)writes;
    (void)arg;
    return -1;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *offered, unsigned offered_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;
    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof ours - 1, offered, offered_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static bool load(SSL_CTX *context, const struct http_tls *tls, struct err *err)
{
    if (SSL_CTX_use_certificate_chain_file(context, tls->certificate_path) != 1) {
        return fail(err, "reading the certificate", tls->certificate_path);
    }
    if (SSL_CTX_use_PrivateKey_file(context, tls->key_path, SSL_FILETYPE_PEM) != 1) {
        return fail(err, "reading the key", tls->key_path);
    }
    return SSL_CTX_check_private_key(context) == 1 ||
           fail(err, "using with its certificate the key", tls->key_path);
}

static SSL_CTX *context_new(const struct http_tls *tls, struct err *err)
{
    static const unsigned char session_scope[] = "insien";
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (context == NULL ||
        SSL_CTX_set_session_id_context(context, session_scope, sizeof session_scope - 1) != 1 ||
        SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
        err_set(err, ERR_INTERNAL, "tls: out of memory");
        SSL_CTX_free(context);
        return NULL;
    }
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE);
    /* An idle connection has no buffers then: thousands of them are cheap. */
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    /* Sessions are resumed by tickets; nothing is kept here. */
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(context, refuse_password);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    if (!load(context, tls, err)) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

struct http_tls *http_tls_new(const char *certificate_path, const char *key_path, struct err *err)
{
    struct http_tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL || (tls->certificate_path = strdup(certificate_path)) == NULL ||
        (tls->key_path = strdup(key_path)) == NULL) {
        err_set(err, ERR_INTERNAL, "tls: out of memory");
        goto fail;
    }
    tls->context = context_new(tls, err);
    if (tls->context == NULL) {
        goto fail;
    }
    return tls;
fail:
    http_tls_free(tls);
    return NULL;
}

bool http_tls_reload(struct http_tls *tls, struct err *err)
{
    SSL_CTX *context = context_new(tls, err);
    if (context == NULL) {
        return false;
    }
    SSL_CTX_free(tls->context);
    tls->context = context;
    return true;
}

void http_tls_free(struct http_tls *tls)
{
    if (tls == NULL) {
        return;
    }
    SSL_CTX_free(tls->context);
    free(tls->key_path);
    free(tls->certificate_path);
    free(tls);
}

struct bufferevent *http_tls_accept(struct http_tls *tls, struct event_base *base, int fd)
{
    SSL *ssl = SSL_new(tls->context);
    if (ssl == NULL || SSL_up_ref(ssl) != 1) {
        SSL_free(ssl);
        ERR_clear_error();
        return NULL;
    }
    /* The second reference outlives the call, whichever way it fails. */
    struct bufferevent *bev = bufferevent_openssl_socket_new(
        base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    SSL_free(ssl);
    return bev;
}
