#include "gateway/cache/known.h"

#include "common/base/clock.h"
#include "common/base/secret.h"
#include "common/ipc/client.h"

#include <assert.h>
#include <stdlib.h>

/* One question under way, and those who wait for its answer. */
struct known_flight {
    struct list node;
    struct known *known;   /* borrowed */
    struct ipc_call *call; /* NULL while the answer is told */
    struct list asks;
    uint64_t epoch;
    int64_t until_ms;
    int again;
    bool is_stale;   /* there were news of its key */
    bool unattended; /* goes on when nobody waits */
    size_t key_len;
    size_t body_len;
    char key[KNOWN_KEY_MAX];
    char body[]; /* at most KNOWN_BODY_MAX */
};

static void open_shelf(struct known_shelf *shelf, const struct known_limits *limits)
{
    list_init(&shelf->ages);
    shelf->limits = *limits;
}

bool known_open(struct known *known, const struct known_kind *kind, struct ipc_client *service,
                struct err *err)
{
    known->kind = kind;
    known->service = service;
    open_shelf(&known->found, &kind->found);
    open_shelf(&known->missing, &kind->missing);
    list_init(&known->flights);
    return map_init(&known->entries, err);
}

static void release(struct known_entry *entry)
{
    if (--entry->holders == 0) {
        free(entry);
    }
}

void known_drop(struct known *known, struct known_entry *entry)
{
    map_remove(&known->entries, &entry->node);
    list_remove(&entry->age);
    entry->shelf->count--;
    entry->shelf = NULL;
    release(entry);
}

static void drop_all(struct known *known, struct known_shelf *shelf)
{
    while (!list_is_empty(&shelf->ages)) {
        known_drop(known, LIST_ENTRY(shelf->ages.next, struct known_entry, age));
    }
}

static void free_flight(struct known_flight *flight)
{
    list_remove(&flight->node);
    if (flight->call != NULL) {
        ipc_call_cancel(flight->call);
    }
    secret_wipe(flight->body, flight->body_len);
    free(flight);
}

void known_close(struct known *known)
{
    if (known->kind == NULL) {
        return;
    }
    drop_all(known, &known->found);
    drop_all(known, &known->missing);
    for (LIST_EACH(node, &known->flights)) {
        free_flight(LIST_ENTRY(node, struct known_flight, node));
    }
    map_free(&known->entries);
}

static struct known_entry *find(const struct known *known, struct view key)
{
    struct map_node *node = map_find(&known->entries, key);
    return node == NULL ? NULL : MAP_ENTRY(node, struct known_entry, node);
}

struct known_entry *known_find(struct known *known, struct view key)
{
    struct known_entry *entry = known->trusted ? find(known, key) : NULL;
    if (entry != NULL && entry->expires_ms <= clock_monotonic_ms()) {
        known_drop(known, entry);
        return NULL;
    }
    return entry;
}

static void keep(struct known *known, struct known_shelf *shelf, struct known_entry *entry)
{
    struct known_entry *older = find(known, (struct view){entry->key, entry->key_len});
    if (shelf->limits.entries_max == 0) {
        return;
    }
    if (older != NULL) {
        known_drop(known, older);
    }
    if (shelf->count >= shelf->limits.entries_max) {
        known_drop(known, LIST_ENTRY(shelf->ages.next, struct known_entry, age));
    }
    entry->holders++;
    entry->shelf = shelf;
    entry->expires_ms = clock_monotonic_ms() + shelf->limits.ttl_ms;
    shelf->count++;
    map_insert(&known->entries, &entry->node, (struct view){entry->key, entry->key_len});
    list_append(&shelf->ages, &entry->age);
}

/* Returns the entry, held once; NULL when there is nothing to tell or keep. */
static struct known_entry *read_entry(const struct known_flight *flight, const struct view *body,
                                      struct err *err)
{
    struct known_entry *entry =
        flight->known->kind->read((struct view){flight->key, flight->key_len}, body, err);
    if (entry != NULL) {
        entry->holders = 1;
        entry->key_len = flight->key_len;
        memcpy(entry->key, flight->key, flight->key_len);
    }
    return entry;
}

static void tell(struct known_flight *flight, const struct known_entry *entry,
                 const struct err *err)
{
    struct list *node;
    while ((node = list_pop(&flight->asks)) != NULL) {
        struct known_ask *ask = LIST_ENTRY(node, struct known_ask, node);
        ask->done(entry, err, ask);
    }
}

static void land(struct known_flight *flight, const struct view *body, const struct err *err)
{
    struct known *known = flight->known;
    struct err failure = {0};
    bool is_fresh = known->trusted && flight->epoch == known->epoch;
    bool is_missing = err != NULL && err->code == ERR_NOT_FOUND;
    bool is_kept = is_fresh && (!is_missing || known->missing.limits.entries_max > 0);
    struct known_entry *entry = NULL;
    list_remove(&flight->node);
    if (err == NULL || (is_missing && is_kept)) {
        entry = read_entry(flight, body, &failure);
    }
    if (entry != NULL && is_kept) {
        keep(known, is_missing ? &known->missing : &known->found, entry);
    }
    if (err == NULL && entry == NULL) {
        err = &failure;
    }
    tell(flight, err == NULL ? entry : NULL, err);
    if (entry != NULL) {
        release(entry);
    }
    free_flight(flight);
}

