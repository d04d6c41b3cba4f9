/* gateway/native/file_transfer.h: one file in, one file out, for whoever may: with an API key or by
 * a signed URL. */
#ifndef GATEWAY_NATIVE_FILE_TRANSFER_H
#define GATEWAY_NATIVE_FILE_TRANSFER_H

#include "common/contracts/agent.h"
#include "gateway/native/parameters.h"
#include "gateway/native/request.h"

enum { PATH_SIZE = PATH_BYTES_MAX + 1, USER_NAME_SIZE = USER_NAME_MAX + 1 };

/* What file, and as whom. */
struct file_name {
    char path[PATH_SIZE];
    char user[USER_NAME_SIZE]; /* "": the agent's choice */
};

struct file_put_options {
    struct file_name name;
    char mode[PARAMETER_MODE_SIZE]; /* "": the agent's choice */
    bool sync;
    bool parents;
};

/* Each leads to the request's answer; the sandbox is loaded and lives. Copies. */
void file_put(struct request *request, const struct file_put_options *options);
void file_get(struct request *request, const struct file_name *name);

/* The parameters path and user. */
void file_name_read(struct parameters *parameters, struct file_name *out);

#endif
