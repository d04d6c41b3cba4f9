#include "gateway/native/multipart.h"

#include "common/base/utf8.h"
#include "gateway/http/syntax.h"

enum { PADDING_MAX = 64 }; /* blanks behind a delimiter */

/* bchars of RFC 2046, 5.1.1. */
static bool is_boundary(struct view text)
{
    static const char others[] = "'()+_,-./:=? ";
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && memchr(others, c, sizeof others - 1) == NULL) {
            return false;
        }
    }
    return text.len > 0 && text.len <= MULTIPART_BOUNDARY_MAX && text.ptr[text.len - 1] != ' ';
}

/* Takes the next "; name=value" off text; a quoted value keeps its quotes. */
static bool next_parameter(struct view *text, struct view *name, struct view *value)
{
    while (text->len > 0 && (text->ptr[0] == ';' || text->ptr[0] == ' ' || text->ptr[0] == '\t')) {
        *text = view_from(*text, 1);
    }
    size_t equals = 0;
    while (equals < text->len && syntax_is_token_byte(text->ptr[equals])) {
        equals++;
    }
    if (equals == 0 || equals == text->len || text->ptr[equals] != '=') {
        return false;
    }
    *name = (struct view){text->ptr, equals};
    *text = view_from(*text, equals + 1);
    bool is_quoted = text->len > 0 && text->ptr[0] == '"';
    size_t end = is_quoted ? 1 : 0;
    while (end < text->len && text->ptr[end] != (is_quoted ? '"' : ';')) {
        end += is_quoted && text->ptr[end] == '\\' && end + 1 < text->len ? 2 : 1;
    }
    if (is_quoted && end++ >= text->len) {
        return false;
    }
    *value = (struct view){text->ptr, end};
    *text = view_from(*text, end);
    return true;
}

/* Browsers write a quote as %22, others as \". */
static bool unquote(struct view value, struct str *out)
{
    str_clear(out);
    if (value.len < 2 || value.ptr[0] != '"') {
        str_append_view(out, syntax_trim(value));
    } else {
        value = (struct view){value.ptr + 1, value.len - 2};
        while (value.len > 0) {
            size_t skip = 1;
            char c = value.ptr[0];
            if (c == '\\' && value.len > 1 && (value.ptr[1] == '"' || value.ptr[1] == '\\')) {
                c = value.ptr[1];
                skip = 2;
            } else if (view_starts_with(value, VIEW("%22"))) {
                c = '"';
                skip = 3;
            }
            str_append_char(out, c);
            value = view_from(value, skip);
        }
    }
    struct view text = str_view(out);
    return !out->failed && utf8_is_valid(text) &&
           (text.len == 0 || memchr(text.ptr, '\0', text.len) == NULL);
}

bool multipart_open(struct multipart *multipart, struct view content_type, struct err *err)
{
    const struct view form = VIEW("multipart/form-data");
    struct view name;
    struct view value;
    *multipart = (struct multipart){
        .head = STR_INIT(MULTIPART_HEAD_MAX),
        .name = STR_INIT(MULTIPART_HEAD_MAX),
        .filename = STR_INIT(MULTIPART_HEAD_MAX),
        .matched = 2, /* the first delimiter needs no line end in front */
    };
    bool is_form = view_equal_nocase(syntax_trim(view_cut(&content_type, ';')), form);
    while (is_form && next_parameter(&content_type, &name, &value)) {
        if (!view_equal_nocase(name, VIEW("boundary"))) {
            continue;
        }
        if (value.len >= 2 && value.ptr[0] == '"') {
            value = (struct view){value.ptr + 1, value.len - 2};
        }
        value = syntax_trim(value);
        if (is_boundary(value)) {
            memcpy(multipart->delimiter, "\r\n--", 4);
            memcpy(multipart->delimiter + 4, value.ptr, value.len);
            multipart->delimiter_len = value.len + 4;
            return true;
        }
    }
    return err_set_reason(err, ERR_INVALID, "unsupported_media_type",
                          "Send the body as multipart/form-data with a boundary.");
}

