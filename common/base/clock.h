/* common/base/clock.h: the two clocks. Inside a process time is monotonic; wall time is for people.
 */
#ifndef COMMON_BASE_CLOCK_H
#define COMMON_BASE_CLOCK_H

#include "common/base/err.h"
#include "common/base/view.h"

#include <stdint.h>

enum { CLOCK_ISO_SIZE = 25 }; /* 2026-01-31T23:59:59.123Z and its NUL */

/* CLOCK_MONOTONIC: never goes back, means nothing outside this machine. */
int64_t clock_monotonic_ms(void);
int64_t clock_monotonic_us(void);

/* CLOCK_REALTIME, milliseconds since 1970. */
int64_t clock_wall_ms(void);

/* UTC in RFC 3339 form with milliseconds. */
void clock_format_iso(int64_t wall_ms, char out[CLOCK_ISO_SIZE]);

/* A time of RFC 3339, section 5.6, from 1970 to 9999, with T and Z in capitals; without leap
 * seconds. What is finer than a millisecond is cut off. False when it is none. */
bool clock_parse_iso(struct view text, int64_t *wall_ms) MUST_CHECK;

#endif
