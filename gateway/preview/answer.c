#include "gateway/preview/answer.h"

#include "common/base/str.h"
#include "gateway/http/syntax.h"

#include <llhttp.h>
#include <stdlib.h>

enum {
    STATUS_SWITCHING = 101,
    STATUS_FINAL_MIN = 200,
    STATUS_MAX = 599,
};

/* In text: it moves while it grows. */
struct piece {
    size_t offset;
    size_t len;
};

struct answer {
    llhttp_t llhttp;
    const struct answer_events *events; /* borrowed */
    void *arg;
    enum answer_state state;
    bool no_body;
    bool upgrades;
    bool in_value;     /* the last span was one of a value */
    size_t head_bytes; /* fed while the head was not there */
    unsigned interim;
    const char *wrong; /* why a callback stopped it */
    struct str text;   /* names and values */
    size_t count;      /* of what is filled below */
    struct piece names[ANSWER_HEADERS_MAX];
    struct piece values[ANSWER_HEADERS_MAX];
    struct http_header headers[ANSWER_HEADERS_MAX];
};

static int stop(struct answer *answer, const char *why)
{
    answer->wrong = why;
    return -1;
}

static int on_begin(llhttp_t *llhttp)
{
    struct answer *answer = llhttp->data;
    answer->count = 0;
    answer->in_value = false;
    str_clear(&answer->text);
    return 0;
}

static int keep(struct answer *answer, struct piece *piece, const char *at, size_t len)
{
    str_append(&answer->text, at, len);
    piece->len += len;
    return answer->text.failed ? stop(answer, "the head is too large") : 0;
}

/* Trailers arrive here too; they are dropped. */
static int on_field(llhttp_t *llhttp, const char *at, size_t len)
{
    struct answer *answer = llhttp->data;
    if (answer->state != ANSWER_HEAD) {
        return 0;
    }
    if (answer->in_value || answer->count == 0) {
        if (answer->count == ANSWER_HEADERS_MAX) {
            return stop(answer, "there are too many headers");
        }
        answer->names[answer->count] = (struct piece){answer->text.len, 0};
        answer->values[answer->count] = (struct piece){0};
        answer->count++;
        answer->in_value = false;
    }
    return keep(answer, &answer->names[answer->count - 1], at, len);
}

static void begin_value(struct answer *answer)
{
    if (!answer->in_value) {
        answer->in_value = true;
        answer->values[answer->count - 1] = (struct piece){answer->text.len, 0};
    }
}

static int on_value(llhttp_t *llhttp, const char *at, size_t len)
{
    struct answer *answer = llhttp->data;
    if (answer->state != ANSWER_HEAD) {
        return 0;
    }
    begin_value(answer);
    return keep(answer, &answer->values[answer->count - 1], at, len);
}

/* An empty value has no span. */
static int on_value_complete(llhttp_t *llhttp)
{
    struct answer *answer = llhttp->data;
    if (answer->state == ANSWER_HEAD) {
        begin_value(answer);
    }
    return 0;
}

static struct view view_of_piece(const struct answer *answer, struct piece piece)
{
    return piece.len == 0 ? VIEW("") : (struct view){answer->text.data + piece.offset, piece.len};
}

/* llhttp has looked at these already, but it lets more codings pass than we write again. */
static bool check_headers(struct answer *answer)
{
    size_t codings = 0;
    for (size_t i = 0; i < answer->count; i++) {
        struct http_header *header = &answer->headers[i];
        header->name = view_of_piece(answer, answer->names[i]);
        header->value = syntax_trim(view_of_piece(answer, answer->values[i]));
        if (!syntax_is_token(header->name) || !syntax_is_value(header->value)) {
            answer->wrong = "a header is malformed";
        } else if (view_equal_nocase(header->name, VIEW("Transfer-Encoding")) &&
                   (++codings > 1 || !view_equal_nocase(header->value, VIEW("chunked")) ||
                    answer->llhttp.http_minor == 0)) {
            answer->wrong = "its transfer encoding is not known";
        }
    }
    return answer->wrong == NULL;
}

static bool check_status(struct answer *answer, int status)
{
    if (answer->llhttp.http_major != 1) {
        answer->wrong = "its version is not known";
    } else if (status == STATUS_SWITCHING && !answer->upgrades) {
        answer->wrong = "it switches protocols unasked";
    } else if (status < 100 || status > STATUS_MAX) {
        answer->wrong = "there is no such status";
    } else if (status < STATUS_FINAL_MIN && ++answer->interim > ANSWER_INTERIM_MAX) {
        answer->wrong = "there are too many interim answers";
    }
    return answer->wrong == NULL;
}

static bool has_no_body(const struct answer *answer, int status)
{
    return answer->no_body || status < STATUS_FINAL_MIN || status == 204 || status == 304;
}

