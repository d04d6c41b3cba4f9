#include "migrations/files.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NUMBER_DIGITS = 4, PATH_SIZE = 4096 };

static const char grants_name[] = "grants.sql";

static bool is_sql(const char *name)
{
    size_t len = strlen(name);
    return len > 4 && strcmp(name + len - 4, ".sql") == 0;
}

/* 0001_lower_case_words.sql */
static bool read_name(const char *name, struct migration *out)
{
    int number = 0;
    for (int i = 0; i < NUMBER_DIGITS; i++) {
        if (name[i] < '0' || name[i] > '9') {
            return false;
        }
        number = number * 10 + (name[i] - '0');
    }
    size_t words = strspn(name + NUMBER_DIGITS, "_abcdefghijklmnopqrstuvwxyz0123456789");
    out->version = number;
    return name[NUMBER_DIGITS] == '_' && strcmp(name + NUMBER_DIGITS + words, ".sql") == 0 &&
           view_copy(view_of(name), out->name, sizeof out->name);
}

static void close_file(FILE **file)
{
    if (*file != NULL) {
        (void)fclose(*file);
    }
}

static bool read_text(const char *path, struct migration *out, struct err *err)
{
    AUTO(close_file) FILE *file = fopen(path, "re");
    if (file == NULL) {
        return err_set(err, ERR_INVALID, "can't open %s: %s", path, strerror(errno));
    }
    out->text = malloc(MIGRATION_TEXT_MAX + 1);
    if (out->text == NULL) {
        return err_set(err, ERR_INTERNAL, "out of memory");
    }
    size_t len = fread(out->text, 1, MIGRATION_TEXT_MAX + 1, file);
    if (ferror(file) != 0 || len > MIGRATION_TEXT_MAX || memchr(out->text, '\0', len) != NULL) {
        return err_set(err, ERR_INVALID, "%s can't be read, is over 1 MiB or is no text", path);
    }
    out->text[len] = '\0';
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    if (EVP_Digest(out->text, len, digest, &digest_len, EVP_sha256(), NULL) != 1) {
        return err_set(err, ERR_INTERNAL, "SHA-256 is not available");
    }
    encode_hex(digest, digest_len, out->sha256);
    return true;
}

static bool read_migration(const char *folder, const char *name, struct migrations *out,
                           struct err *err)
{
    struct migration *migration = &out->items[out->count];
    if (!read_name(name, migration)) {
        return err_set(err, ERR_INVALID,
                       "%.80s is not named like a migration; 0001_lower_case_words.sql would be",
                       name);
    }
    out->count++;
    if (migration->version != out->count) {
        return err_set(err, ERR_INVALID,
                       "%s stands where number %d is expected: the files must be numbered from 1 "
                       "without gaps",
                       name, out->count);
    }
    char path[PATH_SIZE];
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (length < 0 || (size_t)length >= sizeof path) {
        return err_set(err, ERR_INVALID, "the path of %s is too long", name);
    }
    return read_text(path, migration, err);
}

static int is_candidate(const struct dirent *entry)
{
    return is_sql(entry->d_name) && strcmp(entry->d_name, grants_name) != 0;
}

static bool read_grants(const char *folder, struct migrations *out, struct err *err)
{
    char path[PATH_SIZE];
    int length = snprintf(path, sizeof path, "%s/%s", folder, grants_name);
    if (length < 0 || (size_t)length >= sizeof path) {
        return err_set(err, ERR_INVALID, "the path of %s is too long", grants_name);
    }
    return access(path, F_OK) != 0 ||
           (view_copy(view_of(grants_name), out->grants.name, sizeof out->grants.name) &&
            read_text(path, &out->grants, err));
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

bool migrations_read(const char *folder, struct migrations *out, struct err *err)
{
    *out = (struct migrations){0};
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_candidate, by_bytes);
    if (count < 0) {
        return err_set(err, ERR_INVALID, "can't read the folder %s: %s", folder, strerror(errno));
    }
    bool ok = count > 0 && count <= MIGRATIONS_MAX;
    if (!ok) {
        err_set(err, ERR_INVALID, "the folder %s holds %d migrations", folder, count);
    }
    out->items = calloc((size_t)count + 1, sizeof *out->items);
    if (ok && out->items == NULL) {
        err_set(err, ERR_INTERNAL, "out of memory");
        ok = false;
    }
    for (int i = 0; i < count; i++) {
        ok = ok && read_migration(folder, entries[i]->d_name, out, err);
        free(entries[i]);
    }
    free(entries);
    return ok && read_grants(folder, out, err);
}

void migrations_free(struct migrations *migrations)
{
    for (int i = 0; i < migrations->count; i++) {
        free(migrations->items[i].text);
    }
    free(migrations->grants.text);
    free(migrations->items);
    *migrations = (struct migrations){0};
}
