/* auth-service/tokens/client_token.h: what is written is read again, and nothing else is. */
#include "auth-service/tokens/client_token.h"

#include "common/base/encode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#define SECRET VIEW("0123456789abcdef0123456789abcdef")
#define TOKEN_ID "11111111-1111-4111-8111-111111111111"
#define USER_ID "22222222-2222-4222-8222-222222222222"
#define SANDBOX_ID "33333333-3333-4333-8333-333333333333"
#define KEY_ID "44444444-4444-4444-8444-444444444444"

enum { NOW_S = 1767225600, LIFE_S = 300, MAC_LEN = 32, SIGNATURE_LEN = 43 };

static const struct client_token of_key = {.id = TOKEN_ID,
                                           .user_id = USER_ID,
                                           .sandbox_id = SANDBOX_ID,
                                           .api_key_id = KEY_ID,
                                           .scopes = AUTH_EXEC | AUTH_FILES,
                                           .issued_at_s = NOW_S,
                                           .expires_at_s = NOW_S + LIFE_S};
static const struct client_token of_session = {.id = TOKEN_ID,
                                               .user_id = USER_ID,
                                               .sandbox_id = SANDBOX_ID,
                                               .session_id = "sess_1\"\\",
                                               .watch_session = true,
                                               .impersonator = "user_\xc3\xa9",
                                               .scopes = AUTH_SCOPES_CLIENT,
                                               .issued_at_s = NOW_S,
                                               .expires_at_s = NOW_S + 1};

static struct client_token_key key_of(struct view secret, const char *instance)
{
    struct client_token_key key;
    struct err err = {0};
    assert_true(client_token_key_derive(secret, instance, &key, &err));
    return key;
}

static void write_token(const struct client_token *token, struct str *out)
{
    const struct client_token_key key = key_of(SECRET, "test");
    struct err err = {0};
    *out = STR_INIT(AUTH_TOKEN_MAX);
    assert_true(client_token_write(&key, token, out, &err));
}

static void assert_refused_by(const struct client_token_key *key, struct view text,
                              const char *reason)
{
    struct client_token token;
    struct err err = {0};
    assert_false(client_token_read(key, text, NOW_S, &token, &err));
    assert_int_equal(err.code, ERR_UNAUTHENTICATED);
    assert_string_equal(err.reason, reason);
}

static void assert_refused(struct view text)
{
    const struct client_token_key key = key_of(SECRET, "test");
    assert_refused_by(&key, text, "invalid_token");
}

/* "<header>.<payload>" with the signature of our own key. */
static void sign(struct str *text)
{
    const struct client_token_key key = key_of(SECRET, "test");
    unsigned char mac[MAC_LEN];
    char signature[ENCODE_BASE64_SIZE(MAC_LEN)];
    assert_non_null(HMAC(EVP_sha256(), key.bytes, sizeof key.bytes,
                         (const unsigned char *)text->data, text->len, mac, NULL));
    (void)encode_base64(ENCODE_BASE64_URL, mac, sizeof mac, signature);
    str_append_char(text, '.');
    str_append_string(text, signature);
}

static void append_part(struct str *text, const char *json)
{
    char *room = str_reserve(text, ENCODE_BASE64_SIZE(strlen(json)));
    assert_non_null(room);
    str_advance(text, encode_base64(ENCODE_BASE64_URL, json, strlen(json), room));
}

