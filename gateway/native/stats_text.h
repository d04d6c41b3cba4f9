/* gateway/native/stats_text.h: what a sandbox uses, as a client sees it, with what is wrong about
 * it. */
#ifndef GATEWAY_NATIVE_STATS_TEXT_H
#define GATEWAY_NATIVE_STATS_TEXT_H

#include "common/contracts/agent_stats.h"
#include "common/json/write.h"
#include "gateway/cache/sandbox_cache.h"

enum { STATS_TEXT_MAX = 8192 };

/* The whole answer. */
void stats_text_write(const struct sandbox_meta *sandbox, const struct agent_usage *usage,
                      struct str *out);

#endif
