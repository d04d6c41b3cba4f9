/* auth-service/webhooks: what a webhook does, once, in a real PostgreSQL and a real Redis. */
#include "auth-service/webhooks/webhooks.h"

#include "common/audit/writer.h"
#include "common/base/clock.h"
#include "common/base/encode.h"
#include "tests/unit/auth-service/accounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#define SECRET "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
#define ISSUER "https://issuer.example"
#define USER_DATA(id, name, at, more)                                                              \
    "{\"id\":\"" id "\",\"first_name\":\"" name "\",\"primary_email_address_id\":\"a\","           \
    "\"email_addresses\":[{\"id\":\"a\",\"email_address\":\"" id "@x.test\","                      \
    "\"verification\":{\"status\":\"verified\"}}],\"updated_at\":" at more "}"
#define USER_EVENT(type, data) "{\"type\":\"" type "\",\"object\":\"event\",\"data\":" data "}"
#define DELETED(id) USER_EVENT("user.deleted", "{\"id\":\"" id "\",\"deleted\":true}")

enum {
    KEY_LEN = 24,
    TEXT_SIZE = 2048,
    SQL_SIZE = 512,
    MESSAGES_MAX = 16,
    AT_A_TIME = 12,
};

struct stage {
    struct accounts *accounts;
    struct audit_writer *audit;
    struct webhooks *webhooks;
    struct redis_subscription *subscription;
    bool subscribed;
    int heard;
    char messages[MESSAGES_MAX][INVALIDATION_MESSAGE_SIZE];
};

struct answer {
    bool done;
    int calls;
    struct err err;
};

static void on_message(struct view message, void *arg)
{
    struct stage *stage = arg;
    assert_in_range(stage->heard, 0, MESSAGES_MAX - 1);
    assert_true(view_copy(message, stage->messages[stage->heard++], INVALIDATION_MESSAGE_SIZE));
}

static void on_state(bool subscribed, void *arg)
{
    struct stage *stage = arg;
    stage->subscribed = subscribed;
}

static int set_up(void **state)
{
    static struct stage stage;
    static const struct redis_subscriber subscriber = {on_message, on_state};
    struct err err = {0};
    void *accounts = NULL;
    (void)accounts_set_up(&accounts);
    stage = (struct stage){.accounts = accounts};
    stage.audit = audit_writer_open(stage.accounts->loop, stage.accounts->pg, "test", &err);
    assert_non_null(stage.audit);
    const struct webhooks_options options = {.pg = stage.accounts->pg,
                                             .redis = stage.accounts->redis,
                                             .audit = stage.audit,
                                             .announcer = stage.accounts->announcer,
                                             .instance = ACCOUNTS_INSTANCE,
                                             .issuer = ISSUER,
                                             .secrets = SECRET};
    stage.webhooks = webhooks_open(&options, &err);
    assert_non_null(stage.webhooks);
    stage.subscription =
        redis_subscribe(stage.accounts->loop, redis_server_url(stage.accounts->redis_server),
                        "insien:" ACCOUNTS_INSTANCE ":invalidate", &subscriber, &stage, &err);
    assert_non_null(stage.subscription);
    turn_until(stage.accounts->loop, &stage.subscribed);
    *state = &stage;
    return 0;
}

static void on_drained(void *arg)
{
    *(bool *)arg = true;
}

static void drain(struct stage *stage)
{
    bool drained = false;
    audit_writer_drain(stage->audit, on_drained, &drained);
    turn_until(stage->accounts->loop, &drained);
}

static int tear_down(void **state)
{
    struct stage *stage = *state;
    void *accounts = stage->accounts;
    redis_unsubscribe(stage->subscription);
    drain(stage);
    audit_writer_close(stage->audit);
    (void)accounts_tear_down(&accounts);
    webhooks_close(stage->webhooks);
    return 0;
}

static void on_done(const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    answer->calls++;
    if (err != NULL) {
        answer->err = *err;
    }
}

