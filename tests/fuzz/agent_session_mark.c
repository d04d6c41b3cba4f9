/* What a session's shell prints, whole and in pieces: both ways must find the same end and the same
 * output. The first byte chooses how the pieces are cut. */
#include "sandbox-service/agent/session_script.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Like the marks in the corpus. */
static const struct session_mark fresh = {.nonce = "0123456789abcdef0123456789abcdef"};

static void emit(struct view bytes, void *arg)
{
    str_append_view(arg, bytes);
}

static size_t scan(struct session_mark *mark, struct view text, size_t piece, struct str *out)
{
    size_t at = 0;
    while (at < text.len && !mark->found) {
        struct view rest = view_from(text, at);
        rest.len = rest.len < piece ? rest.len : piece;
        at += session_mark_scan(mark, rest, emit, out);
    }
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct view text = {(const char *)data + 1, size - 1};
    struct session_mark whole = fresh;
    struct session_mark cut = fresh;
    struct str whole_out = STR_INIT(size);
    struct str cut_out = STR_INIT(size);
    size_t whole_taken = scan(&whole, text, text.len, &whole_out);
    size_t cut_taken = scan(&cut, text, 1 + data[0] % 16U, &cut_out);
    assert(whole_taken == cut_taken && whole.found == cut.found && whole.status == cut.status);
    assert(view_equal(str_view(&whole_out), str_view(&cut_out)) && !whole_out.failed);
    str_free(&whole_out);
    str_free(&cut_out);
    return 0;
}