static void assert_payload_refused(const char *payload)
{
    AUTO(str_free) struct str text = STR_INIT(AUTH_TOKEN_MAX);
    str_append_string(&text, CLIENT_TOKEN_HEADER ".");
    append_part(&text, payload);
    sign(&text);
    assert_refused(str_view(&text));
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    const struct client_token_key key = key_of(SECRET, "test");
    const struct client_token *const tokens[] = {&of_key, &of_session};
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        struct client_token again;
        struct err err = {0};
        AUTO(str_free) struct str text;
        write_token(tokens[i], &text);
        assert_true(auth_is_client_token(str_view(&text)));
        assert_true(client_token_read(&key, str_view(&text), NOW_S, &again, &err));
        assert_string_equal(again.id, tokens[i]->id);
        assert_string_equal(again.user_id, tokens[i]->user_id);
        assert_string_equal(again.sandbox_id, tokens[i]->sandbox_id);
        assert_string_equal(again.api_key_id, tokens[i]->api_key_id);
        assert_string_equal(again.session_id, tokens[i]->session_id);
        assert_string_equal(again.impersonator, tokens[i]->impersonator);
        assert_int_equal(again.watch_session, tokens[i]->watch_session);
        assert_int_equal(again.scopes, tokens[i]->scopes);
        assert_int_equal(again.issued_at_s, tokens[i]->issued_at_s);
        assert_int_equal(again.expires_at_s, tokens[i]->expires_at_s);
    }
}

static void the_header_is_what_it_is_said_to_be(void **state)
{
    (void)state;
    AUTO(str_free) struct str text = STR_INIT(AUTH_TOKEN_MAX);
    append_part(&text, "{\"typ\":\"insien-client+jwt\",\"alg\":\"HS256\"}");
    assert_string_equal(text.data, CLIENT_TOKEN_HEADER);
}

static void a_token_is_good_until_its_second_comes(void **state)
{
    (void)state;
    const struct client_token_key key = key_of(SECRET, "test");
    struct client_token again;
    struct err err = {0};
    AUTO(str_free) struct str text;
    write_token(&of_key, &text);
    assert_true(client_token_read(&key, str_view(&text), NOW_S + LIFE_S - 1, &again, &err));
    assert_false(client_token_read(&key, str_view(&text), NOW_S + LIFE_S, &again, &err));
    assert_int_equal(err.code, ERR_UNAUTHENTICATED);
    assert_string_equal(err.reason, "token_expired");
    assert_string_equal(again.sandbox_id, SANDBOX_ID); /* the trail says whose it was */
}

static void no_byte_of_it_can_be_changed(void **state)
{
    (void)state;
    AUTO(str_free) struct str text;
    write_token(&of_key, &text);
    for (size_t i = 0; i < text.len; i++) {
        char before = text.data[i];
        text.data[i] = before == 'A' ? 'B' : 'A';
        assert_refused(str_view(&text));
        text.data[i] = before;
    }
    for (size_t len = 0; len < text.len; len++) {
        assert_refused((struct view){text.data, len});
    }
    str_append_char(&text, 'A');
    assert_refused(str_view(&text));
}

static void another_secret_or_deployment_has_other_tokens(void **state)
{
    (void)state;
    const struct client_token_key keys[] = {
        key_of(VIEW("0123456789abcdef0123456789abcdeF"), "test"),
        key_of(SECRET, "other"),
    };
    AUTO(str_free) struct str text;
    write_token(&of_key, &text);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        assert_refused_by(&keys[i], str_view(&text), "invalid_token");
    }
    assert_memory_not_equal(keys[1].bytes, SECRET.ptr, SECRET.len); /* nor is the secret the key */
}

static void another_algorithm_or_type_is_refused_whoever_signed(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "{\"typ\":\"insien-client+jwt\",\"alg\":\"none\"}",
        "{\"alg\":\"HS256\",\"typ\":\"insien-client+jwt\"}",
        "{\"typ\":\"JWT\",\"alg\":\"HS256\"}",
        "{\"typ\":\"insien-client+jwt\",\"alg\":\"HS512\"}",
        "{\"typ\":\"insien-client+jwt\",\"alg\":\"HS256\",\"kid\":\"x\"}",
    };
    AUTO(str_free) struct str good;
    write_token(&of_key, &good);
    const char *payload = strchr(good.data, '.');
    const char *end = strrchr(good.data, '.');
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        AUTO(str_free) struct str text = STR_INIT(AUTH_TOKEN_MAX);
        append_part(&text, headers[i]);
        str_append(&text, payload, (size_t)(end - payload));
        sign(&text);
        assert_refused(str_view(&text));
    }
}

