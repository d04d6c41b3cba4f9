/* auth-service/api_keys/proof.h: whether a key text matches its row's bcrypt, asked as seldom as
 * possible: memory first, then Redis, then a worker thread, once however many wait. */
#ifndef AUTH_SERVICE_API_KEYS_PROOF_H
#define AUTH_SERVICE_API_KEYS_PROOF_H

#include "auth-service/api_keys/store.h"
#include "common/event/worker.h"
#include "common/redis/redis.h"

struct prover;

/* Borrowed for the prover's life. */
struct prover_options {
    struct redis *redis;
    struct worker_pool *workers;
    struct view secret; /* of the HMACs that caches know keys by */
    const char *instance;
};
struct prover *prover_open(const struct prover_options *options, struct err *err) MUST_CHECK;
/* From here on nothing new is begun; what is under way ends as it may. */
void prover_stop(struct prover *prover);
/* After redis and the workers were closed. */
void prover_close(struct prover *prover);

/* Whether memory alone knows it. */
bool prover_knows(struct prover *prover, const char key[API_KEY_SIZE],
                  const char key_id[ID_SIZE]) MUST_CHECK;

/* matches is false when err is not NULL: ERR_LIMIT "busy" (too many keys to prove), ... */
typedef void proven_fn(bool matches, const struct err *err, void *arg);

/* Copies key and row. done comes exactly once, later. False, without done, when it can't begin. */
bool prover_prove(struct prover *prover, const char key[API_KEY_SIZE],
                  const struct api_key_row *row, proven_fn *done, void *arg,
                  struct err *err) MUST_CHECK;

#endif
