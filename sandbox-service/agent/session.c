#include "sandbox-service/agent/session.h"

#include "common/base/log.h"
#include "sandbox-service/agent/exec_prepare.h"
#include "sandbox-service/agent/group.h"
#include "sandbox-service/agent/session_line.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct sessions {
    struct loop *loop;               /* borrowed */
    const struct settings *settings; /* borrowed */
    struct processes *processes;     /* borrowed */
    struct streams *streams;         /* borrowed */
    struct list open;                /* struct session.node */
    struct list closing;             /* of the same: their shells have been killed */
    size_t count;                    /* of both */
    size_t memory;
};

struct session {
    struct list node;
    struct loop_corpse corpse;
    struct sessions *all;
    char name[NAME_TAG_MAX + 1];
    struct preparation preparation; /* of the shell */
    struct process_reader reader;   /* of the shell; its process is NULL while there is none */
    bool had_shell;                 /* another one ran before */
    bool closing;
    struct line *current; /* owned */
    struct list queue;    /* owned */
    size_t queue_len;
    struct timer deadline; /* of the current line, then of the shell */
    struct timer wake;     /* there is room for the current line's output again */
};

static void begin_next(struct session *session);

static void end_line(struct session *session, const struct process_exit *exit)
{
    timer_disarm(&session->deadline);
    line_end(TAKE(session->current), exit);
}

static void free_memory(void *object)
{
    free(object);
}

static void free_session(struct session *session)
{
    if (session->current != NULL) {
        line_free(session->current);
    }
    while (!list_is_empty(&session->queue)) {
        line_free(LIST_ENTRY(list_pop(&session->queue), struct line, node));
    }
    process_reader_close(&session->reader);
    preparation_free(&session->preparation);
    timer_close(&session->deadline);
    timer_close(&session->wake);
    if (list_is_linked(&session->node)) {
        list_remove(&session->node);
        session->all->count--;
    }
    loop_free_later(session->all->loop, &session->corpse, free_memory, session);
}

/* Between lines nobody wants any. */
static size_t take_output(struct session *session, unsigned kind, struct view bytes)
{
    return session->current == NULL ? bytes.len
                                    : line_take(session->current, (enum process_output)kind, bytes);
}

static void on_shell_gone(struct session *session, const struct process_exit *exit)
{
    if (session->current != NULL) {
        end_line(session, exit);
    }
    process_reader_close(&session->reader);
    if (session->closing) {
        free_session(session);
        return;
    }
    begin_next(session);
}

static void pump(struct session *session)
{
    unsigned kind = 0;
    struct view bytes;
    while (spool_read(&session->reader.spool, SPOOL_READ_MAX, &kind, &bytes)) {
        size_t taken = take_output(session, kind, bytes);
        if (taken == 0) {
            return;
        }
        process_reader_advance(&session->reader, kind, taken);
        if (session->current != NULL && line_is_done(session->current)) {
            const struct process_exit exited = {
                .exit_code = session->current->marks[PROCESS_STDOUT].status, .reason = "exited"};
            end_line(session, &exited);
        }
    }
    const struct process_exit *exit = process_exit_of(session->reader.process);
    if (exit != NULL) {
        on_shell_gone(session, exit);
    } else {
        begin_next(session);
    }
}

static void on_more(void *arg)
{
    pump(arg);
}

static void on_wake(void *arg)
{
    struct session *session = arg;
    if (session->reader.process != NULL) {
        pump(session);
    }
}

/* Whoever made the room is not through with it yet. */
static void on_room(void *arg)
{
    struct session *session = arg;
    timer_arm(&session->wake, 0);
}

/* First what the shell runs is killed, then the shell. */
static void on_deadline(void *arg)
{
    struct session *session = arg;
    struct err err;
    struct process *shell = session->reader.process;
    bool had_grace = session->current->timed_out;
    session->current->timed_out = true;
    if (!had_grace) {
        group_kill_others(process_pid(shell));
        timer_arm(&session->deadline, SESSION_GRACE_MS);
    } else if (process_is_running(shell) && !process_signal(shell, SIGKILL, true, &err)) {
        log_warn("session.kill_failed", LOG_ERR(&err));
    }
}

