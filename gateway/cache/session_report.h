/* gateway/cache/session_report.h: tells the auth-service, every AUTH_NOTE_SESSIONS_MS, for which
 * sessions client sockets and requests are open here, so that it asks their issuer whether they
 * still live. That one ended comes back as any such news. */
#ifndef GATEWAY_CACHE_SESSION_REPORT_H
#define GATEWAY_CACHE_SESSION_REPORT_H

#include "common/base/err.h"

struct gateway;
struct session_report;

/* Sessions of one report, as many as the auth-service watches: others are told of when some of
 * these are over. */
enum { SESSION_REPORT_MAX = 2048 };

/* Borrows gateway: loop, auth_service, client_sockets, requests. */
struct session_report *session_report_new(const struct gateway *gateway,
                                          struct err *err) MUST_CHECK;
/* NULL is fine. */
void session_report_free(struct session_report *report);
/* At once, and then in turn. */
void session_report_begin(struct session_report *report);

#endif
