#include "sandbox-service/agent/watch.h"

#include "common/event/loop.h"
#include "sandbox-service/agent/acting.h"
#include "sandbox-service/agent/chore.h"
#include "sandbox-service/agent/open.h"
#include "sandbox-service/agent/place.h"
#include "sandbox-service/agent/stream.h"
#include "sandbox-service/agent/watch_told.h"
#include "sandbox-service/agent/watch_tree.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>

enum {
    EVENTS_SIZE = 8 * 1024, /* read at once */
    SLICE = 128,            /* names looked at in one */
    TEXT_MAX = 64 * 1024,
};

struct watches {
    struct chores *chores;   /* borrowed */
    struct streams *streams; /* borrowed */
    struct list open;
    size_t count;
};

/* The first half of a move, until the second comes or does not. */
struct departure {
    bool is_pending;
    uint32_t cookie;
    bool is_folder;
    int number; /* of the folder it was in */
    char name[PATH_COMPONENT_MAX + 1];
};

struct watch {
    struct list node;
    struct watches *all;
    struct stream *stream;
    struct reply reply;
    struct user user;
    char *path; /* owned */
    bool recursive;
    bool answered;
    bool overflowed; /* to be told when every folder is watched again */
    struct watch_tree tree;
    struct event *readable; /* owned; of the tree's inotify */
    bool reading;
    uint64_t consumed; /* bytes of events that have been handled */
    struct chore scan; /* as long as folders are unscanned; no events are read meanwhile */
    struct watch_told told;
    struct departure departure;
    struct timer departure_timer;
};

static void on_readable(evutil_socket_t fd, short what, void *arg);

struct watches *watches_new(struct chores *chores, struct streams *streams, struct err *err)
{
    struct watches *watches = calloc(1, sizeof *watches);
    if (watches == NULL) {
        err_set(err, ERR_INTERNAL, "watches: out of memory");
        return NULL;
    }
    watches->chores = chores;
    watches->streams = streams;
    list_init(&watches->open);
    return watches;
}

void watches_free(struct watches *watches)
{
    assert(watches == NULL || watches->count == 0);
    free(watches);
}

/* All that is watched; the watch itself stays. */
static void close_tree(struct watch *watch)
{
    if (watch->readable != NULL) {
        event_free(TAKE(watch->readable));
    }
    watch->reading = false;
    watch->departure.is_pending = false;
    watch_told_clear(&watch->told);
    watch_tree_close(&watch->tree);
}

/* The stream is closed already. */
static void free_watch(struct watch *watch)
{
    close_tree(watch);
    watch_told_free(&watch->told);
    chore_stop(&watch->scan);
    timer_close(&watch->departure_timer);
    list_remove(&watch->node);
    watch->all->count--;
    free(watch->path);
    free(watch);
}

/* The watch is gone afterwards. */
static void end(struct watch *watch, const struct err *err)
{
    if (watch->answered) {
        stream_reset(watch->stream, err->reason);
    } else {
        reply_error(&watch->reply, err);
        stream_close(watch->stream);
    }
    free_watch(watch);
}

static void send_event(const struct watch *watch, const char *event, const char *path,
                       const char *from)
{
    const struct reply *reply = stream_reply(watch->stream);
    struct err ignored;
    AUTO(str_free) struct str out = STR_INIT(TEXT_MAX);
    struct json_writer writer = json_writer_on(&out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "type", VIEW("watchEvent"));
    json_int(&writer, "streamId", stream_id(watch->stream));
    json_string(&writer, "event", view_of(event));
    json_string(&writer, "path", view_of(path));
    if (from != NULL) {
        json_string(&writer, "from", view_of(from));
    }
    json_end_object(&writer);
    if (str_check(&out, "event", &ignored)) {
        reply->send(reply->arg, reply->epoch, str_view(&out));
    }
}

static void tell(const struct watch *watch, const char *event, const struct watched *in,
                 const char *name)
{
    char path[PATH_SIZE];
    if (watch_tree_path(&watch->tree, in, name, path)) {
        send_event(watch, event, path, NULL);
    }
}

/* Adds with the user's rights. False: the watch has ended. */
static bool add_folder(struct watch *watch, struct watched *in, const char *name)
{
    struct acting acting;
    struct err err;
    bool added = acting_begin(&acting, &watch->user, &err);
    if (added) {
        added = watch_tree_add(&watch->tree, in, name, true, &err);
        acting_end(&acting);
    }
    if (!added) {
        end(watch, &err);
        return false;
    }
    if (watch_tree_is_unscanned(&watch->tree)) {
        chore_start(watch->all->chores, &watch->scan);
    }
    return true;
}

