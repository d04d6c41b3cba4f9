/* common/base/config.h: settings from the environment, read once, all mistakes told together. */
#ifndef COMMON_BASE_CONFIG_H
#define COMMON_BASE_CONFIG_H

#include "common/base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    CONFIG_TEXT_SIZE = 1024,
    CONFIG_PATH_SIZE = 256,
    CONFIG_PEM_SIZE = 8192,
};

enum config_kind {
    CONFIG_TEXT,   /* char[size]; as it is */
    CONFIG_INT,    /* int64_t; decimal, within min..max */
    CONFIG_BOOL,   /* bool; 0, 1, true, false */
    CONFIG_SECRET, /* char[size]; also from the file that NAME_FILE names; never printed */
};

/* One variable. Put into tables, one a service. */
struct config_item {
    const char *name;
    enum config_kind kind;
    size_t offset;        /* of the member in the service's config struct */
    size_t size;          /* of a char[] member */
    const char *fallback; /* NULL: "" or 0 */
    bool required;
    int64_t min, max;    /* of CONFIG_INT */
    bool is_signing_key; /* refused when it is short or not random: common/base/weak.h */
    bool is_url;         /* refused with a password that everybody tries first */
};

#define CONFIG_CHARS(type, member)                                                                 \
    .offset = offsetof(type, member), .size = sizeof(((type *)NULL)->member)

/* Fills config from the environment. On mistakes returns false, after writing each to the log as
 * config.invalid with the variable's name and what to do; err holds how many there were. */
bool config_read(const struct config_item *items, size_t count, void *config,
                 struct err *err) MUST_CHECK;

/* Overwrites and removes the secrets of the table that stood in the environment themselves. What
 * getenv() returned for them is no longer to be read. */
void config_forget_environment(const struct config_item *items, size_t count);

/* Reads a whole small text file into a NUL-terminated buffer, less one trailing newline. Refuses
 * one that is longer or holds a NUL. /dev/fd/N is the file that this process was given open as N,
 * which it may not have the right to open itself; it stays open here, but not in other programs. */
bool config_read_file(const char *path, char *buffer, size_t size, struct err *err) MUST_CHECK;

#endif
