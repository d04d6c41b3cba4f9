/* TLS: handshakes, and certificates that change. */
#include "tests/unit/gateway/http/tls_stage.h"

#include "common/base/clock.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void name_of(const struct tls_peer *peer, char *out, size_t size)
{
    X509 *certificate = SSL_get1_peer_certificate(peer->ssl);
    assert_non_null(certificate);
    (void)X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, out,
                                    (int)size);
    X509_free(certificate);
}

static void requests_are_answered_with_the_headers_of_tls(void **state)
{
    (void)state;
    struct tls_stage stage;
    struct tls_peer peer;
    struct client plain;
    tls_stage_open(&stage, &http_default_limits);
    tls_peer_open_any(&peer, &stage);
    tls_peer_send(&peer, VIEW(GET_NONE GET_NONE));
    tls_peer_wait_for(&peer, "\r\n\r\nnone");
    struct view received = str_view(&peer.received);
    assert_true(view_starts_with(received, VIEW("HTTP/1.1 200 OK\r\n")));
    assert_true(view_has(received, "\r\nStrict-Transport-Security: max-age=31536000; "
                                   "includeSubDomains\r\n"));
    assert_true(view_has(received, "'unsafe-inline';upgrade-insecure-requests\r\n"));
    client_open(&plain, &stage.fixture);
    client_send(&plain, VIEW(GET_NONE));
    struct reply reply = client_next(&plain, false);
    assert_int_equal(reply_header(&reply, "Strict-Transport-Security").len, 0);
    assert_false(view_has(reply.head, "upgrade-insecure-requests"));
    client_close(&plain);
    tls_peer_close(&peer);
    tls_stage_close(&stage);
}

static void versions_and_protocols_are_chosen(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct tls_wish wish;
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
        struct tls_stage stage;
        struct tls_peer peer;
        tls_stage_open(&stage, &http_default_limits);
        bool opened = tls_peer_open(&peer, &stage, &cases[i].wish);
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
        tls_peer_close(&peer);
        tls_stage_close(&stage);
    }
}

static void renegotiation_is_refused(void **state)
{
    (void)state;
    struct tls_stage stage;
    struct tls_peer peer;
    tls_stage_open(&stage, &http_default_limits);
    assert_true(tls_peer_open(&peer, &stage, &(struct tls_wish){.version_max = TLS1_2_VERSION}));
    assert_int_equal(SSL_renegotiate(peer.ssl), 1);
    int result = SSL_do_handshake(peer.ssl);
    for (int i = 0;
         i < 20 && result != 1 && tls_peer_turn(&peer, result, clock_monotonic_ms() + TLS_WAIT_MS);
         i++) {
        result = SSL_do_handshake(peer.ssl);
    }
    assert_int_not_equal(result, 1);
    tls_peer_close(&peer);
    tls_stage_close(&stage);
}

static void plain_http_is_not_answered(void **state)
{
    (void)state;
    struct tls_stage stage;
    struct client client;
    tls_stage_open(&stage, &http_default_limits);
    client_adopt(&client, &stage.fixture, tls_stage_connect(&stage));
    client_send(&client, VIEW(GET_NONE));
    client_wait_end(&client);
    assert_int_equal(stage.fixture.requests, 0);
    assert_false(view_has(str_view(&client.received), "HTTP"));
    client_close(&client);
    tls_stage_close(&stage);
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
        struct tls_stage stage;
        struct client client;
        tls_stage_open(&stage, &fixture_short_limits);
        client_adopt(&client, &stage.fixture, tls_stage_connect(&stage));
        int64_t begun_ms = clock_monotonic_ms();
        client_send(&client, cases[i].bytes);
        client_wait_end(&client);
        assert_true(clock_monotonic_ms() - begun_ms < http_default_limits.head_timeout_ms);
        client_close(&client);
        tls_stage_close(&stage);
    }
}

