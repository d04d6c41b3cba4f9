/* sandbox-service/agent/tools/member.h: whether what an archive says about a member may be
 * believed. Texts only; nothing is looked up. */
#ifndef SANDBOX_AGENT_TOOLS_MEMBER_H
#define SANDBOX_AGENT_TOOLS_MEMBER_H

#include "common/base/err.h"
#include "common/base/view.h"
#include "sandbox-service/agent/path.h"

enum { MEMBER_DEPTH_MAX = 32 };

/* Writes the name without "." and empty components: "./a//b/" is "a/b", "./" is "". ERR_INVALID
 * "archive_unsafe" for an absolute name, one with "..", with a component over PATH_COMPONENT_MAX
 * bytes, with more than MEMBER_DEPTH_MAX of them, or too long. */
bool member_clean_name(struct view name, char out[PATH_SIZE], struct err *err) MUST_CHECK;

/* A symbolic link's target, for a link of that clean name. It must be relative, and climb by
 * leading ".." only, and not above the top: behind a name, which may itself be a link, nobody can
 * tell where ".." leads. ERR_INVALID "archive_unsafe". */
bool member_check_target(const char *clean_name, struct view target, struct err *err) MUST_CHECK;

#endif
