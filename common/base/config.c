#include "common/base/config.h"

#include "common/base/log.h"
#include "common/base/secret.h"
#include "common/base/view.h"
#include "common/base/weak.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { CONFIG_NAME_SIZE = 80, DESCRIPTOR_MAX = 1024 * 1024 };

static const struct view descriptor_prefix = VIEW("/dev/fd/");

/* -1 when path is not that of a descriptor. */
static int given_descriptor(const char *path)
{
    if (!view_starts_with(view_of(path), descriptor_prefix)) {
        return -1;
    }
    char *end = NULL;
    const char *digits = path + descriptor_prefix.len;
    long number = strtol(digits, &end, 10);
    return end != digits && *end == '\0' && number >= 0 && number < DESCRIPTOR_MAX ? (int)number
                                                                                   : -1;
}

static int open_file(const char *path)
{
    int given = given_descriptor(path);
    if (given < 0) {
        return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    }
    (void)fcntl(given, F_SETFD, FD_CLOEXEC);
    (void)lseek(given, 0, SEEK_SET); /* it may have been read before; of a pipe there is no again */
    return fcntl(given, F_DUPFD_CLOEXEC, 0);
}

bool config_read_file(const char *path, char *buffer, size_t size, struct err *err)
{
    AUTO(close_fd) int fd = open_file(path);
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
    const char *reason = weak_reason(secret);
    return reason == NULL ||
           err_set(err, ERR_INVALID, "%s; make one: openssl rand -hex 32", reason);
}

/* What stands between the first ':' behind "//" and the last '@' before the path. */
static bool check_url(const char *url, struct err *err)
{
    char password[CONFIG_TEXT_SIZE];
    const char *start = strstr(url, "//");
    struct view rest = view_of(start == NULL ? "" : start + 2);
    const char *at = memrchr(rest.ptr, '@', rest.len);
    rest.len = at == NULL ? 0 : (size_t)(at - rest.ptr);
    (void)view_cut(&rest, ':');
    const char *reason =
        view_copy(rest, password, sizeof password) ? weak_password_reason(password) : NULL;
    secret_wipe(password, sizeof password);
    return reason == NULL || err_set(err, ERR_INVALID, "%s; give that user another one", reason);
}

static bool check_secret(const struct config_item *item, const char *secret, struct err *err)
{
    return (!item->is_signing_key || check_signing_key(secret, err)) &&
           (!item->is_url || check_url(secret, err));
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
    return check_secret(item, out, err);
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

void config_forget_environment(const struct config_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *value = items[i].kind == CONFIG_SECRET ? getenv(items[i].name) : NULL;
        if (value != NULL) {
            secret_wipe(value, strlen(value));
            (void)unsetenv(items[i].name);
        }
    }
}
