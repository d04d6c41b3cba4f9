/* sandbox-service/templates/templates.h: templates from their row to their image: a queue of
 * makings, and who listens to them. */
#ifndef SANDBOX_TEMPLATES_TEMPLATES_H
#define SANDBOX_TEMPLATES_TEMPLATES_H

#include "common/base/map.h"
#include "sandbox-service/call.h"
#include "sandbox-service/templates/keeping.h"
#include "sandbox-service/templates/making.h"
#include "sandbox-service/templates/store.h"

struct forks;
struct sandboxes;
struct sweep;

enum {
    WORKS_MAX = 64,        /* templates that wait, or are being made */
    WORKS_OF_USER_MAX = 4, /* the same, of one user */
    FOLDERS_MAX = 4,       /* that are being received or built from, each in memory */
    FOLDERS_OF_USER_MAX = 1,
    KEPT_AT_A_TIME = 4,              /* snapshots, forks and copies */
    FOLDER_BEGIN_MS = 60 * 1000,     /* until its first piece is there */
    FOLDER_WAIT_MS = 10 * 60 * 1000, /* and from then on until its last */
};

/* Lies in whoever wants to hear; belongs to the work until on_news, which comes once: there is more
 * log, or the making has ended. */
struct work_listener {
    struct list node;
    void (*on_news)(void *arg);
    void *arg;
};

/* One template that is not ready yet. */
struct work {
    struct map_node by_id;
    struct list node;            /* among those asked for, or in the queue */
    struct templates *templates; /* borrowed */
    char id[ID_SIZE];
    char user_id[ID_SIZE];
    char image[MAKING_IMAGE_SIZE];
    struct str source; /* the image's name, the Dockerfile, the id of a sandbox or snapshot */
    bool is_build;
    bool is_snapshot; /* or a fork */
    bool is_copy;
    bool has_folder; /* it has one of FOLDERS_MAX places */
    struct str folder;
    bool is_whole; /* all pieces of the folder came */
    bool is_running;
    struct progress progress;
    struct keeping keeping; /* of a snapshot, until its image is there */
    struct making *making;  /* owned; NULL while it waits */
    struct timer due; /* while it waits for a folder: giving up; behind the end: writing it down */
    bool ended;
    bool is_writing;     /* the row is being told of the end */
    bool is_log_refused; /* and has refused it with the log */
    const char *failure; /* of its end; NULL: none; a literal, or failure_text */
    char failure_text[ERR_REASON_SIZE];
    int64_t size_bytes;
    struct list listeners;
};

struct templates {
    struct sandboxes *sandboxes;  /* borrowed */
    struct template_store *store; /* owned */
    struct making_shared shared;
    struct map works;
    struct list asked; /* works that have not begun: their rows are on their way */
    struct list queue;
    struct list removals;
    struct list lookers; /* work_listener: who waits for a template that is not made here */
    size_t running;      /* that are pulled or built */
    size_t running_kept; /* the rest */
    size_t folders;
    struct calls calls;     /* calls.c */
    struct timer room_look; /* armed while something is made */
    struct timer recovery;  /* armed until what an earlier process left is written down */
    bool recovered;
    struct sweep *sweep; /* owned */
    struct forks *forks; /* owned */
    bool closing;
};

/* Borrows limits (tiers_write) and sandboxes, of which loop, config, docker, audit, shifts and
 * stills must be there. What an earlier process left half done is told to have failed; until that
 * is written down nothing new begins. */
struct templates *templates_open(struct sandboxes *sandboxes, const char *limits,
                                 struct err *err) MUST_CHECK;
/* Ends what is in flight; later calls fail. Returns whether it may have answered anybody. */
bool templates_fail_all(struct templates *templates);
/* After templates_fail_all; NULL is fine. */
void templates_close(struct templates *templates);

/* A work of its own, in no queue yet. ERR_UNAVAILABLE "template_queue_full", "unavailable";
 * ERR_LIMIT "templates_in_making": the user's own have to be done first. The
 * caller frees it with work_free unless work_begin takes it. */
struct work *work_new(struct templates *templates, const struct template_create *create,
                      struct err *err) MUST_CHECK;
void work_free(struct work *work);
/* NULL: it is not being made, or no longer. */
struct work *work_find(const struct templates *templates, const char id[ID_SIZE]);

/* Its row is there: takes the work. One with a folder waits for it, another one is queued. */
void work_begin(struct work *work);
/* ERR_CONFLICT "template_not_waiting", "wrong_offset"; ERR_LIMIT "template_context_too_large". */
bool work_add_piece(struct work *work, int64_t offset, struct view bytes,
                    struct err *err) MUST_CHECK;
/* The folder is whole, and the row says so. */
void work_enqueue(struct work *work);
/* Its row is gone: the making stops, and nobody hears more. Frees it. */
void work_drop(struct work *work);

/* What the image of a template is called on the engine. */
void template_image(const struct templates *templates, const char id[ID_SIZE],
                    char out[MAKING_IMAGE_SIZE]);
/* Removes an image that no row has, behind the caller. */
void templates_remove_image(struct templates *templates, const char *image);

#endif
