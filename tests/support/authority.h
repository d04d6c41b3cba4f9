/* tests/support/authority.h: a certificate authority of the test's own. */
#ifndef TESTS_SUPPORT_AUTHORITY_H
#define TESTS_SUPPORT_AUTHORITY_H

struct authority;

/* Writes ca.pem into folder, where all that it issues goes too. Fails the test when it can't. */
struct authority *authority_new(const char *folder);
void authority_free(struct authority *authority);

/* Writes NAME.pem and NAME.key: P-256, for the DNS name dns_name, good until lifetime_s from now
 * (negative: it has ended). */
void authority_issue(const struct authority *authority, const char *name, const char *dns_name,
                     long lifetime_s);

#endif
