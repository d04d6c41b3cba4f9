#include "auth-service/api_keys/proof.h"

#include "auth-service/api_keys/memory.h"
#include "common/base/encode.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/secret.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    REMEMBERED_MAX = 16384,
    REMEMBERED_S = 600, /* here and in Redis */
    REDIS_TIMEOUT_MS = 200,
    REDIS_KEY_SIZE = 256,
    SECONDS_SIZE = 16,
    MS_IN_S = 1000,
};

struct prover {
    struct prover_options options;
    struct key_memory *memory; /* owned */
    struct map proofs;         /* under way, by HMAC */
    bool stopped;
};

/* One text being proven for everybody who asks meanwhile. */
struct proof {
    struct worker_job job;
    struct map_node by_hmac;
    struct prover *prover; /* borrowed */
    uint8_t hmac[API_KEY_HASH_LEN];
    char redis_key[REDIS_KEY_SIZE];
    char key[API_KEY_SIZE];
    struct api_key_row row;
    struct list askers;
    bool matches;
};

struct asker {
    struct list node;
    proven_fn *done;
    void *arg;
};

struct prover *prover_open(const struct prover_options *options, struct err *err)
{
    struct prover *prover = calloc(1, sizeof *prover);
    if (prover == NULL) {
        err_set(err, ERR_INTERNAL, "prover: out of memory");
        return NULL;
    }
    prover->options = *options;
    prover->memory = key_memory_new(REMEMBERED_MAX, (int64_t)REMEMBERED_S * MS_IN_S, err);
    if (prover->memory == NULL || !map_init(&prover->proofs, err)) {
        prover_close(prover);
        return NULL;
    }
    return prover;
}

void prover_stop(struct prover *prover)
{
    prover->stopped = true;
}

void prover_close(struct prover *prover)
{
    if (prover == NULL) {
        return;
    }
    key_memory_free(prover->memory);
    map_free(&prover->proofs);
    free(prover);
}

bool prover_knows(struct prover *prover, const char key[API_KEY_SIZE], const char key_id[ID_SIZE])
{
    uint8_t hmac[API_KEY_HASH_LEN];
    struct err ignored;
    return api_key_hmac(prover->options.secret, key, hmac, &ignored) &&
           key_memory_has(prover->memory, hmac, key_id);
}

static void discard(struct proof *proof)
{
    for (LIST_EACH(node, &proof->askers)) {
        free(LIST_ENTRY(node, struct asker, node));
    }
    map_remove(&proof->prover->proofs, &proof->by_hmac);
    secret_wipe(proof, sizeof *proof);
    free(proof);
}

/* The only way out of a proof that was begun. */
static void finish(struct proof *proof, const struct err *err)
{
    if (err == NULL && proof->matches) {
        key_memory_add(proof->prover->memory, proof->hmac, proof->row.id);
    }
    /* Whoever asks from inside a callback gets a proof of its own. */
    map_remove(&proof->prover->proofs, &proof->by_hmac);
    for (LIST_EACH(node, &proof->askers)) {
        const struct asker *asker = LIST_ENTRY(node, struct asker, node);
        asker->done(err == NULL && proof->matches, err, asker->arg);
    }
    discard(proof);
}

/* Without Redis the next process to see the key runs bcrypt once more. */
static void remember_in_redis(const struct proof *proof)
{
    char seconds[SECONDS_SIZE];
    (void)snprintf(seconds, sizeof seconds, "%d", REMEMBERED_S);
    const struct view words[] = {VIEW("SET"), view_of(proof->redis_key), view_of(proof->row.id),
                                 VIEW("EX"), view_of(seconds)};
    struct err err;
    if (!redis_send(proof->prover->options.redis, words, sizeof words / sizeof words[0],
                    REDIS_TIMEOUT_MS, NULL, NULL, &err)) {
        log_debug("api_key.proof_not_shared", LOG_ERR(&err));
    }
}

static void run_on_worker(struct worker_job *job)
{
    struct proof *proof = LIST_ENTRY(job, struct proof, job);
    proof->matches = api_key_matches(proof->key, proof->row.bcrypt);
}