static void sign(const char *id, const char *timestamp, const char *body, char *out, size_t size)
{
    uint8_t key[KEY_LEN];
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    char text[TEXT_SIZE];
    char base64[ENCODE_BASE64_SIZE(EVP_MAX_MD_SIZE)];
    for (size_t i = 0; i < sizeof key; i++) {
        key[i] = (uint8_t)i;
    }
    int len = snprintf(text, sizeof text, "%s.%s.%s", id, timestamp, body);
    assert_in_range(len, 1, sizeof text - 1);
    assert_non_null(HMAC(EVP_sha256(), key, sizeof key, (const uint8_t *)text, (size_t)len, digest,
                         &digest_len));
    (void)encode_base64(ENCODE_BASE64, digest, digest_len, base64);
    (void)snprintf(out, size, "v1,%s", base64);
}

static void begin(struct stage *stage, const char *id, const char *body, struct answer *answer)
{
    char timestamp[24];
    char signature[TEXT_SIZE];
    *answer = (struct answer){0};
    (void)snprintf(timestamp, sizeof timestamp, "%lld", (long long)(clock_wall_ms() / 1000));
    sign(id, timestamp, body, signature, sizeof signature);
    const struct svix_message message = {.id = view_of(id),
                                         .timestamp = view_of(timestamp),
                                         .signature = view_of(signature),
                                         .body = view_of(body)};
    if (!webhook_receive(stage->webhooks, &message, &trace_none, ACCOUNTS_TIMEOUT_MS, on_done,
                         answer, &answer->err)) {
        answer->done = true;
    }
}

static struct answer receive(struct stage *stage, const char *id, const char *body)
{
    struct answer answer;
    begin(stage, id, body, &answer);
    turn_until(stage->accounts->loop, &answer.done);
    return answer;
}

static void take(struct stage *stage, const char *id, const char *body)
{
    const struct answer answer = receive(stage, id, body);
    if (answer.err.code != ERR_NONE) {
        fail_msg("%s: %s", id, answer.err.message);
    }
    assert_int_equal(answer.calls, 1);
}

/* Fails the test (by dividing by zero) when the SQL condition does not hold. */
static void expect(struct stage *stage, const char *condition)
{
    char sql[SQL_SIZE];
    int len = snprintf(sql, sizeof sql, "SELECT 1 / (CASE WHEN (%s) THEN 1 ELSE 0 END)", condition);
    assert_in_range(len, 1, sizeof sql - 1);
    postgres_run(stage->accounts->postgres, sql);
}

#define USER_OF(subject)                                                                           \
    "SELECT u.* FROM users u JOIN identities i ON i.user_id = u.id WHERE i.issuer = '" ISSUER      \
    "' AND i.subject = '" subject "'"

static void find_user(struct stage *stage, const char *subject, struct user *user)
{
    accounts_user_of(stage->accounts, ISSUER, subject, user);
}

static bool heard_something(void *arg)
{
    const struct stage *stage = arg;
    return stage->heard > 0;
}

static void a_new_user_has_a_row_with_what_clerk_says(void **state)
{
    struct stage *stage = *state;
    take(stage, "msg_new", USER_EVENT("user.created", USER_DATA("user_new", "Ann", "1000", "")));
    expect(stage, "SELECT count(*) = 1 AND bool_and(email = 'user_new@x.test' AND"
                  " display_name = 'Ann' AND role = 'user' AND tier = 'free' AND"
                  " profile_at = to_timestamp(1) AND suspended_at IS NULL)"
                  " FROM (" USER_OF("user_new") ") AS u");
}

static void a_repeat_changes_nothing(void **state)
{
    struct stage *stage = *state;
    const char *body = USER_EVENT("user.created", USER_DATA("user_twice", "Ann", "1000", ""));
    take(stage, "msg_twice", body);
    /* The same webhook with a later state can't be: only the name of the webhook counts. */
    take(stage, "msg_twice",
         USER_EVENT("user.updated", USER_DATA("user_twice", "Bea", "2000", "")));
    expect(stage, "SELECT display_name = 'Ann' FROM (" USER_OF("user_twice") ") AS u");
}

