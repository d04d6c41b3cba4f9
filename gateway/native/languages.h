/* gateway/native/languages.h: how a program in one file is made ready and run, by its language. */
#ifndef GATEWAY_NATIVE_LANGUAGES_H
#define GATEWAY_NATIVE_LANGUAGES_H

#include "common/base/err.h"
#include "common/base/view.h"

enum {
    LANGUAGE_ALIASES_MAX = 3,
    LANGUAGE_WORDS_MAX = 12, /* of a command */
    PROGRAM_NAME_SIZE = 192,
};

/* Has several of them: stands in where a deployment lacks the template of one. */
#define LANGUAGE_TEMPLATE_COMMON "base-locked"

/* A word LANGUAGE_CLASS in a command is Java's main class, LANGUAGE_SOURCE the file's name. */
#define LANGUAGE_CLASS "{class}"
#define LANGUAGE_SOURCE "{source}"

struct language {
    const char *name;
    const char *aliases[LANGUAGE_ALIASES_MAX]; /* NULL behind the last */
    const char *template_name;
    const char *source;                      /* the file's name; NULL: that of its class */
    const char *compile[LANGUAGE_WORDS_MAX]; /* NULL behind the last; empty: it is just run */
    const char *run[LANGUAGE_WORDS_MAX];
};

/* By name or alias, in any case. NULL: not known. */
const struct language *language_find(struct view name);
/* The names of all, NULL-terminated. */
const char *const *language_names(void);

/* What the words of one program stand for. */
struct program {
    char source[PROGRAM_NAME_SIZE];
    char main_class[PROGRAM_NAME_SIZE];
};

/* ERR_INVALID "invalid_code" when it can have no name. */
bool program_name(const struct language *language, struct view code, struct program *out,
                  struct err *err) MUST_CHECK;

/* Fills words (LANGUAGE_WORDS_MAX of them), which point into command and program; returns how many.
 */
size_t language_command(const char *const command[LANGUAGE_WORDS_MAX],
                        const struct program *program, struct view words[LANGUAGE_WORDS_MAX]);

#endif
