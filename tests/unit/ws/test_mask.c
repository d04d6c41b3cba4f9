#include "common/ws/mask.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

enum { PAYLOAD_LEN = 41 };

static const char payload[PAYLOAD_LEN + 1] = "what is masked, and is no multiple of 8..";
static const struct ws_mask fresh = {.key = {0x00, 0xff, 0x5a, 0x81}};

static void each_byte_is_masked_with_its_own_of_the_key(void **state)
{
    (void)state;
    struct ws_mask mask = fresh;
    char bytes[PAYLOAD_LEN];
    memcpy(bytes, payload, sizeof bytes);
    ws_mask_apply(&mask, bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++) {
        assert_int_equal((uint8_t)bytes[i], (uint8_t)payload[i] ^ fresh.key[i % WS_MASK_SIZE]);
    }
}

static void the_same_comes_out_wherever_the_payload_is_cut(void **state)
{
    (void)state;
    struct ws_mask mask = fresh;
    char whole[PAYLOAD_LEN];
    memcpy(whole, payload, sizeof whole);
    ws_mask_apply(&mask, whole, sizeof whole);
    for (size_t first = 0; first <= sizeof whole; first++) {
        for (size_t second = first; second <= sizeof whole; second++) {
            char bytes[PAYLOAD_LEN];
            memcpy(bytes, payload, sizeof bytes);
            mask = fresh;
            ws_mask_apply(&mask, bytes, first);
            ws_mask_apply(&mask, bytes + first, second - first);
            ws_mask_apply(&mask, bytes + second, sizeof bytes - second);
            assert_memory_equal(bytes, whole, sizeof whole);
        }
    }
}

static void a_key_of_zero_changes_nothing(void **state)
{
    (void)state;
    struct ws_mask mask = {0};
    char bytes[PAYLOAD_LEN];
    memcpy(bytes, payload, sizeof bytes);
    ws_mask_apply(&mask, bytes, sizeof bytes);
    assert_memory_equal(bytes, payload, sizeof bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_byte_is_masked_with_its_own_of_the_key),
        cmocka_unit_test(the_same_comes_out_wherever_the_payload_is_cut),
        cmocka_unit_test(a_key_of_zero_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
