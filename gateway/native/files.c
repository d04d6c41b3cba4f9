/* .../sandbox/{id}/files: one file at a time, by ?path=. */
#include "gateway/native/agent_ask.h"
#include "gateway/native/file_transfer.h"
#include "gateway/native/routes.h"

void file_name_read(struct parameters *parameters, struct file_name *out)
{
    parameter_text(parameters, "path", PARAMETER_REQUIRED, out->path, sizeof out->path);
    parameter_text(parameters, "user", PARAMETER_OPTIONAL, out->user, sizeof out->user);
}

void files_put_handle(struct request *request)
{
    struct err err = {0};
    struct file_put_options options;
    struct parameters parameters = {.query = http_exchange_head(request->exchange)->query};
    file_name_read(&parameters, &options.name);
    parameter_mode(&parameters, "mode", options.mode);
    options.sync = parameter_bool(&parameters, "sync", false);
    options.parents = parameter_bool(&parameters, "parents", true);
    if (!parameters_check(&parameters, &err) || !agent_is_there(request, &err)) {
        request_fail_validation(request, &err, &parameters.violations);
        return;
    }
    file_put(request, &options);
}

void files_get_handle(struct request *request)
{
    struct err err = {0};
    struct file_name name;
    struct parameters parameters = {.query = http_exchange_head(request->exchange)->query};
    file_name_read(&parameters, &name);
    if (!parameters_check(&parameters, &err) || !agent_is_there(request, &err)) {
        request_fail_validation(request, &err, &parameters.violations);
        return;
    }
    file_get(request, &name);
}
