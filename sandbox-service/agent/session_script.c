#include "sandbox-service/agent/session_script.h"

#include <stdio.h>

/* Begins with the one NUL in it, so that a part of it that turns out to be output can't hold the
 * beginning of another. */
static const char mark_begin[] = "\0insien:";
enum { MARK_BEGIN_LEN = sizeof mark_begin - 1, NONCE_LEN = SESSION_NONCE_SIZE - 1 };
enum { MARK_FIXED_LEN = MARK_BEGIN_LEN + NONCE_LEN + 1, STATUS_MAX = 255 };

static void append_quoted(struct str *out, struct view text)
{
    str_append_char(out, '\'');
    while (text.len > 0) {
        size_t before = text.len;
        struct view plain = view_cut(&text, '\'');
        str_append_view(out, plain);
        if (plain.len < before) {
            str_append_string(out, "'\\''");
        }
    }
    str_append_char(out, '\'');
}

/* Where the marks go stays where it is, whatever a line does to its own outputs. */
void session_script_begin(struct str *out)
{
    str_append_string(out, "exec 7>&1 8>&2\n");
}

void session_script_line(struct str *out, const struct agent_exec *request, const char *nonce)
{
    str_append_string(out, "{\n");
    for (size_t i = 0; i < request->env.count; i++) {
        str_append_string(out, "export ");
        str_append_view(out, request->env.items[i].name);
        str_append_char(out, '=');
        append_quoted(out, request->env.items[i].value);
        str_append_char(out, '\n');
    }
    if (request->cwd.len > 0) {
        str_append_string(out, "cd -- ");
        append_quoted(out, request->cwd);
        str_append_string(out, " &&\n");
    }
    str_append_string(out, "eval ");
    append_quoted(out, request->cmd);
    str_append_string(out, "\n} </dev/null 7>&- 8>&-\n");
    str_appendf(out,
                "printf '\\000insien:%s:%%d\\n' \"$?\" >&7; printf '\\000insien:%s:0\\n' >&8\n",
                nonce, nonce);
}

static char fixed_at(const struct session_mark *mark, size_t at)
{
    if (at < MARK_BEGIN_LEN) {
        return mark_begin[at];
    }
    if (at < MARK_BEGIN_LEN + NONCE_LEN) {
        return mark->nonce[at - MARK_BEGIN_LEN];
    }
    return ':';
}

/* It was no mark: what had matched is output. */
static void give_up(struct session_mark *mark, void (*emit)(struct view bytes, void *arg),
                    void *arg)
{
    char text[MARK_FIXED_LEN];
    for (size_t i = 0; i < mark->matched; i++) {
        text[i] = fixed_at(mark, i);
    }
    emit((struct view){text, mark->matched}, arg);
    mark->matched = 0;
}

/* False when the byte belongs to no mark and is output. */
static bool take_byte(struct session_mark *mark, char byte,
                      void (*emit)(struct view bytes, void *arg), void *arg)
{
    if (mark->matched == MARK_FIXED_LEN) {
        mark->found = byte == '\n';
        if (byte >= '0' && byte <= '9' && mark->status <= STATUS_MAX) {
            mark->status = mark->status * 10 + (byte - '0');
        }
        return true;
    }
    if (byte != fixed_at(mark, mark->matched) && mark->matched > 0) {
        give_up(mark, emit, arg);
    }
    if (byte != fixed_at(mark, mark->matched)) {
        return false;
    }
    mark->matched++;
    return true;
}

size_t session_mark_scan(struct session_mark *mark, struct view bytes,
                         void (*emit)(struct view bytes, void *arg), void *arg)
{
    size_t at = 0;
    while (at < bytes.len && !mark->found) {
        if (mark->matched == 0) {
            const char *nul = memchr(bytes.ptr + at, '\0', bytes.len - at);
            size_t len = nul == NULL ? bytes.len - at : (size_t)(nul - (bytes.ptr + at));
            if (len > 0) {
                emit((struct view){bytes.ptr + at, len}, arg);
            }
            at += len;
        }
        if (at < bytes.len && take_byte(mark, bytes.ptr[at], emit, arg)) {
            at++;
        }
    }
    return at;
}
