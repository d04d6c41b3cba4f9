/* insien-admin audit verify [--anchor SEQ:HASH]: the operator's command line. Exits with 0 when the
 * audit trail is whole, 1 when it is not, 2 when that could not be found out. */
#include "auth-service/admin/verify.h"
#include "common/base/config.h"
#include "common/base/log.h"
#include "common/base/secret.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_WHOLE, EXIT_BROKEN, EXIT_NOT_CHECKED };

/* Of one attempt, for a host that swallows packets; the URL may say otherwise. */
#define CONNECT_TIMEOUT_S "5"

static const char usage[] = "usage: insien-admin audit verify [--anchor SEQ:HASH]";

struct config {
    char database_url[CONFIG_TEXT_SIZE];
};

static const struct config_item items[] = {
    {"DATABASE_URL", CONFIG_SECRET, CONFIG_CHARS(struct config, database_url), .required = true},
};

struct command {
    bool has_anchor;
    struct audit_anchor anchor;
};

static bool parse(char **arguments, int count, struct command *out, struct err *err)
{
    *out = (struct command){0};
    if (count < 2 || strcmp(arguments[0], "audit") != 0 || strcmp(arguments[1], "verify") != 0) {
        return err_set(err, ERR_INVALID, "%s", usage);
    }
    if (count == 2) {
        return true;
    }
    if (count != 4 || strcmp(arguments[2], "--anchor") != 0) {
        return err_set(err, ERR_INVALID, "%s", usage);
    }
    out->has_anchor = true;
    return audit_anchor_parse(view_of(arguments[3]), &out->anchor, err);
}

static void finish_pg(PGconn **pg)
{
    PQfinish(*pg);
}

/* libpq's own message about a URL that it can't read would show the password. */
static bool check_url(const char *url, struct err *err)
{
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &message);
    bool ok = options != NULL;
    PQfreemem(message);
    PQconninfoFree(options);
    return ok || err_set(err, ERR_INVALID,
                         "DATABASE_URL is no connection string; postgresql://user@host/name is");
}

static bool verify(const char *url, const struct command *command, struct audit_verdict *verdict,
                   struct err *err)
{
    static const char *const keywords[] = {"connect_timeout", "dbname", NULL};
    const char *const values[] = {CONNECT_TIMEOUT_S, url, NULL};
    if (!check_url(url, err)) {
        return false;
    }
    AUTO(finish_pg) PGconn *pg = PQconnectdbParams(keywords, values, 1);
    if (PQstatus(pg) != CONNECTION_OK) {
        const char *message = PQerrorMessage(pg);
        return err_set(err, ERR_UNAVAILABLE, "can't connect to the database: %.*s",
                       (int)strcspn(message, "\n"), message);
    }
    return audit_verify(pg, command->has_anchor ? &command->anchor : NULL, verdict, err);
}

static int tell(const struct audit_verdict *verdict)
{
    char hash[ENCODE_HEX_SIZE(AUDIT_HASH_BYTES)];
    if (verdict->first_break[0] != '\0') {
        (void)printf("BROKEN: %s\n", verdict->first_break);
    }
    encode_hex(verdict->last_hash, sizeof verdict->last_hash, hash);
    (void)printf("%" PRId64 " rows verified, last seal %" PRId64 " %s\n", verdict->last_seq,
                 verdict->last_seq, hash);
    if (verdict->erased > 0) {
        (void)printf("%" PRId64 " of them without their personal part\n", verdict->erased);
    }
    if (verdict->unsealed > 0) {
        (void)printf("%" PRId64 " newer rows have no seal yet\n", verdict->unsealed);
    }
    return verdict->first_break[0] != '\0' ? EXIT_BROKEN : EXIT_WHOLE;
}

int main(int argc, char **argv)
{
    static struct config config;
    struct command command;
    struct audit_verdict verdict = {0};
    struct err err = {0};
    log_open("insien-admin", LOG_INFO);
    bool ok = parse(argv + 1, argc - 1, &command, &err) &&
              config_read(items, sizeof items / sizeof items[0], &config, &err) &&
              verify(config.database_url, &command, &verdict, &err);
    secret_wipe(&config, sizeof config);
    if (!ok) {
        (void)fprintf(stderr, "insien-admin: %s\n", err.message);
        return EXIT_NOT_CHECKED;
    }
    return tell(&verdict);
}