static void set_reading(struct watch *watch, bool on)
{
    if (watch->reading != on) {
        watch->reading = on;
        (void)(on ? event_add(watch->readable, NULL) : event_del(watch->readable));
    }
}

static bool is_scanning(const struct watch *watch)
{
    return !watch->answered || watch->overflowed || watch_tree_is_unscanned(&watch->tree);
}

/* Every folder is looked at: tells what waited for that and goes on with events. */
static void on_scanned(struct watch *watch)
{
    if (!watch->answered) {
        struct str out;
        struct json_writer writer = reply_begin(&watch->reply, &out, "watchResponse");
        json_int(&writer, "streamId", stream_id(watch->stream));
        json_string(&writer, "path", view_of(watch->path));
        reply_end(&watch->reply, &writer);
        watch->answered = true;
    } else if (watch->overflowed) {
        send_event(watch, "overflow", watch->path, NULL);
    }
    watch->overflowed = false;
    set_reading(watch, true);
}

/* What was told as found up to here has its own event, if any, among those that wait now. */
static void end_folder(struct watch *watch)
{
    int waiting = 0;
    (void)ioctl(watch->tree.inotify, FIONREAD, &waiting);
    watch_told_settle(&watch->told, watch->consumed + (uint64_t)waiting);
    watch_tree_end_folder(&watch->tree);
}

static bool scan_item(struct watch *watch, const struct dirent *item, struct err *err)
{
    struct watched *in = watch->tree.scanned;
    if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0 ||
        place_is_temp_name(item->d_name)) {
        return true;
    }
    if (in->is_news) {
        tell(watch, "create", in, item->d_name);
        watch_told_add(&watch->told, in->number, item->d_name);
    }
    return !watch_tree_is_folder(&watch->tree, item) ||
           watch_tree_add(&watch->tree, in, item->d_name, in->is_news, err);
}

/* False with err; done tells whether nothing is left. */
static bool scan_slice(struct watch *watch, bool *done, struct err *err)
{
    for (int i = 0; i < SLICE; i++) {
        if (!watch_tree_open_next(&watch->tree)) {
            *done = true;
            return true;
        }
        const struct dirent *item = readdir(watch->tree.folder);
        if (item == NULL) {
            end_folder(watch);
        } else if (!scan_item(watch, item, err)) {
            return false;
        }
    }
    return true;
}

static bool on_scan(void *arg)
{
    struct watch *watch = arg;
    struct acting acting;
    struct err err;
    bool done = false;
    set_reading(watch, false);
    if (watch->answered && stream_room(watch->stream) == 0) {
        return false; /* on_room starts it again */
    }
    bool scanned = acting_begin(&acting, &watch->user, &err);
    if (scanned) {
        scanned = scan_slice(watch, &done, &err);
        acting_end(&acting);
    }
    if (!scanned) {
        end(watch, &err);
        return false;
    }
    if (done) {
        on_scanned(watch);
    }
    return !done;
}

static bool open_tree(struct watch *watch, struct err *err)
{
    struct acting acting;
    bool is_folder = false;
    if (!acting_begin(&acting, &watch->user, err)) {
        return false;
    }
    bool opened = watch_tree_open(&watch->tree, watch->path, &is_folder, err);
    acting_end(&acting);
    if (!opened) {
        return false;
    }
    watch->readable = event_new(loop_base(chores_loop(watch->all->chores)), watch->tree.inotify,
                                EV_READ | EV_PERSIST, on_readable, watch);
    if (watch->readable == NULL) {
        return err_set(err, ERR_INTERNAL, "watch: out of memory");
    }
    if (is_folder && watch->recursive) {
        list_append(&watch->tree.unscanned, &watch->tree.root->unscanned);
    }
    chore_start(watch->all->chores, &watch->scan);
    return true;
}

/* Events were lost: all is begun anew. */
static void begin_anew(struct watch *watch)
{
    struct err err;
    close_tree(watch);
    watch->overflowed = true;
    if (!open_tree(watch, &err)) {
        end(watch, &err);
    }
}

static void lose_root(struct watch *watch)
{
    struct err err;
    tell(watch, "remove", watch->tree.root, "");
    err_set_reason(&err, ERR_NOT_FOUND, "file_not_found", "what was watched is gone");
    end(watch, &err);
}

