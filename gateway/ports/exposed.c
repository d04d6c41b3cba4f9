#include "gateway/ports/exposed.h"

#include "common/base/encode.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/secret.h"
#include "common/ipc/client.h"

#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    FETCH_TIMEOUT_MS = 10 * 1000,
    HMAC_SIZE = 32,
};

struct entry {
    struct map_node node; /* by ports.sandbox_id */
    struct list age;      /* oldest first */
    int64_t expires_ms;
    struct exposed_ports ports;
    struct exposed_port items[]; /* of ports */
};

struct exposed_cache {
    struct ipc_client *sandbox_service; /* borrowed */
    const char *secret;                 /* borrowed */
    struct map entries;
    struct list ages;
    bool trusted;
    uint64_t generation; /* moves with every invalidation: answers asked for before are not kept */
};

struct exposed_fetch {
    struct exposed_cache *cache; /* borrowed */
    struct ipc_call *call;
    uint64_t generation;
    char sandbox_id[ID_SIZE];
    exposed_fetch_fn *done;
    void *arg;
};

struct exposed_cache *exposed_cache_new(struct ipc_client *sandbox_service, const char *secret,
                                        struct err *err)
{
    struct exposed_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) {
        err_set(err, ERR_INTERNAL, "exposed ports: out of memory");
        return NULL;
    }
    cache->sandbox_service = sandbox_service;
    cache->secret = secret;
    list_init(&cache->ages);
    if (!map_init(&cache->entries, err)) {
        exposed_cache_free(cache);
        return NULL;
    }
    return cache;
}

static void drop(struct exposed_cache *cache, struct entry *entry)
{
    map_remove(&cache->entries, &entry->node);
    list_remove(&entry->age);
    free(entry);
}

static void drop_all(struct exposed_cache *cache)
{
    while (!list_is_empty(&cache->ages)) {
        drop(cache, LIST_ENTRY(cache->ages.next, struct entry, age));
    }
}

void exposed_cache_free(struct exposed_cache *cache)
{
    if (cache != NULL) {
        drop_all(cache);
        map_free(&cache->entries);
        free(cache);
    }
}

static struct entry *find(const struct exposed_cache *cache, const char *id)
{
    struct map_node *node = map_find(&cache->entries, view_of(id));
    return node == NULL ? NULL : MAP_ENTRY(node, struct entry, node);
}

const struct exposed_ports *exposed_find(struct exposed_cache *cache,
                                         const char sandbox_id[ID_SIZE])
{
    struct entry *entry = cache->trusted ? find(cache, sandbox_id) : NULL;
    if (entry == NULL) {
        return NULL;
    }
    if (entry->expires_ms <= clock_monotonic_ms()) {
        drop(cache, entry);
        return NULL;
    }
    return &entry->ports;
}

/* Takes entry. */
static void remember(struct exposed_cache *cache, struct entry *entry)
{
    struct entry *older = find(cache, entry->ports.sandbox_id);
    if (older != NULL) {
        drop(cache, older);
    } else if (cache->entries.count >= EXPOSED_ENTRIES_MAX) {
        drop(cache, LIST_ENTRY(cache->ages.next, struct entry, age));
    }
    entry->expires_ms = clock_monotonic_ms() + EXPOSED_TTL_MS;
    map_insert(&cache->entries, &entry->node, view_of(entry->ports.sandbox_id));
    list_append(&cache->ages, &entry->age);
}

bool exposed_port_read(struct view text, struct exposed_port *out, struct err *err)
{
    struct port_row row;
    if (!port_row_read(text, &row, err)) {
        return false;
    }
    out->container_port = row.container_port;
    out->host_port = row.host_port;
    out->is_public = row.is_public;
    memcpy(out->generation, row.generation, sizeof out->generation);
    memcpy(out->created_at, row.created_at, sizeof out->created_at);
    return true;
}

/* Returns the entry to the caller to free with free; NULL when the answer can't be read. */
static struct entry *read_entry(const struct exposed_fetch *fetch, struct view body,
                                struct err *err)
{
    struct port_list_answer answer;
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(body, &port_list_answer_schema, &answer, NULL, err);
    size_t count = doc == NULL ? 0 : answer.ports.count;
    struct entry *entry =
        doc == NULL ? NULL : calloc(1, sizeof(struct entry) + count * sizeof(struct exposed_port));
    if (entry == NULL) {
        err_set(err, ERR_INTERNAL, "the sandbox-service's ports can't be read");
        return NULL;
    }
    memcpy(entry->ports.sandbox_id, fetch->sandbox_id, ID_SIZE);
    memcpy(entry->ports.user_id, answer.user_id, ID_SIZE);
    entry->ports.is_live = answer.is_live;
    entry->ports.items = entry->items;
    for (size_t i = 0; i < count; i++) {
        if (!exposed_port_read(answer.ports.items[i], &entry->items[i], err)) {
            free(entry);
            err_set(err, ERR_INTERNAL, "the sandbox-service's ports can't be read");
            return NULL;
        }
    }
    entry->ports.count = count;
    return entry;
}