static void one_address_too_often_hears_so(void **state)
{
    (void)state;
    struct tls_stage stage;
    struct tls_peer peers[3];
    struct http_limits limits = fixture_short_limits; /* for the number of connections alone */
    limits.head_timeout_ms = TLS_WAIT_MS;
    tls_stage_open(&stage, &limits);
    for (int i = 0; i < 3; i++) {
        tls_peer_open_any(&peers[i], &stage);
    }
    tls_peer_wait_for(&peers[2], "HTTP/1.1 429 ");
    tls_peer_wait_end(&peers[2]);
    for (int i = 0; i < 3; i++) {
        tls_peer_close(&peers[i]);
    }
    tls_stage_close(&stage);
}

static void new_files_serve_new_sessions(void **state)
{
    (void)state;
    struct tls_stage stage;
    struct tls_peer before;
    struct tls_peer after;
    struct err err = {0};
    char name[16];
    tls_stage_open(&stage, &http_default_limits);
    tls_peer_open_any(&before, &stage);
    tls_write_pair("second");
    assert_true(http_tls_reload(stage.tls, &err));
    tls_peer_open_any(&after, &stage);
    name_of(&before, name, sizeof name);
    assert_string_equal(name, "first");
    name_of(&after, name, sizeof name);
    assert_string_equal(name, "second");
    tls_peer_send(&before, VIEW(GET_NONE));
    tls_peer_wait_for(&before, "\r\n\r\nnone");
    tls_peer_send(&after, VIEW(GET_NONE));
    tls_peer_wait_for(&after, "\r\n\r\nnone");
    tls_peer_close(&before);
    tls_peer_close(&after);
    tls_stage_close(&stage);
}

static void bad_files_change_nothing(void **state)
{
    (void)state;
    struct tls_stage stage;
    struct tls_peer peer;
    struct err err = {0};
    char name[16];
    tls_stage_open(&stage, &http_default_limits);
    write_text(tls_certificate_path, "no certificate");
    assert_false(http_tls_reload(stage.tls, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_true(view_has(view_of(err.message), tls_certificate_path));
    tls_peer_open_any(&peer, &stage);
    name_of(&peer, name, sizeof name);
    assert_string_equal(name, "first");
    tls_peer_close(&peer);
    tls_stage_close(&stage);
}

static void files_that_will_not_do_are_errors(void **state)
{
    (void)state;
    struct err err = {0};
    unsigned char password[] = "password";
    EVP_PKEY *key = EVP_EC_gen("P-256");
    tls_write_pair("good");
    tls_write_key(tls_other_path, key, NULL);
    assert_null(http_tls_new(tls_certificate_path, tls_other_path, &err)); /* another key */
    assert_int_equal(err.code, ERR_INVALID);
    assert_null(http_tls_new(tls_key_path, tls_key_path, &err)); /* no certificate */
    assert_null(http_tls_new(tls_certificate_path, tls_certificate_path, &err)); /* no key */
    assert_null(http_tls_new("/nowhere.pem", tls_key_path, &err));
    assert_null(http_tls_new(tls_certificate_path, "/nowhere.pem", &err));
    assert_string_equal(err.message, "reading the key /nowhere.pem: No such file or directory");
    tls_write_certificate(tls_certificate_path, key, "locked");
    tls_write_key(tls_other_path, key, password);
    assert_null(http_tls_new(tls_certificate_path, tls_other_path, &err));
    assert_int_equal(ERR_peek_error(), 0);
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_answered_with_the_headers_of_tls),
        cmocka_unit_test(versions_and_protocols_are_chosen),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(plain_http_is_not_answered),
        cmocka_unit_test(a_handshake_that_does_not_come_is_not_awaited_for_ever),
        cmocka_unit_test(one_address_too_often_hears_so),
        cmocka_unit_test(new_files_serve_new_sessions),
        cmocka_unit_test(bad_files_change_nothing),
        cmocka_unit_test(files_that_will_not_do_are_errors),
    };
    return cmocka_run_group_tests(tests, tls_make_folder, tls_remove_folder);
}
