#include "common/db/target.h"

#include "common/base/secret.h"
#include "common/base/str.h"

#include <inttypes.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    TARGET_LIST_MAX = 4096, /* bytes of a list of hosts, addresses or ports */
    TARGET_OPTIONS_SIZE = 1024,
};

/* What the URL may say otherwise. A dead peer is noticed by keep-alives even on an idle connection;
 * Kerberos would read files and ask servers on the loop. */
static const struct {
    const char *keyword;
    const char *value;
} defaults[] = {
    {"client_encoding", "UTF8"},  {"fallback_application_name", "insien"},
    {"gssencmode", "disable"},    {"keepalives_idle", "10"},
    {"keepalives_interval", "3"}, {"keepalives_count", "3"},
};

/* One entry a server: lists as libpq reads them. */
struct servers {
    struct str hosts;
    struct str addresses;
    struct str ports;
};

void pg_target_free(struct pg_target *target)
{
    if (target == NULL) {
        return;
    }
    for (int i = 0; i < target->count; i++) {
        free(target->keywords[i]);
        secret_free_string(&target->values[i]);
    }
    free(target);
}

static int position(const struct pg_target *target, const char *keyword)
{
    for (int i = 0; i < target->count; i++) {
        if (strcmp(target->keywords[i], keyword) == 0) {
            return i;
        }
    }
    return -1;
}

static const char *get(const struct pg_target *target, const char *keyword)
{
    int at = position(target, keyword);
    return at < 0 ? "" : target->values[at];
}

static bool set(struct pg_target *target, const char *keyword, const char *value, struct err *err)
{
    char *copy = strdup(value);
    int at = position(target, keyword);
    if (copy != NULL && at >= 0) {
        secret_free_string(&target->values[at]);
        target->values[at] = copy;
        return true;
    }
    char *name = target->count < PG_TARGET_KEYWORDS_MAX ? strdup(keyword) : NULL;
    if (copy == NULL || name == NULL) {
        secret_free_string(&copy);
        free(name);
        return err_set(err, ERR_INTERNAL, "database URL: out of memory");
    }
    target->keywords[target->count] = name;
    target->values[target->count] = copy;
    target->count++;
    return true;
}

/* libpq's own message would show the password. The caller frees the options. */
static PQconninfoOption *read_options(const char *url, struct err *err)
{
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(url, &message);
    PQfreemem(message);
    if (options == NULL) {
        err_set(err, ERR_INVALID,
                "the database URL is no connection string; postgresql://user@host/name is");
    }
    return options;
}

bool pg_url_check(const char *url, struct err *err)
{
    PQconninfoOption *options = read_options(url, err);
    PQconninfoFree(options);
    return options != NULL;
}

static bool parse(struct pg_target *target, const char *url, struct err *err)
{
    PQconninfoOption *options = read_options(url, err);
    if (options == NULL) {
        return false;
    }
    bool ok = true;
    for (PQconninfoOption *option = options; ok && option->keyword != NULL; option++) {
        if (option->val != NULL) {
            ok = set(target, option->keyword, option->val, err);
        }
    }
    PQconninfoFree(options);
    return ok;
}

static void add_server(struct servers *servers, struct view host, const char *address,
                       struct view port)
{
    const char *comma = servers->ports.data == NULL ? "" : ",";
    str_appendf(&servers->hosts, "%s%.*s", comma, (int)host.len, host.ptr);
    str_appendf(&servers->addresses, "%s%s", comma, address);
    str_appendf(&servers->ports, "%s%.*s", comma, (int)port.len, port.ptr);
}

static bool look_up(struct servers *servers, struct view host, struct view port, struct err *err)
{
    char name[NI_MAXHOST];
    if (host.len == 0 || host.ptr[0] == '/' || host.ptr[0] == '@') {
        add_server(servers, host, "", port);
        return true;
    }
    if (!view_copy(host, name, sizeof name)) {
        return err_set(err, ERR_INVALID, "the database URL's host name is too long");
    }
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int failure = getaddrinfo(name, NULL, &hints, &found);
    if (failure != 0) {
        return err_set(err, ERR_UNAVAILABLE, "the database host %.80s: %s", name,
                       gai_strerror(failure));
    }
    for (struct addrinfo *each = found; each != NULL; each = each->ai_next) {
        char address[NI_MAXHOST];
        if (getnameinfo(each->ai_addr, each->ai_addrlen, address, sizeof address, NULL, 0,
                        NI_NUMERICHOST) == 0) {
            add_server(servers, host, address, port);
        }
    }
    freeaddrinfo(found);
    return true;
}

static bool set_list(struct pg_target *target, const char *keyword, const struct str *list,
                     struct err *err)
{
    return str_check(list, "the database URL's hosts", err) &&
           set(target, keyword, list->data == NULL ? "" : list->data, err);
}

static bool look_up_all(struct pg_target *target, struct servers *servers, struct err *err)
{
    struct view hosts = view_of(get(target, "host"));
    struct view ports = view_of(get(target, "port"));
    struct view port = {"", 0};
    do {
        if (ports.len > 0) { /* one port may serve all hosts */
            port = view_cut(&ports, ',');
        }
        if (!look_up(servers, view_cut(&hosts, ','), port, err)) {
            return false;
        }
    } while (hosts.len > 0);
    return set_list(target, "host", &servers->hosts, err) &&
           set_list(target, "hostaddr", &servers->addresses, err) &&
           set_list(target, "port", &servers->ports, err);
}

static bool resolve(struct pg_target *target, struct err *err)
{
    if (get(target, "host")[0] == '\0' || get(target, "hostaddr")[0] != '\0') {
        return true;
    }
    struct servers servers = {STR_INIT(TARGET_LIST_MAX), STR_INIT(TARGET_LIST_MAX),
                              STR_INIT(TARGET_LIST_MAX)};
    bool ok = look_up_all(target, &servers, err);
    str_free(&servers.hosts);
    str_free(&servers.addresses);
    str_free(&servers.ports);
    return ok;
}

static bool complete(struct pg_target *target, int64_t statement_timeout_ms, struct err *err)
{
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
        if (position(target, defaults[i].keyword) < 0 &&
            !set(target, defaults[i].keyword, defaults[i].value, err)) {
            return false;
        }
    }
    char options[TARGET_OPTIONS_SIZE];
    int length =
        snprintf(options, sizeof options, "-c timezone=UTC -c statement_timeout=%" PRId64 " %s",
                 statement_timeout_ms, get(target, "options"));
    if (length < 0 || (size_t)length >= sizeof options) {
        return err_set(err, ERR_INVALID, "the database URL's options are too long");
    }
    return set(target, "options", options, err);
}

struct pg_target *pg_target_new(const char *url, int64_t statement_timeout_ms, struct err *err)
{
    struct pg_target *target = calloc(1, sizeof *target);
    if (target == NULL) {
        err_set(err, ERR_INTERNAL, "database URL: out of memory");
        return NULL;
    }
    if (!parse(target, url, err) || !resolve(target, err) ||
        !complete(target, statement_timeout_ms, err)) {
        pg_target_free(target);
        return NULL;
    }
    return target;
}
