/* sandbox-service/events/events.h: what happens to sandboxes, told to whoever wants to know. The
 * database writes an event in the transaction that changes a sandbox (migrations/0019_events.sql);
 * here new events get their place in the order that readers see, gateways that have readers are
 * woken through Redis, and webhooks get theirs. Redis away: readers look now and then. */
#ifndef SANDBOX_EVENTS_EVENTS_H
#define SANDBOX_EVENTS_EVENTS_H

#include "common/ipc/server.h"

struct calls;
struct event_store;
struct events;
struct sandboxes;
struct target_policy;

/* Borrows sandboxes. */
struct events *events_open(struct sandboxes *sandboxes, struct err *err) MUST_CHECK;
/* A sandbox has changed; without a word it is seen within a second. Accepts NULL. */
void events_hurry(struct events *events);
/* Begins no deliveries any more. */
void events_drain(struct events *events);
/* Ends what is in flight; returns whether it may have called anybody back. */
bool events_fail_all(struct events *events);
/* After events_fail_all. Accepts NULL. */
void events_close(struct events *events);

/* How many calls are being served. */
size_t events_open_requests(const struct events *events);

/* For those who answer calls (calls.h). */
struct event_store *events_store(const struct events *events);
const struct sandboxes *events_sandboxes(const struct events *events);
const struct target_policy *events_policy(const struct events *events);
/* A delivery may be due. */
void events_look(struct events *events);
struct calls *events_calls(struct events *events);

#endif
