/* tests/support/postgres.h: a PostgreSQL of the test's own, on a unix socket in a temporary
 * folder. */
#ifndef TESTS_SUPPORT_POSTGRES_H
#define TESTS_SUPPORT_POSTGRES_H

#include <sys/types.h>

struct postgres;

/* Fails the test when there is none. */
struct postgres *postgres_start(void);
void postgres_remove(struct postgres *postgres);

const char *postgres_url(const struct postgres *postgres);
/* As the role of a service ("auth", "sandbox"), whose rights migrations/grants.sql says. Good until
 * the next call. */
const char *postgres_service_url(struct postgres *postgres, const char *service);
const char *postgres_folder(const struct postgres *postgres);

/* SIGINT ends it at once but cleanly, SIGQUIT without a word to its clients. */
void postgres_stop(struct postgres *postgres, int signal_number);
void postgres_start_again(struct postgres *postgres);

/* Brings it up to date with the migrations of the source tree, as insien-migrate does. */
void postgres_migrate(const struct postgres *postgres);

/* Runs SQL on a connection of its own and checks that it succeeds. */
void postgres_run(const struct postgres *postgres, const char *sql);
/* The first column of the first row is that. */
void postgres_expect(const struct postgres *postgres, const char *sql, const char *expected);

#endif
