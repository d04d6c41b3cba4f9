/* sandbox-service/sandbox/news.h: hears of users who were suspended or deleted, so that what they
 * have running ends at once. News that are missed cost a second: expiry looks by itself. And tells,
 * once after the start, that news of the process before this one may be missing. */
#ifndef SANDBOX_SANDBOX_NEWS_H
#define SANDBOX_SANDBOX_NEWS_H

#include "common/base/err.h"

struct reaper;
struct news;
struct sandboxes;

/* Borrows both. */
struct news *news_open(const struct sandboxes *sandboxes, struct reaper *reaper,
                       struct err *err) MUST_CHECK;
/* Calls are answered from here on: whoever hears that anything may have changed can ask. */
void news_tell(struct news *news);
/* Before the reaper is closed. Accepts NULL. */
void news_close(struct news *news);

#endif
