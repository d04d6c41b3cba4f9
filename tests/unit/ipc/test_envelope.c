/* common/ipc/envelope.c */
#include "common/ipc/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#define TRACEPARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static void request_survives_the_way(void **state)
{
    (void)state;
    const struct ipc_request request = {.method = "auth.check_key",
                                        .trace = {.request_id = "r-1", .parent = TRACEPARENT},
                                        .actor = {.user_id = "4b8c5a9e-3f0e-4d0a-9a57-0d6f3c2b1a00",
                                                  .address = "192.0.2.7",
                                                  .user_agent = "a \"client\""},
                                        .timeout_ms = 1234,
                                        .body = VIEW("{\"key\":\"a \\\"b\\\"\"}")};
    struct ipc_request read;
    struct err err = {0};
    struct str text = STR_INIT(IPC_MESSAGE_MAX);
    assert_true(ipc_request_write(&request, &text, &err));
    struct json_doc *doc = ipc_request_read(str_view(&text), &read, &err);
    assert_non_null(doc);
    assert_string_equal(read.method, "auth.check_key");
    assert_string_equal(read.trace.request_id, "r-1");
    assert_string_equal(read.trace.parent, TRACEPARENT);
    assert_memory_equal(&read.actor, &request.actor, sizeof read.actor);
    assert_int_equal(read.timeout_ms, 1234);
    assert_true(view_equal(read.body, request.body));
    json_doc_free(doc);
    str_free(&text);
}

static void reply_with_a_body_survives_the_way(void **state)
{
    (void)state;
    const struct ipc_reply reply = {.ok = true, .body = VIEW("{}")};
    struct ipc_reply read;
    struct err err = {0};
    struct str text = STR_INIT(IPC_MESSAGE_MAX);
    assert_true(ipc_reply_write(&reply, &text, &err));
    struct json_doc *doc = ipc_reply_read(str_view(&text), &read, &err);
    assert_non_null(doc);
    assert_true(read.ok);
    assert_true(view_equal(read.body, reply.body));
    json_doc_free(doc);
    str_free(&text);
}

static void error_survives_the_way(void **state)
{
    (void)state;
    struct ipc_reply reply = {0};
    struct ipc_reply read;
    struct err err = {0};
    struct str text = STR_INIT(IPC_MESSAGE_MAX);
    err_set_reason(&reply.error, ERR_LIMIT, "quota_exceeded", "2 of 2 are in use");
    assert_true(ipc_reply_write(&reply, &text, &err));
    struct json_doc *doc = ipc_reply_read(str_view(&text), &read, &err);
    assert_non_null(doc);
    assert_false(read.ok);
    assert_int_equal(read.error.code, ERR_LIMIT);
    assert_string_equal(read.error.reason, "quota_exceeded");
    assert_string_equal(read.error.message, "2 of 2 are in use");
    json_doc_free(doc);
    str_free(&text);
}

/* A message that was cut within a character is repaired, which makes it longer. */
static void message_of_broken_text_is_cut_not_refused(void **state)
{
    (void)state;
    struct ipc_reply reply = {.error = {.code = ERR_INTERNAL, .reason = "internal"}};
    struct ipc_reply read;
    struct err err = {0};
    struct str text = STR_INIT(IPC_MESSAGE_MAX);
    memset(reply.error.message, '\xe2', ERR_MESSAGE_SIZE - 1);
    assert_true(ipc_reply_write(&reply, &text, &err));
    struct json_doc *doc = ipc_reply_read(str_view(&text), &read, &err);
    assert_non_null(doc);
    assert_int_equal(strlen(read.error.message), ERR_MESSAGE_SIZE - 1);
    json_doc_free(doc);
    str_free(&text);
}

static void unknown_error_code_is_internal(void **state)
{
    (void)state;
    struct ipc_reply read;
    struct err err = {0};
    struct json_doc *doc = ipc_reply_read(
        VIEW("{\"error\":{\"code\":\"new_kind\",\"reason\":\"r\",\"message\":\"m\"}}"), &read,
        &err);
    assert_non_null(doc);
    assert_int_equal(read.error.code, ERR_INTERNAL);
    json_doc_free(doc);
}

static void malformed_requests_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "{\"method\":\"m\",\"timeoutMs\":1}",
        "{\"method\":\"m\",\"timeoutMs\":1,\"body\":[]}",
        "{\"method\":\"m\",\"timeoutMs\":\"1\",\"body\":{}}",
        "{\"method\":\"\",\"timeoutMs\":1,\"body\":{}}",
        "{\"method\":\"m\\u0000\",\"timeoutMs\":1,\"body\":{}}",
        "{\"method\":\"m\",\"timeoutMs\":1,\"body\":{},\"more\":1}",
        "{\"method\":\"m\",\"timeoutMs\":1,\"body\":{}} ,",
        "{\"method\":\"m\",\"method\":\"n\",\"timeoutMs\":1,\"body\":{}}",
        "{\"method\":\"m\",\"timeoutMs\":1,\"body\":{},\"traceparent\":\"\"}",
        "{\"method\":\"m\",\"timeoutMs\":1,\"body\":{},\"traceparent\":\"00-\"}",
        ("{\"method\":\"a_name_that_is_longer_than_any_method_of_ours_has\",\"timeoutMs\":1,"
         "\"body\":{}}"),
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct ipc_request read;
        struct err err = {0};
        if (ipc_request_read(view_of(texts[i]), &read, &err) != NULL) {
            fail_msg("%s was read", texts[i]);
        }
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static void malformed_replies_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "{\"body\":null}",
        "{\"body\":{},\"more\":{}}",
        "{\"body\":{},\"error\":{\"code\":\"limit\",\"reason\":\"r\",\"message\":\"m\"}}",
        "{\"error\":{\"code\":\"limit\",\"reason\":\"r\"}}",
        "{\"error\":\"limit\"}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct ipc_reply read;
        struct err err = {0};
        if (ipc_reply_read(view_of(texts[i]), &read, &err) != NULL) {
            fail_msg("%s was read", texts[i]);
        }
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static void request_over_the_ceiling_is_not_written(void **state)
{
    (void)state;
    const struct ipc_request request = {.method = "m", .body = VIEW("{\"a\":\"0123456789\"}")};
    struct err err = {0};
    struct str text = STR_INIT(32);
    assert_false(ipc_request_write(&request, &text, &err));
    str_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_survives_the_way),
        cmocka_unit_test(reply_with_a_body_survives_the_way),
        cmocka_unit_test(error_survives_the_way),
        cmocka_unit_test(message_of_broken_text_is_cut_not_refused),
        cmocka_unit_test(unknown_error_code_is_internal),
        cmocka_unit_test(malformed_requests_are_refused),
        cmocka_unit_test(malformed_replies_are_refused),
        cmocka_unit_test(request_over_the_ceiling_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
