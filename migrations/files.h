/* migrations/files.h: the numbered SQL files of a folder. */
#ifndef MIGRATIONS_FILES_H
#define MIGRATIONS_FILES_H

#include "common/base/encode.h"
#include "common/base/err.h"

enum {
    MIGRATIONS_MAX = 1000,
    MIGRATION_NAME_SIZE = 64,
    MIGRATION_TEXT_MAX = 1024 * 1024, /* bytes of one file */
    MIGRATION_SHA256_SIZE = ENCODE_HEX_SIZE(32),
};

struct migration {
    int version; /* the number its name begins with; the first is 1, without gaps */
    char name[MIGRATION_NAME_SIZE]; /* 0001_accounts.sql */
    char sha256[MIGRATION_SHA256_SIZE];
    char *text; /* owned */
};

struct migrations {
    struct migration *items; /* owned; by version */
    int count;
    struct migration
        grants; /* grants.sql, which has no version; without a text when there is none */
};

/* Reads all of a folder. out is to be freed with migrations_free, also after a failure. */
bool migrations_read(const char *folder, struct migrations *out, struct err *err) MUST_CHECK;
void migrations_free(struct migrations *migrations);

#endif
