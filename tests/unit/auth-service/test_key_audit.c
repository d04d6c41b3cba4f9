/* auth-service/session_calls.c and key_calls.c over IPC, and command.c: who came and what is done
 * with API keys is in the audit trail. */
#include "auth-service/command.h"
#include "auth-service/service.h"
#include "common/audit/writer.h"
#include "common/contracts/audit.h"
#include "common/ipc/client.h"
#include "common/json/write.h"
#include "tests/support/folder.h"
#include "tests/unit/auth-service/accounts.h"
#include "tests/unit/auth-service/mint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#define USER_ID "11111111-1111-4111-8111-111111111111"
#define ISSUER "https://issuer.example"

enum { URL_SIZE = FOLDER_PATH_SIZE + 32, TEXT_SIZE = 512, BODY_MAX = 64 * 1024 };

static const char unknown_id[ID_SIZE] = "00000000-0000-4000-8000-000000000000";

struct stage {
    struct accounts *accounts;
    struct mint_key *mint;
    struct clerk_settings clerk;
    struct sessions *sessions;
    struct audit_writer *audit;
    struct service *service;
    struct ipc_client *client;
    char folder[FOLDER_PATH_SIZE];
};

struct answer {
    bool done;
    struct err err;
    char id[ID_SIZE]; /* of a key that was made, or of the session's user */
};

static bool is_connected(void *arg)
{
    const struct stage *stage = arg;
    return ipc_client_is_connected(stage->client);
}

static void open_service(struct stage *stage)
{
    struct accounts *accounts = stage->accounts;
    struct err err = {0};
    char url[URL_SIZE];
    const struct service_parts parts = {.loop = accounts->loop,
                                        .pg = accounts->pg,
                                        .lists = accounts->pg,
                                        .redis = accounts->redis,
                                        .workers = accounts->workers,
                                        .instance = ACCOUNTS_INSTANCE,
                                        .audit = stage->audit,
                                        .sessions = stage->sessions,
                                        .checker = accounts->checker,
                                        .revoker = accounts->revoker};
    folder_make(stage->folder);
    (void)snprintf(url, sizeof url, "ipc://%s/auth.sock", stage->folder);
    stage->service = service_open(&parts, url, NULL, &err);
    assert_non_null(stage->service);
    stage->client = ipc_client_open(accounts->loop, url, "auth-service", &err);
    assert_non_null(stage->client);
    turn_until_true(accounts->loop, is_connected, stage);
}

static void open_sessions(struct stage *stage)
{
    struct err err = {0};
    const struct sessions_options options =
        accounts_session_options(stage->accounts, &stage->clerk);
    stage->sessions = sessions_open(&options, &err);
    assert_non_null(stage->sessions);
}

static void restart_service(struct stage *stage)
{
    ipc_client_close(stage->client);
    service_close(stage->service);
    service_free(stage->service);
    sessions_close(stage->sessions);
    folder_remove(stage->folder);
    open_sessions(stage);
    open_service(stage);
}

static void on_pong(const redisReply *reply, const struct err *err, void *arg)
{
    (void)reply;
    assert_null(err);
    *(bool *)arg = true;
}

/* What was sent to it before has been answered. */
static void wait_for_redis(const struct stage *stage)
{
    static const struct view ping[] = {VIEW("PING")};
    bool done = false;
    struct err err = {0};
    assert_true(
        redis_send(stage->accounts->redis, ping, 1, ACCOUNTS_TIMEOUT_MS, on_pong, &done, &err));
    turn_until(stage->accounts->loop, &done);
}

static int set_up(void **state)
{
    static struct stage stage;
    struct err err = {0};
    void *accounts;
    (void)accounts_set_up(&accounts);
    stage = (struct stage){.accounts = accounts, .mint = mint_key_new(2048)};
    stage.clerk = (struct clerk_settings){.issuer = ISSUER, .clock_skew_s = 5};
    mint_pem(stage.mint, stage.clerk.jwt_key);
    open_sessions(&stage);
    stage.audit = audit_writer_open(stage.accounts->loop, stage.accounts->pg, "test", &err);
    assert_non_null(stage.audit);
    open_service(&stage);
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
    sessions_close(stage->sessions);
    audit_writer_close(stage->audit);
    service_free(stage->service);
    folder_remove(stage->folder);
    mint_key_free(stage->mint);
    return accounts_tear_down(&accounts);
}

