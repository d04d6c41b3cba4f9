#include "sandbox-service/agent/process_table.h"

#include <errno.h>

/* What a terminal's driver reads as the end of a file. */
static const char end_of_file[] = "\004";

/* Bytes that the process has not read yet. */
struct input_piece {
    struct list node;
    struct process_writer *writer; /* borrowed; NULL: nobody, or gone */
    size_t len;
    size_t sent;
    char bytes[];
};

static struct input_piece *first_piece(struct process *process)
{
    return LIST_ENTRY(process->input.next, struct input_piece, node);
}

static void tell(struct process_writer *writer, size_t bytes)
{
    if (writer != NULL && bytes > 0) {
        writer->on_taken(bytes, writer->arg);
    }
}

/* It is in no list any more. */
static void free_piece(struct process *process, struct input_piece *piece)
{
    process->input_len -= piece->len;
    process->all->memory -= piece->len;
    free(piece);
}

/* What nobody will read counts as taken. */
void process_drop_stdin(struct process *process)
{
    if (process->stdin_event != NULL) {
        event_free(process->stdin_event);
        process->stdin_event = NULL;
    }
    close_fd(&process->stdin_fd);
    process->stdin_fd = -1;
    struct list *node;
    while ((node = list_pop(&process->input)) != NULL) {
        struct input_piece *piece = LIST_ENTRY(node, struct input_piece, node);
        struct process_writer *writer = piece->writer;
        size_t left = piece->len - piece->sent;
        free_piece(process, piece);
        tell(writer, left);
    }
}

/* How many bytes it took; -1: it takes none any more. */
static ssize_t write_some(struct process *process, struct view bytes)
{
    ssize_t len = write(process->stdin_fd, bytes.ptr, bytes.len);
    if (len >= 0) {
        return len;
    }
    return errno == EAGAIN || errno == EINTR ? 0 : -1;
}

/* False once stdin is closed. */
static bool write_first(struct process *process)
{
    struct input_piece *piece = first_piece(process);
    struct view rest = {piece->bytes + piece->sent, piece->len - piece->sent};
    ssize_t len = write_some(process, rest);
    if (len < 0) {
        process_drop_stdin(process);
        return false;
    }
    struct process_writer *writer = piece->writer;
    piece->sent += (size_t)len;
    if (piece->sent == piece->len) {
        (void)list_pop(&process->input);
        free_piece(process, piece);
    }
    tell(writer, (size_t)len);
    return process->stdin_event != NULL;
}

static void on_stdin_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct process *process = arg;
    if (!list_is_empty(&process->input) && !write_first(process)) {
        return;
    }
    if (!list_is_empty(&process->input)) {
        return;
    }
    if (process->stdin_ends) {
        process_drop_stdin(process);
    } else {
        (void)event_del(process->stdin_event);
    }
}

bool process_open_stdin(struct process *process, int fd, struct err *err)
{
    process->stdin_fd = fd;
    process->stdin_event = event_new(loop_base(process->all->loop), fd, EV_WRITE | EV_PERSIST,
                                     on_stdin_writable, process);
    return (process->stdin_event != NULL && event_add(process->stdin_event, NULL) == 0) ||
           err_set(err, ERR_INTERNAL, "process: out of memory");
}

static bool queue(struct process *process, struct process_writer *writer, struct view bytes,
                  struct err *err)
{
    if (bytes.len > PROCESS_MEMORY_MAX - process->all->memory) {
        return err_set_reason(err, ERR_LIMIT, "busy", "too much input and output waits");
    }
    struct input_piece *piece = malloc(sizeof *piece + bytes.len);
    if (piece == NULL || event_add(process->stdin_event, NULL) != 0) {
        free(piece);
        return err_set(err, ERR_INTERNAL, "input: out of memory");
    }
    *piece = (struct input_piece){.writer = writer, .len = bytes.len};
    memcpy(piece->bytes, bytes.ptr, bytes.len);
    list_append(&process->input, &piece->node);
    process->input_len += bytes.len;
    process->all->memory += bytes.len;
    return true;
}

bool process_queue_input(struct process *process, struct view bytes, struct err *err)
{
    return queue(process, NULL, bytes, err);
}

bool process_takes_input(const struct process *process)
{
    return process->stdin_event != NULL && !process->stdin_ends;
}

static bool check_open(const struct process *process, struct err *err)
{
    return process_takes_input(process) ||
           err_set_reason(err, ERR_CONFLICT, "stdin_closed",
                          "The process has no open standard input.");
}

bool process_write(struct process *process, struct process_writer *writer, struct view bytes,
                   struct err *err)
{
    if (!check_open(process, err)) {
        return false;
    }
    if (writer == NULL && process->input_len + bytes.len > INPUT_WAITING_MAX) {
        return err_set_reason(err, ERR_LIMIT, "busy", "the process does not read its input");
    }
    ssize_t taken = 0;
    if (list_is_empty(&process->input)) {
        taken = write_some(process, bytes);
    }
    if (taken < 0) {
        process_drop_stdin(process);
        return err_set_reason(err, ERR_CONFLICT, "stdin_closed",
                              "The process reads no standard input.");
    }
    bytes = view_from(bytes, (size_t)taken);
    if (bytes.len > 0 && !queue(process, writer, bytes, err)) {
        return false;
    }
    tell(writer, (size_t)taken);
    return true;
}

bool process_close_stdin(struct process *process, struct err *err)
{
    if (!check_open(process, err)) {
        return false;
    }
    if (process->terminal) {
        return process_write(process, NULL, (struct view){end_of_file, sizeof end_of_file - 1},
                             err);
    }
    process->stdin_ends = true;
    if (list_is_empty(&process->input)) {
        process_drop_stdin(process);
    }
    return true;
}

void process_writer_close(struct process_writer *writer)
{
    if (writer->process == NULL) {
        return;
    }
    for (LIST_EACH(node, &writer->process->input)) {
        struct input_piece *piece = LIST_ENTRY(node, struct input_piece, node);
        if (piece->writer == writer) {
            piece->writer = NULL;
        }
    }
    writer->process = NULL;
}
