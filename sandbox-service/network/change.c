#include "sandbox-service/network/change.h"

#include "common/base/crash_point.h"

#include <stdio.h>
#include <stdlib.h>

static void leave_next(struct network_change *change);

/* The row says something new, and it is not so: less than both is reached until somebody does it
 * whole. Also where the sandbox has ended meanwhile, and its rules came after it. */
static void close_off(struct network_change *change)
{
    struct egress *egress = restricted_egress(change->parts->restricted);
    if (egress != NULL && change->row.version > 0) {
        egress_dismiss(egress, change->sandbox_id);
    }
}

/* The only way out. */
static void finish(struct network_change *change, const struct err *err)
{
    if (err != NULL) {
        close_off(change);
    }
    free(change->policy);
    change->policy = NULL;
    change->done(err, change->arg);
}

/* What the engine or the kernel did not do is our trouble, not the caller's mistake. */
static void fail(struct network_change *change, const struct err *err, const char *what)
{
    struct err failure;
    (void)err_set_reason(&failure, ERR_UNAVAILABLE, "network_unavailable", "%s: %s", what,
                         err->message);
    finish(change, &failure);
}

static void on_applied(const PGresult *result, const struct err *err, void *arg)
{
    struct err ended = {0};
    if (err == NULL && pg_rows(result) == 0) {
        err_set_reason(&ended, ERR_CONFLICT, "sandbox_ended", "ended during the change");
        err = &ended;
    }
    CRASH_POINT("network.after_end");
    finish(arg, err);
}

static void note_applied(struct network_change *change)
{
    struct err err = {0};
    if (!network_store_applied(change->parts->store, change->sandbox_id, change->row.version,
                               on_applied, change, &err)) {
        finish(change, &err);
    }
}

static void on_joined(const struct err *err, void *arg)
{
    struct network_change *change = arg;
    if (err != NULL) {
        fail(change, err, "joining the network");
    } else {
        CRASH_POINT("network.after_joining");
        note_applied(change);
    }
}

static bool wants(const struct network_change *change, const char *network)
{
    return strcmp(change->wanted, network) == 0;
}

static void join(struct network_change *change)
{
    const struct change_parts *parts = change->parts;
    bool is_restricted = wants(change, "restricted");
    const char *network = is_restricted           ? restricted_network(parts->restricted)
                          : wants(change, "open") ? parts->open_network
                                                  : NETWORK_NONE;
    if (change->row.is_settled) {
        note_applied(change);
        return;
    }
    attachment_join(parts->docker, &change->attachment, network, change->container,
                    is_restricted ? change->row.address : NULL, on_joined, change);
}

static void on_admitted(const struct err *err, void *arg)
{
    struct network_change *change = arg;
    if (err != NULL) {
        fail(change, err, "the kernel's rules");
    } else {
        CRASH_POINT("network.after_rules");
        join(change);
    }
}

static void admit(struct network_change *change)
{
    struct egress *egress = restricted_egress(change->parts->restricted);
    struct err err = {0};
    uint32_t address;
    struct policy *policy = change->policy;
    if (egress == NULL || !address_parse(view_of(change->row.address), &address)) {
        err_set(&err, ERR_UNAVAILABLE, "no table, or no address");
        fail(change, &err, "the kernel's rules");
        return;
    }
    change->policy = NULL;
    if (!egress_admit(egress, &change->table, change->sandbox_id, address, policy, EGRESS_NEW,
                      on_admitted, change, &err)) {
        fail(change, &err, "the kernel's rules");
    }
}

static void on_left(const struct err *err, void *arg)
{
    struct network_change *change = arg;
    if (err != NULL) {
        fail(change, err, "leaving the network");
    } else {
        CRASH_POINT("network.after_leaving");
        leave_next(change);
    }
}

static void leave_next(struct network_change *change)
{
    for (size_t i = 0; i < sizeof change->to_leave / sizeof change->to_leave[0]; i++) {
        const char *network = change->to_leave[i];
        if (network != NULL) {
            change->to_leave[i] = NULL;
            attachment_leave(change->parts->docker, &change->attachment, network, change->container,
                             on_left, change);
            return;
        }
    }
    if (wants(change, "restricted")) {
        admit(change);
        return;
    }
    if (restricted_egress(change->parts->restricted) != NULL) {
        egress_dismiss(restricted_egress(change->parts->restricted), change->sandbox_id);
    }
    join(change);
}

static void on_row(const PGresult *result, const struct err *err, void *arg)
{
    struct network_change *change = arg;
    struct err missing = {0};
    if (err != NULL) {
        finish(change, err);
        return;
    }
    if (pg_rows(result) != 1) {
        err_set_reason(&missing, ERR_NOT_FOUND, "sandbox_not_found", "there is no such sandbox");
        finish(change, &missing);
        return;
    }
    CRASH_POINT("network.after_row");
    network_store_read_set(result, &change->row);
    if (change->row.is_settled) {
        change->to_leave[0] = NULL;
        change->to_leave[1] = NULL;
    }
    leave_next(change);
}

/* All but the one that it is to be on: whatever an earlier change left. */
static void choose_leaves(struct network_change *change)
{
    const char *restricted = restricted_network(change->parts->restricted);
    change->to_leave[0] = wants(change, "restricted") ? NETWORK_NONE : restricted;
    change->to_leave[1] = wants(change, "open") ? NETWORK_NONE : change->parts->open_network;
}

bool network_change_begin(struct network_change *change, const struct change_parts *parts,
                          const char *sandbox_id, const char *user_id, const char *wanted,
                          const char *allow, struct policy *policy, change_done_fn *done, void *arg,
                          struct err *err)
{
    *change = (struct network_change){
        .parts = parts, .policy = policy, .wanted = wanted, .done = done, .arg = arg};
    memcpy(change->sandbox_id, sandbox_id, ID_SIZE);
    container_name(sandbox_id, change->container);
    choose_leaves(change);
    if (!network_store_set(parts->store, sandbox_id, user_id, wanted, allow, on_row, change, err)) {
        free(change->policy);
        change->policy = NULL;
        return false;
    }
    return true;
}

/* Since the row was read somebody may have changed it, and done that whole. */
static void on_still(const PGresult *result, const struct err *err, void *arg)
{
    struct network_change *change = arg;
    struct err other = {0};
    if (err == NULL && pg_rows(result) == 0) {
        err_set(&other, ERR_CONFLICT, "changed meanwhile");
        err = &other;
    }
    if (err != NULL) {
        finish(change, err);
        return;
    }
    change->row.version = network_store_read_still(result);
    leave_next(change);
}

void network_change_resume(struct network_change *change, const struct change_parts *parts,
                           const struct network_unit *unit, struct policy *policy,
                           change_done_fn *done, void *arg)
{
    struct err err = {0};
    *change = (struct network_change){
        .parts = parts, .policy = policy, .wanted = unit->wanted, .done = done, .arg = arg};
    memcpy(change->sandbox_id, unit->sandbox_id, ID_SIZE);
    memcpy(change->row.address, unit->address, sizeof change->row.address);
    container_name(unit->sandbox_id, change->container);
    choose_leaves(change);
    if (!network_store_still(parts->store, change->sandbox_id, unit->version, on_still, change,
                             &err)) {
        finish(change, &err);
    }
}