static void make_token(const struct stage *stage, const char *subject, char out[MINT_TOKEN_SIZE])
{
    char payload[TEXT_SIZE];
    (void)snprintf(payload, sizeof payload,
                   "{\"sub\":\"%s\",\"sid\":\"sess_%s\",\"iss\":\"" ISSUER "\",\"exp\":4102444800}",
                   subject, subject);
    mint_token(stage->mint, "{\"alg\":\"RS256\"}", payload, out);
}

static void read_id(struct view body, char out[ID_SIZE])
{
    struct auth_new_key key;
    struct auth_identity identity;
    struct err ignored;
    struct json_doc *doc = json_read(body, &auth_new_key_schema, &key, NULL, &ignored);
    if (doc != NULL) {
        memcpy(out, key.id, ID_SIZE);
    } else {
        doc = json_read(body, &auth_identity_schema, &identity, NULL, &ignored);
        memcpy(out, doc == NULL ? "" : identity.user_id, doc == NULL ? 1 : ID_SIZE);
    }
    json_doc_free(doc);
}

static void on_reply(const struct view *body, const struct err *err, void *arg)
{
    struct answer *answer = arg;
    answer->done = true;
    if (err != NULL) {
        answer->err = *err;
        return;
    }
    read_id(*body, answer->id);
}

static struct answer ask(struct stage *stage, const char *method, const struct json_schema *schema,
                         const void *message)
{
    static const struct trace trace = {.request_id = "r-7"};
    struct answer answer = {0};
    struct err err = {0};
    struct str body = STR_INIT(BODY_MAX);
    struct json_writer writer = json_writer_on(&body);
    json_begin_object(&writer, NULL);
    json_struct(&writer, schema, message);
    json_end_object(&writer);
    static const struct actor actor = {.address = "192.0.2.7", .user_agent = "tester/1"};
    const struct ipc_call_options options = {
        .method = method, .trace = &trace, .actor = &actor, .timeout_ms = ACCOUNTS_TIMEOUT_MS};
    assert_non_null(
        ipc_call_begin(stage->client, &options, str_view(&body), on_reply, &answer, &err));
    turn_until(stage->accounts->loop, &answer.done);
    str_free(&body);
    return answer;
}

static struct answer check_session(struct stage *stage, const char *token)
{
    const struct auth_check_session message = {.token = view_of(token)};
    return ask(stage, AUTH_CHECK_SESSION, &auth_check_session_schema, &message);
}

/* actor_key_id is "" for a session. */
static struct answer create_key(struct stage *stage, const char *user_id, const char *actor_key_id)
{
    struct auth_create_key message = {.name = VIEW("n")};
    memcpy(message.user_id, user_id, ID_SIZE);
    (void)snprintf(message.actor_key_id, ID_SIZE, "%s", actor_key_id);
    return ask(stage, AUTH_CREATE_KEY, &auth_create_key_schema, &message);
}

static struct answer rotate_key(struct stage *stage, const char *user_id, const char *id)
{
    struct auth_rotate_key message = {.overlap_s = 60};
    memcpy(message.user_id, user_id, ID_SIZE);
    memcpy(message.id, id, ID_SIZE);
    return ask(stage, AUTH_ROTATE_KEY, &auth_rotate_key_schema, &message);
}

static struct answer revoke_key(struct stage *stage, const char *user_id, const char *id)
{
    struct auth_revoke_key message = {0};
    memcpy(message.user_id, user_id, ID_SIZE);
    memcpy(message.id, id, ID_SIZE);
    return ask(stage, AUTH_REVOKE_KEY, &auth_revoke_key_schema, &message);
}

