#include "common/event/worker.h"
#include "sandbox-service/agent/acting.h"
#include "sandbox-service/agent/draft.h"
#include "sandbox-service/agent/open.h"
#include "sandbox-service/agent/transfers.h"

#include <errno.h>
#include <stdlib.h>

/* The writer of a file is never behind for long, and each grant wakes the gateway. */
enum { WINDOW_MORE = 768 * 1024 };

enum step {
    STEP_RECEIVE,    /* until the fin: all other ways out leave nothing behind */
    STEP_SYNC_FILE,  /* when asked: on a worker */
    STEP_POUR,       /* into a file that is rewritten in place */
    STEP_SYNC_PLACE, /* when asked: the file that was poured into, or the folder with the new name
                      */
};

struct upload {
    struct transfers *all;
    struct stream *stream; /* NULL: it is gone, and the rest is done without it */
    struct reply reply;
    struct user user;
    char *path; /* owned */
    enum step step;
    struct draft draft;
    int64_t size;     /* that came */
    int64_t expected; /* -1: not told */
    bool sync;
    struct chore pour;
    struct worker_job job; /* of the two steps that sync */
    int sync_errno;
};

static void free_upload(void *object)
{
    struct upload *upload = object;
    struct acting acting;
    struct err ignored;
    if (acting_begin(&acting, &upload->user, &ignored)) {
        draft_close(&upload->draft);
        acting_end(&acting);
    } else {
        upload->draft.temp[0] =
            '\0'; /* it stays rather than that the agent's own rights are used */
        draft_close(&upload->draft);
    }
    chore_stop(&upload->pour);
    transfers_leave(upload->all);
    free(upload->path);
    free(upload);
}

static void end(struct upload *upload)
{
    if (upload->stream != NULL) {
        stream_close(upload->stream);
    }
    free_upload(upload);
}

static void fail(struct upload *upload, const struct err *err)
{
    reply_error(&upload->reply, err);
    end(upload);
}

static void succeed(struct upload *upload)
{
    struct str out;
    struct json_writer writer = reply_begin(&upload->reply, &out, "uploadResponse");
    json_string(&writer, "path", view_of(upload->path));
    json_int(&writer, "size", upload->size);
    json_bool(&writer, "created", !upload->draft.existed);
    /* What was uploaded may be a program that is started at once: not while it is open. */
    struct stream *stream = upload->stream;
    struct reply reply = upload->reply;
    free_upload(upload);
    reply_end(&reply, &writer);
    if (stream != NULL) {
        stream_close(stream);
    }
}

