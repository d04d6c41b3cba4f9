#include "sandbox-service/network/firewall.h"

#include "common/base/clock.h"
#include "sandbox-service/network/command.h"

#include <unistd.h>

/* What iptables says when somebody else works at the rules for longer than we wait. */
#define LOCKED "xtables lock"

enum {
    ACT_TIMEOUT_MS = 10000, /* all commands of one act together: the worker must come free */
    RULES_MAX = 64 * 1024,
    OUTPUT_MAX = 64 * 1024,
};

/* Debian's place and the older one. */
static const char *find_program(const char *const *candidates)
{
    for (; *candidates != NULL; candidates++) {
        if (access(*candidates, X_OK) == 0) {
            return *candidates;
        }
    }
    return NULL;
}

static const char *iptables(void)
{
    static const char *const candidates[] = {"/usr/sbin/iptables", "/sbin/iptables", NULL};
    return find_program(candidates);
}

static const char *iptables_restore(void)
{
    static const char *const candidates[] = {"/usr/sbin/iptables-restore", "/sbin/iptables-restore",
                                             NULL};
    return find_program(candidates);
}

/* The first line of what a program said, for a message. */
static int first_line(const struct str *output)
{
    enum { SHOWN_MAX = 120 };
    size_t len = output->data == NULL ? 0 : strcspn(output->data, "\n");
    return (int)(len < SHOWN_MAX ? len : SHOWN_MAX);
}

static bool run(const char *const *argv, struct view input, int64_t until_ms, struct str *output,
                struct err *err)
{
    int status;
    int64_t left_ms = until_ms - clock_monotonic_ms();
    if (argv[0] == NULL) {
        return err_set(err, ERR_UNAVAILABLE, "iptables is not installed");
    }
    if (left_ms <= 0) {
        return err_set(err, ERR_TIMEOUT, "no time is left for %s", argv[0]);
    }
    if (!command_run(argv, input, left_ms, output, &status, err)) {
        return false;
    }
    const char *said = output->data == NULL ? "" : output->data;
    enum err_code code = strstr(said, LOCKED) != NULL ? ERR_TIMEOUT : ERR_UNAVAILABLE;
    return status == 0 || err_set(err, code, "%s failed: %.*s", argv[0], first_line(output), said);
}

static bool run_quietly(const char *const *argv, struct view input, int64_t until_ms,
                        struct err *err)
{
    struct str output = STR_INIT(OUTPUT_MAX);
    bool ok = run(argv, input, until_ms, &output, err);
    str_free(&output);
    return ok;
}

static bool fill_chain(const struct rules *rules, int64_t until_ms, struct err *err)
{
    struct str text = STR_INIT(RULES_MAX);
    const char *const argv[] = {iptables_restore(), "--noflush", "-w", "5", NULL};
    bool ok = rules_write(rules, &text, err) && run_quietly(argv, str_view(&text), until_ms, err);
    str_free(&text);
    return ok;
}

static bool ensure_jump(const struct rules *rules, const char *from, int64_t until_ms,
                        struct err *err)
{
    struct err absent = {0};
    const char *const check[] = {iptables(), "-w",          "5",  "-C",         from,
                                 "-i",       rules->bridge, "-j", rules->chain, NULL};
    const char *const insert[] = {iptables(), "-w",          "5",  "-I",         from, "1",
                                  "-i",       rules->bridge, "-j", rules->chain, NULL};
    return run_quietly(check, (struct view){0}, until_ms, &absent) ||
           run_quietly(insert, (struct view){0}, until_ms, err);
}

bool firewall_apply(const struct rules *rules, struct err *err)
{
    int64_t until_ms = clock_monotonic_ms() + ACT_TIMEOUT_MS;
    return (fill_chain(rules, until_ms, err) && ensure_jump(rules, "INPUT", until_ms, err) &&
            ensure_jump(rules, "DOCKER-USER", until_ms, err)) ||
           err_wrap(err, "firewall");
}

bool firewall_has_dropped(const struct rules *rules, const char *const *ranges, struct err *err)
{
    struct str listing = STR_INIT(OUTPUT_MAX);
    const char *const argv[] = {iptables(), "-w", "5", "-xnvL", rules->chain, NULL};
    bool ok = run(argv, (struct view){0}, clock_monotonic_ms() + ACT_TIMEOUT_MS, &listing, err);
    for (; ok && *ranges != NULL; ranges++) {
        if (rules_count_drops(str_view(&listing), *ranges) <= 0) {
            ok = err_set(err, ERR_UNAVAILABLE, "packets to %s did not pass by the firewall's rule",
                         *ranges);
        }
    }
    str_free(&listing);
    return ok;
}
