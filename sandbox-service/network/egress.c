#include "sandbox-service/network/egress.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "sandbox-service/network/command.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    CHANGES_WAITING_MAX = 2048,
    NFT_TIMEOUT_MS = 5000,
    SCRIPT_MAX = 1024 * 1024,
    OUTPUT_MAX = 512 * 1024, /* a line for each sandbox of the widest range */
    SWEPT_AT_A_TIME = 256,
    RESTORED_AT_A_TIME = 64,
    SWEEP_RETRY_MS = 2000,
};

struct egress {
    const struct egress_rules *rules; /* borrowed */
    struct worker_pool *worker;       /* owned; one thread, so that changes keep their order */
    struct map by_id;
    struct map by_address;
    struct list by_age;        /* the same */
    bool has_begun;            /* once, and well */
    struct egress_call *begin; /* borrowed; of the beginning that is under way */
    egress_done_fn *begun;     /* its; NULL: there is none */
    void *begun_arg;
    struct timer sweep_due; /* behind a removal that failed */
    bool is_complete;       /* all that live are known: who is not is gone */
};

/* A look for sandboxes that are gone, and what ends them. */
struct sweep {
    struct egress *egress; /* borrowed */
    struct egress_call call;
    bool is_full; /* there may be more */
};

/* Of a change that nobody waits for. */
struct errand {
    struct egress *egress; /* borrowed */
    struct egress_call call;
    char sandbox_id[ID_SIZE];
};

/* NULL: it is not installed. */
static const char *find_nft(void)
{
    static const char *const candidates[] = {"/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"};
    for (size_t i = 0; i < sizeof candidates / sizeof candidates[0]; i++) {
        if (access(candidates[i], X_OK) == 0) {
            return candidates[i];
        }
    }
    return NULL;
}

static struct view key_of(const uint32_t *address)
{
    return (struct view){(const char *)address, sizeof *address};
}

/* On the worker, as the next. */
static bool run_nft(const struct str *script, struct str *output, struct err *err)
{
    const char *const argv[] = {find_nft(), "-n", "-f", "-", NULL};
    int status = 0;
    if (argv[0] == NULL) {
        return err_set(err, ERR_UNAVAILABLE, "nft is not installed");
    }
    return command_run(argv, str_view(script), NFT_TIMEOUT_MS, output, &status, err) &&
           (status == 0 || err_set(err, ERR_UNAVAILABLE, "nft failed: %.120s",
                                   output->data == NULL ? "" : output->data));
}

static void run_script(struct worker_job *job)
{
    struct egress_call *call = (struct egress_call *)(void *)job;
    (void)!(run_nft(&call->script, &call->output, &call->err) &&
            (call->then.len == 0 || run_nft(&call->then, &call->output, &call->err)));
}

static void on_script(struct worker_job *job)
{
    struct egress_call *call = (struct egress_call *)(void *)job;
    egress_done_fn *done = call->done;
    struct str output = call->output;
    str_free(&call->script);
    str_free(&call->then);
    done(call->err.code == ERR_NONE ? NULL : &call->err, call->arg);
    str_free(&output);
}

static void prepare(struct egress_call *call, egress_done_fn *done, void *arg)
{
    call->script = STR_INIT(SCRIPT_MAX);
    call->then = STR_INIT(SCRIPT_MAX);
    call->output = STR_INIT(OUTPUT_MAX);
    call->err = (struct err){0};
    call->done = done;
    call->arg = arg;
    call->job.run = run_script;
    call->job.done = on_script;
}

/* False: done is not called. */
static bool submit(struct egress *egress, struct egress_call *call, struct err *err)
{
    bool ok = str_check(&call->script, "a change of the network", err) &&
              str_check(&call->then, "a change of the network", err) &&
              worker_submit(egress->worker, &call->job, err);
    if (!ok) {
        str_free(&call->script);
        str_free(&call->then);
    }
    return ok;
}

struct egress_box *egress_box_at(const struct egress *egress, uint32_t address)
{
    struct map_node *node = map_find(&egress->by_address, key_of(&address));
    return node == NULL ? NULL : MAP_ENTRY(node, struct egress_box, by_address);
}

