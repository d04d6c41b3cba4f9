/* sandbox-service/network/store.h: the networks of sandboxes in PostgreSQL. */
#ifndef SANDBOX_NETWORK_STORE_H
#define SANDBOX_NETWORK_STORE_H

#include "common/contracts/network.h"
#include "common/db/pg.h"
#include "sandbox-service/sandbox/tiers.h"

struct network_store;

extern const struct pg_statement network_statements[];
extern const size_t network_statement_count;

struct network_store_options {
    struct loop *loop; /* borrowed for its life, as the next two */
    const char *instance;
    const char *node;
    const char *url;              /* borrowed during the call */
    const char *restricted_range; /* borrowed for its life */
};

struct network_store *network_store_open(const struct network_store_options *options,
                                         struct err *err) MUST_CHECK;
/* Ends what is in flight with ERR_UNAVAILABLE; later calls can't begin. Returns whether it may have
 * called anybody back. */
bool network_store_fail_all(struct network_store *store);
/* After network_store_fail_all; NULL is fine. */
void network_store_close(struct network_store *store);

/* Each asks one question: done comes exactly once, later, on the loop; or false, and it does not
 * come. */

/* One row. allow: a JSON array. Errors as those of NETWORK_SET. */
bool network_store_set(struct network_store *store, const char *sandbox_id, const char *user_id,
                       const char *network, const char *allow, pg_result_fn *done, void *arg,
                       struct err *err) MUST_CHECK;
struct network_row {
    char address[16]; /* "" where it never had one */
    int64_t version;
    bool is_settled; /* the network is the one that the container has; only the policy is new */
};
void network_store_read_set(const PGresult *result, struct network_row *out);

/* It is in force. No row is of interest. */
bool network_store_applied(struct network_store *store, const char *sandbox_id, int64_t version,
                           pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;

/* A row when the version is the newest of one that lives, and not in force. */
bool network_store_still(struct network_store *store, const char *sandbox_id, int64_t version,
                         pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;
int64_t network_store_read_still(const PGresult *result);

/* A row for each denied target, the most recent first; one row without when there is none; no row
 * when there is no such sandbox. */
bool network_store_get(struct network_store *store, const char *sandbox_id, pg_result_fn *done,
                       void *arg, struct err *err) MUST_CHECK;
bool network_store_has_denial(const PGresult *result, int row);
void network_store_read_denial(const PGresult *result, int row, struct network_denial *out);
/* Of any row of network_store_get; valid as long as the result. */
struct network_owner {
    char user_id[ID_SIZE];
    struct view network;
    struct view allow; /* a JSON array */
};
void network_store_read_owner(const PGresult *result, struct network_owner *out);

/* Adds attempts, as denials_write writes them. */
bool network_store_denied(struct network_store *store, const char *sandbox_id, const char *attempts,
                          pg_result_fn *done, void *arg, struct err *err) MUST_CHECK;

/* Sandboxes of this engine that live, a row each. Restricted ones whose policy the host's kernel
 * has; any whose network is not what it is to be (a few of them). */
bool network_store_restricted(struct network_store *store, pg_result_fn *done, void *arg,
                              struct err *err) MUST_CHECK;
bool network_store_unsettled(struct network_store *store, pg_result_fn *done, void *arg,
                             struct err *err) MUST_CHECK;
struct network_unit {
    char sandbox_id[ID_SIZE];
    char address[16];
    const char *wanted; /* a literal of network_modes */
    struct view allow;  /* a JSON array */
    int64_t version;
};
void network_store_read_unit(const PGresult *result, int row, struct network_unit *out);

/* Whose each living sandbox of this engine is, a row each. False: of no tier that there is. */
bool network_store_tiers(struct network_store *store, pg_result_fn *done, void *arg,
                         struct err *err) MUST_CHECK;
struct network_tier {
    char sandbox_id[ID_SIZE];
    enum tier tier;
};
bool network_store_read_tier(const PGresult *result, int row, struct network_tier *out) MUST_CHECK;

#endif