static void on_reply(const struct view *body, const struct err *err, void *arg)
{
    struct exposed_fetch *fetch = arg;
    struct exposed_cache *cache = fetch->cache;
    struct err failure = {0};
    struct entry *entry = err == NULL ? read_entry(fetch, *body, &failure) : NULL;
    bool keep = entry != NULL && cache->trusted && fetch->generation == cache->generation;
    if (keep) {
        remember(cache, entry);
    }
    exposed_fetch_fn *done = fetch->done;
    void *done_arg = fetch->arg;
    free(fetch);
    if (entry == NULL) {
        done(NULL, err == NULL ? &failure : err, done_arg);
        return;
    }
    done(&entry->ports, NULL, done_arg);
    if (!keep) {
        free(entry);
    }
}

struct exposed_fetch *exposed_fetch_begin(struct exposed_cache *cache,
                                          const char sandbox_id[ID_SIZE], const char *request_id,
                                          exposed_fetch_fn *done, void *arg, struct err *err)
{
    struct exposed_fetch *fetch = calloc(1, sizeof *fetch);
    if (fetch == NULL) {
        err_set(err, ERR_INTERNAL, "exposed ports: out of memory");
        return NULL;
    }
    fetch->cache = cache;
    fetch->generation = cache->generation;
    fetch->done = done;
    fetch->arg = arg;
    memcpy(fetch->sandbox_id, sandbox_id, ID_SIZE);
    char body[ID_SIZE + 32];
    int length = snprintf(body, sizeof body, "{\"sandboxId\":\"%s\"}", sandbox_id);
    const struct ipc_call_options options = {.method = PORT_LIST,
                                             .request_id = request_id,
                                             .timeout_ms = FETCH_TIMEOUT_MS,
                                             .repeatable = true};
    fetch->call = ipc_call_begin(cache->sandbox_service, &options,
                                 (struct view){body, (size_t)length}, on_reply, fetch, err);
    if (fetch->call == NULL) {
        free(fetch);
        return NULL;
    }
    return fetch;
}

void exposed_fetch_cancel(struct exposed_fetch *fetch)
{
    ipc_call_cancel(fetch->call);
    free(fetch);
}

const struct exposed_port *exposed_port_of(const struct exposed_ports *ports,
                                           int64_t container_port)
{
    for (size_t i = 0; ports->is_live && i < ports->count; i++) {
        if (ports->items[i].container_port == container_port) {
            return &ports->items[i];
        }
    }
    return NULL;
}

bool exposed_token_write(const struct exposed_cache *cache, const char sandbox_id[ID_SIZE],
                         const struct exposed_port *port, char out[EXPOSED_TOKEN_SIZE],
                         struct err *err)
{
    unsigned char hmac[HMAC_SIZE];
    unsigned length = HMAC_SIZE;
    char text[ID_SIZE * 2 + 24];
    int text_len = snprintf(text, sizeof text, "port/%s/%u/%s", sandbox_id,
                            (unsigned)port->container_port, port->generation);
    if (HMAC(EVP_sha256(), cache->secret, (int)strlen(cache->secret), (const unsigned char *)text,
             (size_t)text_len, hmac, &length) == NULL) {
        return err_set(err, ERR_INTERNAL, "HMAC-SHA-256 is not available");
    }
    (void)encode_base64(ENCODE_BASE64_URL, hmac, sizeof hmac, out);
    return true;
}

bool exposed_token_is_right(const struct exposed_cache *cache, const char sandbox_id[ID_SIZE],
                            const struct exposed_port *port, struct view token)
{
    char expected[EXPOSED_TOKEN_SIZE];
    struct err ignored = {0};
    return token.len == EXPOSED_TOKEN_SIZE - 1 &&
           exposed_token_write(cache, sandbox_id, port, expected, &ignored) &&
           secret_equal(expected, token.ptr, EXPOSED_TOKEN_SIZE - 1);
}

void exposed_forget(struct exposed_cache *cache, const char sandbox_id[ID_SIZE])
{
    cache->generation++;
    struct entry *entry = find(cache, sandbox_id);
    if (entry != NULL) {
        drop(cache, entry);
    }
}

void exposed_set_trusted(struct exposed_cache *cache, bool trusted)
{
    cache->generation++;
    cache->trusted = trusted;
    if (!trusted) {
        drop_all(cache);
    }
}
