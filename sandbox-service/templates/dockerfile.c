#include "sandbox-service/templates/dockerfile.h"

#include <string.h>

struct reader {
    struct view rest;
    int line;       /* the one being read, from 1 */
    bool continued; /* it belongs to an instruction that began before */
    struct dockerfile *out;
    struct err *err;
};

static bool refuse(const struct reader *reader, const char *problem)
{
    return err_set_reason(reader->err, ERR_INVALID, "invalid_dockerfile", "Dockerfile, line %d: %s",
                          reader->line, problem);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct view trim(struct view text)
{
    while (text.len > 0 && is_blank(text.ptr[0])) {
        text = view_from(text, 1);
    }
    while (text.len > 0 && is_blank(text.ptr[text.len - 1])) {
        text.len--;
    }
    return text;
}

/* A word of text, which moves behind it; empty at the end. */
static struct view next_word(struct view *text)
{
    *text = trim(*text);
    size_t len = 0;
    while (len < text->len && !is_blank(text->ptr[len])) {
        len++;
    }
    struct view word = {text->ptr, len};
    *text = view_from(*text, len);
    return word;
}

static bool ends_with(struct view text, struct view end)
{
    return text.len >= end.len && view_equal(view_from(text, text.len - end.len), end);
}

static bool has(struct view text, const char *part)
{
    return text.len > 0 && memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

static bool is_number(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
    }
    return text.len > 0;
}

/* One of the first stages, by name, or the empty image: nothing has to be fetched. */
static bool is_here(const struct dockerfile *dockerfile, struct view name, size_t stage_count)
{
    if (view_equal(name, VIEW("scratch"))) {
        return true;
    }
    for (size_t i = 0; i < stage_count; i++) {
        if (view_equal_nocase(dockerfile->stages[i], name)) {
            return true;
        }
    }
    return false;
}

/* Of the engine, a stage that is not done yet is none: there its name is an image's. */
static bool add_image(const struct reader *reader, struct view name, size_t stages_done)
{
    struct dockerfile *out = reader->out;
    if (has(name, "$")) {
        return refuse(reader, "the image must be named without variables");
    }
    if (is_here(out, name, stages_done)) {
        return true;
    }
    if (out->image_count == DOCKERFILE_IMAGES_MAX) {
        return refuse(reader, "too many images");
    }
    out->images[out->image_count++] = name;
    return true;
}

/* As the engine has it: what else it cuts off a name, we would not. */
static bool is_stage_name(struct view name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char others[] = "0123456789_.-";
    for (size_t i = 0; i < name.len; i++) {
        if (strchr(letters, name.ptr[i]) == NULL &&
            (i == 0 || strchr(others, name.ptr[i]) == NULL)) {
            return false;
        }
    }
    return name.len <= DOCKERFILE_STAGE_NAME_MAX;
}

/* An image, and perhaps AS and a name. */
static bool read_from(const struct reader *reader, struct view arguments)
{
    struct dockerfile *out = reader->out;
    struct view image = next_word(&arguments);
    struct view as = next_word(&arguments);
    struct view name = next_word(&arguments);
    if (view_starts_with(image, VIEW("--"))) {
        return refuse(reader, "no options are taken here");
    }
    if (image.len == 0 || next_word(&arguments).len > 0 ||
        (as.len > 0 && (!view_equal_nocase(as, VIEW("AS")) || name.len == 0))) {
        return refuse(reader, "an image must follow, or an image, AS and a name");
    }
    if (!add_image(reader, image, out->stage_count)) {
        return false;
    }
    if (out->stage_count == DOCKERFILE_STAGES_MAX || !is_stage_name(name)) {
        return refuse(reader, "too many stages, or a name that none can have");
    }
    /* One without a name can be meant by its number alone. */
    const struct view last = name.len > 0 ? name : image;
    out->stages[out->stage_count] = name;
    out->stage_ends[out->stage_count++] = last.ptr + last.len;
    return true;
}

/* The number of a stage that is done. */
static bool is_stage_number(const struct dockerfile *dockerfile, struct view text)
{
    enum { DIGITS_MAX = 2 };
    size_t number = 0;
    for (size_t i = 0; i < text.len && i < DIGITS_MAX; i++) {
        number = number * 10 + (size_t)(text.ptr[i] - '0');
    }
    return text.len <= DIGITS_MAX && number + 1 < dockerfile->stage_count;
}

static bool read_copy_source(const struct reader *reader, struct view from)
{
    const struct dockerfile *out = reader->out;
    if (from.len == 0 || (is_number(from) && !is_stage_number(out, from))) {
        return refuse(reader, "--from= needs a stage that is done, or an image");
    }
    return is_number(from) ||
           add_image(reader, from, out->stage_count > 0 ? out->stage_count - 1 : 0);
}

/* The engine takes quotes and backslashes out of an option, and some bytes of other characters for
 * blanks: what it reads is then not what stands there. */
static bool is_plain_option(struct view word)
{
    for (size_t i = 0; i < word.len; i++) {
        if ((word.ptr[i] & 0x80) != 0 || strchr("\"'\\", word.ptr[i]) != NULL) {
            return false;
        }
    }
    return true;
}

/* COPY --from=image ...: where it names no stage. */
static bool read_copy(const struct reader *reader, struct view arguments)
{
    static const struct view option = VIEW("--from=");
    struct view word = next_word(&arguments);
    for (; view_starts_with(word, VIEW("--")); word = next_word(&arguments)) {
        if (!is_plain_option(word)) {
            return refuse(reader, "an option has ASCII characters without quotes and backslashes");
        }
        if (view_starts_with(word, option) &&
            !read_copy_source(reader, view_from(word, option.len))) {
            return false;
        }
    }
    return word.len == 0 || (word.ptr[0] & 0x80) == 0 ||
           refuse(reader, "the first file must begin with an ASCII character");
}

static bool is_among(struct view word, const char *const *names)
{
    for (; *names != NULL; names++) {
        if (view_equal_nocase(word, view_of(*names))) {
            return true;
        }
    }
    return false;
}

static bool read_guarded(const struct reader *reader, struct view word, struct view arguments)
{
    if (view_equal_nocase(word, VIEW("FROM"))) {
        return read_from(reader, arguments);
    }
    if (view_equal_nocase(word, VIEW("COPY"))) {
        return read_copy(reader, arguments);
    }
    return refuse(reader, "ADD and ONBUILD are not taken: COPY files, and fetch or unpack them in "
                          "a RUN step");
}

/* Such as change how the rest is read, which stand in comments. */
static bool is_directive(struct view comment)
{
    static const char *const names[] = {"escape", "syntax", "check", NULL};
    struct view rest = view_from(comment, 1);
    struct view name = trim(view_cut(&rest, '='));
    return has(comment, "=") && is_among(name, names);
}

/* One line with something in it. What is looked at more closely stands on a line of its own, and no
 * line of another instruction begins like it: whatever the engine takes for the end of an
 * instruction, it finds nothing there that was not looked at. */
static bool read_line(struct reader *reader, struct view line)
{
    static const char *const guarded[] = {"FROM", "COPY", "ADD", "ONBUILD", NULL};
    static const char *const others[] = {
        "RUN",  "CMD", "LABEL",   "MAINTAINER", "EXPOSE",      "ENV",        "ENTRYPOINT", "VOLUME",
        "USER", "ARG", "WORKDIR", "SHELL",      "HEALTHCHECK", "STOPSIGNAL", NULL};
    bool goes_on = ends_with(line, VIEW("\\"));
    struct view arguments = line;
    if (goes_on) {
        arguments.len--;
    }
    struct view word = next_word(&arguments);
    if ((line.ptr[0] & 0x80) != 0) {
        return refuse(reader, "a line must begin with an ASCII character");
    }
    /* Engines differ in whether the instruction goes on. */
    if (ends_with(line, VIEW("\\\\"))) {
        return refuse(reader, "a line must not end in two backslashes");
    }
    if (is_among(word, guarded)) {
        return goes_on || reader->continued
                   ? refuse(reader, "FROM, COPY, ADD and ONBUILD must stand on one line each, and "
                                    "begin no line of another instruction")
                   : read_guarded(reader, word, arguments);
    }
    if (!reader->continued && (!is_among(word, others) || trim(arguments).len == 0)) {
        return refuse(reader, "there is no such instruction, or it says nothing");
    }
    reader->continued = goes_on;
    return true;
}

/* False: it is more than a comment or nothing. */
static bool pass_comment(struct reader *reader, struct view raw, bool *refused)
{
    struct view line = trim(raw);
    *refused = false;
    if (line.len == 0) {
        return true;
    }
    if (line.ptr[0] != '#') {
        return false;
    }
    /* Engines differ in whether this one is a comment. */
    if (reader->continued && raw.ptr[0] != '#') {
        *refused = !refuse(reader, "a comment inside an instruction must begin its line");
    } else if (is_directive(line)) {
        *refused = !refuse(reader, "parser directives are not taken");
    }
    return true;
}

/* Engines differ in what they take such bytes for. */
static bool has_odd_bytes(struct view text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool is_line_end = c == '\r' && i + 1 < text.len && text.ptr[i + 1] == '\n';
        if (((c >= 0 && c < ' ') || c == 0x7f) && c != '\n' && c != '\t' && !is_line_end) {
            return true;
        }
    }
    return false;
}

