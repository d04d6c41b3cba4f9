/* common/ipc/closing.h: closing a socket of nng without waiting for it; private to this folder. */
#ifndef COMMON_IPC_CLOSING_H
#define COMMON_IPC_CLOSING_H

#include <nng/nng.h>

/* The socket's operations must have been stopped. Returns at once; the peers see the end soon.
 * Takes belongings (may be NULL), which nng's threads may use until then, and frees it in the end.
 */
void ipc_close_behind(nng_socket socket, void *belongings);

#endif
