#include "gateway/cache/key_cache.h"

#include "common/base/clock.h"
#include "common/base/secret.h"
#include "gateway/cache/known.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

enum { HMAC_SIZE = 32 };

struct entry {
    struct known_entry known; /* by hmac */
    struct caller caller;
};

struct key_cache {
    struct known known;
    unsigned char secret[HMAC_SIZE];
};

struct key_check {
    struct known_ask ask;
    key_check_fn *done;
    void *arg;
};

static bool read_identity(struct view body, struct caller *out, struct err *err)
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
    return true;
}

static struct known_entry *read_entry(struct view key, const struct view *body, struct err *err)
{
    (void)key;
    struct entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        err_set(err, ERR_INTERNAL, "key cache: out of memory");
        return NULL;
    }
    if (!read_identity(*body, &entry->caller, err)) {
        free(entry);
        return NULL;
    }
    return &entry->known;
}

static const struct known_kind kind = {
    .method = AUTH_CHECK_KEY,
    .found = {KEY_CACHE_TTL_MS, KEY_CACHE_ENTRIES_MAX},
    .read = read_entry,
};

static const struct caller *caller_of(const struct known_entry *entry)
{
    return entry == NULL ? NULL : &((const struct entry *)entry)->caller;
}

struct key_cache *key_cache_new(struct ipc_client *auth_service, struct err *err)
{
    struct key_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) {
        err_set(err, ERR_INTERNAL, "key cache: out of memory");
        return NULL;
    }
    if (!secret_random(cache->secret, sizeof cache->secret, err) ||
        !known_open(&cache->known, &kind, auth_service, err)) {
        key_cache_free(cache);
        return NULL;
    }
    return cache;
}

void key_cache_free(struct key_cache *cache)
{
    if (cache != NULL) {
        known_close(&cache->known);
        secret_wipe(cache->secret, sizeof cache->secret);
        free(cache);
    }
}

/* Returns it as a view of out. */
static struct view compute_hmac(const struct key_cache *cache, const char *key,
                                unsigned char out[HMAC_SIZE])
{
    unsigned int length = HMAC_SIZE;
    const unsigned char *made = HMAC(EVP_sha256(), cache->secret, sizeof cache->secret,
                                     (const unsigned char *)key, API_KEY_LEN, out, &length);
    assert(made != NULL && length == HMAC_SIZE);
    return (struct view){(const char *)out, HMAC_SIZE};
}

bool caller_has_expired(const struct caller *caller, int64_t now_ms)
{
    return caller->key_expires_ms != 0 && caller->key_expires_ms <= now_ms;
}

bool key_cache_find(struct key_cache *cache, const char key[API_KEY_SIZE], struct caller *out)
{
    unsigned char hmac[HMAC_SIZE];
    struct known_entry *entry = known_find(&cache->known, compute_hmac(cache, key, hmac));
    if (entry == NULL) {
        return false;
    }
    if (caller_has_expired(caller_of(entry), clock_wall_ms())) {
        known_drop(&cache->known, entry);
        return false;
    }
    *out = *caller_of(entry);
    return true;
}

static void on_answer(const struct known_entry *entry, const struct err *err, struct known_ask *ask)
{
    const struct key_check check = *(struct key_check *)ask;
    free(ask);
    check.done(caller_of(entry), err, check.arg);
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
    check->done = done;
    check->arg = arg;
    unsigned char hmac[HMAC_SIZE];
    char body[API_KEY_SIZE + 32];
    int length = snprintf(body, sizeof body, "{\"key\":\"%s\"}", key);
    const struct known_question question = {
        compute_hmac(cache, key, hmac), {body, (size_t)length}, request_id};
    bool begun = known_ask(&cache->known, &check->ask, &question, on_answer, err);
    secret_wipe(body, sizeof body);
    if (!begun) {
        free(check);
        return NULL;
    }
    return check;
}

void key_check_cancel(struct key_check *check)
{
    known_cancel(&check->ask);
    free(check);
}

uint64_t key_cache_generation(const struct key_cache *cache)
{
    return cache->known.epoch;
}

static bool is_of_key(const struct known_entry *entry, const char *id)
{
    return strcmp(((const struct entry *)entry)->caller.api_key_id, id) == 0;
}

static bool is_of_user(const struct known_entry *entry, const char *id)
{
    return strcmp(((const struct entry *)entry)->caller.user_id, id) == 0;
}

void key_cache_forget_key(struct key_cache *cache, const char api_key_id[ID_SIZE])
{
    known_forget_each(&cache->known, is_of_key, api_key_id);
}

void key_cache_forget_user(struct key_cache *cache, const char user_id[ID_SIZE])
{
    known_forget_each(&cache->known, is_of_user, user_id);
}

void key_cache_set_trusted(struct key_cache *cache, bool trusted)
{
    known_set_trusted(&cache->known, trusted);
}
