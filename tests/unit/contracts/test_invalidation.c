#include "common/contracts/invalidation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define UUID "11111111-1111-4111-8111-111111111111"
#define SESSION "sess_2abcDEF"
#define SIXTEEN "0123456789abcdef"
#define LONGEST SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN

static void the_channel_bears_the_instance(void **state)
{
    (void)state;
    char channel[INVALIDATION_CHANNEL_SIZE];
    char instance[INVALIDATION_CHANNEL_SIZE];
    struct err err = {0};
    assert_true(invalidation_channel("test", channel, &err));
    assert_string_equal(channel, "insien:test:invalidate");
    memset(instance, 'i', sizeof instance);
    instance[sizeof instance - 1] = '\0';
    assert_false(invalidation_channel(instance, channel, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

static void messages_survive(void **state)
{
    (void)state;
    static const struct {
        enum invalidation_kind kind;
        const char *id;
        const char *message;
    } cases[] = {
        {INVALIDATE_KEY, UUID, "key " UUID},
        {INVALIDATE_USER, UUID, "user " UUID},
        {INVALIDATE_SANDBOX, UUID, "sandbox " UUID},
        {INVALIDATE_ACCOUNT, UUID, "account " UUID},
        {INVALIDATE_SESSION, SESSION, "session " SESSION},
        {INVALIDATE_EVENTS, UUID, "events " UUID},
        {INVALIDATE_SANDBOXES, "", "sandboxes"},
        {INVALIDATE_SESSION, LONGEST, "session " LONGEST},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char message[INVALIDATION_MESSAGE_SIZE];
        char id[INVALIDATION_ID_SIZE];
        enum invalidation_kind kind;
        invalidation_write(cases[i].kind, cases[i].id, message);
        assert_string_equal(message, cases[i].message);
        assert_true(invalidation_read(view_of(message), &kind, id));
        assert_int_equal(kind, cases[i].kind);
        assert_string_equal(id, cases[i].id);
    }
}

static void other_messages_are_refused(void **state)
{
    (void)state;
    static const struct view messages[] = {
        VIEW(""),
        VIEW("key"),
        VIEW("key "),
        VIEW("key  " UUID),
        VIEW("key 11"),
        VIEW("key " UUID " "),
        VIEW("KEY " UUID),
        VIEW("volume " UUID),
        VIEW("sandboxes "),
        VIEW("sandboxes " UUID),
        VIEW("session "),
        VIEW("session a-b"),
        VIEW("session " LONGEST "0"),
        VIEW("session a\0b"),
    };
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        char id[INVALIDATION_ID_SIZE];
        enum invalidation_kind kind;
        assert_false(invalidation_read(messages[i], &kind, id));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_channel_bears_the_instance),
        cmocka_unit_test(messages_survive),
        cmocka_unit_test(other_messages_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
