/* gateway/http/header.h: one header line of a message. */
#ifndef GATEWAY_HTTP_HEADER_H
#define GATEWAY_HTTP_HEADER_H

#include "common/base/view.h"

struct http_header {
    struct view name;
    struct view value; /* without the blanks around it */
};

#endif
