/* TLS: handshakes, HTTP and WebSocket over it, and certificates that change. */
#include "common/base/clock.h"
#include "common/ws/socket.h"
#include "gateway/http/tls.h"
#include "tests/unit/gateway/http/fixture.h"

#include <event2/buffer.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    WAIT_MS = 5000,
    DAY_S = 24 * 3600,
    PATH_SIZE = 64,
    UPLOAD_BYTES = 4 * 1024 * 1024,
    PART_BYTES = 256 * 1024
};

#define NONE "GET /none HTTP/1.1\r\nHost: a\r\n\r\n"
#define HOLD "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"

/* --- files ---------------------------------------------------------------------------------- */

static char folder[] = "/tmp/insien-tls-XXXXXX";
static char certificate_path[PATH_SIZE];
static char key_path[PATH_SIZE];
static char other_path[PATH_SIZE];

/* password is NULL for none. */
static void write_key(const char *path, EVP_PKEY *key, unsigned char *password)
{
    FILE *file = fopen(path, "w");
    int len = password == NULL ? 0 : (int)strlen((const char *)password);
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, len == 0 ? NULL : EVP_aes_128_cbc(), password,
                                          len, NULL, NULL),
                     1);
    assert_int_equal(fclose(file), 0);
}

static void write_certificate(const char *path, EVP_PKEY *key, const char *name)
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