static struct process *start_with(struct session *session, const char *program, struct err *err)
{
    const struct sessions *all = session->all;
    const struct agent_exec request = {.cmd = view_of(program), .session = view_of(session->name)};
    struct process_start start = preparation_start(&session->preparation, all->settings, &request);
    char *argv[] = {strdup(program), NULL};
    start.spawn.argv = argv;
    start.stdin_open = true;
    start.is_uncounted = true;
    start.timeout_ms = 0;
    start.spool_max = PREPARATION_SPOOL_BYTES; /* each line has its own */
    struct process *process = NULL;
    if (argv[0] == NULL) {
        err_set(err, ERR_INTERNAL, "session: out of memory");
    } else {
        process = process_begin(all->processes, &start, err);
    }
    free(argv[0]);
    return process;
}

static bool start_shell(struct session *session, struct err *err)
{
    static const uint64_t from[PROCESS_OUTPUTS];
    AUTO(str_free) struct str script = STR_INIT(SESSION_SCRIPT_MAX);
    struct process *shell = start_with(session, "bash", err);
    if (shell == NULL && strcmp(err->reason, "command_not_found") == 0) {
        shell = start_with(session, "sh", err);
    }
    if (shell == NULL) {
        return false;
    }
    session_script_begin(&script);
    process_reader_open(&session->reader, shell, from, on_more, session);
    return str_check(&script, "session", err) && process_write(shell, NULL, str_view(&script), err);
}

static bool begin_line(struct session *session, struct line *line, struct err *err)
{
    bool restarted = session->reader.process == NULL && session->had_shell;
    if ((session->reader.process == NULL && !start_shell(session, err)) ||
        !process_write(session->reader.process, NULL, str_view(&line->script), err)) {
        return false;
    }
    session->had_shell = true;
    line_free_script(line);
    session->current = line;
    if (line->timeout_ms > 0) {
        timer_arm(&session->deadline, line->timeout_ms);
    }
    line_tell_started(line, process_pid(session->reader.process), restarted);
    return true;
}

/* A shell that does not take its line has ended, or is about to. */
static void begin_next(struct session *session)
{
    struct err err;
    while (session->current == NULL && !list_is_empty(&session->queue)) {
        struct line *line = LIST_ENTRY(list_pop(&session->queue), struct line, node);
        session->queue_len--;
        bool is_leaving =
            session->reader.process != NULL && !process_takes_input(session->reader.process);
        if (is_leaving) {
            process_reader_close(&session->reader);
        }
        if (!begin_line(session, line, &err)) {
            line_fail(line, &err);
        }
    }
}

static struct session *find(const struct sessions *sessions, struct view name)
{
    for (LIST_EACH(node, &sessions->open)) {
        struct session *session = LIST_ENTRY(node, struct session, node);
        if (view_equal(view_of(session->name), name)) {
            return session;
        }
    }
    return NULL;
}

/* One whose shell has ended is nothing but the memory of that. */
static bool make_room(struct sessions *sessions)
{
    for (LIST_EACH(node, &sessions->open)) {
        struct session *session = LIST_ENTRY(node, struct session, node);
        if (sessions->count < SESSIONS_MAX) {
            break;
        }
        if (session->reader.process == NULL && session->queue_len == 0) {
            free_session(session);
        }
    }
    return sessions->count < SESSIONS_MAX;
}

static struct session *new_session(struct sessions *sessions, const struct agent_exec *request,
                                   struct err *err)
{
    const struct agent_exec shell = {.cmd = VIEW("sh"), .user = request->user};
    if (!make_room(sessions)) {
        err_set_reason(err, ERR_LIMIT, "busy", "%d sessions are open already", SESSIONS_MAX);
        return NULL;
    }
    struct session *session = calloc(1, sizeof *session);
    if (session == NULL) {
        err_set(err, ERR_INTERNAL, "session: out of memory");
        return NULL;
    }
    session->all = sessions;
    list_init(&session->queue);
    if (!view_copy(request->session, session->name, sizeof session->name) ||
        !timer_open(&session->deadline, sessions->loop, on_deadline, session, err) ||
        !timer_open(&session->wake, sessions->loop, on_wake, session, err) ||
        !preparation_make(&session->preparation, sessions->settings, &shell, err)) {
        free_session(session);
        return NULL;
    }
    list_append(&sessions->open, &session->node);
    sessions->count++;
    return session;
}

