/* insien-admin: the operator's command line.
 *
 * audit verify [--anchor SEQ:HASH] exits with 0 when the audit trail is whole, 1 when it is not, 2
 * when that could not be found out. user role EMAIL|ID admin|user exits with 0 when it is so,
 * else 2. doctor is a program of its own, which lies beside this one and looks at the host instead
 * of the database. */
#include "auth-service/admin/role_store.h"
#include "auth-service/admin/verify.h"
#include "common/base/config.h"
#include "common/base/log.h"
#include "common/base/secret.h"
#include "common/db/target.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_WHOLE, EXIT_BROKEN, EXIT_NOT_DONE };

/* Of one attempt, for a host that swallows packets; the URL may say otherwise. */
#define CONNECT_TIMEOUT_S "5"

static const char usage[] = "usage: insien-admin audit verify [--anchor SEQ:HASH]\n"
                            "       insien-admin user role EMAIL|ID admin|user\n"
                            "       insien-admin doctor";

struct config {
    char database_url[CONFIG_TEXT_SIZE];
};

static const struct config_item items[] = {
    {"DATABASE_URL", CONFIG_SECRET, CONFIG_CHARS(struct config, database_url), .required = true,
     .is_url = true},
};

struct command {
    enum { COMMAND_VERIFY, COMMAND_ROLE } kind;
    bool has_anchor; /* of audit verify */
    struct audit_anchor anchor;
    const char *who;  /* of user role; borrowed from argv, as the next */
    const char *role; /* "admin" or "user" */
};

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

/* Each returns the exit status; EXIT_NOT_DONE with err. */

static int verify(PGconn *pg, const struct command *command, struct err *err)
{
    struct audit_verdict verdict = {0};
    return audit_verify(pg, command->has_anchor ? &command->anchor : NULL, &verdict, err)
               ? tell(&verdict)
               : EXIT_NOT_DONE;
}

static int set_role(PGconn *pg, const struct command *command, struct err *err)
{
    struct role_outcome outcome;
    if (!role_set(pg, command->who, command->role, &outcome, err)) {
        return EXIT_NOT_DONE;
    }
    (void)printf("%s (%s; %s) %s the role %s\n", outcome.user_id,
                 outcome.email[0] == '\0' ? "no address" : outcome.email, outcome.identities,
                 outcome.changed ? "has now" : "had already", command->role);
    return EXIT_SUCCESS;
}

static bool is_word(const char *argument, const char *word)
{
    return strcmp(argument, word) == 0;
}

static bool parse_verify(char **arguments, int count, struct command *out, struct err *err)
{
    out->kind = COMMAND_VERIFY;
    if (count == 0) {
        return true;
    }
    if (count != 2 || !is_word(arguments[0], "--anchor")) {
        return err_set(err, ERR_INVALID, "%s", usage);
    }
    out->has_anchor = true;
    return audit_anchor_parse(view_of(arguments[1]), &out->anchor, err);
}

static bool parse_role(char **arguments, int count, struct command *out, struct err *err)
{
    out->kind = COMMAND_ROLE;
    if (count != 2 || !(is_word(arguments[1], "admin") || is_word(arguments[1], "user"))) {
        return err_set(err, ERR_INVALID, "%s", usage);
    }
    out->who = arguments[0];
    out->role = arguments[1];
    return true;
}

static bool parse(char **arguments, int count, struct command *out, struct err *err)
{
    *out = (struct command){0};
    if (count >= 2 && is_word(arguments[0], "audit") && is_word(arguments[1], "verify")) {
        return parse_verify(arguments + 2, count - 2, out, err);
    }
    if (count >= 2 && is_word(arguments[0], "user") && is_word(arguments[1], "role")) {
        return parse_role(arguments + 2, count - 2, out, err);
    }
    return err_set(err, ERR_INVALID, "%s", usage);
}

static void finish_pg(PGconn **pg)
{
    PQfinish(*pg);
}

static int connect_and_run(const char *url, const struct command *command, struct err *err)
{
    static const char *const keywords[] = {"connect_timeout", "dbname", NULL};
    const char *const values[] = {CONNECT_TIMEOUT_S, url, NULL};
    if (!pg_url_check(url, err)) {
        return EXIT_NOT_DONE;
    }
    AUTO(finish_pg) PGconn *pg = PQconnectdbParams(keywords, values, 1);
    if (PQstatus(pg) != CONNECTION_OK) {
        const char *message = PQerrorMessage(pg);
        err_set(err, ERR_UNAVAILABLE, "can't connect to the database: %.*s",
                (int)strcspn(message, "\n"), message);
        return EXIT_NOT_DONE;
    }
    return command->kind == COMMAND_ROLE ? set_role(pg, command, err) : verify(pg, command, err);
}

/* Only returns when that program can't be started. */
static void become_doctor(char **arguments, struct err *err)
{
    static const char name[] = "/insien-doctor";
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - sizeof name);
    char *slash = len <= 0 ? NULL : memrchr(path, '/', (size_t)len);
    if (slash != NULL) {
        memcpy(slash, name, sizeof name);
        (void)execv(path, arguments);
    }
    err_set(err, ERR_UNAVAILABLE, "insien-doctor can't be started: errno %d", errno);
}

int main(int argc, char **argv)
{
    static struct config config;
    struct command command;
    struct err err = {0};
    int status = EXIT_NOT_DONE;
    log_open("insien-admin", LOG_INFO);
    if (argc == 2 && is_word(argv[1], "--help")) {
        (void)puts(usage);
        return EXIT_WHOLE;
    }
    if (argc >= 2 && is_word(argv[1], "doctor")) {
        become_doctor(argv + 1, &err);
    } else if (parse(argv + 1, argc - 1, &command, &err) &&
               config_read(items, sizeof items / sizeof items[0], &config, &err)) {
        status = connect_and_run(config.database_url, &command, &err);
    }
    secret_wipe(&config, sizeof config);
    if (status == EXIT_NOT_DONE) {
        (void)fprintf(stderr, "insien-admin: %s\n", err.message);
    }
    return status;
}
