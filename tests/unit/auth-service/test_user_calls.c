/* auth-service/user_calls.c over IPC, and eraser.c: accounts as their users see, change and end
 * them, and the audit trail as it is read. */
#include "auth-service/service.h"
#include "auth-service/users/eraser.h"
#include "common/audit/writer.h"
#include "common/contracts/users.h"
#include "common/ipc/client.h"
#include "tests/support/folder.h"
#include "tests/unit/auth-service/accounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#define ISSUER "https://issuer.example"
#define ADMIN "99999999-9999-4999-8999-999999999999"
#define SANDBOX "aaaaaaaa-aaaa-4aaa-8aaa-000000000001"

enum { URL_SIZE = FOLDER_PATH_SIZE + 32, TEXT_SIZE = 4096 };

struct stage {
    struct accounts *accounts;
    struct audit_writer *audit;
    struct service *service;
    struct ipc_client *client;
    char folder[FOLDER_PATH_SIZE];
};

struct answer {
    bool done;
    struct err err;
    char body[TEXT_SIZE];
};

static bool is_connected(void *arg)
{
    const struct stage *stage = arg;
    return ipc_client_is_connected(stage->client);
}

static int set_up(void **state)
{
    static struct stage stage;
    struct err err = {0};
    char url[URL_SIZE];
    void *accounts;
    (void)accounts_set_up(&accounts);
    stage = (struct stage){.accounts = accounts};
    stage.audit = audit_writer_open(stage.accounts->loop, stage.accounts->pg, "test", &err);
    assert_non_null(stage.audit);
    const struct service_parts parts = {.loop = stage.accounts->loop,
                                        .pg = stage.accounts->pg,
                                        .lists = stage.accounts->pg,
                                        .redis = stage.accounts->redis,
                                        .workers = stage.accounts->workers,
                                        .audit = stage.audit,
                                        .checker = stage.accounts->checker,
                                        .revoker = stage.accounts->revoker};
    folder_make(stage.folder);
    (void)snprintf(url, sizeof url, "ipc://%s/auth.sock", stage.folder);
    stage.service = service_open(&parts, url, NULL, &err);
    assert_non_null(stage.service);
    stage.client = ipc_client_open(stage.accounts->loop, url, "auth-service", &err);
    assert_non_null(stage.client);
    turn_until_true(stage.accounts->loop, is_connected, &stage);
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
    drain(stage);
    ipc_client_close(stage->client);
    service_close(stage->service);
    audit_writer_close(stage->audit);
    service_free(stage->service);
    folder_remove(stage->folder);
    return accounts_tear_down(&accounts);
}

static void on_reply(const struct view *body, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    if (err != NULL) {
        answer->err = *err;
    } else if (!view_copy(*body, answer->body, sizeof answer->body)) {
        answer->body[0] = '\0';
    }
}

static struct answer ask(struct stage *stage, const char *method, const char *format, ...)
    PRINTF_LIKE(3, 4);