struct egress_box *egress_box_of(const struct egress *egress, const char sandbox_id[ID_SIZE])
{
    struct map_node *node = map_find(&egress->by_id, view_of(sandbox_id));
    return node == NULL ? NULL : MAP_ENTRY(node, struct egress_box, by_id);
}

/* The one way out of a beginning. */
static void end_begin(struct egress *egress, const struct err *err)
{
    egress_done_fn *done = egress->begun;
    egress->begun = NULL;
    egress->has_begun |= err == NULL;
    done(err, egress->begun_arg);
}

static void restore_missing(struct egress *egress);

static void on_restored(const struct err *err, void *arg)
{
    if (err != NULL) {
        end_begin(arg, err);
    } else {
        restore_missing(arg);
    }
}

struct restoration {
    struct egress *egress;
    struct str *script;
    int count;
};

static void restore(struct map_node *node, void *arg)
{
    struct egress_box *box = MAP_ENTRY(node, struct egress_box, by_id);
    struct restoration *restoration = arg;
    if (box->is_missing && restoration->count < RESTORED_AT_A_TIME) {
        box->is_missing = false;
        restoration->count++;
        egress_write_policy(restoration->egress->rules, box->address, box->policy, true,
                            restoration->script);
    }
}

static void restore_missing(struct egress *egress)
{
    struct err err = {0};
    struct egress_call *call = egress->begin;
    prepare(call, on_restored, egress);
    struct restoration restoration = {egress, &call->script, 0};
    map_each(&egress->by_id, restore, &restoration);
    if (restoration.count == 0) {
        str_free(&call->script);
        end_begin(egress, NULL);
        return;
    }
    log_warn("egress.restored", LOG_INT("sandboxes", restoration.count));
    if (!submit(egress, call, &err)) {
        end_begin(egress, &err);
    }
}

static void mark_missing(struct map_node *node, void *arg)
{
    (void)arg;
    MAP_ENTRY(node, struct egress_box, by_id)->is_missing = true;
}

static void on_base(const struct err *err, void *arg)
{
    struct egress *egress = arg;
    struct view listing = str_view(&egress->begin->output);
    uint32_t address;
    if (err != NULL) {
        end_begin(egress, err);
        return;
    }
    map_each(&egress->by_id, mark_missing, NULL);
    while (egress_next_box(&listing, &address)) {
        struct egress_box *box = egress_box_at(egress, address);
        if (box != NULL) {
            box->is_missing = false;
        }
    }
    restore_missing(egress);
}

bool egress_begin(struct egress *egress, struct egress_call *call, egress_done_fn *done, void *arg,
                  struct err *err)
{
    if (egress->begun != NULL) {
        return err_set(err, ERR_CONFLICT, "the table is being put into force");
    }
    prepare(call, on_base, egress);
    str_appendf(&call->then, "list map inet %s boxes\n", egress->rules->table);
    if (!egress_write_base(egress->rules, !egress->has_begun, &call->script, err) ||
        !submit(egress, call, err)) {
        str_free(&call->script);
        str_free(&call->then);
        return false;
    }
    egress->begin = call;
    egress->begun = done;
    egress->begun_arg = arg;
    return true;
}

static struct egress_box *box_new(struct egress *egress, const char sandbox_id[ID_SIZE],
                                  uint32_t address)
{
    struct egress_box *box = calloc(1, sizeof *box);
    if (box != NULL) {
        memcpy(box->sandbox_id, sandbox_id, ID_SIZE);
        box->address = address;
        box->flushed_ms = clock_monotonic_ms();
        list_append(&egress->by_age, &box->by_age);
        map_insert(&egress->by_id, &box->by_id, view_of(box->sandbox_id));
        map_insert(&egress->by_address, &box->by_address, key_of(&box->address));
    }
    return box;
}

static void box_free(struct egress *egress, struct egress_box *box)
{
    map_remove(&egress->by_id, &box->by_id);
    map_remove(&egress->by_address, &box->by_address);
    list_remove(&box->by_age);
    free(box->policy);
    free(box);
}

