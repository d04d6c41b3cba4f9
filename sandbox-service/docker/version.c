#include "sandbox-service/docker/version.h"

#include <ctype.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION_PARTS = 3 };

static long next_number(const char **at)
{
    char *end = NULL;
    if (!isdigit((unsigned char)**at)) {
        return 0;
    }
    long number = strtol(*at, &end, 10);
    *at = *end == '.' ? end + 1 : end;
    return number;
}

bool version_is_before(const char *version, const char *wanted)
{
    version += *version == 'v' ? 1 : 0;
    for (int i = 0; i < VERSION_PARTS; i++) {
        long have = next_number(&version);
        long want = next_number(&wanted);
        if (have != want) {
            return have < want;
        }
    }
    return false;
}

/* By series; of one version the worst. */
static const struct known_flaw {
    const char *from;
    struct runc_flaw flaw;
} known_flaws[] = {
    {"0", {"CVE-2024-21626", "1.1.12", true}},
    {"1.1.12", {"CVE-2025-31133", "1.2.8", false}},
    {"1.3.0", {"CVE-2025-31133", "1.3.3", false}},
};

const struct runc_flaw *runc_find_flaw(const char *version)
{
    for (size_t i = 0; version[0] != '\0' && i < sizeof known_flaws / sizeof known_flaws[0]; i++) {
        const struct known_flaw *known = &known_flaws[i];
        if (!version_is_before(version, known->from) &&
            version_is_before(version, known->flaw.mended)) {
            return &known->flaw;
        }
    }
    return NULL;
}

bool runc_may_be_mended(const char *version)
{
    return strpbrk(version, "+~") != NULL;
}
