/* gateway/native/media_types.h: what a file is, by its name. */
#ifndef GATEWAY_NATIVE_MEDIA_TYPES_H
#define GATEWAY_NATIVE_MEDIA_TYPES_H

#include "common/base/str.h"

/* By the extension, in any letter case; application/octet-stream when it is not known. */
const char *media_type_of(struct view path);

/* Appends the value of a Content-Disposition that has the file saved under its own name (RFC 6266):
 * attachment; filename*=UTF-8''... */
void media_disposition(struct view path, struct str *out);

#endif
