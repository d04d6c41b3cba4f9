/* gateway/native/health.h: asks the services each second how they are; requests see the last
 * answer. */
#ifndef GATEWAY_NATIVE_HEALTH_H
#define GATEWAY_NATIVE_HEALTH_H

#include "common/base/err.h"

struct gateway;
struct health;

enum { HEALTH_EVERY_MS = 1000 };

/* Borrows gateway: loop, auth_service, sandbox_service. */
struct health *health_open(const struct gateway *gateway, struct err *err) MUST_CHECK;
void health_close(struct health *health);

#endif