/* The first column of the one row that the statement gives. */
static void expect(struct stage *stage, const char *sql, const char *expected)
{
    wait_for_redis(stage);
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

static void a_key_made_and_revoked_is_in_the_trail_with_its_user(void **state)
{
    struct stage *stage = *state;
    char token[MINT_TOKEN_SIZE];
    char sql[TEXT_SIZE];
    make_token(stage, "user_keys", token);
    struct answer user = check_session(stage, token);
    assert_int_equal(user.err.code, ERR_NONE);
    struct answer made = create_key(stage, user.id, "");
    assert_int_equal(made.err.code, ERR_NONE);
    assert_int_equal(revoke_key(stage, user.id, made.id).err.code, ERR_NONE);
    assert_int_equal(revoke_key(stage, user.id, unknown_id).err.code, ERR_NOT_FOUND);
    (void)snprintf(sql, sizeof sql,
                   "SELECT string_agg(concat_ws(' ', action, result, target_kind,"
                   " CASE target WHEN actor_user::text THEN 'self' WHEN '%s' THEN 'made'"
                   " ELSE target END, request_id, detail), '; ' ORDER BY a.id)"
                   " FROM audit_log a JOIN identities i ON i.user_id = actor_user"
                   " WHERE i.subject = 'user_keys'",
                   made.id);
    expect(stage, sql,
           "user.created ok user self r-7; session.started ok session sess_user_keys r-7; "
           "key.created ok api_key made r-7; "
           "key.revoked ok api_key made r-7; "
           "key.revoked refused api_key 00000000-0000-4000-8000-000000000000 r-7 "
           "{\"reason\": \"api_key_not_found\"}");
}

static void a_key_made_by_a_key_or_in_the_place_of_one_tells_so(void **state)
{
    struct stage *stage = *state;
    char token[MINT_TOKEN_SIZE];
    char sql[TEXT_SIZE];
    make_token(stage, "user_rotates", token);
    struct answer user = check_session(stage, token);
    struct answer parent = create_key(stage, user.id, "");
    struct answer child = create_key(stage, user.id, parent.id);
    struct answer next = rotate_key(stage, user.id, child.id);
    assert_int_equal(next.err.code, ERR_NONE);
    (void)snprintf(sql, sizeof sql,
                   "SELECT string_agg(concat_ws(' ', action, CASE actor_key WHEN '%s' THEN 'parent'"
                   " END, CASE target WHEN '%s' THEN 'child' END, CASE detail ->> 'newId'"
                   " WHEN '%s' THEN 'next' END), '; ' ORDER BY a.id)"
                   " FROM audit_log a JOIN identities i ON i.user_id = actor_user"
                   " WHERE i.subject = 'user_rotates' AND action LIKE 'key.%%'",
                   parent.id, child.id, next.id);
    expect(stage, sql, "key.created; key.created parent child; key.rotated child next");
}

/* Also when the service starts anew in between. */
static void a_session_is_told_once(void **state)
{
    struct stage *stage = *state;
    char token[MINT_TOKEN_SIZE];
    make_token(stage, "user_comes", token);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(check_session(stage, token).err.code, ERR_NONE);
        if (i == 1) {
            restart_service(stage);
        }
    }
    expect(stage,
           "SELECT string_agg(concat_ws(' ', result, actor_user = user_id, target_kind, target,"
           " address, user_agent), '; ') FROM audit_log a JOIN audit_personal ON a.id = audit_id"
           " JOIN identities ON user_id = actor_user"
           " WHERE subject = 'user_comes' AND action = 'session.started'",
           "ok t session sess_user_comes 192.0.2.7 tester/1");
}

static void a_refused_session_is_in_the_trail(void **state)
{
    struct stage *stage = *state;
    assert_int_equal(check_session(stage, "no.token.at-all").err.code, ERR_UNAUTHENTICATED);
    expect(stage,
           "SELECT concat_ws(' ', result, num_nonnulls(actor_user, target), request_id, detail)"
           " FROM audit_log WHERE action = 'session.refused'",
           "refused 0 r-7 {\"reason\": \"invalid_session\"}");
}

static void a_refused_key_is_in_the_trail_by_what_may_be_shown_of_it(void **state)
{
    struct stage *stage = *state;
    const struct auth_check_key message = {
        .key = VIEW("isk_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")};
    struct answer answer = ask(stage, AUTH_CHECK_KEY, &auth_check_key_schema, &message);
    assert_int_equal(answer.err.code, ERR_UNAUTHENTICATED);
    expect(stage,
           "SELECT concat_ws(' ', result, request_id, detail, address, user_agent) FROM audit_log"
           " JOIN audit_personal ON id = audit_id WHERE action = 'key.refused'",
           "refused r-7 {\"prefix\": \"isk_01234567\"} 192.0.2.7 tester/1");
}

