/* sandbox-service/admin/findings.h: what the facts mean: for each protection whether it is there,
 * what its lack lets happen, and what to do. */
#ifndef SANDBOX_ADMIN_FINDINGS_H
#define SANDBOX_ADMIN_FINDINGS_H

#include "common/base/str.h"
#include "sandbox-service/admin/facts.h"

enum severity {
    SEVERITY_OK,
    SEVERITY_NOTE,    /* something more could be had */
    SEVERITY_WARNING, /* one layer of several is missing */
    SEVERITY_BAD,     /* strangers' code must not run here like this */
};

enum { FINDING_DETAIL_SIZE = 320, FINDINGS_TEXT_MAX = 64 * 1024 };

struct finding {
    const char *name;
    enum severity severity;
    char detail[FINDING_DETAIL_SIZE]; /* what is the case */
    const char *why;                  /* what that lets happen */
    const char *remedy;
};

typedef void finding_fn(const struct finding *finding, void *arg);
/* Every check once, in a fixed order. Without an engine only what does not need one. Returns the
 * worst severity. */
enum severity findings_each(const struct facts *facts, finding_fn *on_finding, void *arg);

/* A list for people; what is in order takes a line. */
void finding_write(const struct finding *finding, struct str *out);

#endif
