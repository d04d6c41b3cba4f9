#include "gateway/native/languages.h"

#include "gateway/native/java_names.h"

#include <stdio.h>

/* Everything runs in the work folder, which is its user's own. */
static const struct language languages[] = {
    {.name = "python",
     .aliases = {"py", "python3"},
     .template_name = "python",
     .source = "main.py",
     .run = {"python3", "main.py"}},
    {.name = "javascript",
     .aliases = {"js", "node"},
     .template_name = "node",
     .source = "main.js",
     .run = {"node", "main.js"}},
    {.name = "typescript",
     .aliases = {"ts"},
     .template_name = "node",
     .source = "main.ts",
     .compile = {"tsc", "--target", "es2020", "--module", "commonjs", "--noEmitOnError", "main.ts"},
     .run = {"node", "main.js"}},
    {.name = "java",
     .template_name = "java",
     .compile = {"javac", "-encoding", "UTF-8", "-d", ".", LANGUAGE_SOURCE},
     .run = {"java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", ".",
             LANGUAGE_CLASS}},
    {.name = "c",
     .template_name = "cpp",
     .source = "main.c",
     .compile = {"gcc", "-O2", "-std=c17", "-o", "main", "main.c", "-lm"},
     .run = {"./main"}},
    {.name = "cpp",
     .aliases = {"c++", "cxx"},
     .template_name = "cpp",
     .source = "main.cpp",
     .compile = {"g++", "-O2", "-std=c++17", "-o", "main", "main.cpp"},
     .run = {"./main"}},
    {.name = "go",
     .aliases = {"golang"},
     .template_name = "go",
     .source = "main.go",
     .compile = {"go", "build", "-o", "main", "main.go"},
     .run = {"./main"}},
    {.name = "rust",
     .aliases = {"rs"},
     .template_name = "rust",
     .source = "main.rs",
     .compile = {"rustc", "--edition", "2021", "-O", "-o", "main", "main.rs"},
     .run = {"./main"}},
    {.name = "bash",
     .aliases = {"sh", "shell"},
     .template_name = LANGUAGE_TEMPLATE_COMMON,
     .source = "main.sh",
     .run = {"bash", "main.sh"}},
};
enum { LANGUAGES = sizeof languages / sizeof languages[0] };

static bool is_called(const struct language *language, struct view name)
{
    if (view_equal_nocase(view_of(language->name), name)) {
        return true;
    }
    for (size_t i = 0; i < LANGUAGE_ALIASES_MAX && language->aliases[i] != NULL; i++) {
        if (view_equal_nocase(view_of(language->aliases[i]), name)) {
            return true;
        }
    }
    return false;
}

const struct language *language_find(struct view name)
{
    for (size_t i = 0; i < LANGUAGES; i++) {
        if (is_called(&languages[i], name)) {
            return &languages[i];
        }
    }
    return NULL;
}

const char *const *language_names(void)
{
    static const char *names[LANGUAGES + 1];
    for (size_t i = 0; i < LANGUAGES; i++) {
        names[i] = languages[i].name;
    }
    return names;
}

bool program_name(const struct language *language, struct view code, struct program *out,
                  struct err *err)
{
    static const char too_long[] = "The names in this code are too long.";
    struct java_names names;
    *out = (struct program){0};
    if (language->source != NULL) {
        (void)snprintf(out->source, sizeof out->source, "%s", language->source);
        return true;
    }
    if (!java_names_find(code, &names)) {
        return err_set_reason(err, ERR_INVALID, "invalid_code", "There is no class in this code.");
    }
    int source =
        snprintf(out->source, sizeof out->source, "%.*s.java", (int)names.file.len, names.file.ptr);
    int main_class =
        snprintf(out->main_class, sizeof out->main_class, "%.*s%s%.*s", (int)names.package.len,
                 names.package.ptr, names.package.len == 0 ? "" : ".", (int)names.main_class.len,
                 names.main_class.ptr);
    bool fits = (size_t)source < sizeof out->source && (size_t)main_class < sizeof out->main_class;
    return fits || err_set_reason(err, ERR_INVALID, "invalid_code", too_long);
}

size_t language_command(const char *const command[LANGUAGE_WORDS_MAX],
                        const struct program *program, struct view words[LANGUAGE_WORDS_MAX])
{
    size_t count = 0;
    while (count < LANGUAGE_WORDS_MAX && command[count] != NULL) {
        struct view word = view_of(command[count]);
        if (view_equal(word, VIEW(LANGUAGE_CLASS))) {
            word = view_of(program->main_class);
        } else if (view_equal(word, VIEW(LANGUAGE_SOURCE))) {
            word = view_of(program->source);
        }
        words[count++] = word;
    }
    return count;
}