/* A new pair, whose certificate has that name. */
static void write_pair(const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    write_key(key_path, key, NULL);
    write_certificate(certificate_path, key, name);
    EVP_PKEY_free(key);
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    (void)snprintf(certificate_path, sizeof certificate_path, "%s/certificate.pem", folder);
    (void)snprintf(key_path, sizeof key_path, "%s/key.pem", folder);
    (void)snprintf(other_path, sizeof other_path, "%s/other.pem", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(certificate_path);
    (void)unlink(key_path);
    (void)unlink(other_path);
    return rmdir(folder);
}

/* --- a server and clients of it ------------------------------------------------------------- */

struct stage {
    struct fixture fixture;
    struct http_tls *tls;
    struct http_listener *listener;
};

static void open_stage(struct stage *stage, const struct http_limits *limits)
{
    struct err err = {0};
    write_pair("first");
    fixture_open(&stage->fixture, limits);
    stage->tls = http_tls_new(certificate_path, key_path, &err);
    assert_non_null(stage->tls);
    stage->listener = http_listen_tcp(stage->fixture.server, "127.0.0.1", 0, &stage->fixture, &err);
    assert_non_null(stage->listener);
    http_listener_use_tls(stage->listener, stage->tls);
}

static void close_stage(struct stage *stage)
{
    fixture_close(&stage->fixture);
    http_tls_free(stage->tls);
}

static int connect_tcp(const struct stage *stage)
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

/* What a client wants of its session. */
struct wish {
    int version_max;
    const char *protocols; /* as ALPN writes them */
};

struct peer {
    struct stage *stage;
    SSL_CTX *context;
    SSL *ssl;
    int fd;
    struct str received;
};

static bool turn(struct peer *peer, int result, int64_t deadline_ms)
{
    int reason = SSL_get_error(peer->ssl, result);
    fixture_settle(&peer->stage->fixture);
    assert_true(clock_monotonic_ms() < deadline_ms);
    ERR_clear_error();
    return reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE;
}

/* False when the handshake fails. */
static bool open_peer(struct peer *peer, struct stage *stage, const struct wish *wish)
{
    int64_t deadline_ms = clock_monotonic_ms() + WAIT_MS;
    int result;
    *peer = (struct peer){.stage = stage,
                          .context = SSL_CTX_new(TLS_client_method()),
                          .fd = connect_tcp(stage),
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
        if (!turn(peer, result, deadline_ms)) {
            return false;
        }
    }
    return true;
}

static void open_any(struct peer *peer, struct stage *stage)
{
    assert_true(open_peer(peer, stage, &(struct wish){0}));
}

static void close_peer(struct peer *peer)
{
    SSL_free(peer->ssl);
    SSL_CTX_free(peer->context);
    (void)close(peer->fd);
    str_free(&peer->received);
    fixture_settle(&peer->stage->fixture);
}

/* False when the session has ended. */
static bool receive(struct peer *peer)
{
    static char buffer[32 * 1024];
    int len;
    ERR_clear_error();
    while ((len = SSL_read(peer->ssl, buffer, sizeof buffer)) > 0) {
        str_append(&peer->received, buffer, (size_t)len);
    }
    return turn(peer, len, clock_monotonic_ms() + WAIT_MS);
}

static void send_bytes(struct peer *peer, struct view bytes)
{
    int64_t deadline_ms = clock_monotonic_ms() + WAIT_MS;
    SSL_set_mode(peer->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    while (bytes.len > 0) {
        int len = SSL_write(peer->ssl, bytes.ptr, (int)bytes.len);
        if (len <= 0) {
            assert_true(turn(peer, len, deadline_ms));
        }
        bytes = view_from(bytes, len > 0 ? (size_t)len : 0);
    }
    fixture_settle(&peer->stage->fixture);
}

/* Reads until the text is there, or the session has ended. */
static void wait_for(struct peer *peer, const char *text)
{
    int64_t deadline_ms = clock_monotonic_ms() + WAIT_MS;
    while (!view_has(str_view(&peer->received), text) && receive(peer)) {
        assert_true(clock_monotonic_ms() < deadline_ms);
    }
    assert_true(view_has(str_view(&peer->received), text));
}

static void wait_end(struct peer *peer)
{
    int64_t deadline_ms = clock_monotonic_ms() + WAIT_MS;
    while (receive(peer)) {
        fixture_run(&peer->stage->fixture, 5);
        assert_true(clock_monotonic_ms() < deadline_ms);
    }
}

static void name_of(const struct peer *peer, char *out, size_t size)
{
    X509 *certificate = SSL_get1_peer_certificate(peer->ssl);
    assert_non_null(certificate);
    (void)X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, out,
                                    (int)size);
    X509_free(certificate);
}

/* --- tests ---------------------------------------------------------------------------------- */

static void requests_are_answered_with_the_headers_of_tls(void **state)
{
    (void)state;
    struct stage stage;
    struct peer peer;
    struct client plain;
    open_stage(&stage, &http_default_limits);
    open_any(&peer, &stage);
    send_bytes(&peer, VIEW(NONE NONE));
    wait_for(&peer, "\r\n\r\nnone");
    struct view received = str_view(&peer.received);
    assert_true(view_starts_with(received, VIEW("HTTP/1.1 200 OK\r\n")));
    assert_true(view_has(received, "\r\nStrict-Transport-Security: max-age=31536000; "
                                   "includeSubDomains\r\n"));
    assert_true(view_has(received, "'unsafe-inline';upgrade-insecure-requests\r\n"));
    client_open(&plain, &stage.fixture);
    client_send(&plain, VIEW(NONE));
    struct reply reply = client_next(&plain, false);
    assert_int_equal(reply_header(&reply, "Strict-Transport-Security").len, 0);
    assert_false(view_has(reply.head, "upgrade-insecure-requests"));
    client_close(&plain);
    close_peer(&peer);
    close_stage(&stage);
}

static void versions_and_protocols_are_chosen(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct wish wish;
        int version; /* 0: no session */
        const char *protocol;
    } cases[] = {
        {"TLS 1.3", {0, NULL}, TLS1_3_VERSION, ""},
        {"TLS 1.2", {TLS1_2_VERSION, NULL}, TLS1_2_VERSION, ""},
        {"TLS 1.1", {TLS1_1_VERSION, NULL}, 0, ""},
        {"TLS 1.0", {TLS1_VERSION, NULL}, 0, ""},
        {"http/1.1", {0, "\x08http/1.1"}, TLS1_3_VERSION, "http/1.1"},
        {"h2 or http/1.1", {0, "\x02h2\x08http/1.1"}, TLS1_3_VERSION, "http/1.1"},
        {"only h2", {0, "\x02h2"}, 0, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct stage stage;
        struct peer peer;
        open_stage(&stage, &http_default_limits);
        bool opened = open_peer(&peer, &stage, &cases[i].wish);
        if (opened != (cases[i].version != 0)) {
            fail_msg("%s", cases[i].name);
        }
        if (opened) {
            const unsigned char *protocol;
            unsigned len;
            SSL_get0_alpn_selected(peer.ssl, &protocol, &len);
            assert_int_equal(SSL_version(peer.ssl), cases[i].version);
            assert_true(
                view_equal((struct view){(const char *)protocol, len}, view_of(cases[i].protocol)));
        }
        close_peer(&peer);
        close_stage(&stage);
    }
}

static void renegotiation_is_refused(void **state)
{
    (void)state;
    struct stage stage;
    struct peer peer;
    open_stage(&stage, &http_default_limits);
    assert_true(open_peer(&peer, &stage, &(struct wish){.version_max = TLS1_2_VERSION}));
    assert_int_equal(SSL_renegotiate(peer.ssl), 1);
    int result = SSL_do_handshake(peer.ssl);
    for (int i = 0; i < 20 && result != 1 && turn(&peer, result, clock_monotonic_ms() + WAIT_MS);
         i++) {
        result = SSL_do_handshake(peer.ssl);
    }
    assert_int_not_equal(result, 1);
    close_peer(&peer);
    close_stage(&stage);
}

static void plain_http_is_not_answered(void **state)
{
    (void)state;
    struct stage stage;
    struct client client;
    open_stage(&stage, &http_default_limits);
    client_adopt(&client, &stage.fixture, connect_tcp(&stage));
    client_send(&client, VIEW(NONE));
    client_wait_end(&client);
    assert_int_equal(stage.fixture.requests, 0);
    assert_false(view_has(str_view(&client.received), "HTTP"));
    client_close(&client);
    close_stage(&stage);
}

static void a_handshake_that_does_not_come_is_not_awaited_for_ever(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view bytes;
    } cases[] = {
        {"silent", {"", 0}},
        {"begun", VIEW("\x16\x03\x01\x01\x00\x01\x00")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct stage stage;
        struct client client;
        open_stage(&stage, &fixture_short_limits);
        client_adopt(&client, &stage.fixture, connect_tcp(&stage));
        int64_t begun_ms = clock_monotonic_ms();
        client_send(&client, cases[i].bytes);
        client_wait_end(&client);
        assert_true(clock_monotonic_ms() - begun_ms < 2000);
        client_close(&client);
        close_stage(&stage);
    }
}

static void large_bodies_go_both_ways(void **state)
{
    (void)state;
    struct stage stage;
    struct peer peer;
    AUTO(free_string) char *body = malloc(UPLOAD_BYTES);
    assert_non_null(body);
    memset(body, 'u', UPLOAD_BYTES);
    open_stage(&stage, &http_default_limits);
    open_any(&peer, &stage);
    send_bytes(&peer, VIEW("POST /bulk HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n"));
    send_bytes(&peer, (struct view){body, UPLOAD_BYTES});
    wait_for(&peer, "\r\n\r\n4194304");
    str_clear(&peer.received);
    send_bytes(&peer, VIEW("GET /big HTTP/1.1\r\nHost: a\r\n\r\n" NONE));
    wait_for(&peer, "\r\n\r\nnone");
    assert_true(peer.received.len > BIG_BODY);
    close_peer(&peer);
    close_stage(&stage);
}

static struct http_exchange *echoed;

static void on_piece(struct http_exchange *exchange, struct view bytes, void *arg)
{
    (void)arg;
    if (!http_send_piece(exchange, bytes)) {
        http_body_pause(exchange);
    }
}

static void on_end(struct http_exchange *exchange, void *arg)
{
    (void)arg;
    http_respond_end(exchange);
}

static void on_drained(void *arg)
{
    (void)arg;
    http_body_resume(echoed);
}

static void echo(struct http_exchange *exchange, void *arg)
{
    static const struct http_body_events events = {on_piece, on_end};
    const struct http_response response = {.status = 200};
    (void)arg;
    echoed = exchange;
    http_stream_body(exchange, UPLOAD_BYTES, &events, NULL);
    http_respond_begin(exchange, &response, http_exchange_body_length(exchange), on_drained, NULL);
}

static void bodies_stream_both_ways_at_once(void **state)
{
    (void)state;
    struct stage stage;
    struct peer peer;
    AUTO(free_string) char *body = malloc(UPLOAD_BYTES);
    assert_non_null(body);
    for (size_t i = 0; i < UPLOAD_BYTES; i++) {
        body[i] = (char)(i * 31 + i / 253);
    }
    open_stage(&stage, &http_default_limits);
    stage.fixture.on_custom = echo;
    open_any(&peer, &stage);
    send_bytes(&peer, VIEW("PUT /custom HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n"));
    for (size_t at = 0; at < UPLOAD_BYTES; at += PART_BYTES) {
        send_bytes(&peer, (struct view){body + at, PART_BYTES});
        assert_true(receive(&peer));
    }
    const char *begin = strstr(peer.received.data, "\r\n\r\n");
    assert_non_null(begin);
    size_t whole = (size_t)(begin + 4 - peer.received.data) + UPLOAD_BYTES;
    while (peer.received.len < whole) {
        assert_true(receive(&peer));
    }
    assert_memory_equal(peer.received.data + whole - UPLOAD_BYTES, body, UPLOAD_BYTES);
    close_peer(&peer);
    close_stage(&stage);
}

static void a_client_that_ends_its_side_gets_its_answer(void **state)
{
    (void)state;
    struct stage stage;
    struct peer peer;
    open_stage(&stage, &http_default_limits);
    open_any(&peer, &stage);
    send_bytes(&peer, VIEW(HOLD));
    assert_int_equal(SSL_shutdown(peer.ssl), 0);
    fixture_settle(&stage.fixture);
    assert_int_equal(stage.fixture.gone, 0);
    fixture_release(&stage.fixture, "held");
    wait_for(&peer, "held");
    wait_end(&peer);
    assert_true((SSL_get_shutdown(peer.ssl) & SSL_RECEIVED_SHUTDOWN) != 0);
    close_peer(&peer);
    close_stage(&stage);
}

static void a_large_answer_outlives_the_clients_end_of_its_side(void **state)
{
    (void)state;
    struct stage stage;
    struct peer peer;
    open_stage(&stage, &http_default_limits);
    open_any(&peer, &stage);
    send_bytes(&peer, VIEW("GET /big HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_int_equal(SSL_shutdown(peer.ssl), 0);
    wait_end(&peer);
    assert_true(peer.received.len > BIG_BODY);
    close_peer(&peer);
    close_stage(&stage);
}

static void a_client_that_vanishes_is_told(void **state)
{
    (void)state;
    struct stage stage;
    struct peer peer;
    open_stage(&stage, &http_default_limits);
    open_any(&peer, &stage);
    send_bytes(&peer, VIEW(HOLD));
    close_peer(&peer);
    assert_int_equal(stage.fixture.gone, 1);
    close_stage(&stage);
}

static void the_last_answer_is_followed_by_the_end_of_the_session(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct view request;
    } cases[] = {
        {"all was read", VIEW("GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")},
        {"a body was not",
         VIEW("POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\nsome")},
        {"idle for too long", VIEW(NONE)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct stage stage;
        struct peer peer;
        open_stage(&stage, &fixture_short_limits);
        open_any(&peer, &stage);
        send_bytes(&peer, cases[i].request);
        wait_end(&peer);
        assert_true(view_has(str_view(&peer.received), "\r\n\r\nnone"));
        assert_true((SSL_get_shutdown(peer.ssl) & SSL_RECEIVED_SHUTDOWN) != 0);
        close_peer(&peer);
        close_stage(&stage);
    }
}

static void one_address_too_often_hears_so(void **state)
{
    (void)state;
    struct stage stage;
    struct peer peers[3];
    open_stage(&stage, &fixture_short_limits);
    for (int i = 0; i < 3; i++) {
        open_any(&peers[i], &stage);
    }
    wait_for(&peers[2], "HTTP/1.1 429 ");
    wait_end(&peers[2]);
    for (int i = 0; i < 3; i++) {
        close_peer(&peers[i]);
    }
    close_stage(&stage);
}

static void new_files_serve_new_sessions(void **state)
{
    (void)state;
    struct stage stage;
    struct peer before;
    struct peer after;
    struct err err = {0};
    char name[16];
    open_stage(&stage, &http_default_limits);
    open_any(&before, &stage);
    write_pair("second");
    assert_true(http_tls_reload(stage.tls, &err));
    open_any(&after, &stage);
    name_of(&before, name, sizeof name);
    assert_string_equal(name, "first");
    name_of(&after, name, sizeof name);
    assert_string_equal(name, "second");
    send_bytes(&before, VIEW(NONE));
    wait_for(&before, "\r\n\r\nnone");
    send_bytes(&after, VIEW(NONE));
    wait_for(&after, "\r\n\r\nnone");
    close_peer(&before);
    close_peer(&after);
    close_stage(&stage);
}

static void bad_files_change_nothing(void **state)
{
    (void)state;
    struct stage stage;
    struct peer peer;
    struct err err = {0};
    char name[16];
    open_stage(&stage, &http_default_limits);
    write_text(certificate_path, "no certificate");
    assert_false(http_tls_reload(stage.tls, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_true(view_has(view_of(err.message), certificate_path));
    open_any(&peer, &stage);
    name_of(&peer, name, sizeof name);
    assert_string_equal(name, "first");
    close_peer(&peer);
    close_stage(&stage);
}

static void files_that_will_not_do_are_errors(void **state)
{
    (void)state;
    struct err err = {0};
    unsigned char password[] = "password";
    EVP_PKEY *key = EVP_EC_gen("P-256");
    write_pair("good");
    write_key(other_path, key, NULL);
    assert_null(http_tls_new(certificate_path, other_path, &err)); /* another key */
    assert_int_equal(err.code, ERR_INVALID);
    assert_null(http_tls_new(key_path, key_path, &err));                 /* no certificate */
    assert_null(http_tls_new(certificate_path, certificate_path, &err)); /* no key */
    assert_null(http_tls_new("/nowhere.pem", key_path, &err));
    assert_null(http_tls_new(certificate_path, "/nowhere.pem", &err));
    write_certificate(certificate_path, key, "locked");
    write_key(other_path, key, password);
    assert_null(http_tls_new(certificate_path, other_path, &err));
    assert_int_equal(ERR_peek_error(), 0);
    EVP_PKEY_free(key);
}

/* --- WebSocket ------------------------------------------------------------------------------ */

struct ws_end {
    struct ws_socket *socket;
    int closed;
};

static void on_message(enum ws_opcode opcode, struct view message, void *arg)
{
    struct ws_end *end = arg;
    struct err err = {0};
    assert_true(ws_send(end->socket, opcode, &message, 1, &err));
}

static void on_closed(int code, void *arg)
{
    struct ws_end *end = arg;
    end->closed = code;
}

static void web_sockets_are_upgraded_and_closed(void **state)
{
    (void)state;
    static const struct ws_events events = {.on_message = on_message, .on_closed = on_closed};
    struct stage stage;
    struct peer peer;
    struct ws_end end = {0};
    struct err err = {0};
    open_stage(&stage, &http_default_limits);
    open_any(&peer, &stage);
    /* The first frame ("hi", masked by zeros) comes with the head. */
    send_bytes(&peer, VIEW("GET /switch HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                           "Upgrade: websocket\r\n\r\n\x81\x82\0\0\0\0hi"));
    wait_for(&peer, "101 Switching Protocols");
    end.socket = ws_socket_new(stage.fixture.loop, WS_SERVER, TAKE(stage.fixture.switched),
                               &ws_default_limits, &events, &end, &err);
    assert_non_null(end.socket);
    fixture_settle(&stage.fixture);
    wait_for(&peer, "\x81\x02hi");
    send_bytes(&peer, VIEW("\x81\x85\0\0\0\0again"));
    wait_for(&peer, "\x81\x05"
                    "again");
    AUTO(free_string) char *large = malloc(UPLOAD_BYTES);
    assert_non_null(large);
    memset(large, 'w', UPLOAD_BYTES);
    const struct view part = {large, UPLOAD_BYTES};
    assert_true(ws_send(end.socket, WS_TEXT, &part, 1, &err));
    while (peer.received.len < UPLOAD_BYTES) {
        assert_true(receive(&peer));
    }
    send_bytes(&peer, VIEW("\x88\x82\0\0\0\0\x03\xe8"));
    wait_for(&peer, "\x88\x02\x03\xe8");
    wait_end(&peer);
    fixture_run(&stage.fixture, 20);
    assert_int_equal(end.closed, 1000);
    ws_socket_free(end.socket);
    close_peer(&peer);
    close_stage(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_answered_with_the_headers_of_tls),
        cmocka_unit_test(versions_and_protocols_are_chosen),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(plain_http_is_not_answered),
        cmocka_unit_test(a_handshake_that_does_not_come_is_not_awaited_for_ever),
        cmocka_unit_test(large_bodies_go_both_ways),
        cmocka_unit_test(bodies_stream_both_ways_at_once),
        cmocka_unit_test(a_client_that_ends_its_side_gets_its_answer),
        cmocka_unit_test(a_large_answer_outlives_the_clients_end_of_its_side),
        cmocka_unit_test(a_client_that_vanishes_is_told),
        cmocka_unit_test(the_last_answer_is_followed_by_the_end_of_the_session),
        cmocka_unit_test(one_address_too_often_hears_so),
        cmocka_unit_test(new_files_serve_new_sessions),
        cmocka_unit_test(bad_files_change_nothing),
        cmocka_unit_test(files_that_will_not_do_are_errors),
        cmocka_unit_test(web_sockets_are_upgraded_and_closed),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