static bool check(const struct agent_exec *request, struct err *err)
{
    bool fits = request->args.count == 0 && !request->has_pty && !request->background &&
                !request->has_stdin && !request->stdin_open;
    return fits || err_set_reason(err, ERR_INVALID, "invalid_request",
                                  "session: goes with cmd alone, not with args, pty, background, "
                                  "stdin or stdinOpen");
}

static bool check_session(const struct session *session, const struct agent_exec *request,
                          struct err *err)
{
    if (session->queue_len >= SESSION_QUEUE_MAX) {
        return err_set_reason(err, ERR_LIMIT, "busy", "%d lines wait already", SESSION_QUEUE_MAX);
    }
    return request->user.len == 0 ||
           view_equal(request->user, view_of(session->preparation.user.name)) ||
           err_set_reason(err, ERR_CONFLICT, "session_user", "The session belongs to user '%s'.",
                          session->preparation.user.name);
}

static bool open_line(struct line *line, const struct agent_exec *request, struct once *once,
                      struct err *err)
{
    struct session *session = line->session;
    const struct sessions *all = session->all;
    const struct process *shell = session->reader.process;
    const struct process_feed feed = {
        .pid = shell == NULL ? 0 : process_pid(shell), .on_room = on_room, .arg = session};
    const struct process_start start =
        preparation_start(&session->preparation, all->settings, request);
    const struct line_parts parts = {all->processes, all->streams, &start, &feed};
    return line_open(line, &parts, request, once, err);
}

bool session_run(struct sessions *sessions, const struct reply *reply,
                 const struct agent_exec *request, struct once *once, struct err *err)
{
    if (!check(request, err) || !env_size_check(&request->env, err)) {
        return false;
    }
    struct session *session = find(sessions, request->session);
    if (session == NULL) {
        session = new_session(sessions, request, err);
    }
    if (session == NULL || !check_session(session, request, err)) {
        return false;
    }
    struct line *line = line_new(&sessions->memory, reply, request, err);
    if (line == NULL) {
        return false;
    }
    line->session = session;
    if (!open_line(line, request, once, err)) {
        line_free(line);
        return false;
    }
    list_append(&session->queue, &line->node);
    session->queue_len++;
    begin_next(session);
    return true;
}

bool session_close(struct sessions *sessions, struct view name, struct err *err)
{
    struct err closed;
    struct session *session = find(sessions, name);
    if (session == NULL) {
        return err_set_reason(err, ERR_NOT_FOUND, "session_not_found",
                              "There is no such shell session.");
    }
    err_set_reason(&closed, ERR_CONFLICT, "session_closed", "The shell session was closed.");
    while (!list_is_empty(&session->queue)) {
        session->queue_len--;
        line_fail(LIST_ENTRY(list_pop(&session->queue), struct line, node), &closed);
    }
    struct process *shell = session->reader.process;
    if (shell == NULL) {
        free_session(session);
        return true;
    }
    session->closing = true;
    list_remove(&session->node);
    list_append(&sessions->closing, &session->node);
    return !process_is_running(shell) || process_signal(shell, SIGKILL, true, err);
}

struct sessions *sessions_new(struct loop *loop, const struct settings *settings,
                              struct processes *processes, struct streams *streams, struct err *err)
{
    struct sessions *sessions = calloc(1, sizeof *sessions);
    if (sessions == NULL) {
        err_set(err, ERR_INTERNAL, "sessions: out of memory");
        return NULL;
    }
    sessions->loop = loop;
    sessions->settings = settings;
    sessions->processes = processes;
    sessions->streams = streams;
    list_init(&sessions->open);
    list_init(&sessions->closing);
    return sessions;
}

void sessions_free(struct sessions *sessions)
{
    if (sessions == NULL) {
        return;
    }
    while (!list_is_empty(&sessions->open)) {
        free_session(LIST_ENTRY(sessions->open.next, struct session, node));
    }
    while (!list_is_empty(&sessions->closing)) {
        free_session(LIST_ENTRY(sessions->closing.next, struct session, node));
    }
    free(sessions);
}
