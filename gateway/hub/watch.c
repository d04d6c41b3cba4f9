#include "gateway/hub/watch.h"

#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/contracts/agent.h"
#include "common/event/loop.h"
#include "gateway/http/server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/un.h>

enum {
    RETRY_MS = 250,     /* how often a socket that another gateway holds is tried */
    LISTEN_BACKLOG = 8, /* one agent, and its impatience */
};

/* A sandbox's directory. */
struct place {
    struct map_node by_name;
    struct list waiting;            /* linked while the lock is somebody else's */
    struct http_listener *listener; /* owned; NULL while waiting */
    int lock_fd;                    /* -1 while waiting */
    bool complained;                /* the log has heard that the socket can't be bound */
    char name[ID32_SIZE];
    char sandbox_id[ID_SIZE];
};

struct watch {
    struct loop *loop;          /* borrowed */
    char run_dir[PATH_MAX / 2]; /* short in truth: socket paths end at 107 bytes */
    watch_listen_fn *listen_on;
    void *arg;
    int inotify_fd;
    struct event *readable; /* owned */
    struct map places;
    struct list waiting;
    struct timer retry;
};

static bool join(char *out, size_t size, const struct watch *watch, const char *folder,
                 const char *name, const char *file)
{
    int length = snprintf(out, size, "%s/%s/%s%s%s", watch->run_dir, folder, name,
                          file[0] == '\0' ? "" : "/", file);
    return length > 0 && (size_t)length < size;
}

/* The lock's descriptor; -1 when the file is not there yet or another process holds it. */
static int take_lock(const struct watch *watch, const char *name)
{
    char path[PATH_MAX];
    if (!join(path, sizeof path, watch, "locks", name, "")) {
        return -1;
    }
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* Binds agent.sock; the directory's set-group-id bit gives it the group that the agent is in. */
static int bind_socket(const struct watch *watch, const char *name, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!join(address.sun_path, sizeof address.sun_path, watch, "agents", name,
              AGENT_SOCKET_NAME)) {
        err_set(err, ERR_INVALID, "INSIEN_RUN_DIR is too long for a socket");
        return -1;
    }
    if (unlink(address.sun_path) != 0 && errno != ENOENT) {
        err_set(err, ERR_INTERNAL, "unlink %s: %s", address.sun_path, strerror(errno));
        return -1;
    }
    AUTO(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(0117);
    bool bound = fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    (void)umask(before);
    if (!bound || listen(fd, LISTEN_BACKLOG) != 0) {
        err_set(err, ERR_INTERNAL, "listen on %s: %s", address.sun_path, strerror(errno));
        return -1;
    }
    return take_fd(&fd);
}

static bool claim(struct watch *watch, struct place *place)
{
    struct err err = {0};
    place->lock_fd = take_lock(watch, place->name);
    if (place->lock_fd < 0) {
        return false;
    }
    int fd = bind_socket(watch, place->name, &err);
    if (fd >= 0) {
        place->listener = watch->listen_on(fd, place->sandbox_id, watch->arg);
    } else if (!place->complained) { /* It is tried again and again. */
        place->complained = true;
        log_warn("agent_socket.failed", LOG_STR("sandbox_id", place->sandbox_id), LOG_ERR(&err));
    }
    if (place->listener == NULL) {
        (void)close(place->lock_fd);
        place->lock_fd = -1;
        return false;
    }
    return true;
}

static void release(struct watch *watch, struct place *place)
{
    map_remove(&watch->places, &place->by_name);
    list_remove(&place->waiting);
    if (place->listener != NULL) {
        http_listener_close(place->listener);
    }
    if (place->lock_fd >= 0) {
        (void)close(place->lock_fd);
    }
    free(place);
}

static void wait_for(struct watch *watch, struct place *place)
{
    if (!list_is_linked(&place->waiting)) {
        list_append(&watch->waiting, &place->waiting);
    }
    if (!timer_is_armed(&watch->retry)) {
        timer_arm(&watch->retry, RETRY_MS);
    }
}

static bool is_there(const struct watch *watch, const char *name)
{
    char path[PATH_MAX];
    struct stat status;
    return join(path, sizeof path, watch, "agents", name, "") && lstat(path, &status) == 0 &&
           S_ISDIR(status.st_mode);
}

static void on_retry(void *arg)
{
    struct watch *watch = arg;
    for (LIST_EACH(node, &watch->waiting)) {
        struct place *place = LIST_ENTRY(node, struct place, waiting);
        if (!is_there(watch, place->name)) {
            release(watch, place);
        } else if (claim(watch, place)) {
            list_remove(&place->waiting);
        }
    }
    if (!list_is_empty(&watch->waiting)) {
        timer_arm(&watch->retry, RETRY_MS);
    }
}

static void add(struct watch *watch, const char *name)
{
    char id[ID_SIZE];
    if (!id_from_id32(view_of(name), id) || map_find(&watch->places, view_of(name)) != NULL) {
        return;
    }
    struct place *place = calloc(1, sizeof *place);
    if (place == NULL) {
        log_error("agent_socket.failed", LOG_STR("error", "out of memory"));
        return;
    }
    place->lock_fd = -1;
    memcpy(place->name, name, ID32_SIZE);
    memcpy(place->sandbox_id, id, ID_SIZE);
    map_insert(&watch->places, &place->by_name, view_of(place->name));
    if (!claim(watch, place)) {
        wait_for(watch, place);
    }
}

static void drop(struct watch *watch, const char *name)
{
    struct map_node *node = map_find(&watch->places, view_of(name));
    if (node != NULL) {
        release(watch, MAP_ENTRY(node, struct place, by_name));
    }
}

static bool scan(struct watch *watch, struct err *err)
{
    char path[PATH_MAX];
    (void)join(path, sizeof path, watch, "agents", "", "");
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return err_set(err, ERR_INTERNAL, "open %s: %s", path, strerror(errno));
    }
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        add(watch, entry->d_name);
    }
    (void)closedir(folder);
    return true;
}

