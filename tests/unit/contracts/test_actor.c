/* common/contracts/actor.c */
#include "common/contracts/actor.h"
#include "common/json/write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct message {
    struct actor_wire actor;
};
static const struct json_field message_fields[] = {
    JSON_STRUCT(struct message, actor, "actor", actor_fields),
};

static void text_is_cut_and_repaired(void **state)
{
    (void)state;
    char out[6];
    actor_text_set(out, sizeof out, VIEW("abcdef"));
    assert_string_equal(out, "abcde");
    actor_text_set(out, sizeof out, VIEW("abcd\xc3\xa9"));
    assert_string_equal(out, "abcd");
    actor_text_set(out, sizeof out, VIEW("a\xff\xed\xa0\x80"));
    assert_memory_equal(out, "a??", 3);
    actor_text_set(out, sizeof out, VIEW("a\0b"));
    assert_string_equal(out, "a");
    actor_text_set(out, sizeof out, (struct view){0});
    assert_string_equal(out, "");
}

static void nobody_takes_no_room(void **state)
{
    (void)state;
    struct str text = STR_INIT(256);
    struct json_writer writer = json_writer_on(&text);
    json_begin_object(&writer, NULL);
    actor_write(&writer, "actor", &actor_none);
    json_end_object(&writer);
    assert_true(view_equal(str_view(&text), VIEW("{}")));
    str_free(&text);
}

static void whatever_a_client_sends_arrives(void **state)
{
    (void)state;
    struct actor actor = {.user_id = "4b8c5a9e-3f0e-4d0a-9a57-0d6f3c2b1a00",
                          .api_key_id = "5b8c5a9e-3f0e-4d0a-9a57-0d6f3c2b1a00",
                          .address = "2001:db8::1",
                          .impersonator = "user_1"};
    struct actor read = {0};
    struct message message;
    struct err err = {0};
    char bytes[512];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(1 + i % 255);
    }
    actor_text_set(actor.user_agent, sizeof actor.user_agent, (struct view){bytes, sizeof bytes});
    struct str text = STR_INIT(8192);
    struct json_writer writer = json_writer_on(&text);
    json_begin_object(&writer, NULL);
    actor_write(&writer, "actor", &actor);
    json_end_object(&writer);
    const struct json_schema schema = JSON_SCHEMA(message_fields, .refuse_unknown = true);
    struct json_doc *doc = json_read(str_view(&text), &schema, &message, NULL, &err);
    assert_non_null(doc);
    actor_read(&message.actor, &read);
    assert_string_equal(read.user_id, actor.user_id);
    assert_string_equal(read.api_key_id, actor.api_key_id);
    assert_string_equal(read.address, actor.address);
    assert_string_equal(read.impersonator, actor.impersonator);
    assert_string_equal(read.user_agent, actor.user_agent);
    json_doc_free(doc);
    str_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_cut_and_repaired),
        cmocka_unit_test(nobody_takes_no_room),
        cmocka_unit_test(whatever_a_client_sends_arrives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
