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
    int64_t expires_ms; /* of the key or the token; wall clock; 0: never */
};

struct key_cache {
    struct known keys;
    struct known sessions;
    struct known tokens; /* of clients */
    unsigned char secret[HMAC_SIZE];
};

struct key_check {
    struct known_ask ask;
    key_check_fn *done;
    void *arg;
};

static bool copy_key_limits(const struct auth_identity *identity, struct auth_key_limits *out)
{
    struct err ignored;
    if (identity->key_limits.len > 0 || identity->requests_per_minute == 0) {
        return auth_key_limits_read(identity->key_limits, out, &ignored);
    }
    out->count = 1;
    out->items[0].requests_per_minute = identity->requests_per_minute;
    memcpy(out->items[0].api_key_id, identity->api_key_id, ID_SIZE);
    return true;
}

static bool copy_identity(const struct auth_identity *identity, struct caller *out)
{
    memcpy(out->user_id, identity->user_id, ID_SIZE);
    memcpy(out->api_key_id, identity->api_key_id, ID_SIZE);
    memcpy(out->sandbox_id, identity->sandbox_id, ID_SIZE);
    out->scopes = (unsigned)identity->scopes;
    out->returns_ms = identity->return_at_ms;
    out->max_sandboxes = identity->max_sandboxes;
    out->requests_per_minute = identity->requests_per_minute;
    out->is_admin = identity->is_admin;
    out->session_is_watched = identity->watch_session && identity->session_id.len > 0;
    return copy_key_limits(identity, &out->key_limits) &&
           view_copy(identity->tier, out->tier, sizeof out->tier) &&
           view_copy(identity->session_id, out->session_id, sizeof out->session_id) &&
           view_copy(identity->impersonator, out->impersonator, sizeof out->impersonator);
}

static bool read_identity(struct view body, struct entry *out, struct err *err)
{
    struct auth_identity identity;
    AUTO(json_doc_release)
    struct json_doc *doc = json_read(body, &auth_identity_schema, &identity, NULL, err);
    if (doc == NULL || !copy_identity(&identity, &out->caller)) {
        return err_set(err, ERR_INTERNAL, "auth-service answered nonsense");
    }
    out->expires_ms = identity.expires_at_ms;
    bool is_session = identity.api_key_id[0] == '\0' && identity.sandbox_id[0] == '\0';
    out->caller.expires_ms = is_session ? 0 : identity.expires_at_ms;
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
    if (!read_identity(*body, entry, err)) {
        free(entry);
        return NULL;
    }
    return &entry->known;
}

static const struct known_kind kind_of_keys = {
    .method = AUTH_CHECK_KEY,
    .found = {KEY_CACHE_TTL_MS, KEY_CACHE_ENTRIES_MAX},
    .read = read_entry,
};
static const struct known_kind kind_of_sessions = {
    .method = AUTH_CHECK_SESSION,
    .found = {KEY_CACHE_TTL_MS, KEY_CACHE_SESSIONS_MAX},
    .read = read_entry,
};
static const struct known_kind kind_of_tokens = {
    .method = AUTH_CHECK_TOKEN,
    .found = {KEY_CACHE_TTL_MS, KEY_CACHE_TOKENS_MAX},
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
        !known_open(&cache->keys, &kind_of_keys, auth_service, err) ||
        !known_open(&cache->sessions, &kind_of_sessions, auth_service, err) ||
        !known_open(&cache->tokens, &kind_of_tokens, auth_service, err)) {
        key_cache_free(cache);
        return NULL;
    }
    return cache;
}

void key_cache_free(struct key_cache *cache)
{
    if (cache != NULL) {
        known_close(&cache->keys);
        known_close(&cache->sessions);
        known_close(&cache->tokens);
        secret_wipe(cache->secret, sizeof cache->secret);
        free(cache);
    }
}

static bool is_key(const struct credential *credential)
{
    return credential->key[0] != '\0';
}

static struct known *known_of(struct key_cache *cache, const struct credential *credential)
{
    if (is_key(credential)) {
        return &cache->keys;
    }
    return auth_is_client_token(credential->token) ? &cache->tokens : &cache->sessions;
}

static struct view text_of(const struct credential *credential)
{
    return is_key(credential) ? view_of(credential->key) : credential->token;
}

