/* gateway/native/archive.h: a folder of a sandbox out as one archive, or in, as the work of a
 * request. */
#ifndef GATEWAY_NATIVE_ARCHIVE_H
#define GATEWAY_NATIVE_ARCHIVE_H

#include "gateway/native/body_relay.h"
#include "gateway/native/file_transfer.h"
#include "gateway/native/own_sandbox.h"
#include "gateway/native/stream_pull.h"

struct archive {
    struct request *request; /* which this is the work of */
    struct own_sandbox own;  /* of one that is made for it; else the request's is meant */
    struct view volume;      /* its name, lies in the request; empty: it is about no volume */
    struct file_name name;   /* of the folder */
    const char *format;      /* a literal: "tar", "tar.gz"; of unpacking "auto" too */
    bool packs;
    bool is_begun; /* the answer's head is sent */
    bool is_running;
    struct hub_stream *stream; /* owned */
    struct stream_pull pull;   /* of packing */
    struct body_relay relay;   /* of unpacking */
    struct str words;          /* stdout of unpacking */
    struct str errors;         /* stderr */
    struct err err;            /* what became of it, once that is known */
};

/* The request's work from here on. Reads the parameter format and sets packs. NULL: the request has
 * failed. */
struct archive *archive_new(struct request *request, struct parameters *parameters,
                            bool packs) MUST_CHECK;
/* The sandbox is there: leads to the request's answer. */
void archive_begin(struct archive *archive);
/* Leads to it too; err is copied. A sandbox of its own goes first, so that what it had is free when
 * the client hears. */
void archive_fail(struct archive *archive, const struct err *err);

#endif
