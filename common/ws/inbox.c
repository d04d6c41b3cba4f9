#include "common/ws/inbox.h"

#include "common/base/utf8.h"

enum { LONG_MIN = 4096 }; /* bytes that are worth a read of their own */

void ws_inbox_init(struct ws_inbox *inbox, enum ws_role role, const struct ws_limits *limits)
{
    *inbox =
        (struct ws_inbox){.role = role, .limits = limits, .message = STR_INIT(limits->message_max)};
}

void ws_inbox_free(struct ws_inbox *inbox)
{
    str_free(&inbox->message);
}

void ws_inbox_rest(struct ws_inbox *inbox)
{
    if (inbox->message_opcode == 0) {
        str_free(&inbox->message);
    }
}

void ws_inbox_clear(struct ws_inbox *inbox)
{
    str_clear(&inbox->message);
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
    bool continues = header->opcode == WS_CONTINUATION;
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

static enum ws_header_state begin_frame(struct ws_inbox *inbox, struct evbuffer *from,
                                        struct ws_breach *breach)
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
    inbox->mask = header.mask;
    if (ws_is_control(header.opcode)) {
        inbox->control_len = 0;
    }
    (void)evbuffer_drain(from, header.header_len);
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

/* Takes the next len bytes of the payload, all of which are there, to where they belong. */
static void take(struct ws_inbox *inbox, struct evbuffer *from, char *out, size_t len)
{
    if (len > 0) {
        (void)evbuffer_remove(from, out, len);
        ws_mask_apply(&inbox->mask, out, len);
        inbox->payload_left -= len;
    }
}

static char *reserve(struct ws_inbox *inbox, size_t len)
{
    size_t expected =
        inbox->payload_left < INBOX_GROW_MAX ? (size_t)inbox->payload_left : (size_t)INBOX_GROW_MAX;
    return str_reserve(&inbox->message, len > expected ? len : expected);
}

static bool keep_data(struct ws_inbox *inbox, struct evbuffer *from, size_t len,
                      struct ws_breach *breach)
{
    if (inbox->discard) {
        (void)evbuffer_drain(from, len);
        inbox->payload_left -= len;
        return true;
    }
    char *room = reserve(inbox, len);
    if (room == NULL) {
        return breach_of(breach, WS_CLOSE_INTERNAL, "out of memory");
    }
    take(inbox, from, room, len);
    str_advance(&inbox->message, len);
    return inbox->message_opcode != WS_TEXT ||
           check_text(inbox, inbox->payload_left == 0 && inbox->fin, breach);
}

char *ws_inbox_room(struct ws_inbox *inbox, size_t *len)
{
    if (!inbox->in_frame || ws_is_control(inbox->opcode) || inbox->discard ||
        inbox->payload_left < LONG_MIN) {
        return NULL;
    }
    *len =
        inbox->payload_left < INBOX_GROW_MAX ? (size_t)inbox->payload_left : (size_t)INBOX_GROW_MAX;
    return reserve(inbox, 0);
}

void ws_inbox_fill(struct ws_inbox *inbox, size_t len)
{
    ws_mask_apply(&inbox->mask, inbox->message.data + inbox->message.len, len);
    str_advance(&inbox->message, len);
    inbox->payload_left -= len;
}

static void keep_control(struct ws_inbox *inbox, struct evbuffer *from, size_t len)
{
    take(inbox, from, inbox->control + inbox->control_len, len);
    inbox->control_len = (uint8_t)(inbox->control_len + len);
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
    case WS_CLOSE:
        return end_close(inbox, breach);
    case WS_PING:
        return WS_ARRIVAL_PING;
    case WS_PONG:
        return WS_ARRIVAL_PONG;
    default:
        return inbox->fin ? WS_ARRIVAL_MESSAGE : WS_ARRIVAL_NONE;
    }
}

/* The frame under way, as far as its bytes are there. */
static enum ws_arrival continue_frame(struct ws_inbox *inbox, struct evbuffer *from,
                                      struct ws_breach *breach)
{
    size_t len = evbuffer_get_length(from);
    len = len < inbox->payload_left ? len : (size_t)inbox->payload_left;
    if (ws_is_control(inbox->opcode)) {
        keep_control(inbox, from, len);
    } else if (!keep_data(inbox, from, len, breach)) {
        return WS_ARRIVAL_BREACH;
    }
    return inbox->payload_left == 0 ? end_frame(inbox, breach) : WS_ARRIVAL_NONE;
}

enum ws_arrival ws_inbox_next(struct ws_inbox *inbox, struct evbuffer *from,
                              struct ws_breach *breach)
{
    for (;;) {
        if (!inbox->in_frame) {
            enum ws_header_state header = begin_frame(inbox, from, breach);
            if (header != WS_HEADER_WHOLE) {
                return header == WS_HEADER_BAD ? WS_ARRIVAL_BREACH : WS_ARRIVAL_NONE;
            }
        }
        enum ws_arrival arrival = continue_frame(inbox, from, breach);
        if (inbox->in_frame || arrival != WS_ARRIVAL_NONE) {
            return arrival;
        }
    }
}
