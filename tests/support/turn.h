/* tests/support/turn.h: runs a loop from inside a test, as far as the test needs. */
#ifndef TESTS_SUPPORT_TURN_H
#define TESTS_SUPPORT_TURN_H

#include "common/event/loop.h"

enum { TURN_PATIENCE_MS = 30000 };

/* Turns the loop until *flag; fails the test after TURN_PATIENCE_MS. */
void turn_until(struct loop *loop, const bool *flag);
/* The same for a condition that has no flag. */
void turn_until_true(struct loop *loop, bool (*condition)(void *arg), void *arg);
/* The same for something that is counted: until it is so many, or more. */
void turn_until_count(struct loop *loop, const int *count, int wanted);
/* Turns the loop for so long: to see that something does not happen. A test that wants something to
 * have happened waits for it with the others, which are as fast as the machine. */
void turn_for(struct loop *loop, int64_t duration_ms);

#endif
