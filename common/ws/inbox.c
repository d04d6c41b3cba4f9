#include "common/ws/inbox.h"

#include "common/base/utf8.h"

/* Memory for a message grows as its bytes come, not as its header promises. */
enum { INBOX_GROW_MAX = 64 * 1024 };

void ws_inbox_init(struct ws_inbox *inbox, enum ws_role role, const struct ws_limits *limits)
{
    *inbox =
        (struct ws_inbox){.role = role, .limits = limits, .message = STR_INIT(limits->message_max)};
}

void ws_inbox_free(struct ws_inbox *inbox)
{
    str_free(&inbox->message);
}

void ws_inbox_clear(struct ws_inbox *inbox)
{
    str_free(&inbox->message);
    inbox->message_opcode = 0;
    inbox->message_len = 0;
    inbox->fragments = 0;
    inbox->utf8_checked = 0;
}

static bool breach_of(struct ws_breach *breach, int code, const char *reason)
{
    *breach = (struct ws_breach){code, reason};
    return false;
}

/* Whether a data frame may stand here. */
static bool admit_data(struct ws_inbox *inbox, const struct ws_header *header,
                       struct ws_breach *breach)
{
    bool continues = header->opcode == WSLAY_CONTINUATION_FRAME;
    if (continues != (inbox->message_opcode != 0)) {
        return breach_of(breach, WS_CLOSE_PROTOCOL,
                         continues ? "continuation of nothing" : "message inside a message");
    }
    if (header->payload_len > inbox->limits->message_max - inbox->message_len) {
        return breach_of(breach, WS_CLOSE_TOO_BIG, "message is too big");
    }
    if (++inbox->fragments > inbox->limits->fragments_max) {
        return breach_of(breach, WS_CLOSE_POLICY, "too many fragments");
    }
    if (!continues) {
        inbox->message_opcode = header->opcode;
    }
    inbox->message_len += (size_t)header->payload_len;
    return true;
}

static enum ws_header_state begin_frame(struct ws_inbox *inbox, struct ws_frames *frames,
                                        struct evbuffer *from, struct ws_breach *breach)
{
    char bytes[WS_HEADER_MAX];
    struct ws_header header;
    ev_ssize_t len = evbuffer_copyout(from, bytes, sizeof bytes);
    struct view view = {bytes, len < 0 ? 0 : (size_t)len};
    enum ws_header_state state = ws_header_read(view, inbox->role, &header, breach);
    if (state != WS_HEADER_WHOLE) {
        return state;
    }
    if (!ws_is_control(header.opcode) && !admit_data(inbox, &header, breach)) {
        return WS_HEADER_BAD;
    }
    inbox->in_frame = true;
    inbox->opcode = header.opcode;
    inbox->fin = header.fin;
    inbox->payload_left = header.payload_len;
    if (ws_is_control(header.opcode)) {
        inbox->control_len = 0;
    }
    ws_frames_begin(frames, &header);
    return WS_HEADER_WHOLE;
}

/* Looks at what is new of a text message; a character may be cut at the end of a piece. */
static bool check_text(struct ws_inbox *inbox, bool at_end, struct ws_breach *breach)
{
    bool is_cut;
    struct view unchecked = view_from(str_view(&inbox->message), inbox->utf8_checked);
    size_t whole = utf8_prefix(unchecked, &is_cut);
    inbox->utf8_checked += whole;
    if (whole == unchecked.len || (is_cut && !at_end)) {
        return true;
    }
    return breach_of(breach, WS_CLOSE_BAD_UTF8, "text is not UTF-8");
}

static bool keep_data(struct ws_inbox *inbox, struct view piece, bool at_frame_end,
                      struct ws_breach *breach)
{
    if (inbox->discard) {
        return true;
    }
    size_t expected = piece.len + (size_t)inbox->payload_left;
    (void)str_reserve(&inbox->message, expected < INBOX_GROW_MAX ? expected : INBOX_GROW_MAX);
    str_append_view(&inbox->message, piece);
    if (inbox->message.failed) {
        return breach_of(breach, WS_CLOSE_INTERNAL, "out of memory");
    }
    return inbox->message_opcode != WS_TEXT ||
           check_text(inbox, at_frame_end && inbox->fin, breach);
}

static void keep_control(struct ws_inbox *inbox, struct view piece)
{
    memcpy(inbox->control + inbox->control_len, piece.ptr, piece.len);
    inbox->control_len = (uint8_t)(inbox->control_len + piece.len);
}

int ws_inbox_close_code(const struct ws_inbox *inbox)
{
    const uint8_t *bytes = (const uint8_t *)inbox->control;
    return inbox->control_len < 2 ? 0 : bytes[0] * 256 + bytes[1];
}

static bool is_close_code(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static enum ws_arrival end_close(const struct ws_inbox *inbox, struct ws_breach *breach)
{
    struct view payload = {inbox->control, inbox->control_len};
    if (payload.len == 0) {
        return WS_ARRIVAL_CLOSE;
    }
    if (payload.len == 1 || !is_close_code(ws_inbox_close_code(inbox))) {
        (void)breach_of(breach, WS_CLOSE_PROTOCOL, "bad close code");
        return WS_ARRIVAL_BREACH;
    }
    if (!utf8_is_valid(view_from(payload, 2))) {
        (void)breach_of(breach, WS_CLOSE_BAD_UTF8, "close reason is not UTF-8");
        return WS_ARRIVAL_BREACH;
    }
    return WS_ARRIVAL_CLOSE;
}

static enum ws_arrival end_frame(struct ws_inbox *inbox, struct ws_breach *breach)
{
    inbox->in_frame = false;
    switch (inbox->opcode) {
    case WSLAY_CONNECTION_CLOSE:
        return end_close(inbox, breach);
    case WSLAY_PING:
        return WS_ARRIVAL_PING;
    case WSLAY_PONG:
        return WS_ARRIVAL_PONG;
    default:
        return inbox->fin ? WS_ARRIVAL_MESSAGE : WS_ARRIVAL_NONE;
    }
}

/* The frame under way, as far as its bytes are there. *ended tells whether that was all of it. */
static enum ws_arrival continue_frame(struct ws_inbox *inbox, struct ws_frames *frames,
                                      struct evbuffer *from, bool *ended, struct ws_breach *breach)
{
    struct view piece;
    *ended = false;
    while (!*ended && ws_frames_recv(frames, from, &piece)) {
        inbox->payload_left -= piece.len;
        *ended = inbox->payload_left == 0;
        if (ws_is_control(inbox->opcode)) {
            keep_control(inbox, piece);
        } else if (!keep_data(inbox, piece, *ended, breach)) {
            return WS_ARRIVAL_BREACH;
        }
    }
    return *ended ? end_frame(inbox, breach) : WS_ARRIVAL_NONE;
}

enum ws_arrival ws_inbox_next(struct ws_inbox *inbox, struct ws_frames *frames,
                              struct evbuffer *from, struct ws_breach *breach)
{
    for (;;) {
        if (!inbox->in_frame) {
            enum ws_header_state header = begin_frame(inbox, frames, from, breach);
            if (header != WS_HEADER_WHOLE) {
                return header == WS_HEADER_BAD ? WS_ARRIVAL_BREACH : WS_ARRIVAL_NONE;
            }
        }
        bool ended;
        enum ws_arrival arrival = continue_frame(inbox, frames, from, &ended, breach);
        if (!ended || arrival != WS_ARRIVAL_NONE) {
            return arrival;
        }
    }
}