/* Nobody came to where it may have gone: it has left the tree. */
static void end_departure(struct watch *watch)
{
    struct departure *departure = &watch->departure;
    if (!departure->is_pending) {
        return;
    }
    departure->is_pending = false;
    timer_disarm(&watch->departure_timer);
    const struct watched *in = watch_tree_find(&watch->tree, departure->number);
    if (in == NULL) {
        return;
    }
    tell(watch, "remove", in, departure->name);
    struct watched *folder = departure->is_folder ? watch_tree_child(in, departure->name) : NULL;
    if (folder != NULL) {
        watch_tree_drop(&watch->tree, folder);
    }
}

/* What is being scanned must not vanish meanwhile. */
static void on_departure_timer(void *arg)
{
    struct watch *watch = arg;
    if (is_scanning(watch)) {
        timer_arm(&watch->departure_timer, WATCH_MOVE_MS);
    } else {
        end_departure(watch);
    }
}

static void begin_departure(struct watch *watch, const struct inotify_event *event)
{
    struct departure *departure = &watch->departure;
    watch_told_forget(&watch->told, event->wd, event->name);
    departure->is_pending = true;
    departure->cookie = event->cookie;
    departure->is_folder = (event->mask & IN_ISDIR) != 0;
    departure->number = event->wd;
    (void)view_copy(view_of(event->name), departure->name, sizeof departure->name);
    timer_arm(&watch->departure_timer, WATCH_MOVE_MS);
}

/* Each of these returns false when the watch has ended. */

static bool on_create(struct watch *watch, struct watched *in, const struct inotify_event *event)
{
    bool was_told = watch_told_forget(&watch->told, event->wd, event->name);
    if (!was_told || (event->mask & IN_MOVED_TO) != 0) {
        tell(watch, was_told ? "modify" : "create", in, event->name);
    }
    return (event->mask & IN_ISDIR) == 0 || !watch->recursive || add_folder(watch, in, event->name);
}

static bool on_arrival(struct watch *watch, struct watched *in, const struct inotify_event *event)
{
    char from[PATH_SIZE];
    char path[PATH_SIZE];
    struct departure *departure = &watch->departure;
    const struct watched *from_folder =
        departure->is_pending ? watch_tree_find(&watch->tree, departure->number) : NULL;
    if (from_folder == NULL || departure->cookie != event->cookie) {
        end_departure(watch);
        return on_create(watch, in, event);
    }
    departure->is_pending = false;
    timer_disarm(&watch->departure_timer);
    if (watch_tree_path(&watch->tree, from_folder, departure->name, from) &&
        watch_tree_path(&watch->tree, in, event->name, path)) {
        send_event(watch, "move", path, from);
    }
    if (!departure->is_folder || !watch->recursive) {
        return true;
    }
    struct watched *folder = watch_tree_child(from_folder, departure->name);
    if (folder == NULL || !watch_tree_move(&watch->tree, folder, in, event->name)) {
        return add_folder(watch, in, event->name);
    }
    return true;
}

static bool on_own_event(struct watch *watch, struct watched *watched, uint32_t mask)
{
    bool is_root = watched == watch->tree.root;
    if (is_root && (mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) != 0) {
        lose_root(watch);
        return false;
    }
    if ((mask & IN_IGNORED) != 0) {
        watch_tree_drop(&watch->tree, watched);
    } else if (is_root && (mask & (IN_MODIFY | IN_ATTRIB)) != 0) {
        tell(watch, (mask & IN_MODIFY) != 0 ? "modify" : "attrib", watched, "");
    }
    return true; /* the rest is told by the folder it lies in */
}

