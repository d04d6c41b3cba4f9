#include "common/base/encode.h"
#include "sandbox-service/agent/files.h"
#include "sandbox-service/agent/requests.h"

#include <stdlib.h>

bool request_locate(const struct requests *requests, struct view asked_user, struct view asked_path,
                    struct user *user, char path[PATH_SIZE], struct err *err)
{
    return settings_user(requests->settings, asked_user, user, err) &&
           path_resolve(asked_path, settings_work_dir(requests->settings), user->home, path, err);
}

/* content as bytes: itself, or decoded into memory that the caller frees by *decoded. */
static bool content_of(const struct agent_write *request, struct view *content, char **decoded,
                       struct err *err)
{
    size_t len = 0;
    *content = request->content;
    if (view_equal(request->encoding, VIEW("base64"))) {
        *decoded = malloc(ENCODE_BASE64_DECODED_MAX(request->content.len));
        if (*decoded == NULL) {
            return err_set(err, ERR_INTERNAL, "write: out of memory");
        }
        if (!encode_base64_decode(ENCODE_BASE64, request->content, (uint8_t *)*decoded, &len)) {
            return err_set_reason(err, ERR_INVALID, "invalid_request", "content: is not base64");
        }
        *content = (struct view){*decoded, len};
    }
    return content->len <= AGENT_FILE_MAX ||
           err_set_reason(err, ERR_LIMIT, "file_too_large", "content has more than %d bytes",
                          AGENT_FILE_MAX);
}

static bool write_file(const struct requests *requests, const struct agent_write *request,
                       struct err *err)
{
    struct user user;
    char path[PATH_SIZE];
    struct view content;
    AUTO(free_string) char *decoded = NULL;
    return request_locate(requests, request->user, request->path, &user, path, err) &&
           content_of(request, &content, &decoded, err) && files_write(path, &user, content, err);
}

void request_write(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_write request;
    struct err err;
    AUTO(json_doc_release)
    struct json_doc *doc = request_parse(reply, text, &agent_write_schema, &request);
    if (doc == NULL) {
        return;
    }
    if (!write_file(requests, &request, &err)) {
        reply_error(reply, &err);
        return;
    }
    struct str out;
    struct json_writer writer = reply_begin(reply, &out, "writeResponse");
    json_bool(&writer, "success", true);
    json_string(&writer, "path", request.path);
    reply_end(reply, &writer);
}

static bool send_content(const struct reply *reply, const struct agent_read *request,
                         struct view content)
{
    struct str out;
    struct json_writer writer = reply_begin(reply, &out, "readResponse");
    if (view_equal(request->encoding, VIEW("base64"))) {
        json_base64(&writer, "content", content);
        json_string(&writer, "encoding", VIEW("base64"));
    } else {
        json_string(&writer, "content", content);
    }
    json_string(&writer, "path", request->path);
    return reply_end_if_fits(reply, &writer);
}

void request_read(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_read request;
    struct user user;
    char path[PATH_SIZE];
    struct err err;
    AUTO(str_free) struct str content = STR_INIT(AGENT_FILE_MAX);
    AUTO(json_doc_release)
    struct json_doc *doc = request_parse(reply, text, &agent_read_schema, &request);
    if (doc == NULL) {
        return;
    }
    if (!request_locate(requests, request.user, request.path, &user, path, &err) ||
        !files_read(path, &user, &content, &err)) {
        reply_error(reply, &err);
        return;
    }
    if (!send_content(reply, &request, str_view(&content))) {
        reply_refuse(reply, "file_too_large",
                     VIEW("the file does not fit one message as text; ask for base64"));
    }
}