bool dockerfile_read(struct view text, struct dockerfile *out, struct err *err)
{
    struct reader reader = {.rest = text, .out = out, .err = err};
    *out = (struct dockerfile){.text = text};
    if (has_odd_bytes(text) || has(text, "<<")) {
        return refuse(&reader, "control characters and here-documents are not taken");
    }
    while (reader.rest.len > 0) {
        bool refused;
        struct view raw = view_cut(&reader.rest, '\n');
        reader.line++;
        if (!pass_comment(&reader, raw, &refused)) {
            refused = raw.len > DOCKERFILE_LINE_MAX ? !refuse(&reader, "the line is too long")
                                                    : !read_line(&reader, trim(raw));
        }
        if (refused) {
            return false;
        }
    }
    return out->stage_count > 0 || refuse(&reader, "there is no FROM");
}

/* What has not been copied yet, up to a place. */
static void copy_until(const char **from, const char *to, struct str *out)
{
    str_append(out, *from, (size_t)(to - *from));
    *from = to;
}

void dockerfile_write(const struct dockerfile *dockerfile, const char *const *ids, const char *line,
                      struct str *out)
{
    const char *from = dockerfile->text.ptr;
    size_t image = 0;
    size_t stage = 0;
    while (image < dockerfile->image_count || stage < dockerfile->stage_count) {
        const struct view *next = &dockerfile->images[image];
        if (image < dockerfile->image_count &&
            (stage == dockerfile->stage_count || next->ptr < dockerfile->stage_ends[stage])) {
            copy_until(&from, next->ptr, out);
            str_append_string(out, ids[image++]);
            from += next->len;
        } else {
            copy_until(&from, dockerfile->stage_ends[stage++], out);
            str_append_string(out, "\n");
            str_append_string(out, line);
        }
    }
    copy_until(&from, dockerfile->text.ptr + dockerfile->text.len, out);
}
