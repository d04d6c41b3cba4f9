/* Whatever one of our processes is sent is refused or read, and what was read survives being
 * written and read again. */
#include "common/ipc/envelope.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_request(struct view text)
{
    struct ipc_request first;
    struct ipc_request second;
    struct err err = {0};
    struct json_doc *doc = ipc_request_read(text, &first, &err);
    if (doc == NULL) {
        assert(err.code != ERR_NONE);
        return;
    }
    struct str written = STR_INIT(IPC_MESSAGE_MAX);
    assert(ipc_request_write(&first, &written, &err));
    struct json_doc *again = ipc_request_read(str_view(&written), &second, &err);
    assert(again != NULL);
    assert(strcmp(first.method, second.method) == 0);
    assert(strcmp(first.trace.request_id, second.trace.request_id) == 0);
    assert(strcmp(first.trace.parent, second.trace.parent) == 0);
    assert(first.timeout_ms == second.timeout_ms);
    assert(view_equal(first.body, second.body));
    json_doc_free(again);
    json_doc_free(doc);
    str_free(&written);
}

static void try_reply(struct view text)
{
    struct ipc_reply first;
    struct ipc_reply second;
    struct err err = {0};
    struct json_doc *doc = ipc_reply_read(text, &first, &err);
    if (doc == NULL) {
        assert(err.code != ERR_NONE);
        return;
    }
    struct str written = STR_INIT(IPC_MESSAGE_MAX);
    assert(ipc_reply_write(&first, &written, &err));
    struct json_doc *again = ipc_reply_read(str_view(&written), &second, &err);
    assert(again != NULL);
    assert(first.ok == second.ok);
    assert(first.error.code == second.error.code);
    assert(strcmp(first.error.reason, second.error.reason) == 0);
    assert(view_equal(first.body, second.body));
    json_doc_free(again);
    json_doc_free(doc);
    str_free(&written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct view text = {(const char *)data, size};
    try_request(text);
    try_reply(text);
    return 0;
}