static void many_at_once_have_one_effect(void **state)
{
    struct stage *stage = *state;
    struct answer answers[AT_A_TIME];
    for (int i = 0; i < AT_A_TIME; i++) {
        begin(stage, "msg_many",
              USER_EVENT("user.created", USER_DATA("user_many", "Ann", "1000", "")), &answers[i]);
    }
    for (int i = 0; i < AT_A_TIME; i++) {
        turn_until(stage->accounts->loop, &answers[i].done);
        assert_int_equal(answers[i].err.code, ERR_NONE);
    }
    expect(stage, "SELECT count(*) = 1 FROM (" USER_OF("user_many") ") AS u");
    expect(stage, "SELECT count(*) = 0 FROM users WHERE id NOT IN (SELECT user_id FROM identities)"
                  " AND deleted_at IS NULL");
}

static void what_is_older_than_what_we_hold_is_left(void **state)
{
    struct stage *stage = *state;
    take(stage, "msg_o1", USER_EVENT("user.updated", USER_DATA("user_order", "New", "2000", "")));
    take(stage, "msg_o2", USER_EVENT("user.created", USER_DATA("user_order", "Old", "1000", "")));
    take(stage, "msg_o3", USER_EVENT("user.updated", USER_DATA("user_order", "Same", "2000", "")));
    expect(stage, "SELECT display_name = 'New' FROM (" USER_OF("user_order") ") AS u");
    take(stage, "msg_o4", USER_EVENT("user.updated", USER_DATA("user_order", "Next", "2001", "")));
    expect(stage, "SELECT display_name = 'Next' FROM (" USER_OF("user_order") ") AS u");
}

static void a_deleted_user_has_nothing_left(void **state)
{
    struct stage *stage = *state;
    struct user user;
    struct issued_key key;
    struct accounts_check check;
    char condition[SQL_SIZE];
    char expected[INVALIDATION_MESSAGE_SIZE];
    take(stage, "msg_d1", USER_EVENT("user.created", USER_DATA("user_gone", "Ann", "1000", "")));
    find_user(stage, "user_gone", &user);
    accounts_issue(stage->accounts, user.id, &key);
    stage->heard = 0;
    take(stage, "msg_d2", DELETED("user_gone"));
    (void)snprintf(condition, sizeof condition,
                   "SELECT deleted_at IS NOT NULL AND suspended_at IS NOT NULL AND email IS NULL"
                   " AND display_name IS NULL FROM users WHERE id = '%s'",
                   user.id);
    expect(stage, condition);
    expect(stage, "SELECT count(*) = 1 FROM identity_tombstones WHERE subject = 'user_gone'");
    expect(stage, "SELECT count(*) = 0 FROM identities WHERE subject = 'user_gone'");
    accounts_forget_proofs(stage->accounts);
    accounts_check(stage->accounts, key.key, &check);
    assert_int_equal(check.err.code, ERR_UNAUTHENTICATED);
    turn_until_true(stage->accounts->loop, heard_something, stage);
    (void)snprintf(expected, sizeof expected, "user %s", user.id);
    assert_string_equal(stage->messages[0], expected);
}

static void what_comes_behind_a_deletion_is_left(void **state)
{
    struct stage *stage = *state;
    take(stage, "msg_t1", DELETED("user_before"));
    take(stage, "msg_t2", USER_EVENT("user.created", USER_DATA("user_before", "Ann", "1000", "")));
    take(stage, "msg_t3", USER_EVENT("user.updated", USER_DATA("user_before", "Ann", "2000", "")));
    expect(stage, "SELECT count(*) = 0 FROM identities WHERE subject = 'user_before'");
    take(stage, "msg_t4", DELETED("user_before"));
}

