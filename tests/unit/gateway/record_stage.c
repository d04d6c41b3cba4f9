#include "tests/unit/gateway/record_stage.h"

#include "common/base/encode.h"
#include "common/contracts/audit.h"
#include "common/ipc/client.h"
#include "common/ipc/server.h"
#include "tests/support/turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

enum { SALTS_MAX = 1024 * 1024 };

static void note_actor(struct record_stage *stage, const struct audit_record *record)
{
    stage->actor = actor_none;
    memcpy(stage->actor.user_id, record->actor_user, ID_SIZE);
    memcpy(stage->actor.api_key_id, record->actor_key, ID_SIZE);
    memcpy(stage->actor.address, record->address, sizeof record->address);
    memcpy(stage->actor.impersonator, record->impersonator, sizeof record->impersonator);
    memcpy(stage->actor.user_agent, record->user_agent, sizeof record->user_agent);
    memcpy(stage->request_id, record->request_id, sizeof record->request_id);
}

static void hear(struct record_stage *stage, const struct audit_item_read *item)
{
    char salt[ENCODE_HEX_SIZE(AUDIT_SALT_BYTES)];
    encode_hex(item->salt, sizeof item->salt, salt);
    if (stage->salts.data != NULL && strstr(stage->salts.data, salt) != NULL) {
        stage->repeats++;
        return;
    }
    str_append_string(&stage->salts, salt);
    str_appendf(&stage->told, "%s %s %s %s\n", audit_action_name(item->record.action),
                audit_result_name(item->record.result), item->record.target, item->record.detail);
    stage->records++;
    note_actor(stage, &item->record);
}

static void serve(struct ipc_exchange *exchange, const struct ipc_request *request, void *arg)
{
    struct record_stage *stage = arg;
    struct audit_append body;
    struct err err = {0};
    struct json_doc *doc = json_read(request->body, &audit_append_schema, &body, NULL, &err);
    assert_non_null(doc);
    assert_true(view_equal(body.service, VIEW("gateway")));
    stage->batches++;
    for (size_t i = 0; i < body.records.count && !stage->refuses; i++) {
        struct audit_item_read item;
        assert_true(audit_item_read(body.records.items[i], &item, &err));
        hear(stage, &item);
    }
    json_doc_free(doc);
    if (stage->loses_answers || stage->refuses) {
        err_set(&err, stage->refuses ? ERR_INTERNAL : ERR_UNAVAILABLE, "no database");
        ipc_reply_error(exchange, &err);
        return;
    }
    ipc_reply_ok(exchange, VIEW("{}"));
}

static const struct ipc_method methods[] = {{AUDIT_APPEND, serve}};

static void write_url(const struct record_stage *stage, char out[FOLDER_PATH_SIZE + 32])
{
    (void)snprintf(out, FOLDER_PATH_SIZE + 32, "ipc://%s/audit.sock", stage->folder);
}

static bool is_connected(void *arg)
{
    const struct record_stage *stage = arg;
    return ipc_client_is_connected(stage->client);
}

void record_stage_serve(struct record_stage *stage)
{
    struct err err = {0};
    char url[FOLDER_PATH_SIZE + 32];
    write_url(stage, url);
    stage->server = ipc_server_open(stage->loop, url, (uid_t)-1, methods, 1, stage, &err);
    assert_non_null(stage->server);
    turn_until_true(stage->loop, is_connected, stage);
}

static bool is_away(void *arg)
{
    return !is_connected(arg);
}

void record_stage_stop_serving(struct record_stage *stage)
{
    ipc_server_close(stage->server);
    stage->server = NULL;
    turn_until_true(stage->loop, is_away, stage);
}

void record_stage_open(struct record_stage *stage, struct loop *loop, enum recorder_scope scope)
{
    struct err err = {0};
    char url[FOLDER_PATH_SIZE + 32];
    *stage = (struct record_stage){
        .loop = loop, .told = STR_INIT(RECORD_TOLD_MAX), .salts = STR_INIT(SALTS_MAX)};
    folder_make(stage->folder);
    write_url(stage, url);
    stage->client = ipc_client_open(loop, url, "auth-service", &err);
    assert_non_null(stage->client);
    record_stage_serve(stage);
    stage->recorder = recorder_open(loop, stage->client, scope, &err);
    assert_non_null(stage->recorder);
}

void record_stage_close(struct record_stage *stage)
{
    recorder_close(stage->recorder);
    ipc_client_close(stage->client);
    ipc_server_close(stage->server);
    folder_remove(stage->folder);
    str_free(&stage->told);
    str_free(&stage->salts);
}

static void on_drained(void *arg)
{
    *(bool *)arg = true;
}

void record_stage_expect(struct record_stage *stage, const char *told)
{
    bool drained = false;
    recorder_drain(stage->recorder, on_drained, &drained);
    turn_until(stage->loop, &drained);
    assert_string_equal(stage->told.data == NULL ? "" : stage->told.data, told);
    str_clear(&stage->told);
}