static struct answer ask(struct stage *stage, const char *method, const char *format, ...)
{
    static const struct trace trace = {.request_id = "r-7"};
    struct answer answer = {0};
    struct err err = {0};
    char body[TEXT_SIZE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(body, sizeof body, format, args);
    va_end(args);
    const struct ipc_call_options options = {
        .method = method, .trace = &trace, .timeout_ms = ACCOUNTS_TIMEOUT_MS};
    assert_non_null(
        ipc_call_begin(stage->client, &options, view_of(body), on_reply, &answer, &err));
    turn_until(stage->accounts->loop, &answer.done);
    return answer;
}

static void expect_body(const struct answer *answer, const char *part)
{
    if (answer->err.code != ERR_NONE || strstr(answer->body, part) == NULL) {
        fail_msg("%s is not in %s%s", part, answer->body, answer->err.message);
    }
}

static void expect_refusal(const struct answer *answer, enum err_code code, const char *reason)
{
    if (answer->err.code != code || strcmp(answer->err.reason, reason) != 0) {
        fail_msg("%s: %s", answer->err.reason, answer->err.message);
    }
}

/* The first column of the one row that the statement gives. */
static void expect_sql(struct stage *stage, const char *expected, const char *format, ...)
    PRINTF_LIKE(3, 4);

static void expect_sql(struct stage *stage, const char *expected, const char *format, ...)
{
    char sql[TEXT_SIZE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    drain(stage);
    PGconn *pg = PQconnectdb(postgres_url(stage->accounts->postgres));
    PGresult *result = PQexec(pg, sql);
    if (PQntuples(result) != 1 || strcmp(PQgetvalue(result, 0, 0), expected) != 0) {
        fail_msg("%s: \"%s\" %s", sql, PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "",
                 PQerrorMessage(pg));
    }
    PQclear(result);
    PQfinish(pg);
}

static void run_sql(const struct stage *stage, const char *format, ...) PRINTF_LIKE(2, 3);

static void run_sql(const struct stage *stage, const char *format, ...)
{
    char sql[TEXT_SIZE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    postgres_run(stage->accounts->postgres, sql);
}

static void new_user(struct stage *stage, const char *subject, struct user *user)
{
    accounts_user_of(stage->accounts, ISSUER, subject, user);
}

/* A record with an address. actor and target_kind may be "". */
static void record(const struct stage *stage, const char *action, const char *actor,
                   const char *target_kind, const char *target)
{
    run_sql(stage,
            "WITH salt AS (SELECT sha256(random()::text::bytea) AS s), added AS ("
            " INSERT INTO audit_log (action, result, actor_user, target_kind, target, service,"
            " personal_digest) SELECT '%s', 'ok', nullif('%s', '')::uuid, nullif('%s', ''),"
            " nullif('%s', ''), 'test', s FROM salt RETURNING id)"
            " INSERT INTO audit_personal (audit_id, salt, address) SELECT id, s, '192.0.2.1'"
            " FROM added, salt",
            action, actor, target_kind, target);
}

static struct answer get(struct stage *stage, const struct user *user)
{
    return ask(stage, AUTH_GET_USER, "{\"userId\":\"%s\"}", user->id);
}

static void a_user_sees_the_own_account(void **state)
{
    struct stage *stage = *state;
    struct user user;
    new_user(stage, "sees", &user);
    run_sql(stage, "UPDATE users SET email = 'a@b.example', tier = 'pro' WHERE id = '%s'", user.id);
    struct answer answer = get(stage, &user);
    expect_body(&answer, user.id);
    expect_body(&answer, "\"email\":\"a@b.example\",\"tier\":\"pro\",\"role\":\"user\"");
    answer = ask(stage, AUTH_GET_USER, "{\"userId\":\"" ADMIN "\"}");
    expect_refusal(&answer, ERR_UNAUTHENTICATED, "invalid_api_key");
}

static void what_is_chosen_here_goes_before_what_the_issuer_says(void **state)
{
    struct stage *stage = *state;
    struct user user;
    new_user(stage, "chooses", &user);
    run_sql(stage, "SELECT user_set_profile('%s', NULL, 'Issued', NULL, now(), false)", user.id);
    struct answer answer = ask(stage, AUTH_UPDATE_USER,
                               "{\"userId\":\"%s\",\"setsDisplayName\":true,\"setsAvatarUrl\":true,"
                               "\"displayName\":\"Chosen\",\"avatarUrl\":\"https://a.example/p\"}",
                               user.id);
    expect_body(&answer, "\"displayName\":\"Chosen\",\"avatarUrl\":\"https://a.example/p\"");
    run_sql(stage,
            "SELECT user_set_profile('%s', NULL, 'Later', 'https://i.example/', now(), false)",
            user.id);
    answer = get(stage, &user);
    expect_body(&answer, "\"displayName\":\"Chosen\",\"avatarUrl\":\"https://a.example/p\"");
    answer = ask(stage, AUTH_UPDATE_USER, "{\"userId\":\"%s\",\"setsAvatarUrl\":true}", user.id);
    expect_body(&answer, "\"displayName\":\"Chosen\",\"avatarUrl\":\"https://i.example/\"");
    answer = ask(stage, AUTH_UPDATE_USER, "{\"userId\":\"%s\",\"setsDisplayName\":true}", user.id);
    expect_body(&answer, "\"displayName\":\"Later\"");
}

static void a_change_is_recorded_without_what_was_chosen(void **state)
{
    struct stage *stage = *state;
    struct user user;
    new_user(stage, "recorded", &user);
    struct answer answer =
        ask(stage, AUTH_UPDATE_USER,
            "{\"userId\":\"%s\",\"setsDisplayName\":true,\"displayName\":\"Secret\"}", user.id);
    expect_body(&answer, "Secret");
    expect_sql(stage, "user.updated ok user r-7 {\"fields\": \"displayName\"}",
               "SELECT concat_ws(' ', action, result, target_kind, request_id, detail)"
               " FROM audit_log WHERE actor_user = '%s' AND target = '%s'",
               user.id, user.id);
}

static void who_does_not_serve_changes_nothing(void **state)
{
    struct stage *stage = *state;
    struct user user;
    struct issued_key key;
    new_user(stage, "refused", &user);
    accounts_issue(stage->accounts, user.id, &key);
    run_sql(stage, "UPDATE api_keys SET revoked_at = now() WHERE id = '%s'", key.made.id);
    struct answer answer = ask(stage, AUTH_UPDATE_USER,
                               "{\"userId\":\"%s\",\"actorKeyId\":\"%s\",\"setsDisplayName\":true,"
                               "\"displayName\":\"X\"}",
                               user.id, key.made.id);
    expect_refusal(&answer, ERR_UNAUTHENTICATED, "invalid_api_key");
    answer = ask(stage, AUTH_DELETE_USER, "{\"userId\":\"%s\",\"actorKeyId\":\"%s\"}", user.id,
                 key.made.id);
    expect_refusal(&answer, ERR_UNAUTHENTICATED, "invalid_api_key");
    expect_sql(stage, "t",
               "SELECT deleted_at IS NULL AND chosen_name IS NULL FROM users"
               " WHERE id = '%s'",
               user.id);
}

static void a_key_that_a_key_made_ends_no_account(void **state)
{
    struct stage *stage = *state;
    struct user user;
    struct issued_key parent;
    struct issued_key child;
    new_user(stage, "parent", &user);
    accounts_issue(stage->accounts, user.id, &parent);
    const struct key_order order = {
        .user_id = user.id, .actor_key_id = parent.made.id, .name = VIEW("child")};
    accounts_issue_as(stage->accounts, &order, &child);
    struct answer answer = ask(stage, AUTH_DELETE_USER, "{\"userId\":\"%s\",\"actorKeyId\":\"%s\"}",
                               user.id, child.made.id);
    expect_refusal(&answer, ERR_DENIED, "child_key");
    expect_sql(stage, "2",
               "SELECT count(*) FROM api_keys WHERE user_id = '%s' AND revoked_at IS NULL",
               user.id);
    answer = ask(stage, AUTH_DELETE_USER, "{\"userId\":\"%s\",\"actorKeyId\":\"%s\"}", user.id,
                 parent.made.id);
    assert_int_equal(answer.err.code, ERR_NONE);
    expect_sql(stage, "0",
               "SELECT count(*) FROM api_keys WHERE user_id = '%s' AND revoked_at IS NULL",
               user.id);
}

static void insert_belongings(const struct stage *stage, const char *user_id)
{
    run_sql(
        stage,
        "INSERT INTO sandboxes (id, user_id, template, image, profile, tier, status, network,"
        " instance, node, memory_mb, cpu_milli, pids, lifetime_hours, expires_at, env, metadata)"
        " VALUES ('" SANDBOX "', '%s', 'base', 'image', 'locked', 'free', 'running', 'none',"
        " 'test', 'node-1', 512, 1000, 256, 2, now() + interval '1 hour', '{\"A\": \"b\"}',"
        " '{\"c\": \"d\"}');"
        "INSERT INTO idempotency (user_id, key_digest, request_digest, claim, claimed_until)"
        " VALUES ('%s', sha256('a'), sha256('b'), gen_random_uuid(), now())",
        user_id, user_id);
}

static void who_leaves_is_gone_and_nothing_personal_stays(void **state)
{
    struct stage *stage = *state;
    struct user user;
    struct issued_key key;
    struct accounts_check check;
    struct user_identity again = {.issuer = ISSUER, .subject = "leaves"};
    new_user(stage, "leaves", &user);
    accounts_issue(stage->accounts, user.id, &key);
    insert_belongings(stage, user.id);
    run_sql(stage,
            "UPDATE users SET email = 'a@b.example', display_name = 'A', avatar_url = 'https://a/',"
            " chosen_name = 'B', chosen_avatar_url = 'https://b/' WHERE id = '%s'",
            user.id);
    struct answer answer = ask(stage, AUTH_DELETE_USER, "{\"userId\":\"%s\"}", user.id);
    assert_int_equal(answer.err.code, ERR_NONE);
    accounts_check(stage->accounts, key.key, &check);
    assert_int_equal(check.err.code, ERR_UNAUTHENTICATED);
    answer = get(stage, &user);
    expect_refusal(&answer, ERR_UNAUTHENTICATED, "invalid_api_key");
    answer = ask(stage, AUTH_DELETE_USER, "{\"userId\":\"%s\"}", user.id);
    expect_refusal(&answer, ERR_UNAUTHENTICATED, "invalid_api_key");
    expect_sql(stage, "0",
               "SELECT num_nonnulls(email, display_name, avatar_url, chosen_name,"
               " chosen_avatar_url) FROM users WHERE id = '%s' AND deleted_at IS NOT NULL",
               user.id);
    expect_sql(stage, "0 0 {} {} 1",
               "SELECT concat_ws(' ', (SELECT count(name) FROM api_keys WHERE user_id = '%s'),"
               " (SELECT count(*) FROM idempotency WHERE user_id = '%s'), env, metadata,"
               " (SELECT count(*) FROM identity_tombstones WHERE subject = '%s'))"
               " FROM sandboxes WHERE id = '" SANDBOX "'",
               user.id, user.id, again.subject);
}

static bool is_erased(void *arg)
{
    const struct accounts *accounts = arg;
    PGconn *pg = PQconnectdb(postgres_url(accounts->postgres));
    PGresult *result =
        PQexec(pg, "SELECT 1 FROM users WHERE deleted_at IS NOT NULL AND erased_at IS NULL");
    bool none = PQntuples(result) == 0;
    PQclear(result);
    PQfinish(pg);
    return none;
}

/* More than are looked at in one go. */
static void add_ended_sandboxes(struct stage *stage, const char *user_id)
{
    run_sql(stage,
            "INSERT INTO sandboxes (id, user_id, template, image, profile, tier, status, network,"
            " instance, node, metadata, memory_mb, cpu_milli, pids, lifetime_hours, expires_at,"
            " end_reason, ended_at) SELECT gen_random_uuid(), '%s', 'base', 'x', 'sudo', 'free',"
            " 'destroyed', 'none', 'test', 'node-1', '{\"of\": \"mine\"}', 1, 1, 1, 1, now(),"
            " 'user', now() FROM generate_series(1, 2500)",
            user_id);
}

static void what_leads_to_who_left_is_erased_from_the_trail(void **state)
{
    struct stage *stage = *state;
    struct user user;
    struct user other;
    struct err err = {0};
    new_user(stage, "traced", &user);
    new_user(stage, "stays", &other);
    run_sql(stage,
            "WITH added AS (INSERT INTO audit_log (action, result, actor_user, service,"
            " personal_digest) SELECT 'exec', 'ok', '%s', 'test', sha256(('many' || i)::bytea)"
            " FROM generate_series(1, 4500) i RETURNING id, personal_digest)"
            " INSERT INTO audit_personal (audit_id, salt, address)"
            " SELECT id, personal_digest, '192.0.2.2' FROM added",
            user.id);
    record(stage, "key.created", other.id, "", "");
    add_ended_sandboxes(stage, user.id);
    add_ended_sandboxes(stage, other.id);
    struct answer answer = ask(stage, AUTH_DELETE_USER, "{\"userId\":\"%s\"}", user.id);
    assert_int_equal(answer.err.code, ERR_NONE);
    record(stage, "exec", user.id, "", ""); /* came late */
    struct eraser *eraser = eraser_open(stage->accounts->loop, stage->accounts->pg, &err);
    assert_non_null(eraser);
    turn_until_true(stage->accounts->loop, is_erased, stage->accounts);
    expect_sql(stage, "{} {} 2500",
               "SELECT concat_ws(' ', env, metadata, count(*)) FROM sandboxes"
               " WHERE user_id = '%s' GROUP BY env, metadata",
               user.id);
    expect_sql(stage, "2500",
               "SELECT count(*) FROM sandboxes WHERE user_id = '%s' AND metadata <> '{}'",
               other.id);
    turn_for(stage->accounts->loop, 50);
    eraser_close(eraser);
    expect_sql(stage, "4502 0",
               "SELECT count(*) || ' ' || count(p.audit_id) FROM audit_log l"
               " LEFT JOIN audit_personal p ON p.audit_id = l.id WHERE l.actor_user = '%s'",
               user.id);
    expect_sql(stage, "1",
               "SELECT count(*) FROM audit_log l JOIN audit_personal p ON p.audit_id = l.id"
               " WHERE l.actor_user = '%s'",
               other.id);
}

static struct answer list(struct stage *stage, const char *user_id, const char *more)
{
    return ask(stage, AUTH_LIST_AUDIT, "{\"userId\":\"%s\",\"limit\":50%s}", user_id, more);
}

static void expect_without(const struct answer *answer, const char *part)
{
    if (strstr(answer->body, part) != NULL) {
        fail_msg("%s is in %s", part, answer->body);
    }
}

static void a_user_reads_what_they_did_and_what_was_done_to_theirs(void **state)
{
    struct stage *stage = *state;
    struct user user;
    struct user other;
    struct issued_key key;
    new_user(stage, "reads", &user);
    new_user(stage, "read-not", &other);
    accounts_issue(stage->accounts, user.id, &key);
    run_sql(stage, "UPDATE sandboxes SET user_id = '%s' WHERE id = '" SANDBOX "'", user.id);
    record(stage, "file.written", user.id, "sandbox", SANDBOX);
    record(stage, "key.revoked", ADMIN, "api_key", key.made.id);
    record(stage, "sandbox.ended", "", "sandbox", SANDBOX);
    record(stage, "port.closed", "", "port", SANDBOX "/80");
    record(stage, "user.tier_set", ADMIN, "user", user.id);
    record(stage, "session.refused", "", "", "");
    record(stage, "token.made", other.id, "user", other.id);
    struct answer answer = list(stage, user.id, "");
    expect_body(&answer, "\"action\":\"file.written\",\"result\":\"ok\",\"actorUserId\":");
    expect_body(&answer, "\"target\":{\"kind\":\"sandbox\",\"id\":\"" SANDBOX
                         "\"},\"address\":\"192.0.2.1\"");
    expect_body(&answer, "\"action\":\"key.revoked\",\"result\":\"ok\",\"actorUserId\":\"" ADMIN);
    expect_body(&answer, "sandbox.ended");
    expect_body(&answer, "port.closed");
    expect_body(&answer, "user.tier_set");
    expect_without(&answer, "session.refused");
    expect_without(&answer, "token.made");
    /* The addresses of others are theirs. */
    answer = list(stage, user.id, ",\"action\":\"key.revoked\"");
    expect_body(&answer, "\"address\":null");
    answer = list(stage, user.id, ",\"action\":\"key.revoked\",\"isForAdmin\":true");
    expect_body(&answer, "\"address\":\"192.0.2.1\"");
}

static void read_cursor(const struct answer *answer, char out[64])
{
    struct auth_audit_page page;
    struct err err = {0};
    AUTO(json_doc_release)
    struct json_doc *doc =
        json_read(view_of(answer->body), &auth_audit_page_schema, &page, NULL, &err);
    assert_non_null(doc);
    assert_true(view_copy(page.next_cursor, out, 64));
}

static void pages_miss_nothing_and_repeat_nothing(void **state)
{
    struct stage *stage = *state;
    static const char *const pages[][2] = {
        {"\"user.updated\"", "\"port.closed\""},
        {"\"key.created\"", "\"token.made\""},
        {"\"exec\"", "\"exec\""},
    };
    struct user user;
    char cursor[64] = "";
    new_user(stage, "pages", &user);
    record(stage, "exec", user.id, "", "");
    record(stage, "token.made", "", "user", user.id);
    record(stage, "key.created", user.id, "", "");
    record(stage, "port.closed", "", "user", user.id);
    record(stage, "user.updated", user.id, "", "");
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        struct answer answer =
            ask(stage, AUTH_LIST_AUDIT, "{\"userId\":\"%s\",\"limit\":2,\"cursor\":\"%s\"}",
                user.id, cursor);
        expect_body(&answer, pages[i][0]);
        expect_body(&answer, pages[i][1]);
        read_cursor(&answer, cursor);
        record(stage, "file.written", user.id, "", ""); /* newer than where the pages began */
    }
    assert_string_equal(cursor, "");
}

static void a_list_is_narrowed(void **state)
{
    struct stage *stage = *state;
    struct user user;
    new_user(stage, "narrow", &user);
    record(stage, "exec", user.id, "sandbox", "one");
    record(stage, "token.made", user.id, "sandbox", "two");
    struct answer answer = list(stage, user.id, ",\"action\":\"exec\"");
    expect_body(&answer, "\"one\"");
    expect_without(&answer, "\"two\"");
    answer = list(stage, user.id, ",\"target\":\"two\"");
    expect_body(&answer, "\"two\"");
    expect_without(&answer, "\"one\"");
    answer = list(stage, user.id, ",\"sinceMs\":4102444800000");
    expect_body(&answer, "\"records\":[]");
    answer = list(stage, user.id, ",\"untilMs\":1000");
    expect_body(&answer, "\"records\":[]");
    answer = list(stage, user.id, ",\"sinceMs\":1000,\"untilMs\":4102444800000");
    expect_body(&answer, "\"one\"");
}

static void an_administrator_reads_all_of_it(void **state)
{
    struct stage *stage = *state;
    record(stage, "session.refused", "", "thing", "nobodys");
    record(stage, "exec", ADMIN, "thing", "somebodys");
    struct answer answer = ask(stage, AUTH_LIST_AUDIT, "{\"isForAdmin\":true,\"limit\":2}");
    expect_body(&answer, "nobodys");
    expect_body(&answer, "somebodys");
    answer =
        ask(stage, AUTH_LIST_AUDIT, "{\"isForAdmin\":true,\"limit\":2,\"target\":\"nobodys\"}");
    expect_body(&answer, "session.refused");
    expect_without(&answer, "exec");
    answer = ask(stage, AUTH_LIST_AUDIT,
                 "{\"isForAdmin\":true,\"limit\":2,\"target\":\"nobodys\",\"action\":\"exec\"}");
    expect_body(&answer, "\"records\":[]");
}

static void a_look_at_what_others_did_is_recorded(void **state)
{
    struct stage *stage = *state;
    struct user user;
    new_user(stage, "watched", &user);
    struct answer answer = list(stage, user.id, "");
    assert_int_equal(answer.err.code, ERR_NONE);
    expect_sql(stage, "0",
               "SELECT count(*) FROM audit_log WHERE action = 'trail.read' AND target = '%s'",
               user.id);
    answer = list(stage, user.id, ",\"isForAdmin\":true");
    assert_int_equal(answer.err.code, ERR_NONE);
    expect_sql(stage, "ok user r-7",
               "SELECT concat_ws(' ', result, target_kind, request_id) FROM audit_log"
               " WHERE action = 'trail.read' AND target = '%s'",
               user.id);
    answer = list(stage, user.id, ""); /* who is looked at sees it */
    expect_body(&answer, "\"action\":\"trail.read\"");
}

static void cursors_of_others_are_refused(void **state)
{
    static const char *const cursors[] = {"x", "MA", "LTE", "MTIzeA", "OTk5OTk5OTk5OTk5OTk5OTk5OQ"};
    for (size_t i = 0; i < sizeof cursors / sizeof cursors[0]; i++) {
        struct answer answer =
            ask(*state, AUTH_LIST_AUDIT, "{\"limit\":2,\"cursor\":\"%s\"}", cursors[i]);
        expect_refusal(&answer, ERR_INVALID, "invalid_cursor");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_user_sees_the_own_account),
        cmocka_unit_test(what_is_chosen_here_goes_before_what_the_issuer_says),
        cmocka_unit_test(a_change_is_recorded_without_what_was_chosen),
        cmocka_unit_test(who_does_not_serve_changes_nothing),
        cmocka_unit_test(a_key_that_a_key_made_ends_no_account),
        cmocka_unit_test(who_leaves_is_gone_and_nothing_personal_stays),
        cmocka_unit_test(what_leads_to_who_left_is_erased_from_the_trail),
        cmocka_unit_test(a_user_reads_what_they_did_and_what_was_done_to_theirs),
        cmocka_unit_test(pages_miss_nothing_and_repeat_nothing),
        cmocka_unit_test(a_list_is_narrowed),
        cmocka_unit_test(an_administrator_reads_all_of_it),
        cmocka_unit_test(a_look_at_what_others_did_is_recorded),
        cmocka_unit_test(cursors_of_others_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