static void release_if_gone(struct map_node *node, void *arg)
{
    struct place *place = MAP_ENTRY(node, struct place, by_name);
    if (!is_there(arg, place->name)) {
        release(arg, place);
    }
}

static void on_event(struct watch *watch, const struct inotify_event *event)
{
    if ((event->mask & IN_Q_OVERFLOW) != 0) {
        struct err err = {0};
        map_each(&watch->places, release_if_gone, watch);
        if (!scan(watch, &err)) {
            log_error("agent_socket.scan_failed", LOG_ERR(&err));
        }
    } else if (event->len > 0 && (event->mask & (IN_CREATE | IN_MOVED_TO)) != 0) {
        add(watch, event->name);
    } else if (event->len > 0) {
        drop(watch, event->name);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    _Alignas(struct inotify_event) char buffer[4096];
    ssize_t length = read((int)fd, buffer, sizeof buffer);
    for (ssize_t at = 0; at < length;) {
        const struct inotify_event *event = (const void *)(buffer + at);
        on_event(arg, event);
        at += (ssize_t)(sizeof *event + event->len);
    }
}

static bool begin_watching(struct watch *watch, struct err *err)
{
    char path[PATH_MAX];
    (void)join(path, sizeof path, watch, "agents", "", "");
    watch->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch->inotify_fd < 0 ||
        inotify_add_watch(watch->inotify_fd, path,
                          IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR) < 0) {
        return err_set(err, ERR_INTERNAL,
                       "can't watch %s: %s (the sandbox-service makes it: is it running?)", path,
                       strerror(errno));
    }
    watch->readable = event_new(loop_base(watch->loop), watch->inotify_fd, EV_READ | EV_PERSIST,
                                on_readable, watch);
    return (watch->readable != NULL && event_add(watch->readable, NULL) == 0) ||
           err_set(err, ERR_INTERNAL, "watch: out of memory");
}

struct watch *watch_open(struct loop *loop, const char *run_dir, watch_listen_fn *listen_on,
                         void *arg, struct err *err)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        err_set(err, ERR_INTERNAL, "watch: out of memory");
        return NULL;
    }
    watch->loop = loop;
    watch->listen_on = listen_on;
    watch->arg = arg;
    watch->inotify_fd = -1;
    list_init(&watch->waiting);
    if (!view_copy(view_of(run_dir), watch->run_dir, sizeof watch->run_dir)) {
        err_set(err, ERR_INVALID, "INSIEN_RUN_DIR is too long");
        goto fail;
    }
    /* Watched before it is read, so that nothing appears between the two unseen. */
    if (!map_init(&watch->places, err) || !timer_open(&watch->retry, loop, on_retry, watch, err) ||
        !begin_watching(watch, err) || !scan(watch, err)) {
        goto fail;
    }
    return watch;
fail:
    watch_close(watch);
    return NULL;
}

static void release_node(struct map_node *node, void *arg)
{
    release(arg, MAP_ENTRY(node, struct place, by_name));
}

void watch_close(struct watch *watch)
{
    if (watch == NULL) {
        return;
    }
    if (watch->places.buckets != NULL) {
        map_each(&watch->places, release_node, watch);
    }
    map_free(&watch->places);
    timer_close(&watch->retry);
    if (watch->readable != NULL) {
        event_free(watch->readable);
    }
    if (watch->inotify_fd >= 0) {
        (void)close(watch->inotify_fd);
    }
    free(watch);
}

void watch_unlink_token(const struct watch *watch, const char sandbox_id[ID_SIZE])
{
    char name[ID32_SIZE];
    char path[PATH_MAX];
    id_to_id32(sandbox_id, name);
    if (join(path, sizeof path, watch, "agents", name, AGENT_TOKEN_NAME) && unlink(path) != 0 &&
        errno != ENOENT) {
        log_error("agent_token.unlink_failed", LOG_STR("sandbox_id", sandbox_id),
                  LOG_STR("error", strerror(errno)));
    }
}