static void a_banned_user_is_suspended_and_their_keys_are_revoked(void **state)
{
    struct stage *stage = *state;
    struct user user;
    struct issued_key key;
    char condition[SQL_SIZE];
    take(stage, "msg_b1", USER_EVENT("user.created", USER_DATA("user_bad", "Ann", "1000", "")));
    find_user(stage, "user_bad", &user);
    accounts_issue(stage->accounts, user.id, &key);
    stage->heard = 0;
    take(stage, "msg_b2",
         USER_EVENT("user.updated", USER_DATA("user_bad", "Ann", "2000", ",\"banned\":true")));
    (void)snprintf(condition, sizeof condition,
                   "SELECT suspended_at IS NOT NULL AND deleted_at IS NULL AND NOT EXISTS (SELECT 1"
                   " FROM api_keys WHERE user_id = '%s' AND revoked_at IS NULL)"
                   " FROM users WHERE id = '%s'",
                   user.id, user.id);
    expect(stage, condition);
    turn_until_true(stage->accounts->loop, heard_something, stage);
    /* Its end is for an administrator to say. */
    take(stage, "msg_b3",
         USER_EVENT("user.updated", USER_DATA("user_bad", "Ann", "3000", ",\"banned\":false")));
    expect(stage, condition);
}

static void an_ended_session_is_told_to_the_gateways(void **state)
{
    struct stage *stage = *state;
    const char *body = "{\"type\":\"session.revoked\",\"data\":{\"id\":\"sess_1\"}}";
    stage->heard = 0;
    take(stage, "msg_s1", body);
    turn_until_true(stage->accounts->loop, heard_something, stage);
    assert_string_equal(stage->messages[0], "session sess_1");
    take(stage, "msg_s1", body); /* again does no harm */
}

/* Each effect once, however often the webhook comes. */
static void effects_are_in_the_trail(void **state)
{
    struct stage *stage = *state;
    static const char ended[] =
        USER_EVENT("session.revoked", "{\"id\":\"sess_told\",\"user_id\":\"user_told\"}");
    for (int i = 0; i < 2; i++) {
        take(stage, "told_1",
             USER_EVENT("user.created", USER_DATA("user_told", "Ann", "1000", "")));
        take(stage, "told_2",
             USER_EVENT("user.updated", USER_DATA("user_told", "Bea", "2000", "")));
        take(stage, "told_3",
             USER_EVENT("user.updated", USER_DATA("user_told", "Bea", "3000", ",\"banned\":true")));
        take(stage, i == 0 ? "told_4" : "told_5", ended);
        take(stage, "told_6", DELETED("user_told"));
    }
    drain(stage);
    postgres_expect(stage->accounts->postgres,
                    "SELECT string_agg(concat_ws(' ', a.action, a.result, a.detail ->> 'by'), '; '"
                    " ORDER BY a.id) FROM audit_log a JOIN audit_log d ON d.action ="
                    " 'user.deleted' AND d.target = a.target WHERE d.id = (SELECT max(id) FROM"
                    " audit_log WHERE action = 'user.deleted')",
                    "user.created ok webhook; user.updated ok webhook; "
                    "user.suspended ok webhook; user.deleted ok webhook");
    postgres_expect(stage->accounts->postgres,
                    "SELECT string_agg(concat_ws(' ', result, target_kind, target), '; ')"
                    " FROM audit_log WHERE action = 'session.ended' AND target = 'sess_told'",
                    "ok session sess_told");
}

