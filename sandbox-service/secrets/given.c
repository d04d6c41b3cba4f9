#include "sandbox-service/secrets/given.h"

#include "common/base/encode.h"
#include "common/base/log.h"
#include "common/base/secret.h"

#include <stdlib.h>

/* One line, taken apart. */
struct line {
    bool is_file;
    struct view target;
    char user_id[ID_SIZE];
    struct view name;
    char key_id[KEYRING_KEY_ID_SIZE];
    struct view sealed_hex;
};

static bool read_line(struct view text, struct line *out, struct err *err)
{
    struct view kind = view_cut(&text, ' ');
    out->is_file = view_equal(kind, VIEW("file"));
    out->target = view_cut(&text, ' ');
    bool ok = (out->is_file || view_equal(kind, VIEW("env"))) &&
              id_parse(view_cut(&text, ' '), out->user_id);
    out->name = view_cut(&text, ' ');
    ok = ok && view_copy(view_cut(&text, ' '), out->key_id, sizeof out->key_id);
    out->sealed_hex = text;
    return (ok && text.len % 2 == 0 && text.len / 2 >= KEYRING_OVERHEAD) ||
           err_set(err, ERR_INTERNAL, "a sandbox's secrets can't be read");
}

static struct json_pair *place_of(struct secrets_given *given, const struct line *line)
{
    size_t *count = line->is_file ? &given->file_count : &given->env_count;
    struct json_pair *pairs = line->is_file ? given->files : given->env;
    return *count == SECRETS_PER_SANDBOX_MAX ? NULL : &pairs[(*count)++];
}

/* Into the room behind what is there already; it has enough for all lines. */
static void open_line(struct secrets_given *given, const struct keyring *keyring,
                      const struct line *line, uint8_t *sealed)
{
    struct err err = {0};
    size_t sealed_len = line->sealed_hex.len / 2;
    const struct keyring_place place = {line->user_id, line->name};
    uint8_t *out = given->values + given->values_len;
    if (!encode_hex_decode(line->sealed_hex, sealed, sealed_len)) {
        err_set(&err, ERR_INTERNAL, "a sealed value is no hex");
    } else if (keyring_unseal(keyring, line->key_id, &place,
                              (struct view){(const char *)sealed, sealed_len}, out, &err)) {
        struct json_pair *pair = place_of(given, line);
        if (pair != NULL) {
            size_t len = sealed_len - KEYRING_OVERHEAD;
            *pair = (struct json_pair){line->target, {(const char *)out, len}};
            given->values_len += len;
            return;
        }
        err_set(&err, ERR_LIMIT, "the sandbox has more than %d", SECRETS_PER_SANDBOX_MAX);
    }
    given->left_out = err;
    log_error("secret.left_out", LOG_STR("user_id", line->user_id), LOG_VIEW("name", line->name),
              LOG_ERR(&err));
}

bool secrets_given_read(struct secrets_given *given, const struct keyring *keyring,
                        struct view lines, struct err *err)
{
    *given = (struct secrets_given){0};
    if (lines.len == 0) {
        return true;
    }
    /* Two digits a byte: both halves of the lines' length are room enough. */
    given->values = malloc(lines.len);
    uint8_t *sealed = malloc(lines.len);
    bool ok = (given->values != NULL && sealed != NULL) ||
              err_set(err, ERR_INTERNAL, "secrets: out of memory");
    while (ok && lines.len > 0) {
        struct line line;
        ok = read_line(view_cut(&lines, '\n'), &line, err);
        if (ok) {
            open_line(given, keyring, &line, sealed);
        }
    }
    free(sealed);
    return ok;
}

bool secrets_given_check(const struct keyring *keyring, struct view lines, struct err *err)
{
    struct secrets_given given;
    bool ok = secrets_given_read(&given, keyring, lines, err);
    if (ok && given.left_out.code != ERR_NONE) {
        *err = given.left_out;
        ok = false;
    }
    secrets_given_end(&given);
    return ok;
}

void secrets_given_end(struct secrets_given *given)
{
    if (given->values != NULL) {
        secret_wipe(given->values, given->values_len);
        free(given->values);
    }
    *given = (struct secrets_given){0};
}
