/* gateway/native/multipart.h: bodies of multipart/form-data (RFC 7578), in pieces as they come. */
#ifndef GATEWAY_NATIVE_MULTIPART_H
#define GATEWAY_NATIVE_MULTIPART_H

#include "common/base/str.h"

enum {
    MULTIPART_BOUNDARY_MAX = 70,
    MULTIPART_HEAD_MAX = 8 * 1024,     /* the headers of one part */
    MULTIPART_PREAMBLE_MAX = 4 * 1024, /* in front of the first part */
    MULTIPART_DELIMITER_SIZE = MULTIPART_BOUNDARY_MAX + 4,
};

enum multipart_event {
    MULTIPART_MORE,     /* all input is used up */
    MULTIPART_PART,     /* a part begins: name and filename are its own */
    MULTIPART_DATA,     /* bytes of it */
    MULTIPART_PART_END, /* it is whole */
    MULTIPART_END,      /* the last part was; what follows is ignored */
    MULTIPART_BROKEN,   /* no multipart/form-data: nothing more comes */
};

enum multipart_state {
    MULTIPART_IN_PREAMBLE,
    MULTIPART_BEHIND_DELIMITER,
    MULTIPART_IN_HEAD,
    MULTIPART_IN_DATA,
    MULTIPART_IN_EPILOGUE,
    MULTIPART_IS_BROKEN,
};

/* Lies in its owner's struct. */
struct multipart {
    enum multipart_state state;
    char delimiter[MULTIPART_DELIMITER_SIZE]; /* CR LF -- boundary */
    size_t delimiter_len;
    size_t matched;  /* of the delimiter, at the end of what was used up */
    size_t preamble; /* bytes */
    struct str head;
    struct str name;     /* of the current part; may be empty */
    struct str filename; /* the same */
    bool has_filename;
};

/* By the value of Content-Type. ERR_INVALID "unsupported_media_type". */
bool multipart_open(struct multipart *multipart, struct view content_type,
                    struct err *err) MUST_CHECK;
void multipart_close(struct multipart *multipart);

/* Uses up input as far as it has something to say. data (of MULTIPART_DATA; never empty) points
 * into input, or into the parser until the next call. */
enum multipart_event multipart_next(struct multipart *multipart, struct view *input,
                                    struct view *data);

/* Whether the last part was there. */
bool multipart_is_complete(const struct multipart *multipart) MUST_CHECK;

#endif
