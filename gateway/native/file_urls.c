/* Signed URLs: POST .../sandbox/{id}/files/url makes one, /files/{id} is where they lead. */
#include "common/base/clock.h"
#include "common/contracts/sandbox.h"
#include "common/json/write.h"
#include "gateway/config.h"
#include "gateway/native/agent_ask.h"
#include "gateway/native/file_transfer.h"
#include "gateway/native/routes.h"
#include "gateway/native/signed_url.h"
#include "gateway/native/wake.h"

enum {
    URL_MAX = 32 * 1024, /* three bytes for each of the path */
    ANSWER_MAX = 40 * 1024,
    OPERATION_SIZE = 16,
    TTL_DEFAULT_S = 3600,
    EXPIRY_MAX_S = INT32_MAX,
};

struct url_body {
    struct view path;
    struct view user;
    struct view op;
    int64_t ttl_s;
};

static const char *const operations[] = {"upload", "download", NULL};

static const struct json_field body_fields[] = {
    JSON_STRING(struct url_body, path, "path", .required = true, .not_empty = true,
                .max_len = PATH_BYTES_MAX),
    JSON_STRING(struct url_body, user, "user", .max_len = USER_NAME_MAX),
    JSON_STRING(struct url_body, op, "op", .required = true, .one_of = operations),
    JSON_INT(struct url_body, ttl_s, "ttlS", .min = 1, .max = SIGNED_URL_TTL_MAX_S,
             .fallback = TTL_DEFAULT_S),
};

static struct view secret_of(const struct request *request)
{
    return view_of(request->gateway->config->file_url_secret);
}

static void answer_url(struct request *request, const struct signed_url *url)
{
    struct err err = {0};
    char expires_at[CLOCK_ISO_SIZE];
    AUTO(str_free) struct str text = STR_INIT(URL_MAX);
    AUTO(str_free) struct str out = STR_INIT(ANSWER_MAX);
    if (!signed_url_write(url, secret_of(request), request->gateway->config->api_url, &text,
                          &err)) {
        request_fail(request, &err);
        return;
    }
    clock_format_iso(url->expires_s * 1000, expires_at);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "url", str_view(&text));
    json_string(&writer, "expiresAt", view_of(expires_at));
    json_end_object(&writer);
    const struct http_response response = {.status = 200, .body = str_view(&out), .no_store = true};
    request_respond(request, &response);
}

/* Not behind the end of the key or client token that asks. */
static int64_t choose_expiry(const struct caller *caller, int64_t ttl_s)
{
    int64_t expires_s = clock_wall_ms() / 1000 + ttl_s;
    int64_t latest_s = caller->expires_ms / 1000;
    return caller->expires_ms != 0 && latest_s < expires_s ? latest_s : expires_s;
}

void file_url_make_handle(struct request *request)
{
    struct err err = {0};
    struct json_violations violations = {0};
    struct url_body body;
    struct file_name name;
    const struct json_schema schema = JSON_SCHEMA(body_fields);
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(request->body, &schema, &body, &violations, &err);
    if (doc == NULL || !agent_is_there(request, &err)) {
        request_fail_validation(request, &err, &violations);
        return;
    }
    if (!view_copy(body.path, name.path, sizeof name.path) ||
        !view_copy(body.user, name.user, sizeof name.user)) {
        err_set_reason(&err, ERR_INVALID, "invalid_path", "The path is not valid.");
        request_fail(request, &err);
        return;
    }
    if (!request_record(request, AUDIT_FILE_URL_MADE, &err)) {
        request_fail(request, &err);
        return;
    }
    request_add_detail(request, "op", body.op);
    request_add_detail(request, "path", body.path);
    const struct signed_url url = {
        .sandbox_id = request->id,
        .is_upload = view_equal(body.op, VIEW("upload")),
        .path = name.path,
        .user = name.user,
        .expires_s = choose_expiry(&request->caller, body.ttl_s),
    };
    answer_url(request, &url);
}

/* Whether the request's own URL is good for what it does. */
static bool check_url(const struct request *request, bool is_upload, struct file_name *name,
                      struct err *err)
{
    char signature[SIGNATURE_SIZE + 1];
    char operation[OPERATION_SIZE];
    struct parameters parameters = {.query = http_exchange_head(request->exchange)->query};
    file_name_read(&parameters, name);
    parameter_text(&parameters, "op", PARAMETER_REQUIRED, operation, sizeof operation);
    parameter_text(&parameters, "sig", PARAMETER_REQUIRED, signature, sizeof signature);
    const struct signed_url url = {
        .sandbox_id = request->id,
        .is_upload = is_upload,
        .path = name->path,
        .user = name->user,
        .expires_s = parameter_int(&parameters, "exp", 1, EXPIRY_MAX_S, 0),
    };
    if (!parameters_check(&parameters, err) || request->id[0] == '\0' ||
        strcmp(operation, is_upload ? "upload" : "download") != 0) {
        return err_set_reason(err, ERR_DENIED, "url_invalid", "This URL is not valid.");
    }
    return signed_url_check(&url, secret_of(request), signature, clock_wall_ms() / 1000, err);
}

static bool is_upload(const struct request *request)
{
    return http_exchange_head(request->exchange)->method == HTTP_PUT;
}

static void transfer(struct request *request)
{
    struct err err = {0};
    struct file_put_options options = {.parents = true};
    bool writes = is_upload(request);
    if (!check_url(request, writes, &options.name, &err) || !agent_is_there(request, &err) ||
        (writes && !request_record_data(request, &err))) {
        request_fail(request, &err);
    } else if (writes) {
        file_put(request, &options);
    } else {
        file_get(request, &options.name);
    }
}

static void use(struct request *request, const struct sandbox_meta *meta)
{
    request->sandbox = *meta;
    if (sandbox_status_is_resting(view_of(meta->status))) {
        wake_begin(request, transfer);
    } else {
        transfer(request);
    }
}

static void on_fetched(const struct sandbox_meta *meta, const struct err *err, void *arg)
{
    struct request *request = arg;
    request->fetch = NULL;
    if (err != NULL) {
        request_fail(request, err);
    } else {
        use(request, meta);
    }
}

void file_url_use_handle(struct request *request)
{
    struct err err = {0};
    struct file_name name;
    if (!check_url(request, is_upload(request), &name, &err)) {
        request_fail(request, &err);
        return;
    }
    const struct sandbox_meta *meta = sandbox_cache_find(request->gateway->sandboxes, request->id);
    if (meta != NULL) {
        use(request, meta);
        return;
    }
    request->fetch = sandbox_fetch_begin(request->gateway->sandboxes, request->id, &request->trace,
                                         on_fetched, request, &err);
    if (request->fetch == NULL) {
        request_fail(request, &err);
    }
}