void multipart_close(struct multipart *multipart)
{
    str_free(&multipart->head);
    str_free(&multipart->name);
    str_free(&multipart->filename);
}

bool multipart_is_complete(const struct multipart *multipart)
{
    return multipart->state == MULTIPART_IN_EPILOGUE;
}

static enum multipart_event fail(struct multipart *multipart)
{
    multipart->state = MULTIPART_IS_BROKEN;
    return MULTIPART_BROKEN;
}

/* How much of the end of input may be the beginning of a delimiter. */
static size_t open_end(const struct multipart *multipart, struct view input)
{
    size_t most = multipart->delimiter_len - 1;
    size_t from = input.len > most ? input.len - most : 0;
    while (from < input.len) {
        const char *cr = memchr(input.ptr + from, '\r', input.len - from);
        if (cr == NULL) {
            return 0;
        }
        from = (size_t)(cr - input.ptr);
        if (memcmp(cr, multipart->delimiter, input.len - from) == 0) {
            return input.len - from;
        }
        from++;
    }
    return 0;
}

/* A delimiter is through: what it ended is over. */
static void pass_delimiter(struct multipart *multipart)
{
    multipart->matched = 0;
    multipart->state = MULTIPART_BEHIND_DELIMITER;
    str_clear(&multipart->head);
}

/* Goes on with a delimiter of which the beginning is used up already. True when that was none, and
 * is data after all. */
static bool go_on_matching(struct multipart *multipart, struct view *input, struct view *data)
{
    size_t left = multipart->delimiter_len - multipart->matched;
    size_t len = input->len < left ? input->len : left;
    if (memcmp(input->ptr, multipart->delimiter + multipart->matched, len) != 0) {
        *data = (struct view){multipart->delimiter, multipart->matched};
        multipart->matched = 0;
        return true;
    }
    *input = view_from(*input, len);
    multipart->matched += len;
    if (multipart->matched == multipart->delimiter_len) {
        pass_delimiter(multipart);
    }
    return false;
}

/* Bytes up to a delimiter, in a part or in front of the first. False when there are none here. */
static bool take_data(struct multipart *multipart, struct view *input, struct view *data)
{
    if (multipart->matched > 0) {
        return go_on_matching(multipart, input, data);
    }
    const char *found =
        memmem(input->ptr, input->len, multipart->delimiter, multipart->delimiter_len);
    size_t end =
        found != NULL ? (size_t)(found - input->ptr) : input->len - open_end(multipart, *input);
    *data = (struct view){input->ptr, end};
    *input = view_from(*input, end);
    if (end > 0) {
        return true;
    }
    return go_on_matching(multipart, input, data);
}

static enum multipart_event next_of_preamble(struct multipart *multipart, struct view *input)
{
    struct view data = {0};
    if (take_data(multipart, input, &data)) {
        multipart->preamble += data.len;
    }
    return multipart->preamble > MULTIPART_PREAMBLE_MAX ? fail(multipart) : MULTIPART_MORE;
}

static enum multipart_event next_of_data(struct multipart *multipart, struct view *input,
                                         struct view *data)
{
    if (take_data(multipart, input, data)) {
        return MULTIPART_DATA;
    }
    return multipart->state == MULTIPART_BEHIND_DELIMITER ? MULTIPART_PART_END : MULTIPART_MORE;
}

