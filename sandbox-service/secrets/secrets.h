/* sandbox-service/secrets/secrets.h: answers the calls of common/contracts/secrets.h, and seals
 * anew, with the key that seals now, what an older one has sealed.
 *
 * A change of the key: the new one goes into SECRETS_KEY and the former into SECRETS_OLD_KEYS
 * (where several services run, into the SECRETS_OLD_KEYS of all of them first, so that each can
 * open what another seals). The log says secrets.resealed when the former can go. */
#ifndef SANDBOX_SECRETS_SECRETS_H
#define SANDBOX_SECRETS_SECRETS_H

#include "common/ipc/server.h"
#include "sandbox-service/secrets/keyring.h"

struct audit_writer;
struct secrets;

struct secrets_options {
    struct loop *loop;             /* borrowed, as the rest */
    const char *database_url;      /* until secrets_open returns */
    const struct keyring *keyring; /* its keys; without any, nothing can be set */
    struct audit_writer *audit;
};

/* Looks for what is to be sealed anew from here on. */
struct secrets *secrets_open(const struct secrets_options *options, struct err *err) MUST_CHECK;
/* Ends what is in flight; later calls fail. Returns whether it may have answered anybody. */
bool secrets_fail_all(struct secrets *secrets);
/* After secrets_fail_all; NULL is fine. */
void secrets_close(struct secrets *secrets);
/* How many calls are being served. */
size_t secrets_open_requests(const struct secrets *secrets);
const struct keyring *secrets_keyring(const struct secrets *secrets);
/* secrets_given_check; secrets may be NULL when there are no lines. */
bool secrets_check(const struct secrets *secrets, struct view lines, struct err *err) MUST_CHECK;

/* Answer the exchange in every case, now or later. */
void secrets_handle_set(struct secrets *secrets, struct ipc_exchange *exchange,
                        const struct ipc_request *message);
void secrets_handle_list(struct secrets *secrets, struct ipc_exchange *exchange,
                         const struct ipc_request *message);
void secrets_handle_delete(struct secrets *secrets, struct ipc_exchange *exchange,
                           const struct ipc_request *message);

#endif
