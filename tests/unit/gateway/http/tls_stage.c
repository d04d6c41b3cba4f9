#include "tests/unit/gateway/http/tls_stage.h"

#include "common/base/clock.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DAY_S = 24 * 3600 };

static char folder[] = "/tmp/insien-tls-XXXXXX";
char tls_certificate_path[TLS_PATH_SIZE];
char tls_key_path[TLS_PATH_SIZE];
char tls_other_path[TLS_PATH_SIZE];

void tls_write_key(const char *path, EVP_PKEY *key, unsigned char *password)
{
    FILE *file = fopen(path, "w");
    int len = password == NULL ? 0 : (int)strlen((const char *)password);
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, len == 0 ? NULL : EVP_aes_128_cbc(), password,
                                          len, NULL, NULL),
                     1);
    assert_int_equal(fclose(file), 0);
}

void tls_write_certificate(const char *path, EVP_PKEY *key, const char *name)
{
    X509 *certificate = X509_new();
    FILE *file = fopen(path, "w");
    assert_non_null(certificate);
    assert_non_null(file);
    X509_NAME *subject = X509_get_subject_name(certificate);
    assert_int_equal(X509_set_version(certificate, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY_S));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(certificate), DAY_S));
    assert_int_equal(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                                (const unsigned char *)name, -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(certificate, subject), 1);
    assert_int_equal(X509_set_pubkey(certificate, key), 1);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    assert_int_equal(fclose(file), 0);
    X509_free(certificate);
}

void tls_write_pair(const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    tls_write_key(tls_key_path, key, NULL);
    tls_write_certificate(tls_certificate_path, key, name);
    EVP_PKEY_free(key);
}

int tls_make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    (void)snprintf(tls_certificate_path, sizeof tls_certificate_path, "%s/certificate.pem", folder);
    (void)snprintf(tls_key_path, sizeof tls_key_path, "%s/key.pem", folder);
    (void)snprintf(tls_other_path, sizeof tls_other_path, "%s/other.pem", folder);
    return 0;
}

int tls_remove_folder(void **state)
{
    (void)state;
    (void)unlink(tls_certificate_path);
    (void)unlink(tls_key_path);
    (void)unlink(tls_other_path);
    return rmdir(folder);
}

void tls_stage_open(struct tls_stage *stage, const struct http_limits *limits)
{
    struct err err = {0};
    tls_write_pair("first");
    fixture_open(&stage->fixture, limits);
    stage->tls = http_tls_new(tls_certificate_path, tls_key_path, &err);
    assert_non_null(stage->tls);
    stage->listener = http_listen_tcp(stage->fixture.server, "127.0.0.1", 0, &stage->fixture, &err);
    assert_non_null(stage->listener);
    http_listener_use_tls(stage->listener, stage->tls);
}

void tls_stage_close(struct tls_stage *stage)
{
    fixture_close(&stage->fixture);
    http_tls_free(stage->tls);
}

int tls_stage_connect(const struct tls_stage *stage)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    assert_true(fd >= 0);
    address.sin_port = htons(http_listener_port(stage->listener));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

bool tls_peer_turn(struct tls_peer *peer, int result, int64_t deadline_ms)
{
    int reason = SSL_get_error(peer->ssl, result);
    fixture_settle(&peer->stage->fixture);
    assert_true(clock_monotonic_ms() < deadline_ms);
    ERR_clear_error();
    return reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE;
}

bool tls_peer_open(struct tls_peer *peer, struct tls_stage *stage, const struct tls_wish *wish)
{
    int64_t deadline_ms = clock_monotonic_ms() + TLS_WAIT_MS;
    int result;
    *peer = (struct tls_peer){.stage = stage,
                              .context = SSL_CTX_new(TLS_client_method()),
                              .fd = tls_stage_connect(stage),
                              .received = STR_INIT(CLIENT_RECEIVED_MAX)};
    SSL_CTX_set_security_level(peer->context, 0); /* lets it speak versions of old */
    assert_int_equal(SSL_CTX_set_min_proto_version(peer->context, TLS1_VERSION), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(peer->context, wish->version_max), 1);
    peer->ssl = SSL_new(peer->context);
    assert_non_null(peer->ssl);
    if (wish->protocols != NULL) {
        assert_int_equal(SSL_set_alpn_protos(peer->ssl, (const unsigned char *)wish->protocols,
                                             (unsigned)strlen(wish->protocols)),
                         0);
    }
    assert_int_equal(SSL_set_fd(peer->ssl, peer->fd), 1);
    while ((result = SSL_connect(peer->ssl)) != 1) {
        if (!tls_peer_turn(peer, result, deadline_ms)) {
            return false;
        }
    }
    return true;
}

void tls_peer_open_any(struct tls_peer *peer, struct tls_stage *stage)
{
    assert_true(tls_peer_open(peer, stage, &(struct tls_wish){0}));
}

void tls_peer_close(struct tls_peer *peer)
{
    SSL_free(peer->ssl);
    SSL_CTX_free(peer->context);
    (void)close(peer->fd);
    str_free(&peer->received);
    fixture_settle(&peer->stage->fixture);
}

bool tls_peer_receive(struct tls_peer *peer)
{
    static char buffer[32 * 1024];
    int len;
    ERR_clear_error();
    while ((len = SSL_read(peer->ssl, buffer, sizeof buffer)) > 0) {
        str_append(&peer->received, buffer, (size_t)len);
    }
    return tls_peer_turn(peer, len, clock_monotonic_ms() + TLS_WAIT_MS);
}

void tls_peer_send(struct tls_peer *peer, struct view bytes)
{
    int64_t deadline_ms = clock_monotonic_ms() + TLS_WAIT_MS;
    SSL_set_mode(peer->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    while (bytes.len > 0) {
        int len = SSL_write(peer->ssl, bytes.ptr, (int)bytes.len);
        if (len <= 0) {
            assert_true(tls_peer_turn(peer, len, deadline_ms));
        }
        bytes = view_from(bytes, len > 0 ? (size_t)len : 0);
    }
    fixture_settle(&peer->stage->fixture);
}

void tls_peer_wait_for(struct tls_peer *peer, const char *text)
{
    int64_t deadline_ms = clock_monotonic_ms() + TLS_WAIT_MS;
    while (!view_has(str_view(&peer->received), text) && tls_peer_receive(peer)) {
        assert_true(clock_monotonic_ms() < deadline_ms);
    }
    assert_true(view_has(str_view(&peer->received), text));
}

void tls_peer_wait_end(struct tls_peer *peer)
{
    int64_t deadline_ms = clock_monotonic_ms() + TLS_WAIT_MS;
    while (tls_peer_receive(peer)) {
        fixture_run(&peer->stage->fixture, 5);
        assert_true(clock_monotonic_ms() < deadline_ms);
    }
}