/* "--" ends it all; else blanks and a line end. */
static enum multipart_event next_behind_delimiter(struct multipart *multipart, struct view *input)
{
    struct str *line = &multipart->head;
    str_append_char(line, input->ptr[0]);
    *input = view_from(*input, 1);
    if (line->failed || line->len > PADDING_MAX) {
        return fail(multipart);
    }
    if (view_equal(str_view(line), VIEW("--"))) {
        multipart->state = MULTIPART_IN_EPILOGUE;
        return MULTIPART_END;
    }
    if (line->data[line->len - 1] != '\n') {
        return MULTIPART_MORE;
    }
    struct view blanks = {line->data, line->len - 1};
    bool has_cr = blanks.len > 0 && blanks.ptr[blanks.len - 1] == '\r';
    blanks.len -= has_cr ? 1 : 0;
    if (!has_cr || syntax_trim(blanks).len > 0) {
        return fail(multipart);
    }
    str_clear(line);
    multipart->state = MULTIPART_IN_HEAD;
    return MULTIPART_MORE;
}

static bool read_disposition(struct multipart *multipart, struct view value)
{
    struct view name;
    struct view parameter;
    bool is_sound = view_equal_nocase(syntax_trim(view_cut(&value, ';')), VIEW("form-data"));
    while (is_sound && next_parameter(&value, &name, &parameter)) {
        if (view_equal_nocase(name, VIEW("name"))) {
            is_sound = unquote(parameter, &multipart->name);
        } else if (view_equal_nocase(name, VIEW("filename"))) {
            is_sound = unquote(parameter, &multipart->filename);
            multipart->has_filename = true;
        }
    }
    return is_sound;
}

/* The lines of a part's head; other headers than the one that names it do not matter here. */
static bool read_head(struct multipart *multipart)
{
    struct view head = str_view(&multipart->head);
    bool is_named = false;
    str_clear(&multipart->name);
    str_clear(&multipart->filename);
    multipart->has_filename = false;
    while (head.len > 0) {
        struct view value = view_cut(&head, '\n');
        if (value.len == 0 || value.ptr[value.len - 1] != '\r') {
            return false;
        }
        value.len--;
        if (value.len == 0) {
            break;
        }
        struct view name = view_cut(&value, ':');
        if (!syntax_is_token(name)) {
            return false;
        }
        if (view_equal_nocase(name, VIEW("Content-Disposition"))) {
            if (is_named || !read_disposition(multipart, syntax_trim(value))) {
                return false;
            }
            is_named = true;
        }
    }
    return is_named;
}

static enum multipart_event next_of_head(struct multipart *multipart, struct view *input)
{
    struct str *head = &multipart->head;
    const char *newline = memchr(input->ptr, '\n', input->len);
    size_t len = newline == NULL ? input->len : (size_t)(newline - input->ptr) + 1;
    str_append(head, input->ptr, len);
    *input = view_from(*input, len);
    if (head->failed) {
        return fail(multipart);
    }
    struct view text = str_view(head);
    bool is_blank_line = newline != NULL && text.len >= 2 && text.ptr[text.len - 2] == '\r' &&
                         (text.len == 2 || text.ptr[text.len - 3] == '\n');
    if (!is_blank_line) {
        return MULTIPART_MORE;
    }
    if (!read_head(multipart)) {
        return fail(multipart);
    }
    multipart->state = MULTIPART_IN_DATA;
    return MULTIPART_PART;
}

enum multipart_event multipart_next(struct multipart *multipart, struct view *input,
                                    struct view *data)
{
    enum multipart_event event = MULTIPART_MORE;
    while (event == MULTIPART_MORE && input->len > 0) {
        switch (multipart->state) {
        case MULTIPART_IN_PREAMBLE:
            event = next_of_preamble(multipart, input);
            break;
        case MULTIPART_BEHIND_DELIMITER:
            event = next_behind_delimiter(multipart, input);
            break;
        case MULTIPART_IN_HEAD:
            event = next_of_head(multipart, input);
            break;
        case MULTIPART_IN_DATA:
            event = next_of_data(multipart, input, data);
            break;
        case MULTIPART_IN_EPILOGUE:
            *input = view_from(*input, input->len);
            break;
        case MULTIPART_IS_BROKEN:
            return MULTIPART_BROKEN;
        }
    }
    return event;
}