static void on_compared(struct worker_job *job)
{
    struct proof *proof = LIST_ENTRY(job, struct proof, job);
    if (proof->matches && !proof->prover->stopped) {
        remember_in_redis(proof);
    } else if (!proof->matches) {
        log_error("api_key.bcrypt_mismatch", LOG_STR("api_key_id", proof->row.id),
                  LOG_STR("hint", "the row's digest and its bcrypt are of different keys"));
    }
    finish(proof, NULL);
}

static bool compare(struct proof *proof, struct err *err)
{
    proof->job.run = run_on_worker;
    proof->job.done = on_compared;
    if (proof->prover->stopped) {
        return err_set(err, ERR_UNAVAILABLE, "shutting down");
    }
    /* Whoever has many keys that are not known yet holds up nobody who has one. */
    return worker_submit_of(proof->prover->options.workers, &proof->job, proof->row.user_id, err);
}

static void on_redis_reply(const redisReply *reply, const struct err *err, void *arg)
{
    struct proof *proof = arg;
    struct err failure;
    (void)err; /* Redis away is no error: bcrypt knows too. */
    proof->matches = reply != NULL && reply->type == REDIS_REPLY_STRING &&
                     view_equal((struct view){reply->str, reply->len}, view_of(proof->row.id));
    if (proof->matches) {
        finish(proof, NULL);
    } else if (!compare(proof, &failure)) {
        finish(proof, &failure);
    }
}

static bool ask_redis(struct proof *proof)
{
    const struct view words[] = {VIEW("GET"), view_of(proof->redis_key)};
    struct err ignored;
    return redis_send(proof->prover->options.redis, words, sizeof words / sizeof words[0],
                      REDIS_TIMEOUT_MS, on_redis_reply, proof, &ignored);
}

static struct proof *begin(struct prover *prover, const char key[API_KEY_SIZE],
                           const uint8_t hmac[API_KEY_HASH_LEN], const struct api_key_row *row,
                           struct err *err)
{
    char hex[API_KEY_HASH_HEX_SIZE];
    struct proof *proof = calloc(1, sizeof *proof);
    if (proof == NULL) {
        err_set(err, ERR_INTERNAL, "proving a key: out of memory");
        return NULL;
    }
    encode_hex(hmac, API_KEY_HASH_LEN, hex);
    (void)snprintf(proof->redis_key, sizeof proof->redis_key, "insien:%s:keycheck:%s",
                   prover->options.instance, hex);
    memcpy(proof->hmac, hmac, sizeof proof->hmac);
    memcpy(proof->key, key, sizeof proof->key);
    proof->prover = prover;
    proof->row = *row;
    list_init(&proof->askers);
    map_insert(&prover->proofs, &proof->by_hmac,
               (struct view){(const char *)proof->hmac, sizeof proof->hmac});
    return proof;
}

bool prover_prove(struct prover *prover, const char key[API_KEY_SIZE],
                  const struct api_key_row *row, proven_fn *done, void *arg, struct err *err)
{
    uint8_t hmac[API_KEY_HASH_LEN];
    if (prover->stopped) {
        return err_set(err, ERR_UNAVAILABLE, "shutting down");
    }
    if (!api_key_hmac(prover->options.secret, key, hmac, err)) {
        return false;
    }
    struct asker *asker = calloc(1, sizeof *asker);
    if (asker == NULL) {
        return err_set(err, ERR_INTERNAL, "proving a key: out of memory");
    }
    asker->done = done;
    asker->arg = arg;
    struct map_node *node =
        map_find(&prover->proofs, (struct view){(const char *)hmac, sizeof hmac});
    if (node != NULL) {
        list_append(&MAP_ENTRY(node, struct proof, by_hmac)->askers, &asker->node);
        return true;
    }
    struct proof *proof = begin(prover, key, hmac, row, err);
    if (proof == NULL) {
        free(asker);
        return false;
    }
    list_append(&proof->askers, &asker->node);
    if (!ask_redis(proof) && !compare(proof, err)) {
        discard(proof);
        return false;
    }
    return true;
}