static bool on_event(struct watch *watch, const struct inotify_event *event)
{
    if ((event->mask & IN_Q_OVERFLOW) != 0) {
        begin_anew(watch);
        return false;
    }
    if ((event->mask & IN_MOVED_TO) == 0) {
        end_departure(watch);
    }
    struct watched *watched = watch_tree_find(&watch->tree, event->wd);
    if (watched == NULL) {
        return true;
    }
    if (event->len == 0) {
        return on_own_event(watch, watched, event->mask);
    }
    if (place_is_temp_name(event->name)) {
        return true; /* what is being uploaded or copied is told when it takes its place */
    }
    switch (event->mask &
            (IN_CREATE | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO)) {
    case IN_CREATE:
        return on_create(watch, watched, event);
    case IN_MOVED_TO:
        return on_arrival(watch, watched, event);
    case IN_MOVED_FROM:
        begin_departure(watch, event);
        return true;
    case IN_DELETE:
        (void)watch_told_forget(&watch->told, event->wd, event->name);
        tell(watch, "remove", watched, event->name);
        return true;
    case IN_MODIFY:
        tell(watch, "modify", watched, event->name);
        return true;
    case IN_ATTRIB:
        tell(watch, "attrib", watched, event->name);
        return true;
    default:
        return true;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct watch *watch = arg;
    _Alignas(struct inotify_event) char buffer[EVENTS_SIZE];
    if (stream_room(watch->stream) == 0) {
        set_reading(watch, false); /* on_room goes on */
        return;
    }
    ssize_t len = read(fd, buffer, sizeof buffer);
    for (ssize_t at = 0; at < len;) {
        /* The kernel aligns each event in the buffer. */
        const struct inotify_event *event = (const void *)(buffer + at);
        size_t event_len = sizeof *event + event->len;
        watch_told_expire(&watch->told, watch->consumed);
        if (!on_event(watch, event)) {
            return;
        }
        watch->consumed += event_len;
        at += (ssize_t)event_len;
    }
    if (!list_is_empty(&watch->tree.unscanned)) {
        set_reading(watch, false);
    }
}

static void on_room(void *arg)
{
    struct watch *watch = arg;
    if (is_scanning(watch)) {
        chore_start(watch->all->chores, &watch->scan);
    } else {
        set_reading(watch, true);
    }
}

static void on_closed(void *arg)
{
    struct watch *watch = arg;
    if (!watch->answered) {
        reply_refuse(&watch->reply, "stream_closed", VIEW("the stream was closed before it began"));
    }
    free_watch(watch);
}

static const struct stream_events stream_events = {NULL, NULL, on_room, on_closed};

static bool open_watch(struct watch *watch, const char *path, uint32_t id, struct err *err)
{
    watch->path = strdup(path);
    if (watch->path == NULL) {
        return err_set(err, ERR_INTERNAL, "watch: out of memory");
    }
    if (!watch_told_init(&watch->told, err) ||
        !timer_open(&watch->departure_timer, chores_loop(watch->all->chores), on_departure_timer,
                    watch, err)) {
        return false;
    }
    watch->stream = stream_open(watch->all->streams, &watch->reply, id, &stream_events, watch, err);
    return watch->stream != NULL;
}

static struct watch *new_watch(struct watches *watches, const struct reply *reply, const char *path,
                               const struct user *user, const struct agent_watch *request,
                               struct err *err)
{
    if (watches->count >= WATCHES_MAX) {
        err_set_reason(err, ERR_LIMIT, "busy", "%d watches are open already", WATCHES_MAX);
        return NULL;
    }
    struct watch *watch = calloc(1, sizeof *watch);
    if (watch == NULL) {
        err_set(err, ERR_INTERNAL, "watch: out of memory");
        return NULL;
    }
    watches->count++;
    list_append(&watches->open, &watch->node);
    watch->all = watches;
    watch->reply = *reply;
    watch->user = *user;
    watch->recursive = request->recursive;
    watch->scan = (struct chore){.step = on_scan, .arg = watch};
    if (!open_watch(watch, path, (uint32_t)request->stream_id, err)) {
        free_watch(watch);
        return NULL;
    }
    return watch;
}

void watch_begin(struct watches *watches, const struct reply *reply, const char *path,
                 const struct user *user, const struct agent_watch *request)
{
    struct err err;
    struct watch *watch = new_watch(watches, reply, path, user, request, &err);
    if (watch == NULL) {
        reply_error(reply, &err);
    } else if (!open_tree(watch, &err)) {
        end(watch, &err);
    }
}

static struct watch *find(const struct watches *watches, const struct reply *reply, int64_t id)
{
    for (struct list *node = watches->open.next; node != &watches->open; node = node->next) {
        struct watch *watch = LIST_ENTRY(node, struct watch, node);
        if (stream_id(watch->stream) == id && stream_reply(watch->stream)->epoch == reply->epoch) {
            return watch;
        }
    }
    return NULL;
}

void watch_end(struct watches *watches, const struct reply *reply,
               const struct agent_unwatch *request)
{
    struct watch *watch = find(watches, reply, request->stream_id);
    if (watch == NULL) {
        reply_refuse(reply, "watch_not_found", VIEW("nothing is watched on this stream"));
        return;
    }
    struct stream *stream = watch->stream;
    on_closed(watch);
    struct str out;
    struct json_writer writer = reply_begin(reply, &out, "unwatchResponse");
    json_int(&writer, "streamId", request->stream_id);
    reply_end(reply, &writer);
    stream_reset(stream, "");
}
