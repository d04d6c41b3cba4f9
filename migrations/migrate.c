/* insien-migrate: brings the database up to date and sets who may do what in it, or says in a
 * sentence why it can't. */
#include "common/base/config.h"
#include "common/base/log.h"
#include "common/base/secret.h"
#include "migrations/database.h"
#include "migrations/files.h"

#include <stdio.h>
#include <stdlib.h>

struct config {
    char database_url[CONFIG_TEXT_SIZE];
    char folder[CONFIG_PATH_SIZE];
};

static const struct config_item items[] = {
    {"DATABASE_URL", CONFIG_SECRET, CONFIG_CHARS(struct config, database_url), .required = true,
     .is_url = true},
    {"MIGRATIONS_DIR", CONFIG_TEXT, CONFIG_CHARS(struct config, folder),
     .fallback = MIGRATIONS_DIR_DEFAULT},
};

static bool apply_missing(struct database *database, const struct migrations *migrations,
                          struct err *err)
{
    int applied = 0;
    if (!database_compare(database, migrations, &applied, err)) {
        return false;
    }
    for (int i = applied; i < migrations->count; i++) {
        if (!database_apply(database, &migrations->items[i], err)) {
            return false;
        }
        (void)printf("applied %s\n", migrations->items[i].name);
    }
    (void)printf("the database is at migration %d; %d %s new\n", migrations->count,
                 migrations->count - applied, migrations->count - applied == 1 ? "was" : "were");
    return true;
}

static bool migrate(struct config *config, struct err *err)
{
    struct migrations migrations;
    struct database *database = NULL;
    bool ok = migrations_read(config->folder, &migrations, err) &&
              (database = database_open(config->database_url, err)) != NULL &&
              apply_missing(database, &migrations, err) &&
              database_grant(database, &migrations.grants, err);
    database_close(database);
    migrations_free(&migrations);
    return ok;
}

int main(void)
{
    struct config config = {0};
    struct err err = {0};
    log_open("insien-migrate", LOG_INFO);
    bool ok =
        config_read(items, sizeof items / sizeof items[0], &config, &err) && migrate(&config, &err);
    secret_wipe(&config, sizeof config);
    if (!ok) {
        (void)fprintf(stderr, "insien-migrate: %s\n", err.message);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
