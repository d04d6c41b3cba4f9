/* auth-service/api_keys/memory.h: which key texts were proven by bcrypt a short while ago. */
#ifndef AUTH_SERVICE_API_KEYS_MEMORY_H
#define AUTH_SERVICE_API_KEYS_MEMORY_H

#include "auth-service/api_keys/material.h"
#include "common/base/id.h"

/* Keeps the most recently used, by the HMAC of the key; never the key. It says nothing about
 * whether the key still serves: that is the row's business. */
struct key_memory;

struct key_memory *key_memory_new(size_t limit, int64_t ttl_ms, struct err *err) MUST_CHECK;
void key_memory_free(struct key_memory *memory);

/* Does nothing when memory is short. */
void key_memory_add(struct key_memory *memory, const uint8_t hmac[API_KEY_HASH_LEN],
                    const char key_id[ID_SIZE]);
/* Whether this text was proven to be the key of this row. */
bool key_memory_has(struct key_memory *memory, const uint8_t hmac[API_KEY_HASH_LEN],
                    const char key_id[ID_SIZE]) MUST_CHECK;

#endif
