/* sandbox-service/life/reaper.h: does what is due: ends or pauses sandboxes whose time is over or
 * that were idle for too long, announces such ends, and ends what belongs to users who are
 * suspended or gone.
 *
 * The database knows what is due next; one timer waits for that, however many rows there are, and
 * at most REAPER_LOOK_MS, for what changed unheard. */
#ifndef SANDBOX_LIFE_REAPER_H
#define SANDBOX_LIFE_REAPER_H

#include "common/base/err.h"

struct reaper;
struct sandboxes;

enum {
    REAPER_LOOK_MS = 5000,
    REAPER_AT_A_TIME = 500, /* rows of one statement: the loop is not held up, nor are others */
};

/* Borrows sandboxes, whose shifts must be there. Looks from the loop's first turn on. */
struct reaper *reaper_open(struct sandboxes *sandboxes, struct err *err) MUST_CHECK;
void reaper_close(struct reaper *reaper);
/* Something may be due earlier than was known. Accepts NULL. */
void reaper_hurry(struct reaper *reaper);
/* There are news of a user. */
void reaper_hurry_user(struct reaper *reaper);

#endif
