#include "common/base/encode.h"
#include "sandbox-service/agent/files.h"
#include "sandbox-service/agent/requests.h"

#include <stdlib.h>

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

static bool write_file(const struct request_target *target, const struct agent_write *request,
                       struct err *err)
{
    struct view content;
    AUTO(free_string) char *decoded = NULL;
    return content_of(request, &content, &decoded, err) &&
           files_write(target->path, &target->user, content, err);
}

void request_write(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_write request;
    struct request_target target = {.asked_user = &request.user, .asked_path = &request.path};
    struct err err;
    AUTO(json_doc_release)
    struct json_doc *doc =
        request_parse_target(requests, reply, text, &agent_write_schema, &request, &target);
    if (doc == NULL) {
        return;
    }
    if (!write_file(&target, &request, &err)) {
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
    struct request_target target = {.asked_user = &request.user, .asked_path = &request.path};
    AUTO(str_free) struct str content = STR_INIT(AGENT_FILE_MAX);
    struct err err;
    AUTO(json_doc_release)
    struct json_doc *doc =
        request_parse_target(requests, reply, text, &agent_read_schema, &request, &target);
    if (doc == NULL) {
        return;
    }
    if (!files_read(target.path, &target.user, &content, &err)) {
        reply_error(reply, &err);
        return;
    }
    if (!send_content(reply, &request, str_view(&content))) {
        reply_refuse(reply, "file_too_large",
                     VIEW("the file does not fit one message as text; ask for base64"));
    }
}