static void without_room_in_the_trail_a_webhook_comes_again(void **state)
{
    struct stage *stage = *state;
    static struct audit_act *acts[AUDIT_ACTS_MAX];
    struct err err = {0};
    drain(stage);
    for (size_t i = 0; i < AUDIT_ACTS_MAX; i++) {
        acts[i] = audit_act_begin(stage->audit, &err);
        assert_non_null(acts[i]);
    }
    const struct answer answer = receive(stage, "full_1", DELETED("user_of_no_room"));
    assert_string_equal(answer.err.reason, "audit_unavailable");
    for (size_t i = 0; i < AUDIT_ACTS_MAX; i++) {
        audit_act_cancel(acts[i]);
    }
    take(stage, "full_1", DELETED("user_of_no_room"));
}

static void an_unknown_event_is_taken_and_does_nothing(void **state)
{
    struct stage *stage = *state;
    take(stage, "msg_u", "{\"type\":\"organization.created\",\"data\":{\"id\":\"org_1\"}}");
    take(stage, "msg_u", "{\"type\":\"organization.created\",\"data\":{\"id\":\"org_1\"}}");
}

static void a_session_that_could_not_be_noted_is_asked_for_again(void **state)
{
    struct stage *stage = *state;
    redis_server_kill(stage->accounts->redis_server);
    const struct answer answer =
        receive(stage, "msg_r", "{\"type\":\"session.ended\",\"data\":{\"id\":\"sess_2\"}}");
    assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
    redis_server_start_again(stage->accounts->redis_server);
}

static void a_forged_webhook_is_refused(void **state)
{
    struct stage *stage = *state;
    struct answer answer = {0};
    const struct svix_message message = {.id = VIEW("msg_f"),
                                         .timestamp = VIEW("1"),
                                         .signature = VIEW("v1,"),
                                         .body = VIEW(DELETED("user_new"))};
    assert_false(webhook_receive(stage->webhooks, &message, &trace_none, ACCOUNTS_TIMEOUT_MS,
                                 on_done, &answer, &answer.err));
    assert_string_equal(answer.err.reason, "webhook_refused");
}

static void without_a_secret_it_says_what_to_set(void **state)
{
    struct stage *stage = *state;
    struct answer answer = {0};
    struct webhooks_options options = {.issuer = "", .secrets = "", .instance = ""};
    struct webhooks *webhooks = webhooks_open(&options, &answer.err);
    const struct svix_message message = {.id = VIEW("msg")};
    (void)stage;
    assert_non_null(webhooks);
    assert_false(webhook_receive(webhooks, &message, &trace_none, ACCOUNTS_TIMEOUT_MS, on_done,
                                 &answer, &answer.err));
    assert_string_equal(answer.err.reason, "webhooks_not_configured");
    webhooks_close(webhooks);

    options.secrets = SECRET; /* but of whom? */
    assert_null(webhooks_open(&options, &answer.err));
    assert_int_equal(answer.err.code, ERR_INVALID);
    options.issuer = ISSUER;
    options.secrets = "nonsense";
    assert_null(webhooks_open(&options, &answer.err));
    assert_non_null(strstr(answer.err.message, "CLERK_WEBHOOK_SIGNING_SECRET"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_user_has_a_row_with_what_clerk_says),
        cmocka_unit_test(a_repeat_changes_nothing),
        cmocka_unit_test(many_at_once_have_one_effect),
        cmocka_unit_test(what_is_older_than_what_we_hold_is_left),
        cmocka_unit_test(a_deleted_user_has_nothing_left),
        cmocka_unit_test(what_comes_behind_a_deletion_is_left),
        cmocka_unit_test(a_banned_user_is_suspended_and_their_keys_are_revoked),
        cmocka_unit_test(an_ended_session_is_told_to_the_gateways),
        cmocka_unit_test(effects_are_in_the_trail),
        cmocka_unit_test(without_room_in_the_trail_a_webhook_comes_again),
        cmocka_unit_test(an_unknown_event_is_taken_and_does_nothing),
        cmocka_unit_test(a_forged_webhook_is_refused),
        cmocka_unit_test(without_a_secret_it_says_what_to_set),
        cmocka_unit_test(a_session_that_could_not_be_noted_is_asked_for_again),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
