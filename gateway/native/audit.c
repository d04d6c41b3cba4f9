/* GET /api/audit: the audit trail for those it tells of, and for administrators. */
#include "common/audit/record.h"
#include "common/contracts/users.h"
#include "common/json/write.h"
#include "gateway/native/errors.h"
#include "gateway/native/parameters.h"
#include "gateway/native/routes.h"
#include "gateway/native/service.h"

enum {
    CALL_TIMEOUT_MS = 15 * 1000,
    ANSWER_MAX = 4 * 1024 * 1024,
    LIMIT_DEFAULT = 50,
    CURSOR_MAX = 256,
};

/* What is asked for; the texts that message points to. */
struct wish {
    struct auth_list_audit message;
    char action[AUDIT_WORD_MAX + 1];
    char target[AUDIT_WORD_MAX + 1];
    char cursor[CURSOR_MAX];
    bool all;
};

static void read_wish(struct parameters *parameters, struct wish *wish)
{
    struct auth_list_audit *message = &wish->message;
    enum audit_action ignored;
    parameter_text(parameters, "action", PARAMETER_OPTIONAL, wish->action, sizeof wish->action);
    parameter_text(parameters, "target", PARAMETER_OPTIONAL, wish->target, sizeof wish->target);
    parameter_text(parameters, "cursor", PARAMETER_OPTIONAL, wish->cursor, sizeof wish->cursor);
    parameter_id(parameters, "userId", message->user_id);
    wish->all = parameter_bool(parameters, "all", false);
    message->since_ms = parameter_time(parameters, "since");
    message->until_ms = parameter_time(parameters, "until");
    message->limit = parameter_int(parameters, "limit", 1, AUDIT_LIST_MAX, LIMIT_DEFAULT);
    if (wish->action[0] != '\0' && !audit_action_parse(view_of(wish->action), &ignored)) {
        parameter_refuse(parameters, "action", "must be an action such as key.created");
    }
    if (wish->all && message->user_id[0] != '\0') {
        parameter_refuse(parameters, "all", "must not come with userId");
    }
    message->action = view_of(wish->action);
    message->target = view_of(wish->target);
    message->cursor = view_of(wish->cursor);
}

/* One's own takes the right to see one's keys; that of others an administrator's. */
static bool check_scope(const struct caller *caller, bool is_own, struct err *err)
{
    unsigned enough = is_own ? AUTH_KEYS | AUTH_ADMIN : AUTH_ADMIN;
    if ((caller->scopes & enough) != 0) {
        return true;
    }
    errors_missing_scope(is_own ? AUTH_KEYS : AUTH_ADMIN, err);
    return false;
}

static void on_listed(const struct view *body, const struct err *err, void *arg)
{
    struct request *request = arg;
    struct auth_audit_page page;
    AUTO(json_doc_release)
    struct json_doc *doc = service_read_answer(request, body, err, &auth_audit_page_schema, &page);
    if (doc == NULL) {
        return;
    }
    AUTO(str_free) struct str out = STR_INIT(ANSWER_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_raw(&writer, "records", page.records);
    json_view_or_null(&writer, "nextCursor", page.next_cursor);
    json_end_object(&writer);
    request_respond_json(request, 200, &out);
}

static void ask(struct request *request, const struct auth_list_audit *message)
{
    const struct service_question question = {.service = request->gateway->auth_service,
                                              .method = AUTH_LIST_AUDIT,
                                              .timeout_ms = CALL_TIMEOUT_MS,
                                              .repeatable = true,
                                              .schema = &auth_list_audit_schema,
                                              .message = message};
    service_ask(request, &question, on_listed);
}

void audit_list_handle(struct request *request)
{
    struct err err = {0};
    struct wish wish = {0};
    const struct caller *caller = &request->caller;
    struct parameters parameters = {.query = http_exchange_head(request->exchange)->query};
    read_wish(&parameters, &wish);
    struct auth_list_audit *message = &wish.message;
    bool is_own = !wish.all &&
                  (message->user_id[0] == '\0' || strcmp(message->user_id, caller->user_id) == 0);
    if (!check_scope(caller, is_own, &err)) {
        request_fail(request, &err);
        return;
    }
    if (!parameters_check(&parameters, &err)) {
        request_fail_validation(request, &err, &parameters.violations);
        return;
    }
    if (is_own) {
        memcpy(message->user_id, caller->user_id, ID_SIZE);
    }
    message->is_for_admin = !is_own;
    ask(request, message);
}
