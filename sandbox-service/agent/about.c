#include "sandbox-service/agent/about.h"

#include "common/base/utf8.h"
#include "common/json/write.h"

enum {
    ARG_OVERHEAD = 4,     /* the quotes, the comma and the bracket around an argument */
    ESCAPED_BYTE_MAX = 6, /* "\u0001" */
    TEXTS_MAX = 2 * ABOUT_TEXT_MAX + 2 * NAME_TAG_MAX + USER_NAME_MAX + ABOUT_ARGS_MAX + 2,
};

/* The views are made once the text does not move any more. */
struct piece {
    size_t start;
    size_t len;
};

static struct piece add(struct str *text, struct view value, size_t max)
{
    struct piece piece = {.start = text->len};
    if (value.len > max) {
        value.len = utf8_prefix((struct view){value.ptr, max}, NULL);
    }
    str_append_view(text, value);
    piece.len = text->len - piece.start;
    return piece;
}

static struct piece add_args(struct str *text, const struct json_strings *args)
{
    struct piece piece = {.start = text->len};
    struct json_writer writer = json_writer_on(text);
    size_t left = ABOUT_ARGS_MAX;
    json_begin_array(&writer, NULL);
    for (size_t i = 0; args != NULL && i < args->count; i++) {
        size_t worst = args->items[i].len * ESCAPED_BYTE_MAX + ARG_OVERHEAD;
        if (worst > left) {
            break;
        }
        size_t before = text->len;
        json_string(&writer, NULL, args->items[i]);
        left -= text->len - before;
    }
    json_end_array(&writer);
    piece.len = text->len - piece.start;
    return piece;
}

static struct view view_of_piece(const struct str *text, struct piece piece)
{
    return (struct view){text->data + piece.start, piece.len};
}

bool about_make(struct about *out, const struct about_spec *spec, struct err *err)
{
    *out = (struct about){.text = STR_INIT(TEXTS_MAX)};
    struct str *text = &out->text;
    struct piece tag = add(text, spec->tag, NAME_TAG_MAX);
    struct piece session = add(text, spec->session, NAME_TAG_MAX);
    struct piece cmd = add(text, spec->cmd, ABOUT_TEXT_MAX);
    struct piece cwd = add(text, spec->cwd, ABOUT_TEXT_MAX);
    struct piece user = add(text, spec->user, USER_NAME_MAX);
    struct piece args = add_args(text, spec->args);
    if (!str_check(text, "what is told of a process", err)) {
        return false;
    }
    out->tag = view_of_piece(text, tag);
    out->session = view_of_piece(text, session);
    out->cmd = view_of_piece(text, cmd);
    out->cwd = view_of_piece(text, cwd);
    out->user = view_of_piece(text, user);
    out->args = view_of_piece(text, args);
    return true;
}

void about_free(struct about *about)
{
    str_free(&about->text);
    *about = (struct about){.text = about->text};
}