/* The box that an address is given to. Whoever was there is gone without a word of it. */
static struct egress_box *take_address(struct egress *egress, const char sandbox_id[ID_SIZE],
                                       uint32_t address, struct str *script)
{
    struct egress_box *box = egress_box_of(egress, sandbox_id);
    if (box != NULL && box->address == address) {
        return box;
    }
    if (box != NULL) {
        egress_write_removal(egress->rules, box->address, script);
        box_free(egress, box);
    }
    struct egress_box *last = egress_box_at(egress, address);
    if (last != NULL) {
        log_warn("egress.address_taken", LOG_STR("sandbox_id", last->sandbox_id),
                 LOG_STR("by", sandbox_id));
        box_free(egress, last);
    }
    return box_new(egress, sandbox_id, address);
}

bool egress_admit(struct egress *egress, struct egress_call *call, const char sandbox_id[ID_SIZE],
                  uint32_t address, struct policy *policy, enum egress_admission admission,
                  egress_done_fn *done, void *arg, struct err *err)
{
    prepare(call, done, arg);
    struct egress_box *box = take_address(egress, sandbox_id, address, &call->script);
    if (box == NULL) {
        free(policy);
        str_free(&call->script);
        return err_set(err, ERR_INTERNAL, "network policy: out of memory");
    }
    bool keeps_names = admission == EGRESS_ADOPTED ||
                       (box->policy != NULL && policy_has_names_of(policy, box->policy));
    /* Also what an earlier process may have left there. The attempts of a sandbox that stays are
     * read before its policy changes. */
    if (!keeps_names) {
        egress_write_removal(egress->rules, address, &call->script);
    }
    free(box->policy);
    box->policy = policy;
    egress_write_policy(egress->rules, address, policy, keeps_names, &call->script);
    return submit(egress, call, err);
}

/* Who was to reach less, or nothing, reaches what it did until then. */
static void sweep_later(struct egress *egress)
{
    if (egress->is_complete) { /* else it comes anyway */
        timer_arm(&egress->sweep_due, SWEEP_RETRY_MS);
    }
}

static void on_errand(const struct err *err, void *arg)
{
    struct errand *errand = arg;
    if (err != NULL) {
        log_warn("egress.not_dismissed", LOG_STR("sandbox_id", errand->sandbox_id), LOG_ERR(err));
        sweep_later(errand->egress);
    }
    free(errand);
}

void egress_dismiss(struct egress *egress, const char sandbox_id[ID_SIZE])
{
    struct egress_box *box = egress_box_of(egress, sandbox_id);
    struct errand *errand = box == NULL ? NULL : calloc(1, sizeof *errand);
    struct err err = {0};
    if (box != NULL && errand == NULL) {
        sweep_later(egress);
    }
    if (errand != NULL) {
        errand->egress = egress;
        memcpy(errand->sandbox_id, sandbox_id, ID_SIZE);
        prepare(&errand->call, on_errand, errand);
        egress_write_removal(egress->rules, box->address, &errand->call.script);
        if (!submit(egress, &errand->call, &err)) {
            on_errand(&err, errand);
        }
    }
    if (box != NULL) {
        box_free(egress, box);
    }
}

bool egress_grant(struct egress *egress, struct egress_call *call, const struct egress_box *box,
                  const struct egress_grant *grant, egress_done_fn *done, void *arg,
                  struct err *err)
{
    prepare(call, done, arg);
    if (grant->makes_room) {
        egress_write_unused(egress->rules, box->address, &call->script);
    }
    for (size_t i = 0; i < box->policy->count; i++) {
        const struct policy_entry *entry = &box->policy->entries[i];
        bool is_meant = policy_entry_has_name(entry, view_of(grant->name));
        for (size_t target = 0; is_meant && target < grant->count; target++) {
            egress_write_grant(egress->rules, box->address, entry, grant->targets[target],
                               &call->script);
        }
    }
    return submit(egress, call, err);
}

bool egress_take_attempts(struct egress *egress, struct egress_call *call, struct egress_box *box,
                          egress_done_fn *done, void *arg, struct err *err)
{
    char set[EGRESS_TABLE_SIZE];
    const char *table = egress->rules->table;
    prepare(call, done, arg);
    egress_attempts_set(box->address, set);
    /* Together they would list what is left. */
    str_appendf(&call->script, "list set inet %s %s\n", table, set);
    str_appendf(&call->then, "flush set inet %s %s\n", table, set);
    list_remove(&box->by_age);
    list_append(&egress->by_age, &box->by_age);
    box->flushed_ms = clock_monotonic_ms();
    return submit(egress, call, err);
}

