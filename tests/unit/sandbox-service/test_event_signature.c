/* sandbox-service/events/signature.c */
#include "sandbox-service/events/signature.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define HOOK "55555555-5555-4555-8555-555555555551"
#define OTHER "55555555-5555-4555-8555-555555555552"

/* The example of the specification of Standard Webhooks, with a key of our own. */
static const struct signature_subject subject = {
    VIEW("msg_p5jXN8AQM9LWM0D4loKWxJek"), VIEW("1614265330"), VIEW("{\"test\": 2432232314}")};

static void a_signature_is_hmac_over_id_time_and_body(void **state)
{
    (void)state;
    struct signature_key key;
    struct err err = {0};
    char signature[SIGNATURE_SIZE];
    memset(key.bytes, 7, sizeof key.bytes);
    assert_true(signature_write(&key, &subject, signature, &err));
    /* openssl dgst -sha256 -mac HMAC -macopt hexkey:0707... | base64 */
    assert_string_equal(signature, "v1,YO/ulmd+VFtlnbodv7yLOOsS6RlBZ48h++gXZrGOpZo=");
}

static void each_part_counts(void **state)
{
    (void)state;
    struct signature_key key = {{1}};
    struct err err = {0};
    char signature[SIGNATURE_SIZE];
    char other[SIGNATURE_SIZE];
    const struct signature_subject others[] = {
        {VIEW("msg_other"), subject.timestamp, subject.body},
        {subject.id, VIEW("1614265331"), subject.body},
        {subject.id, subject.timestamp, VIEW("{}")},
    };
    assert_true(signature_write(&key, &subject, signature, &err));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_true(signature_write(&key, &others[i], other, &err));
        assert_string_not_equal(signature, other);
    }
}

static void a_key_is_of_its_webhook_and_the_service(void **state)
{
    (void)state;
    struct signature_key key;
    struct signature_key again;
    struct signature_key others;
    struct signature_key elsewhere;
    struct err err = {0};
    assert_true(signature_key_derive(VIEW("secret"), HOOK, &key, &err));
    assert_true(signature_key_derive(VIEW("secret"), HOOK, &again, &err));
    assert_true(signature_key_derive(VIEW("secret"), OTHER, &others, &err));
    assert_true(signature_key_derive(VIEW("another"), HOOK, &elsewhere, &err));
    assert_memory_equal(key.bytes, again.bytes, sizeof key.bytes);
    assert_memory_not_equal(key.bytes, others.bytes, sizeof key.bytes);
    assert_memory_not_equal(key.bytes, elsewhere.bytes, sizeof key.bytes);
}

static void its_owner_gets_it_as_a_secret(void **state)
{
    (void)state;
    struct signature_key key;
    char secret[WEBHOOK_SECRET_SIZE];
    memset(key.bytes, 0, sizeof key.bytes);
    signature_key_write(&key, secret);
    assert_string_equal(secret, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signature_is_hmac_over_id_time_and_body),
        cmocka_unit_test(each_part_counts),
        cmocka_unit_test(a_key_is_of_its_webhook_and_the_service),
        cmocka_unit_test(its_owner_gets_it_as_a_secret),
    };
    return cmocka_run_group_tests_name("event_signature", tests, NULL, NULL);
}