/* On a worker. */
static void run_sync(struct worker_job *job)
{
    struct upload *upload = (struct upload *)(void *)((char *)job - offsetof(struct upload, job));
    const struct draft *draft = &upload->draft;
    AUTO(close_fd) int folder = -1;
    int fd = draft->fd;
    if (upload->step == STEP_SYNC_PLACE && draft->target >= 0) {
        fd = draft->target;
    } else if (upload->step == STEP_SYNC_PLACE) {
        folder = openat(draft->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        fd = folder;
    }
    upload->sync_errno = fd >= 0 && fsync(fd) == 0 ? 0 : errno;
}

static void on_synced(struct worker_job *job);

static void begin_sync(struct upload *upload, enum step step)
{
    struct transfers *all = upload->all;
    struct err err;
    upload->step = step;
    upload->job = (struct worker_job){.run = run_sync, .done = on_synced};
    if (all->pool == NULL) {
        all->pool = worker_pool_new(chores_loop(all->chores), 1, TRANSFERS_MAX, &err);
    }
    if (all->pool == NULL || !worker_submit(all->pool, &upload->job, &err)) {
        fail(upload, &err);
    }
}

static void on_placed(struct upload *upload)
{
    if (upload->sync) {
        begin_sync(upload, STEP_SYNC_PLACE);
    } else {
        succeed(upload);
    }
}

/* Goes on with what draft_finish or draft_pour said. True: there is more to pour. */
static bool go_on(struct upload *upload, enum draft_end result, const struct err *err)
{
    switch (result) {
    case DRAFT_POUR:
        return true;
    case DRAFT_DONE:
        on_placed(upload);
        return false;
    case DRAFT_FAILED:
        break;
    }
    fail(upload, err);
    return false;
}

static bool on_pour(void *arg)
{
    struct upload *upload = arg;
    struct acting acting;
    struct err err;
    enum draft_end result = DRAFT_FAILED;
    if (acting_begin(&acting, &upload->user, &err)) {
        result = draft_pour(&upload->draft, &err);
        acting_end(&acting);
    }
    return go_on(upload, result, &err);
}

static void finish(struct upload *upload)
{
    struct acting acting;
    struct err err;
    enum draft_end result = DRAFT_FAILED;
    if (acting_begin(&acting, &upload->user, &err)) {
        result = draft_finish(&upload->draft, &err);
        acting_end(&acting);
    }
    if (go_on(upload, result, &err)) {
        upload->step = STEP_POUR;
        chore_start(upload->all->chores, &upload->pour);
    }
}

static void on_synced(struct worker_job *job)
{
    struct upload *upload = (struct upload *)(void *)((char *)job - offsetof(struct upload, job));
    struct err err;
    if (upload->all->closing) {
        free_upload(upload);
    } else if (upload->sync_errno != 0) {
        open_failed(&err, upload->sync_errno, upload->path);
        fail(upload, &err);
    } else if (upload->step == STEP_SYNC_FILE) {
        finish(upload);
    } else {
        succeed(upload);
    }
}

static bool check_size(const struct upload *upload, bool at_end, struct err *err)
{
    if (upload->expected < 0 || upload->size == upload->expected ||
        (!at_end && upload->size < upload->expected)) {
        return true;
    }
    return err_set_reason(err, ERR_INVALID, "size_mismatch", "%lld bytes came, not %lld",
                          (long long)upload->size, (long long)upload->expected);
}

/* The draft was opened with the user's rights: writing to it takes no others. */
static void on_bytes(struct view bytes, void *arg)
{
    struct upload *upload = arg;
    struct err err;
    upload->size += (int64_t)bytes.len;
    if (!check_size(upload, false, &err) || !draft_write(&upload->draft, bytes, &err)) {
        fail(upload, &err);
        return;
    }
    stream_used(upload->stream, bytes.len);
}

static void on_fin(void *arg)
{
    struct upload *upload = arg;
    struct err err;
    if (!check_size(upload, true, &err)) {
        fail(upload, &err);
    } else if (upload->sync && upload->draft.temp[0] != '\0') {
        begin_sync(upload, STEP_SYNC_FILE);
    } else {
        finish(upload);
    }
}

static void on_closed(void *arg)
{
    struct upload *upload = arg;
    upload->stream = NULL;
    if (upload->step == STEP_RECEIVE) {
        reply_refuse(&upload->reply, "stream_closed", VIEW("the stream was closed before its end"));
        free_upload(upload);
    }
}

static const struct stream_events stream_events = {on_bytes, on_fin, NULL, on_closed};

static bool open_draft(struct upload *upload, const struct agent_upload *request, struct err *err)
{
    const struct draft_options options = {
        .mode = agent_file_mode(request->mode, 0),
        .has_mode = request->mode.len > 0,
        .parents = request->parents,
    };
    struct acting acting;
    if (!acting_begin(&acting, &upload->user, err)) {
        return false;
    }
    bool opened = draft_open(&upload->draft, upload->path, &upload->user, &options, err) &&
                  (upload->draft.fd >= 0 || draft_stage(&upload->draft, err));
    acting_end(&acting);
    return opened;
}

static struct upload *new_upload(struct transfers *transfers, const struct reply *reply,
                                 const struct transfer_file *file,
                                 const struct agent_upload *request, struct err *err)
{
    struct upload *upload = calloc(1, sizeof *upload);
    char *path = strdup(file->path);
    if (upload == NULL || path == NULL || !transfers_enter(transfers, err)) {
        if (upload == NULL || path == NULL) {
            err_set(err, ERR_INTERNAL, "upload: out of memory");
        }
        free(upload);
        free(path);
        return NULL;
    }
    upload->all = transfers;
    upload->reply = *reply;
    upload->user = *file->user;
    upload->path = path;
    upload->expected = request->has_size ? request->size : -1;
    upload->sync = request->sync;
    upload->pour = (struct chore){.step = on_pour, .drop = free_upload, .arg = upload};
    upload->draft = (struct draft){.fd = -1, .folder = -1, .target = -1};
    upload->stream = stream_open(transfers->streams, reply, (uint32_t)request->stream_id,
                                 &stream_events, upload, err);
    if (upload->stream == NULL) {
        free_upload(upload);
        return NULL;
    }
    stream_widen(upload->stream, WINDOW_MORE);
    return upload;
}

void upload_begin(struct transfers *transfers, const struct reply *reply,
                  const struct transfer_file *file, const struct agent_upload *request)
{
    struct err err;
    struct upload *upload = new_upload(transfers, reply, file, request, &err);
    if (upload == NULL) {
        reply_error(reply, &err);
    } else if (!open_draft(upload, request, &err)) {
        fail(upload, &err);
    }
}