#define IDS "\"jti\":\"" TOKEN_ID "\",\"sub\":\"" USER_ID "\",\"sandboxId\":\"" SANDBOX_ID "\","
#define TIMES "\"iat\":1767225600,\"exp\":1767225900"
#define AUDIENCE "\"aud\":\"insien:test:client\","

static void a_payload_of_another_shape_is_refused_though_we_signed_it(void **state)
{
    (void)state;
    static const char *const payloads[] = {
        "",
        "{}",
        "[]",
        "{" IDS "\"scopes\":[\"exec\"]," TIMES "}",
        "{\"aud\":\"insien:test:agent\"," IDS "\"scopes\":[\"exec\"]," TIMES "}",
        "{\"aud\":[\"insien:test:client\"]," IDS "\"scopes\":[\"exec\"]," TIMES "}",
        "{" AUDIENCE IDS "\"scopes\":[\"root\"]," TIMES "}",
        "{" AUDIENCE IDS "\"scopes\":\"exec\"," TIMES "}",
        "{" AUDIENCE IDS "\"scopes\":[\"exec\"],\"iat\":1767225600}",
        "{" AUDIENCE IDS "\"scopes\":[\"exec\"],\"iat\":1767225600,\"exp\":\"1767225900\"}",
        "{" AUDIENCE IDS "\"scopes\":[\"exec\"],\"iat\":1767225600,\"exp\":1e999}",
        "{" AUDIENCE IDS "\"scopes\":[\"exec\"]," TIMES ",\"exp\":1767225901}",
        "{" AUDIENCE IDS "\"scopes\":[\"exec\"]," TIMES ",\"more\":1}",
        "{" AUDIENCE "\"jti\":\"x\",\"sub\":\"" USER_ID "\",\"sandboxId\":\"" SANDBOX_ID
        "\",\"scopes\":[\"exec\"]," TIMES "}",
    };
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        assert_payload_refused(payloads[i]);
    }
}

static void scopes_that_no_sandbox_has_do_not_count(void **state)
{
    (void)state;
    const struct client_token_key key = key_of(SECRET, "test");
    struct client_token token;
    struct err err = {0};
    AUTO(str_free) struct str text = STR_INIT(AUTH_TOKEN_MAX);
    str_append_string(&text, CLIENT_TOKEN_HEADER ".");
    append_part(&text, "{" AUDIENCE IDS "\"scopes\":[\"exec\",\"keys\",\"admin\"]," TIMES "}");
    sign(&text);
    assert_true(client_token_read(&key, str_view(&text), NOW_S, &token, &err));
    assert_int_equal(token.scopes, AUTH_EXEC);
}

static void what_is_longer_than_any_token_is_refused(void **state)
{
    (void)state;
    AUTO(str_free) struct str text = STR_INIT((size_t)2 * AUTH_TOKEN_MAX);
    str_append_string(&text, CLIENT_TOKEN_HEADER ".");
    while (text.len <= AUTH_TOKEN_MAX) {
        str_append_string(&text, "AAAA");
    }
    sign(&text);
    assert_refused(str_view(&text));
    assert_refused(VIEW(""));
    assert_refused(VIEW(CLIENT_TOKEN_HEADER));
    assert_refused(VIEW(CLIENT_TOKEN_HEADER "."));
    assert_refused(VIEW(CLIENT_TOKEN_HEADER ".."));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(the_header_is_what_it_is_said_to_be),
        cmocka_unit_test(a_token_is_good_until_its_second_comes),
        cmocka_unit_test(no_byte_of_it_can_be_changed),
        cmocka_unit_test(another_secret_or_deployment_has_other_tokens),
        cmocka_unit_test(another_algorithm_or_type_is_refused_whoever_signed),
        cmocka_unit_test(a_payload_of_another_shape_is_refused_though_we_signed_it),
        cmocka_unit_test(scopes_that_no_sandbox_has_do_not_count),
        cmocka_unit_test(what_is_longer_than_any_token_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