static void records_of_a_gateway_are_stored_once(void **state)
{
    struct stage *stage = *state;
    static struct audit_record record = {
        .action = AUDIT_EXEC, .actor_user = USER_ID, .target = "t", .address = "192.0.2.9"};
    const uint8_t salts[2][AUDIT_SALT_BYTES] = {{1}, {2}};
    struct view texts[2];
    struct str records[2] = {STR_INIT(AUDIT_APPEND_RECORD_MAX), STR_INIT(AUDIT_APPEND_RECORD_MAX)};
    audit_record_set_detail(&record, "command", VIEW("ls \"x\""));
    for (int i = 0; i < 2; i++) {
        const struct audit_item item = {&record, salts[i], 60000};
        audit_item_write(&item, &records[i]);
        texts[i] = str_view(&records[i]);
    }
    const struct audit_append message = {VIEW("gateway"), {texts, 2}};
    for (int i = 0; i < 2; i++) {
        struct answer answer = ask(stage, AUDIT_APPEND, &audit_append_schema, &message);
        assert_int_equal(answer.err.code, ERR_NONE);
    }
    expect(stage,
           "SELECT string_agg(concat_ws(' ', action, result, actor_user, target, detail, address,"
           " now() - at BETWEEN interval '55 s' AND interval '90 s'), '; ' ORDER BY id)"
           " FROM audit_log JOIN audit_personal ON id = audit_id WHERE service = 'gateway'",
           "exec ok " USER_ID " t {\"command\": \"ls \\\"x\\\"\"} 192.0.2.9 t; "
           "exec ok " USER_ID " t {\"command\": \"ls \\\"x\\\"\"} 192.0.2.9 t");
    str_free(&records[0]);
    str_free(&records[1]);
}

static void what_is_no_record_is_refused(void **state)
{
    struct stage *stage = *state;
    static const char *const texts[] = {
        "{}", "[]", "{\"action\":\"a\",\"result\":\"ok\",\"ageMs\":0,\"salt\":\"00\"}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const struct view text = view_of(texts[i]);
        const struct audit_append message = {VIEW("gateway"), {&text, 1}};
        struct answer answer = ask(stage, AUDIT_APPEND, &audit_append_schema, &message);
        assert_int_equal(answer.err.code, ERR_INVALID);
    }
}

static void without_room_in_the_trail_nobody_comes_and_no_key_is_made(void **state)
{
    struct stage *stage = *state;
    static struct audit_act *acts[AUDIT_ACTS_MAX];
    char token[MINT_TOKEN_SIZE];
    struct err err = {0};
    make_token(stage, "user_with_room", token);
    struct answer user = check_session(stage, token);
    make_token(stage, "user_no_room", token);
    drain(stage);
    for (int i = 0; i < AUDIT_ACTS_MAX; i++) {
        acts[i] = audit_act_begin(stage->audit, &err);
        assert_non_null(acts[i]);
    }
    struct answer answer = check_session(stage, token);
    assert_int_equal(answer.err.code, ERR_UNAVAILABLE);
    assert_string_equal(answer.err.reason, "audit_unavailable");
    answer = create_key(stage, user.id, "");
    assert_string_equal(answer.err.reason, "audit_unavailable");
    for (int i = 0; i < AUDIT_ACTS_MAX; i++) {
        audit_act_cancel(acts[i]);
    }
    expect(stage, "SELECT count(*) FROM identities WHERE subject = 'user_no_room'", "0");
    assert_int_equal(check_session(stage, token).err.code, ERR_NONE);
    assert_int_equal(create_key(stage, user.id, "").err.code, ERR_NONE);
}

static void what_issue_key_does_is_in_the_trail(void **state)
{
    struct stage *stage = *state;
    static struct settings settings;
    struct err err = {0};
    const struct command command = {.email = "ann@b.example", .tier = "pro", .name = ""};
    (void)snprintf(settings.database_url, sizeof settings.database_url, "%s",
                   postgres_url(stage->accounts->postgres));
    assert_true(command_run(&command, &settings, &err));
    assert_true(command_run(&command, &settings, &err)); /* neither new nor of another tier */
    expect(
        stage,
        "SELECT string_agg(concat_ws(' ', action, result, target_kind, detail), '; ' ORDER BY id)"
        " FROM audit_log WHERE service = 'issue-key'",
        "user.created ok user; user.tier_set ok user {\"tier\": \"pro\"}; "
        "key.created ok api_key; key.created ok api_key");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_made_and_revoked_is_in_the_trail_with_its_user),
        cmocka_unit_test(a_key_made_by_a_key_or_in_the_place_of_one_tells_so),
        cmocka_unit_test(a_session_is_told_once),
        cmocka_unit_test(a_refused_session_is_in_the_trail),
        cmocka_unit_test(a_refused_key_is_in_the_trail_by_what_may_be_shown_of_it),
        cmocka_unit_test(records_of_a_gateway_are_stored_once),
        cmocka_unit_test(what_is_no_record_is_refused),
        cmocka_unit_test(what_issue_key_does_is_in_the_trail),
        cmocka_unit_test(without_room_in_the_trail_nobody_comes_and_no_key_is_made),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