static bool take_off(struct known_flight *flight, const struct trace *trace,
                     const struct actor *actor, struct err *err);

static void on_reply(const struct view *body, const struct err *err, void *arg)
{
    struct known_flight *flight = arg;
    struct err ignored;
    flight->call = NULL;
    if (flight->is_stale && flight->again < KNOWN_AGAIN_MAX &&
        take_off(flight, NULL, NULL, &ignored)) {
        flight->again++;
        return;
    }
    land(flight, body, err);
}

static bool take_off(struct known_flight *flight, const struct trace *trace,
                     const struct actor *actor, struct err *err)
{
    struct known *known = flight->known;
    int64_t timeout_ms = flight->until_ms - clock_monotonic_ms();
    const struct ipc_call_options options = {.method = known->kind->method,
                                             .trace = trace,
                                             .actor = actor,
                                             .timeout_ms = timeout_ms > 0 ? timeout_ms : 1,
                                             .repeatable = true};
    flight->call =
        ipc_call_begin(known->service, &options, (struct view){flight->body, flight->body_len},
                       on_reply, flight, err);
    if (flight->call == NULL) {
        return false;
    }
    flight->epoch = known->epoch;
    flight->is_stale = false;
    return true;
}

static struct known_flight *begin_flight(struct known *known, const struct known_question *question,
                                         struct err *err)
{
    assert(question->key.len <= KNOWN_KEY_MAX && question->body.len <= KNOWN_BODY_MAX);
    struct known_flight *flight = calloc(1, sizeof *flight + question->body.len);
    if (flight == NULL) {
        err_set(err, ERR_INTERNAL, "%s: out of memory", known->kind->method);
        return NULL;
    }
    flight->known = known;
    flight->until_ms = clock_monotonic_ms() + KNOWN_TIMEOUT_MS;
    flight->key_len = question->key.len;
    flight->body_len = question->body.len;
    memcpy(flight->key, question->key.ptr, question->key.len);
    memcpy(flight->body, question->body.ptr, question->body.len);
    list_init(&flight->asks);
    if (!take_off(flight, question->trace, question->actor, err)) {
        free_flight(flight);
        return NULL;
    }
    list_append(&known->flights, &flight->node);
    return flight;
}

static bool is_about(const struct known_flight *flight, struct view key)
{
    return view_equal((struct view){flight->key, flight->key_len}, key);
}

/* One whose answer can't be older than what the asker knows; or NULL. */
static struct known_flight *find_flight(const struct known *known, struct view key)
{
    for (LIST_EACH(node, &known->flights)) {
        struct known_flight *flight = LIST_ENTRY(node, struct known_flight, node);
        if (flight->epoch == known->epoch && known->trusted && is_about(flight, key)) {
            return flight;
        }
    }
    return NULL;
}

static struct known_flight *join_or_begin(struct known *known,
                                          const struct known_question *question, struct err *err)
{
    struct known_flight *flight = find_flight(known, question->key);
    return flight == NULL ? begin_flight(known, question, err) : flight;
}

bool known_ask(struct known *known, struct known_ask *ask, const struct known_question *question,
               known_done_fn *done, struct err *err)
{
    ask->flight = join_or_begin(known, question, err);
    if (ask->flight == NULL) {
        return false;
    }
    ask->done = done;
    list_append(&ask->flight->asks, &ask->node);
    return true;
}

void known_cancel(struct known_ask *ask)
{
    struct known_flight *flight = ask->flight;
    list_remove(&ask->node);
    if (list_is_empty(&flight->asks) && flight->call != NULL && !flight->unattended) {
        free_flight(flight);
    }
}

void known_prefetch(struct known *known, const struct known_question *question)
{
    struct err ignored = {0};
    struct known_flight *flight = known->trusted ? join_or_begin(known, question, &ignored) : NULL;
    if (flight != NULL) {
        flight->unattended = true;
    }
}

void known_forget(struct known *known, struct view key)
{
    struct known_entry *entry = find(known, key);
    known->epoch++;
    if (entry != NULL) {
        known_drop(known, entry);
    }
    for (LIST_EACH(node, &known->flights)) {
        struct known_flight *flight = LIST_ENTRY(node, struct known_flight, node);
        flight->is_stale = flight->is_stale || is_about(flight, key);
    }
}

void known_forget_each(struct known *known, known_meant_fn *is_meant, const char *id)
{
    known->epoch++;
    for (LIST_EACH(node, &known->found.ages)) {
        struct known_entry *entry = LIST_ENTRY(node, struct known_entry, age);
        if (is_meant(entry, id)) {
            known_drop(known, entry);
        }
    }
}

void known_set_trusted(struct known *known, bool trusted)
{
    known->epoch++;
    known->trusted = trusted;
    if (!trusted) {
        drop_all(known, &known->found);
        drop_all(known, &known->missing);
        return;
    }
    for (LIST_EACH(node, &known->flights)) { /* There may have been news. */
        LIST_ENTRY(node, struct known_flight, node)->is_stale = true;
    }
}
