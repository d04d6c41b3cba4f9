#include "sandbox-service/agent/dial.h"
#include "sandbox-service/agent/requests.h"
#include "sandbox-service/agent/transfer.h"
#include "sandbox-service/agent/watch.h"

void request_dial(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_dial request;
    AUTO(json_doc_release)
    struct json_doc *doc = request_parse(reply, text, &agent_dial_schema, &request);
    if (doc != NULL) {
        dial_begin(requests->dials, reply, &request);
    }
}

void request_upload(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_upload request;
    struct request_target target = {.asked_user = &request.user, .asked_path = &request.path};
    AUTO(json_doc_release)
    struct json_doc *doc =
        request_parse_target(requests, reply, text, &agent_upload_schema, &request, &target);
    if (doc == NULL) {
        return;
    }
    const struct transfer_file file = {target.path, &target.user};
    upload_begin(requests->transfers, reply, &file, &request);
}

void request_download(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_download request;
    struct request_target target = {.asked_user = &request.user, .asked_path = &request.path};
    AUTO(json_doc_release)
    struct json_doc *doc =
        request_parse_target(requests, reply, text, &agent_download_schema, &request, &target);
    if (doc == NULL) {
        return;
    }
    const struct transfer_file file = {target.path, &target.user};
    download_begin(requests->transfers, reply, &file, &request);
}

void request_watch(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_watch request;
    struct request_target target = {.asked_user = &request.user, .asked_path = &request.path};
    AUTO(json_doc_release)
    struct json_doc *doc =
        request_parse_target(requests, reply, text, &agent_watch_schema, &request, &target);
    if (doc == NULL) {
        return;
    }
    watch_begin(requests->watches, reply, target.path, &target.user, &request);
}

void request_unwatch(const struct requests *requests, const struct reply *reply, struct view text)
{
    struct agent_unwatch request;
    AUTO(json_doc_release)
    struct json_doc *doc = request_parse(reply, text, &agent_unwatch_schema, &request);
    if (doc != NULL) {
        watch_end(requests->watches, reply, &request);
    }
}
