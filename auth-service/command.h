/* auth-service/command.h: insien-auth issue-key EMAIL [--tier TIER] [--name NAME]
 * [--scopes SCOPE,...]. */
#ifndef AUTH_SERVICE_COMMAND_H
#define AUTH_SERVICE_COMMAND_H

#include "auth-service/settings.h"

enum { COMMAND_EMAIL_SIZE = 255 };

struct command {
    char email[COMMAND_EMAIL_SIZE]; /* lower case */
    const char *tier;               /* borrowed from argv; NULL: leave it as it is */
    const char *name;               /* borrowed from argv; "" : none */
    unsigned scopes;                /* of enum auth_scope; 0: all but admin */
};

/* arguments: what follows "issue-key". ERR_INVALID with a sentence for the person who typed it. */
bool command_parse(char **arguments, int count, struct command *out, struct err *err) MUST_CHECK;

/* Finds or makes the local user, gives them the tier, issues a key and prints it alone on stdout.
 * Runs a loop of its own; the service may run beside it. */
bool command_run(const struct command *command, const struct settings *settings,
                 struct err *err) MUST_CHECK;

#endif