struct egress_box *egress_box_oldest(const struct egress *egress)
{
    return list_is_empty(&egress->by_age)
               ? NULL
               : LIST_ENTRY(egress->by_age.next, struct egress_box, by_age);
}

bool egress_set_rates(struct egress *egress, struct egress_call *call, struct view elements,
                      egress_done_fn *done, void *arg, struct err *err)
{
    const char *table = egress->rules->table;
    prepare(call, done, arg);
    str_appendf(&call->script, "flush map inet %s rates_from\nflush map inet %s rates_to\n", table,
                table);
    str_append_view(&call->script, elements);
    return submit(egress, call, err);
}

static void on_swept(const struct err *err, void *arg)
{
    struct sweep *sweep = arg;
    if (err != NULL) {
        log_warn("egress.not_swept", LOG_ERR(err));
        sweep_later(sweep->egress);
    } else if (sweep->is_full) {
        egress_sweep(sweep->egress);
    }
    free(sweep);
}

static void on_boxes_listed(const struct err *err, void *arg)
{
    struct sweep *sweep = arg;
    struct egress *egress = sweep->egress;
    struct view listing = str_view(&sweep->call.output);
    struct err failure = {0};
    uint32_t address;
    int gone = 0;
    if (err != NULL) {
        on_swept(err, sweep);
        return;
    }
    struct str script = STR_INIT(SCRIPT_MAX);
    while (gone < SWEPT_AT_A_TIME && egress_next_box(&listing, &address)) {
        if (egress_box_at(egress, address) == NULL) {
            egress_write_removal(egress->rules, address, &script);
            gone++;
        }
    }
    if (gone == 0) {
        str_free(&script);
        free(sweep);
        return;
    }
    log_info("egress.swept", LOG_INT("sandboxes", gone));
    sweep->is_full = gone == SWEPT_AT_A_TIME;
    prepare(&sweep->call, on_swept, sweep);
    sweep->call.script = script;
    if (!submit(egress, &sweep->call, &failure)) {
        on_swept(&failure, sweep);
    }
}

void egress_sweep(struct egress *egress)
{
    struct err err = {0};
    struct sweep *sweep = calloc(1, sizeof *sweep);
    egress->is_complete = true;
    if (sweep == NULL) {
        log_warn("egress.not_swept", LOG_STR("error", "out of memory"));
        sweep_later(egress);
        return;
    }
    sweep->egress = egress;
    prepare(&sweep->call, on_boxes_listed, sweep);
    str_appendf(&sweep->call.script, "list map inet %s boxes\n", egress->rules->table);
    if (!submit(egress, &sweep->call, &err)) {
        on_swept(&err, sweep);
    }
}

static void on_sweep_due(void *arg)
{
    egress_sweep(arg);
}

struct egress *egress_open(struct loop *loop, const struct egress_rules *rules, struct err *err)
{
    struct egress *egress = calloc(1, sizeof *egress);
    if (egress == NULL) {
        err_set(err, ERR_INTERNAL, "egress: out of memory");
        return NULL;
    }
    egress->rules = rules;
    list_init(&egress->by_age);
    if (!map_init(&egress->by_id, err) || !map_init(&egress->by_address, err) ||
        !timer_open(&egress->sweep_due, loop, on_sweep_due, egress, err) ||
        (egress->worker = worker_pool_new(loop, 1, CHANGES_WAITING_MAX, err)) == NULL) {
        egress_close(egress);
        return NULL;
    }
    return egress;
}

static void free_box(struct map_node *node, void *arg)
{
    box_free(arg, MAP_ENTRY(node, struct egress_box, by_id));
}

void egress_close(struct egress *egress)
{
    if (egress != NULL) {
        worker_pool_free(egress->worker);
        timer_close(&egress->sweep_due);
        map_each(&egress->by_id, free_box, egress);
        map_free(&egress->by_id);
        map_free(&egress->by_address);
        free(egress);
    }
}

const struct egress_rules *egress_rules_of(const struct egress *egress)
{
    return egress->rules;
}
