#include "auth-service/users/known_sessions.h"

#include "common/base/list.h"
#include "common/base/map.h"

#include <openssl/evp.h>
#include <stdlib.h>

enum { DIGEST_SIZE = 32 };

struct entry {
    struct map_node by_digest;
    struct list age; /* longest not seen first */
    unsigned char digest[DIGEST_SIZE];
};

struct known_sessions {
    struct map entries;
    struct list ages;
};

struct known_sessions *known_sessions_new(struct err *err)
{
    struct known_sessions *known = calloc(1, sizeof *known);
    if (known == NULL) {
        err_set(err, ERR_INTERNAL, "known sessions: out of memory");
        return NULL;
    }
    list_init(&known->ages);
    if (!map_init(&known->entries, err)) {
        known_sessions_free(known);
        return NULL;
    }
    return known;
}

static void forget(struct known_sessions *known, struct entry *entry)
{
    map_remove(&known->entries, &entry->by_digest);
    list_remove(&entry->age);
    free(entry);
}

void known_sessions_free(struct known_sessions *known)
{
    if (known == NULL) {
        return;
    }
    for (LIST_EACH(node, &known->ages)) {
        forget(known, LIST_ENTRY(node, struct entry, age));
    }
    map_free(&known->entries);
    free(known);
}

static void free_digest(EVP_MD_CTX **context)
{
    EVP_MD_CTX_free(*context);
}

/* Of issuer, kind of name and name, each with its NUL. False without memory. */
static bool make_digest(const char *issuer, const struct token_claims *claims,
                        unsigned char out[DIGEST_SIZE])
{
    bool has_session = claims->session_id[0] != '\0';
    const char *name = has_session ? claims->session_id : claims->subject;
    const char *kind = has_session ? "session" : "subject";
    AUTO(free_digest) EVP_MD_CTX *context = EVP_MD_CTX_new();
    return context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
           EVP_DigestUpdate(context, issuer, strlen(issuer) + 1) == 1 &&
           EVP_DigestUpdate(context, kind, strlen(kind) + 1) == 1 &&
           EVP_DigestUpdate(context, name, strlen(name) + 1) == 1 &&
           EVP_DigestFinal_ex(context, out, NULL) == 1;
}

static struct entry *find(const struct known_sessions *known, const unsigned char *digest)
{
    struct map_node *node =
        map_find(&known->entries, (struct view){(const char *)digest, DIGEST_SIZE});
    return node == NULL ? NULL : MAP_ENTRY(node, struct entry, by_digest);
}

static void add(struct known_sessions *known, const unsigned char *digest)
{
    if (known->entries.count >= KNOWN_SESSIONS_MAX) {
        forget(known, LIST_ENTRY(known->ages.next, struct entry, age));
    }
    struct entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return;
    }
    memcpy(entry->digest, digest, DIGEST_SIZE);
    map_insert(&known->entries, &entry->by_digest,
               (struct view){(const char *)entry->digest, DIGEST_SIZE});
    list_append(&known->ages, &entry->age);
}

void known_sessions_note(struct known_sessions *known, const char *issuer,
                         const struct token_claims *claims)
{
    unsigned char digest[DIGEST_SIZE];
    if (!make_digest(issuer, claims, digest)) {
        return;
    }
    struct entry *entry = find(known, digest);
    if (entry == NULL) {
        add(known, digest);
    } else {
        list_remove(&entry->age);
        list_append(&known->ages, &entry->age);
    }
}

bool known_sessions_has(const struct known_sessions *known, const char *issuer,
                        const struct token_claims *claims)
{
    unsigned char digest[DIGEST_SIZE];
    return make_digest(issuer, claims, digest) && find(known, digest) != NULL;
}

size_t known_sessions_count(const struct known_sessions *known)
{
    return known->entries.count;
}
