/* auth-service/api_keys/memory.c */
#include "auth-service/api_keys/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define KEY_ID "00000000-0000-4000-8000-000000000001"
#define OTHER_ID "00000000-0000-4000-8000-000000000002"

static struct key_memory *make(size_t limit, int64_t ttl_ms)
{
    struct err err = {0};
    struct key_memory *memory = key_memory_new(limit, ttl_ms, &err);
    assert_non_null(memory);
    return memory;
}

static const uint8_t *hmac(uint8_t byte)
{
    static uint8_t bytes[API_KEY_HASH_LEN];
    memset(bytes, byte, sizeof bytes);
    return bytes;
}

static void a_text_is_remembered_for_its_row_alone(void **state)
{
    (void)state;
    struct key_memory *memory = make(4, 60000);
    assert_false(key_memory_has(memory, hmac(1), KEY_ID));
    key_memory_add(memory, hmac(1), KEY_ID);
    assert_true(key_memory_has(memory, hmac(1), KEY_ID));
    assert_false(key_memory_has(memory, hmac(1), OTHER_ID));
    assert_false(key_memory_has(memory, hmac(2), KEY_ID));
    key_memory_add(memory, hmac(1), OTHER_ID);
    assert_true(key_memory_has(memory, hmac(1), OTHER_ID));
    assert_false(key_memory_has(memory, hmac(1), KEY_ID));
    key_memory_free(memory);
}

static void the_least_recently_used_makes_room(void **state)
{
    (void)state;
    struct key_memory *memory = make(2, 60000);
    key_memory_add(memory, hmac(1), KEY_ID);
    key_memory_add(memory, hmac(2), KEY_ID);
    assert_true(key_memory_has(memory, hmac(1), KEY_ID));
    key_memory_add(memory, hmac(3), KEY_ID);
    assert_true(key_memory_has(memory, hmac(1), KEY_ID));
    assert_false(key_memory_has(memory, hmac(2), KEY_ID));
    assert_true(key_memory_has(memory, hmac(3), KEY_ID));
    key_memory_free(memory);
}

static void what_is_too_old_is_forgotten(void **state)
{
    (void)state;
    struct key_memory *memory = make(2, 0);
    key_memory_add(memory, hmac(1), KEY_ID);
    assert_false(key_memory_has(memory, hmac(1), KEY_ID));
    key_memory_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_is_remembered_for_its_row_alone),
        cmocka_unit_test(the_least_recently_used_makes_room),
        cmocka_unit_test(what_is_too_old_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
