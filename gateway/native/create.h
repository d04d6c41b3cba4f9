/* gateway/native/create.h: what creates share: what is asked of the sandbox-service, and what the
 * client hears. */
#ifndef GATEWAY_NATIVE_CREATE_H
#define GATEWAY_NATIVE_CREATE_H

#include "common/contracts/sandbox.h"
#include "common/json/write.h"
#include "gateway/native/request.h"

struct create_of {
    const char *sandbox_id;  /* that it gets */
    const char *template_id; /* that it begins from; NULL: the body says */
};
/* Reads what the request's body asks for; out borrows the body, of.template_id, and the document
 * that is returned to the caller to free with json_doc_free. NULL: ERR_INVALID, with violations. */
struct json_doc *create_read(const struct request *request, struct create_of of,
                             struct sandbox_create *out, struct json_violations *violations,
                             struct err *err) MUST_CHECK;

/* An object, as POST /sandbox/create answers. */
void create_write_answer(const struct gateway *gateway, const struct sandbox_meta *sandbox,
                         struct json_writer *writer);

#endif
