#include "gateway/native/java_names.h"

#include <ctype.h>

struct scanner {
    struct view rest;
    int depth; /* of braces */
    bool is_public;
    struct view type; /* the outermost one that was declared last */
};

static bool is_word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (c & 0x80) != 0;
}

static void skip(struct scanner *scanner, size_t len)
{
    scanner->rest = view_from(scanner->rest, len < scanner->rest.len ? len : scanner->rest.len);
}

/* Behind the next end, or behind everything. */
static void skip_behind(struct scanner *scanner, struct view end)
{
    while (scanner->rest.len > 0 && !view_starts_with(scanner->rest, end)) {
        bool is_escape = scanner->rest.ptr[0] == '\\' && end.ptr[0] != '*' && end.ptr[0] != '\n';
        skip(scanner, is_escape ? 2 : 1);
    }
    skip(scanner, end.len);
}

static bool skip_if_between(struct scanner *scanner, struct view begin, struct view end)
{
    if (!view_starts_with(scanner->rest, begin)) {
        return false;
    }
    skip(scanner, begin.len);
    skip_behind(scanner, end);
    return true;
}

/* Whether there was something that is no code. */
static bool skip_silent(struct scanner *scanner)
{
    return skip_if_between(scanner, VIEW("//"), VIEW("\n")) ||
           skip_if_between(scanner, VIEW("/*"), VIEW("*/")) ||
           skip_if_between(scanner, VIEW("\"\"\""), VIEW("\"\"\"")) ||
           skip_if_between(scanner, VIEW("\""), VIEW("\"")) ||
           skip_if_between(scanner, VIEW("'"), VIEW("'"));
}

static void skip_to_word(struct scanner *scanner)
{
    while (scanner->rest.len > 0 && !is_word_char(scanner->rest.ptr[0]) &&
           (skip_silent(scanner) || isspace((unsigned char)scanner->rest.ptr[0]))) {
        if (scanner->rest.len > 0 && isspace((unsigned char)scanner->rest.ptr[0])) {
            skip(scanner, 1);
        }
    }
}

/* Also with the dots of a package. */
static struct view take_word(struct scanner *scanner, bool with_dots)
{
    struct view word = {scanner->rest.ptr, 0};
    while (word.len < scanner->rest.len &&
           (is_word_char(word.ptr[word.len]) || (with_dots && word.ptr[word.len] == '.'))) {
        word.len++;
    }
    skip(scanner, word.len);
    return word;
}

static bool declares_type(struct view word)
{
    static const struct view words[] = {VIEW("class"), VIEW("interface"), VIEW("enum"),
                                        VIEW("record")};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (view_equal(word, words[i])) {
            return true;
        }
    }
    return false;
}

static void take_type(struct scanner *scanner, struct java_names *out)
{
    skip_to_word(scanner);
    struct view name = take_word(scanner, false);
    if (name.len == 0) {
        return;
    }
    scanner->type = name;
    if (out->file.len == 0 && scanner->is_public) {
        out->file = name;
    }
    if (out->main_class.len == 0) {
        out->main_class = name;
    }
    scanner->is_public = false;
}

/* has_main: a type that speaks of main was found before. */
static void on_word(struct scanner *scanner, struct view word, struct java_names *out,
                    bool *has_main)
{
    if (scanner->depth == 0 && view_equal(word, VIEW("package"))) {
        skip_to_word(scanner);
        out->package = take_word(scanner, true);
    } else if (scanner->depth == 0 && view_equal(word, VIEW("public"))) {
        scanner->is_public = true;
    } else if (scanner->depth == 0 && declares_type(word)) {
        take_type(scanner, out);
    } else if (scanner->depth == 1 && view_equal(word, VIEW("main")) && !*has_main) {
        out->main_class = scanner->type;
        *has_main = true;
    }
}

static void on_sign(struct scanner *scanner)
{
    char sign = scanner->rest.ptr[0];
    scanner->depth += sign == '{' ? 1 : 0;
    scanner->depth -= sign == '}' && scanner->depth > 0 ? 1 : 0;
    skip(scanner, 1);
}

bool java_names_find(struct view code, struct java_names *out)
{
    struct scanner scanner = {.rest = code};
    bool has_main = false;
    *out = (struct java_names){0};
    while (scanner.rest.len > 0) {
        if (skip_silent(&scanner)) {
            continue;
        }
        if (is_word_char(scanner.rest.ptr[0])) {
            on_word(&scanner, take_word(&scanner, false), out, &has_main);
        } else {
            on_sign(&scanner);
        }
    }
    if (out->file.len == 0) {
        out->file = out->main_class;
    }
    return out->main_class.len > 0;
}
