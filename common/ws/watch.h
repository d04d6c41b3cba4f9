/* common/ws/watch.h: when a quiet or slow peer is pinged, and when it is given up; for this folder.
 * Knows only times and counts. */
#ifndef COMMON_WS_WATCH_H
#define COMMON_WS_WATCH_H

#include "common/ws/socket.h"

struct ws_watch {
    const struct ws_limits *limits; /* borrowed for ever */
    bool liveness;
    bool is_behind; /* the backlog is over backlog_max */
    int64_t heard_ms;
    int64_t pinged_ms;
    uint64_t taken_bytes; /* what the peer had taken, of all that ever was queued */
    int64_t progress_ms;  /* when it was last seen to take something */
    uint64_t mark_bytes;  /* a place in all that ever was queued */
    size_t texts_before; /* bytes of texts and control frames queued up to it, some perhaps taken */
    size_t texts_since;  /* behind it */
    int64_t pings_since_ms;
    int pings; /* of the peer's, since then */
};

enum ws_verdict { WS_VERDICT_WAIT, WS_VERDICT_PING, WS_VERDICT_SILENT, WS_VERDICT_STALLED };

void ws_watch_init(struct ws_watch *watch, const struct ws_limits *limits, int64_t now_ms);
void ws_watch_set_liveness(struct ws_watch *watch, bool on, int64_t now_ms);
void ws_watch_set_behind(struct ws_watch *watch, uint64_t taken_bytes, int64_t now_ms);
/* False when the peer pings too often. */
bool ws_watch_count_ping(struct ws_watch *watch, int64_t now_ms) MUST_CHECK;

/* Bytes of a text or a control frame were queued. queued_bytes: all that ever was. */
void ws_watch_count_text(struct ws_watch *watch, size_t bytes, uint64_t queued_bytes,
                         uint64_t taken_bytes);

/* What to do now. */
enum ws_verdict ws_watch_look(struct ws_watch *watch, uint64_t queued_bytes, uint64_t taken_bytes,
                              int64_t now_ms);
/* Arms the timer for the next look, or disarms it when there is nothing to watch for. */
void ws_watch_arm(const struct ws_watch *watch, struct timer *timer, int64_t now_ms);

#endif
