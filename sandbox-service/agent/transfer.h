/* sandbox-service/agent/transfer.h: files that come and go as streams of the link, with the acting
 * user's rights and in constant memory. */
#ifndef SANDBOX_AGENT_TRANSFER_H
#define SANDBOX_AGENT_TRANSFER_H

#include "common/contracts/agent_files.h"
#include "sandbox-service/agent/reply.h"
#include "sandbox-service/agent/user.h"

struct chores;
struct streams;
struct transfers; /* all of them */

enum {
    TRANSFERS_MAX = 512,
    DOWNLOAD_UNSIZED_MAX = 1024 * 1024, /* of files that do not tell their size, as in /proc */
};

/* What a transfer is about; path is absolute, both are copied. */
struct transfer_file {
    const char *path;
    const struct user *user;
};

/* chores and streams are borrowed and must be freed first: that ends the transfers. */
struct transfers *transfers_new(struct chores *chores, struct streams *streams,
                                struct err *err) MUST_CHECK;
/* Waits for what is being written to the disk. NULL is fine. */
void transfers_free(struct transfers *transfers);

/* Takes what comes on the stream until its fin and answers once: uploadResponse when all of it is
 * at its path (and, when asked, on the disk), else an error, and then nothing has changed there:
 * "size_mismatch", "busy", "stream_in_use" or as open_failed says. Either ends the stream. A file
 * is replaced as draft.h says. */
void upload_begin(struct transfers *transfers, const struct reply *reply,
                  const struct transfer_file *file, const struct agent_upload *request);

/* Answers once; behind downloadResponse come the bytes and a fin, which ends the stream. A file
 * that gets shorter meanwhile: reset "file_changed". */
void download_begin(struct transfers *transfers, const struct reply *reply,
                    const struct transfer_file *file, const struct agent_download *request);

#endif
