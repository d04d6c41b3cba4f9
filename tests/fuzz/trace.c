/* Whatever a traceparent header says is refused or read, and what was read stays what it is. */
#include "common/base/trace.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct view text = {(const char *)data, size};
    struct trace trace = {.request_id = ""};
    struct trace again = {.request_id = ""};
    assert(trace_is_request_id(text) ? size < TRACE_REQUEST_ID_SIZE : true);
    if (!trace_read_parent(text, trace.parent)) {
        assert(trace.parent[0] == '\0' && trace_id(&trace).len == 0);
        return 0;
    }
    assert(trace_read_parent(view_of(trace.parent), again.parent));
    assert(strcmp(trace.parent, again.parent) == 0);
    assert(view_equal(trace_id(&trace), (struct view){text.ptr + 3, 32}));
    return 0;
}