/* Returns it as a view of out. */
static struct view compute_hmac(const struct key_cache *cache, struct view text,
                                unsigned char out[HMAC_SIZE])
{
    unsigned int length = HMAC_SIZE;
    const unsigned char *made = HMAC(EVP_sha256(), cache->secret, sizeof cache->secret,
                                     (const unsigned char *)text.ptr, text.len, out, &length);
    assert(made != NULL && length == HMAC_SIZE);
    return (struct view){(const char *)out, HMAC_SIZE};
}

static bool has_expired(int64_t expires_ms, int64_t now_ms)
{
    return expires_ms != 0 && expires_ms <= now_ms;
}

bool caller_has_expired(const struct caller *caller, int64_t now_ms)
{
    return has_expired(caller->expires_ms, now_ms);
}

bool caller_is_client(const struct caller *caller)
{
    return caller->sandbox_id[0] != '\0';
}

bool caller_is_of(const struct caller *caller, const char *id)
{
    return strcmp(caller->user_id, id) == 0 || strcmp(caller->api_key_id, id) == 0 ||
           strcmp(caller->session_id, id) == 0;
}

bool key_cache_find(struct key_cache *cache, const struct credential *credential,
                    struct caller *out)
{
    unsigned char hmac[HMAC_SIZE];
    struct known *known = known_of(cache, credential);
    struct known_entry *found = known_find(known, compute_hmac(cache, text_of(credential), hmac));
    if (found == NULL) {
        return false;
    }
    if (has_expired(((const struct entry *)found)->expires_ms, clock_wall_ms())) {
        known_drop(known, found);
        return false;
    }
    *out = *caller_of(found);
    return true;
}

static void on_answer(const struct known_entry *entry, const struct err *err, struct known_ask *ask)
{
    const struct key_check check = *(struct key_check *)ask;
    free(ask);
    check.done(caller_of(entry), err, check.arg);
}

struct key_check *key_check_begin(struct key_cache *cache, const struct credential *credential,
                                  const struct trace *trace, key_check_fn *done, void *arg,
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
    char body[KNOWN_BODY_MAX];
    struct view text = text_of(credential);
    int length = snprintf(body, sizeof body, "{\"%s\":\"%.*s\"}",
                          is_key(credential) ? "key" : "token", (int)text.len, text.ptr);
    assert(length > 0 && (size_t)length < sizeof body);
    const struct known_question question = {
        compute_hmac(cache, text, hmac), {body, (size_t)length}, trace, credential->actor};
    bool begun = known_ask(known_of(cache, credential), &check->ask, &question, on_answer, err);
    secret_wipe(body, (size_t)length);
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
    return cache->keys.epoch + cache->sessions.epoch + cache->tokens.epoch;
}

static bool is_of_key(const struct known_entry *entry, const char *id)
{
    return strcmp(((const struct entry *)entry)->caller.api_key_id, id) == 0;
}

static bool is_of_user(const struct known_entry *entry, const char *id)
{
    return strcmp(((const struct entry *)entry)->caller.user_id, id) == 0;
}

static bool is_of_session(const struct known_entry *entry, const char *id)
{
    return strcmp(((const struct entry *)entry)->caller.session_id, id) == 0;
}

void key_cache_forget_key(struct key_cache *cache, const char api_key_id[ID_SIZE])
{
    known_forget_each(&cache->keys, is_of_key, api_key_id);
    known_forget_each(&cache->tokens, is_of_key, api_key_id);
}

void key_cache_forget_user(struct key_cache *cache, const char user_id[ID_SIZE])
{
    known_forget_each(&cache->keys, is_of_user, user_id);
    known_forget_each(&cache->sessions, is_of_user, user_id);
    known_forget_each(&cache->tokens, is_of_user, user_id);
}

void key_cache_forget_session(struct key_cache *cache, const char *session_id)
{
    known_forget_each(&cache->sessions, is_of_session, session_id);
    known_forget_each(&cache->tokens, is_of_session, session_id);
}

void key_cache_set_trusted(struct key_cache *cache, bool trusted)
{
    known_set_trusted(&cache->keys, trusted);
    known_set_trusted(&cache->sessions, trusted);
    known_set_trusted(&cache->tokens, trusted);
}
