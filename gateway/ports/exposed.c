#include "gateway/ports/exposed.h"

#include "common/base/encode.h"
#include "common/base/secret.h"
#include "gateway/cache/known.h"

#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

enum { HMAC_SIZE = 32 };

struct entry {
    struct known_entry known; /* by ports.sandbox_id */
    struct exposed_ports ports;
    struct exposed_port items[]; /* of ports */
};

struct exposed_cache {
    struct known known;
    const char *secret; /* borrowed */
};

struct exposed_fetch {
    struct known_ask ask;
    exposed_fetch_fn *done;
    void *arg;
};

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

static bool read_ports(struct entry *entry, const struct port_list_answer *answer, struct err *err)
{
    memcpy(entry->ports.user_id, answer->user_id, ID_SIZE);
    entry->ports.is_live = answer->is_live;
    entry->ports.count = answer->ports.count;
    for (size_t i = 0; i < answer->ports.count; i++) {
        if (!exposed_port_read(answer->ports.items[i], &entry->items[i], err)) {
            return err_set(err, ERR_INTERNAL, "the sandbox-service's ports can't be read");
        }
    }
    return true;
}

/* A sandbox that is none has no ports and does not live. */
static struct known_entry *read_entry(struct view key, const struct view *body, struct err *err)
{
    struct port_list_answer answer = {0};
    AUTO(json_doc_release)
    struct json_doc *doc =
        body == NULL ? NULL : json_read(*body, &port_list_answer_schema, &answer, NULL, err);
    if (body != NULL && doc == NULL) {
        err_set(err, ERR_INTERNAL, "the sandbox-service's ports can't be read");
        return NULL;
    }
    struct entry *entry =
        calloc(1, sizeof *entry + answer.ports.count * sizeof(struct exposed_port));
    if (entry == NULL) {
        err_set(err, ERR_INTERNAL, "exposed ports: out of memory");
        return NULL;
    }
    entry->ports.items = entry->items;
    memcpy(entry->ports.sandbox_id, key.ptr, key.len);
    if (!read_ports(entry, &answer, err)) {
        free(entry);
        return NULL;
    }
    return &entry->known;
}

static const struct known_kind kind = {
    .method = PORT_LIST,
    .found = {EXPOSED_TTL_MS, EXPOSED_ENTRIES_MAX},
    .missing = {EXPOSED_TTL_MS, EXPOSED_MISSING_MAX},
    .read = read_entry,
};

static const struct exposed_ports *ports_of(const struct known_entry *entry)
{
    return entry == NULL ? NULL : &((const struct entry *)entry)->ports;
}

struct exposed_cache *exposed_cache_new(struct ipc_client *sandbox_service, const char *secret,
                                        struct err *err)
{
    struct exposed_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) {
        err_set(err, ERR_INTERNAL, "exposed ports: out of memory");
        return NULL;
    }
    cache->secret = secret;
    if (!known_open(&cache->known, &kind, sandbox_service, err)) {
        exposed_cache_free(cache);
        return NULL;
    }
    return cache;
}

void exposed_cache_free(struct exposed_cache *cache)
{
    if (cache != NULL) {
        known_close(&cache->known);
        free(cache);
    }
}

const struct exposed_ports *exposed_find(struct exposed_cache *cache,
                                         const char sandbox_id[ID_SIZE])
{
    return ports_of(known_find(&cache->known, view_of(sandbox_id)));
}

static void on_answer(const struct known_entry *entry, const struct err *err, struct known_ask *ask)
{
    const struct exposed_fetch fetch = *(struct exposed_fetch *)ask;
    free(ask);
    fetch.done(ports_of(entry), err, fetch.arg);
}

struct exposed_fetch *exposed_fetch_begin(struct exposed_cache *cache,
                                          const char sandbox_id[ID_SIZE], const struct trace *trace,
                                          exposed_fetch_fn *done, void *arg, struct err *err)
{
    struct exposed_fetch *fetch = calloc(1, sizeof *fetch);
    if (fetch == NULL) {
        err_set(err, ERR_INTERNAL, "exposed ports: out of memory");
        return NULL;
    }
    fetch->done = done;
    fetch->arg = arg;
    char body[ID_SIZE + 32];
    int length = snprintf(body, sizeof body, "{\"sandboxId\":\"%s\"}", sandbox_id);
    const struct known_question question = {
        .key = view_of(sandbox_id), .body = {body, (size_t)length}, .trace = trace};
    if (!known_ask(&cache->known, &fetch->ask, &question, on_answer, err)) {
        free(fetch);
        return NULL;
    }
    return fetch;
}

void exposed_fetch_cancel(struct exposed_fetch *fetch)
{
    known_cancel(&fetch->ask);
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

struct exposed_grant exposed_grant_of(const struct exposed_port *port)
{
    struct exposed_grant grant = {.port = port->container_port, .was_public = port->is_public};
    memcpy(grant.generation, port->generation, sizeof grant.generation);
    return grant;
}

bool exposed_grant_holds(const struct exposed_grant *grant, const struct exposed_ports *ports)
{
    const struct exposed_port *port = exposed_port_of(ports, grant->port);
    return port != NULL && strcmp(port->generation, grant->generation) == 0 &&
           (port->is_public || !grant->was_public);
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
    known_forget(&cache->known, view_of(sandbox_id));
}

void exposed_set_trusted(struct exposed_cache *cache, bool trusted)
{
    known_set_trusted(&cache->known, trusted);
}
