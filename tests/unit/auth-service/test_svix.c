/* auth-service/webhooks/svix against every webhook of tests/support/clerk/vectors.json, and against
 * what is not in there. */
#include "auth-service/webhooks/event.h"
#include "auth-service/webhooks/svix.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#define VECTORS INSIEN_SOURCE_DIR "/tests/support/clerk/vectors.json"
#define OTHER_SECRET "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"

enum { VECTORS_MAX = 1 << 20, WEBHOOKS = 22, USERS = 2, TEXT_SIZE = 1024 };

static cJSON *vectors;

static int set_up(void **state)
{
    (void)state;
    char *text = malloc(VECTORS_MAX);
    FILE *file = fopen(VECTORS, "r");
    assert_true(text != NULL && file != NULL);
    size_t len = fread(text, 1, VECTORS_MAX, file);
    (void)fclose(file);
    vectors = cJSON_ParseWithLength(text, len);
    free(text);
    assert_non_null(vectors);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cJSON_Delete(vectors);
    return 0;
}

/* "" when there is none. */
static struct view text_of(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(object, name));
    return text == NULL ? VIEW("") : view_of(text);
}

static struct svix_message message_of(const cJSON *vector)
{
    const cJSON *headers = cJSON_GetObjectItem(vector, "headers");
    return (struct svix_message){.id = text_of(headers, "svix-id"),
                                 .timestamp = text_of(headers, "svix-timestamp"),
                                 .signature = text_of(headers, "svix-signature"),
                                 .body = text_of(vector, "body")};
}

static int64_t now_of(const cJSON *vector)
{
    return (int64_t)cJSON_GetNumberValue(cJSON_GetObjectItem(vector, "now"));
}

static struct svix_secrets secrets_of(const char *format)
{
    char text[TEXT_SIZE];
    struct svix_secrets secrets;
    struct err err = {0};
    const char *secret = cJSON_GetStringValue(cJSON_GetObjectItem(vectors, "webhookSecret"));
    (void)snprintf(text, sizeof text, "%s%s", format, secret);
    if (!svix_secrets_read(text, &secrets, &err)) {
        fail_msg("%s", err.message);
    }
    return secrets;
}

static void every_webhook_is_judged_as_it_should(void **state)
{
    (void)state;
    const struct svix_secrets secrets = secrets_of("");
    const cJSON *vector = NULL;
    int count = 0;
    cJSON_ArrayForEach(vector, cJSON_GetObjectItem(vectors, "webhooks"))
    {
        const struct svix_message message = message_of(vector);
        struct err err = {0};
        bool accepted = svix_verify(&secrets, &message, now_of(vector), &err);
        if (accepted != view_equal(text_of(vector, "expect"), VIEW("accept"))) {
            fail_msg("%s: %s", text_of(vector, "name").ptr, accepted ? "accepted" : err.message);
        }
        if (accepted) {
            struct webhook_event event;
            assert_true(webhook_event_read(message.body, &event, &err));
            assert_int_not_equal(event.kind, WEBHOOK_OTHER);
        } else {
            assert_int_equal(err.code, ERR_INVALID);
            assert_string_equal(err.reason, "webhook_refused");
        }
        count++;
    }
    assert_int_equal(count, WEBHOOKS);
}

static void every_user_is_read(void **state)
{
    (void)state;
    const cJSON *vector = NULL;
    int count = 0;
    cJSON_ArrayForEach(vector, cJSON_GetObjectItem(vectors, "users"))
    {
        char *text = cJSON_PrintUnformatted(vector);
        struct clerk_user user;
        struct err err = {0};
        if (!clerk_user_read(view_of(text), &user, &err)) {
            fail_msg("%s: %s", text, err.message);
        }
        assert_true(view_equal(view_of(user.subject), text_of(vector, "id")));
        assert_true(clerk_user_id_is_sound(view_of(user.subject)));
        assert_non_null(strchr(user.profile.email, '@'));
        cJSON_free(text);
        count++;
    }
    assert_int_equal(count, USERS);
}

static void either_of_two_secrets_serves(void **state)
{
    (void)state;
    const cJSON *vector = cJSON_GetObjectItem(vectors, "webhooks")->child;
    const struct svix_message message = message_of(vector);
    const struct svix_secrets two = secrets_of(OTHER_SECRET ",");
    struct svix_secrets other;
    struct err err = {0};
    assert_int_equal(two.count, 2);
    assert_true(svix_verify(&two, &message, now_of(vector), &err));
    assert_true(svix_secrets_read(OTHER_SECRET, &other, &err));
    assert_false(svix_verify(&other, &message, now_of(vector), &err));
}

static void without_a_secret_nothing_verifies(void **state)
{
    (void)state;
    const cJSON *vector = cJSON_GetObjectItem(vectors, "webhooks")->child;
    const struct svix_message message = message_of(vector);
    struct svix_secrets none;
    struct err err = {0};
    assert_true(svix_secrets_read("", &none, &err));
    assert_int_equal(none.count, 0);
    assert_false(svix_verify(&none, &message, now_of(vector), &err));
}

static void other_texts_are_no_secrets(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "whsec_",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
        "whsec_AAEC",
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRY",
        "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFR!X",
        OTHER_SECRET "," OTHER_SECRET "," OTHER_SECRET,
        ",",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct svix_secrets secrets;
        struct err err = {0};
        if (svix_secrets_read(texts[i], &secrets, &err)) {
            fail_msg("\"%s\"", texts[i]);
        }
    }
}

static void a_time_of_odd_form_is_refused(void **state)
{
    (void)state;
    static const struct view times[] = {VIEW("-1767225600"),  VIEW("+1767225600"),
                                        VIEW("1767225600.0"), VIEW(" 1767225600"),
                                        VIEW("0x6955b900"),   VIEW("99999999999999999999")};
    const cJSON *vector = cJSON_GetObjectItem(vectors, "webhooks")->child;
    const struct svix_secrets secrets = secrets_of("");
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        struct svix_message message = message_of(vector);
        struct err err = {0};
        message.timestamp = times[i];
        assert_false(svix_verify(&secrets, &message, now_of(vector), &err));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_webhook_is_judged_as_it_should),
        cmocka_unit_test(every_user_is_read),
        cmocka_unit_test(either_of_two_secrets_serves),
        cmocka_unit_test(without_a_secret_nothing_verifies),
        cmocka_unit_test(other_texts_are_no_secrets),
        cmocka_unit_test(a_time_of_odd_form_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
