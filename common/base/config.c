#include "common/base/config.h"

#include "common/base/log.h"
#include "common/base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { CONFIG_NAME_SIZE = 80 };

/* Secrets that stand in examples all over the world. */
static const char *const well_known_secrets[] = {
    "your-secret-key", "your-super-secret-jwt-key-change-this-in-production",
    "change-me",       "changeme",
    "secret",
};

bool config_read_file(const char *path, char *buffer, size_t size, struct err *err)
{
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return err_set(err, ERR_INVALID, "can't open %s: %s", path, strerror(errno));
    }
    size_t len = 0;
    ssize_t got;
    while (len < size && (got = read(fd, buffer + len, size - len)) != 0) {
        if (got < 0) {
            return err_set(err, ERR_INVALID, "can't read %s: %s", path, strerror(errno));
        }
        len += (size_t)got;
    }
    if (len >= size) {
        secret_wipe(buffer, size);
        return err_set(err, ERR_INVALID, "%s is larger than %zu bytes", path, size - 1);
    }
    if (memchr(buffer, '\0', len) != NULL) {
        secret_wipe(buffer, size);
        return err_set(err, ERR_INVALID, "%s is no text: it holds a NUL", path);
    }
    if (len > 0 && buffer[len - 1] == '\n') {
        len--;
    }
    buffer[len] = '\0';
    return true;
}

static bool copy_text(const struct config_item *item, const char *text, char *out, struct err *err)
{
    if (!view_copy(view_of(text), out, item->size)) {
        return err_set(err, ERR_INVALID, "is longer than %zu bytes", item->size - 1);
    }
    return true;
}

static bool read_int(const struct config_item *item, const char *text, int64_t *out,
                     struct err *err)
{
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < item->min || value > item->max) {
        return err_set(err, ERR_INVALID,
                       "must be a whole number from %" PRId64 " to %" PRId64 ", not \"%.40s\"",
                       item->min, item->max, text);
    }
    *out = value;
    return true;
}

static bool read_bool(const char *text, bool *out, struct err *err)
{
    *out = strcmp(text, "1") == 0 || strcmp(text, "true") == 0;
    if (*out || strcmp(text, "0") == 0 || strcmp(text, "false") == 0) {
        return true;
    }
    return err_set(err, ERR_INVALID, "must be 1 or 0, not \"%.40s\"", text);
}

static bool check_signing_key(const char *secret, struct err *err)
{
    for (size_t i = 0; i < sizeof well_known_secrets / sizeof well_known_secrets[0]; i++) {
        if (strcmp(secret, well_known_secrets[i]) == 0) {
            return err_set(err, ERR_INVALID,
                           "is a well-known value; make one: openssl rand -hex 32");
        }
    }
    if (strlen(secret) < CONFIG_SECRET_MIN) {
        return err_set(err, ERR_INVALID,
                       "must have at least %d bytes; make one: openssl rand -hex 32",
                       CONFIG_SECRET_MIN);
    }
    return true;
}

static bool read_secret(const struct config_item *item, const char *text, char *out,
                        struct err *err)
{
    char file_variable[CONFIG_NAME_SIZE];
    (void)snprintf(file_variable, sizeof file_variable, "%s_FILE", item->name);
    const char *path = getenv(file_variable);
    bool from_file = path != NULL && path[0] != '\0';
    if (from_file ? !config_read_file(path, out, item->size, err)
                  : !copy_text(item, text, out, err)) {
        return false;
    }
    if (item->required && out[0] == '\0') {
        return err_set(err, ERR_INVALID, "is not set; set it or %s", file_variable);
    }
    return !item->is_signing_key || check_signing_key(out, err);
}

static bool read_item(const struct config_item *item, void *config, struct err *err)
{
    void *member = (char *)config + item->offset;
    const char *text = getenv(item->name);
    if (text == NULL || text[0] == '\0') {
        text = item->fallback == NULL ? "" : item->fallback;
    }
    if (item->kind == CONFIG_SECRET) {
        return read_secret(item, text, member, err);
    }
    if (item->required && text[0] == '\0') {
        return err_set(err, ERR_INVALID, "is not set");
    }
    bool is_unset = text[0] == '\0';
    switch (item->kind) {
    case CONFIG_INT:
        return read_int(item, is_unset ? "0" : text, member, err);
    case CONFIG_BOOL:
        return read_bool(is_unset ? "0" : text, member, err);
    default:
        return copy_text(item, text, member, err);
    }
}

bool config_read(const struct config_item *items, size_t count, void *config, struct err *err)
{
    int mistakes = 0;
    for (size_t i = 0; i < count; i++) {
        struct err mistake = {0};
        if (!read_item(&items[i], config, &mistake)) {
            log_error("config.invalid", LOG_STR("variable", items[i].name),
                      LOG_STR("error", mistake.message));
            mistakes++;
        }
    }
    if (mistakes > 0) {
        return err_set(err, ERR_INVALID, "%d settings are wrong", mistakes);
    }
    return true;
}
