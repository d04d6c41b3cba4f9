#include "gateway/cache/key_cache.h"

#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/base/secret.h"
#include "common/ipc/client.h"
#include "common/json/write.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    HMAC_SIZE = 32,
    CHECK_TIMEOUT_MS = 10 * 1000,
};

struct entry {
    struct map_node node; /* by hmac */
    struct list age;      /* oldest first */
    unsigned char hmac[HMAC_SIZE];
    int64_t expires_ms; /* monotonic */
    struct caller caller;
};

struct key_cache {
    struct ipc_client *auth_service; /* borrowed */
    unsigned char secret[HMAC_SIZE];
    struct map entries;
    struct list ages;
    bool trusted;
    uint64_t generation; /* moves with every invalidation: answers asked for before are not kept */
};

struct key_check {
    struct key_cache *cache; /* borrowed */
    struct ipc_call *call;
    unsigned char hmac[HMAC_SIZE];
    uint64_t generation;
    key_check_fn *done;
    void *arg;
};

struct key_cache *key_cache_new(struct ipc_client *auth_service, struct err *err)
{
    struct key_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) {
        err_set(err, ERR_INTERNAL, "key cache: out of memory");
        return NULL;
    }
    cache->auth_service = auth_service;
    list_init(&cache->ages);
    if (!secret_random(cache->secret, sizeof cache->secret, err) ||
        !map_init(&cache->entries, err)) {
        key_cache_free(cache);
        return NULL;
    }
    return cache;
}

static void drop(struct key_cache *cache, struct entry *entry)
{
    map_remove(&cache->entries, &entry->node);
    list_remove(&entry->age);
    free(entry);
}

static void drop_all(struct key_cache *cache)
{
    for (LIST_EACH(node, &cache->ages)) {
        drop(cache, LIST_ENTRY(node, struct entry, age));
    }
}

void key_cache_free(struct key_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    drop_all(cache);
    map_free(&cache->entries);
    secret_wipe(cache->secret, sizeof cache->secret);
    free(cache);
}

static void compute_hmac(const struct key_cache *cache, const char *key, unsigned char *out)
{
    unsigned int length = HMAC_SIZE;
    const unsigned char *made = HMAC(EVP_sha256(), cache->secret, sizeof cache->secret,
                                     (const unsigned char *)key, API_KEY_LEN, out, &length);
    assert(made != NULL && length == HMAC_SIZE);
}

static struct entry *find(const struct key_cache *cache, const unsigned char *hmac)
{
    struct map_node *node = map_find(&cache->entries, (struct view){(const char *)hmac, HMAC_SIZE});
    return node == NULL ? NULL : MAP_ENTRY(node, struct entry, node);
}

bool caller_has_expired(const struct caller *caller, int64_t now_ms)
{
    return caller->key_expires_ms != 0 && caller->key_expires_ms <= now_ms;
}

bool key_cache_find(struct key_cache *cache, const char key[API_KEY_SIZE], struct caller *out)
{
    if (!cache->trusted) {
        return false;
    }
    unsigned char hmac[HMAC_SIZE];
    compute_hmac(cache, key, hmac);
    struct entry *entry = find(cache, hmac);
    if (entry == NULL) {
        return false;
    }
    if (entry->expires_ms <= clock_monotonic_ms() ||
        caller_has_expired(&entry->caller, clock_wall_ms())) {
        drop(cache, entry);
        return false;
    }
    *out = entry->caller;
    return true;
}

static void remember(struct key_check *check, const struct caller *caller)
{
    struct key_cache *cache = check->cache;
    if (!cache->trusted || check->generation != cache->generation) {
        return;
    }
    struct entry *entry = find(cache, check->hmac);
    if (entry != NULL) {
        drop(cache, entry);
    } else if (cache->entries.count >= KEY_CACHE_ENTRIES_MAX) {
        drop(cache, LIST_ENTRY(cache->ages.next, struct entry, age));
    }
    entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return; /* Only slower. */
    }
    memcpy(entry->hmac, check->hmac, HMAC_SIZE);
    entry->caller = *caller;
    entry->expires_ms = clock_monotonic_ms() + KEY_CACHE_TTL_MS;
    map_insert(&cache->entries, &entry->node, (struct view){(const char *)entry->hmac, HMAC_SIZE});
    list_append(&cache->ages, &entry->age);
}

static bool read_identity(struct key_check *check, struct view body, struct caller *out,
                          struct err *err)
{
    struct auth_identity identity;
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(body, &auth_identity_schema, &identity, NULL, err);
    if (doc == NULL || !view_copy(identity.tier, out->tier, sizeof out->tier)) {
        return err_set(err, ERR_INTERNAL, "auth-service answered nonsense");
    }
    memcpy(out->user_id, identity.user_id, ID_SIZE);
    memcpy(out->api_key_id, identity.api_key_id, ID_SIZE);
    out->key_expires_ms = identity.expires_at_ms;
    remember(check, out);
    return true;
}

static void on_reply(const struct view *body, const struct err *err, void *arg)
{
    struct key_check *check = arg;
    struct caller caller = {0};
    struct err failure = {0};
    if (err == NULL && !read_identity(check, *body, &caller, &failure)) {
        err = &failure;
    }
    check->done(err == NULL ? &caller : NULL, err, check->arg);
    free(check);
}

struct key_check *key_check_begin(struct key_cache *cache, const char key[API_KEY_SIZE],
                                  const char *request_id, key_check_fn *done, void *arg,
                                  struct err *err)
{
    struct key_check *check = calloc(1, sizeof *check);
    if (check == NULL) {
        err_set(err, ERR_INTERNAL, "key check: out of memory");
        return NULL;
    }
    check->cache = cache;
    check->generation = cache->generation;
    check->done = done;
    check->arg = arg;
    compute_hmac(cache, key, check->hmac);
    char body[API_KEY_SIZE + 32];
    int length = snprintf(body, sizeof body, "{\"key\":\"%s\"}", key);
    const struct ipc_call_options options = {.method = AUTH_CHECK_KEY,
                                             .request_id = request_id,
                                             .timeout_ms = CHECK_TIMEOUT_MS,
                                             .repeatable = true};
    check->call = ipc_call_begin(cache->auth_service, &options, (struct view){body, (size_t)length},
                                 on_reply, check, err);
    secret_wipe(body, sizeof body);
    if (check->call == NULL) {
        free(check);
        return NULL;
    }
    return check;
}

void key_check_cancel(struct key_check *check)
{
    ipc_call_cancel(check->call);
    free(check);
}

uint64_t key_cache_generation(const struct key_cache *cache)
{
    return cache->generation;
}

void key_cache_forget_key(struct key_cache *cache, const char api_key_id[ID_SIZE])
{
    cache->generation++;
    for (LIST_EACH(node, &cache->ages)) {
        struct entry *entry = LIST_ENTRY(node, struct entry, age);
        if (strcmp(entry->caller.api_key_id, api_key_id) == 0) {
            drop(cache, entry);
        }
    }
}

void key_cache_forget_user(struct key_cache *cache, const char user_id[ID_SIZE])
{
    cache->generation++;
    for (LIST_EACH(node, &cache->ages)) {
        struct entry *entry = LIST_ENTRY(node, struct entry, age);
        if (strcmp(entry->caller.user_id, user_id) == 0) {
            drop(cache, entry);
        }
    }
}

void key_cache_set_trusted(struct key_cache *cache, bool trusted)
{
    cache->generation++;
    cache->trusted = trusted;
    if (!trusted) {
        drop_all(cache);
    }
}