static void tell_head(struct answer *answer, int status)
{
    const llhttp_t *llhttp = &answer->llhttp;
    struct answer_head head = {
        .status = status,
        .headers = answer->headers,
        .header_count = answer->count,
        .has_length = (llhttp->flags & F_CONTENT_LENGTH) != 0,
        .length = ANSWER_LENGTH_UNKNOWN,
    };
    bool bodiless = has_no_body(answer, status);
    if (head.has_length) {
        head.said_length = (int64_t)llhttp->content_length;
        head.length = head.said_length;
    }
    if (bodiless) {
        head.length = 0;
    }
    head.keep_alive = status != STATUS_SWITCHING && llhttp_should_keep_alive(llhttp) != 0 &&
                      (bodiless || head.has_length || (llhttp->flags & F_CHUNKED) != 0);
    answer->events->on_head(&head, answer->arg);
}

/* 1 tells llhttp that no body follows, 2 that nothing of HTTP does. */
static int on_headers_complete(llhttp_t *llhttp)
{
    struct answer *answer = llhttp->data;
    int status = llhttp->status_code;
    bool too_long = (llhttp->flags & F_CONTENT_LENGTH) != 0 && llhttp->content_length > INT64_MAX;
    if (too_long) {
        return stop(answer, "its length is not possible");
    }
    if (!check_status(answer, status) || !check_headers(answer)) {
        return -1;
    }
    if (status < STATUS_FINAL_MIN && status != STATUS_SWITCHING) {
        return 1;
    }
    answer->state = status == STATUS_SWITCHING ? ANSWER_SWITCHED : ANSWER_BODY;
    tell_head(answer, status);
    if (status == STATUS_SWITCHING) {
        return 2;
    }
    return has_no_body(answer, status) ? 1 : 0;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t len)
{
    struct answer *answer = llhttp->data;
    if (len > 0) {
        answer->events->on_body((struct view){at, len}, answer->arg);
    }
    return 0;
}

/* Of an interim answer too: the next message follows then. */
static int on_complete(llhttp_t *llhttp)
{
    struct answer *answer = llhttp->data;
    if (answer->state == ANSWER_HEAD) {
        return 0;
    }
    if (answer->state == ANSWER_BODY) {
        answer->state = ANSWER_COMPLETE;
    }
    return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_begin,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_header_value_complete = on_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

struct answer *answer_new(bool no_body, bool upgrades, const struct answer_events *events,
                          void *arg)
{
    struct answer *answer = malloc(sizeof *answer);
    if (answer == NULL) {
        return NULL;
    }
    memset(answer, 0, offsetof(struct answer, names)); /* the tables are large */
    answer->events = events;
    answer->arg = arg;
    answer->no_body = no_body;
    answer->upgrades = upgrades;
    answer->text = STR_INIT(ANSWER_HEAD_MAX);
    llhttp_init(&answer->llhttp, HTTP_RESPONSE, &settings);
    answer->llhttp.data = answer;
    return answer;
}

void answer_free(struct answer *answer)
{
    if (answer != NULL) {
        str_free(&answer->text);
        free(answer);
    }
}

static bool fail(struct answer *answer, struct err *err)
{
    const char *why = answer->wrong;
    if (why == NULL) {
        why = llhttp_get_error_reason(&answer->llhttp);
    }
    return err_set_reason(err, ERR_INVALID, "bad_answer", "the program's answer: %s",
                          why == NULL ? "malformed" : why);
}

static bool is_over(const struct answer *answer)
{
    return answer->state == ANSWER_COMPLETE || answer->state == ANSWER_SWITCHED;
}

bool answer_feed(struct answer *answer, struct view bytes, size_t *used, struct err *err)
{
    *used = 0;
    if (is_over(answer) || bytes.len == 0) {
        return true;
    }
    llhttp_errno_t result = llhttp_execute(&answer->llhttp, bytes.ptr, bytes.len);
    if (is_over(answer) && answer->wrong == NULL &&
        (result == HPE_PAUSED || result == HPE_PAUSED_UPGRADE || result == HPE_OK)) {
        const char *end = result == HPE_OK ? NULL : llhttp_get_error_pos(&answer->llhttp);
        *used = end == NULL ? bytes.len : (size_t)(end - bytes.ptr);
        return true;
    }
    if (result != HPE_OK) {
        return fail(answer, err);
    }
    *used = bytes.len;
    if (answer->state == ANSWER_HEAD) {
        answer->head_bytes += bytes.len;
        if (answer->head_bytes > ANSWER_HEAD_MAX) {
            answer->wrong = "the head is too large";
            return fail(answer, err);
        }
    }
    return true;
}

bool answer_feed_end(struct answer *answer, struct err *err)
{
    if (is_over(answer)) {
        return true;
    }
    if (answer->state == ANSWER_BODY) {
        (void)llhttp_finish(&answer->llhttp);
    }
    return answer->state == ANSWER_COMPLETE ||
           err_set_reason(err, ERR_INVALID, "answer_cut",
                          "the program closed before its answer's end");
}

enum answer_state answer_state(const struct answer *answer)
{
    return answer->state;
}
