/* sandbox-service/templates/forks.h: forks whose copies have all ended go, and their images. */
#ifndef SANDBOX_TEMPLATES_FORKS_H
#define SANDBOX_TEMPLATES_FORKS_H

#include "common/base/err.h"

struct forks;
struct templates;

enum {
    FORKS_LOOK_MS = 10 * 1000,
    FORKS_GRACE_S = 3 * 60, /* behind its making: its copies may be on their way for so long */
};

/* Borrows templates, whose store must be there. */
struct forks *forks_open(struct templates *templates, struct err *err) MUST_CHECK;
/* After the store's calls were failed. NULL is fine. */
void forks_close(struct forks *forks);

#endif
