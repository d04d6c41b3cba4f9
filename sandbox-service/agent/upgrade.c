#include "sandbox-service/agent/upgrade.h"

#include <string.h>

/* The header fields that decide, each once. */
struct fields {
    bool has_upgrade;
    bool has_connection;
    bool has_accept;
};

void upgrade_write(struct str *out, const char sandbox_id[ID_SIZE], const char *token,
                   const char key[WS_KEY_SIZE])
{
    str_appendf(out,
                "GET /agent/%s HTTP/1.1\r\n"
                "Host: gateway\r\n"
                "Connection: Upgrade\r\n"
                "Upgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: %s\r\n"
                "Authorization: Bearer %s\r\n"
                "\r\n",
                sandbox_id, key, token);
}

static struct view trim(struct view text)
{
    while (text.len > 0 && (text.ptr[0] == ' ' || text.ptr[0] == '\t')) {
        text = view_from(text, 1);
    }
    while (text.len > 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t')) {
        text.len--;
    }
    return text;
}

/* One line without its CR LF. False for what no line may hold. */
static bool next_line(struct view *head, struct view *line)
{
    const char *end = memmem(head->ptr, head->len, "\r\n", 2);
    if (end == NULL) {
        return false;
    }
    *line = (struct view){head->ptr, (size_t)(end - head->ptr)};
    *head = view_from(*head, line->len + 2);
    for (size_t i = 0; i < line->len; i++) {
        unsigned char c = (unsigned char)line->ptr[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "HTTP/1.1 101 Switching Protocols"; 0 when it is no status line. */
static int status_of(struct view line)
{
    const struct view version = VIEW("HTTP/1.1 ");
    if (!view_starts_with(line, version)) {
        return 0;
    }
    struct view rest = view_from(line, version.len);
    if (rest.len < 3 || !is_digit(rest.ptr[0]) || !is_digit(rest.ptr[1]) ||
        !is_digit(rest.ptr[2]) || (rest.len > 3 && rest.ptr[3] != ' ')) {
        return 0;
    }
    return (rest.ptr[0] - '0') * 100 + (rest.ptr[1] - '0') * 10 + (rest.ptr[2] - '0');
}

static bool once(bool *seen, bool is_right)
{
    bool is_first = !*seen;
    *seen = true;
    return is_first && is_right;
}

/* Whether a comma-separated list holds a token. */
static bool lists(struct view list, struct view token)
{
    while (list.len > 0) {
        if (view_equal_nocase(trim(view_cut(&list, ',')), token)) {
            return true;
        }
    }
    return false;
}

static bool read_field(struct fields *fields, struct view line, struct view accept)
{
    const char *colon = memchr(line.ptr, ':', line.len);
    if (colon == NULL || colon == line.ptr) {
        return false;
    }
    struct view name = {line.ptr, (size_t)(colon - line.ptr)};
    struct view value = trim(view_from(line, name.len + 1));
    if (memchr(name.ptr, ' ', name.len) != NULL || memchr(name.ptr, '\t', name.len) != NULL) {
        return false;
    }
    if (view_equal_nocase(name, VIEW("Upgrade"))) {
        return once(&fields->has_upgrade, view_equal_nocase(value, VIEW("websocket")));
    }
    if (view_equal_nocase(name, VIEW("Connection"))) {
        return once(&fields->has_connection, lists(value, VIEW("upgrade")));
    }
    if (view_equal_nocase(name, VIEW("Sec-WebSocket-Accept"))) {
        return once(&fields->has_accept, view_equal(value, accept));
    }
    /* Neither was offered. */
    return !view_equal_nocase(name, VIEW("Sec-WebSocket-Extensions")) &&
           !view_equal_nocase(name, VIEW("Sec-WebSocket-Protocol"));
}

static enum upgrade_state read_fields(struct view head, const char key[WS_KEY_SIZE])
{
    struct fields fields = {0};
    char accept[WS_ACCEPT_SIZE];
    struct view line;
    ws_accept_of(view_of(key), accept);
    while (head.len > 0) {
        if (!next_line(&head, &line) || !read_field(&fields, line, view_of(accept))) {
            return UPGRADE_BROKEN;
        }
    }
    bool complete = fields.has_upgrade && fields.has_connection && fields.has_accept;
    return complete ? UPGRADE_ACCEPTED : UPGRADE_BROKEN;
}

enum upgrade_state upgrade_read(struct view bytes, const char key[WS_KEY_SIZE], size_t *consumed)
{
    if (bytes.len == 0) {
        return UPGRADE_INCOMPLETE;
    }
    size_t looked_at = bytes.len < UPGRADE_HEADERS_MAX ? bytes.len : UPGRADE_HEADERS_MAX;
    const char *end = memmem(bytes.ptr, looked_at, "\r\n\r\n", 4);
    if (end == NULL) {
        return looked_at < UPGRADE_HEADERS_MAX ? UPGRADE_INCOMPLETE : UPGRADE_BROKEN;
    }
    /* With the last line's CR LF, without the empty line. */
    struct view head = {bytes.ptr, (size_t)(end - bytes.ptr) + 2};
    struct view line;
    int status = next_line(&head, &line) ? status_of(line) : 0;
    *consumed = (size_t)(end - bytes.ptr) + 4;
    switch (status) {
    case 0:
        return UPGRADE_BROKEN;
    case 101:
        return read_fields(head, key);
    case 401:
        return UPGRADE_UNAUTHORIZED;
    default:
        return UPGRADE_REFUSED;
    }
}
