#include "sandbox-service/agent/exit_text.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { SIGNAL_NAME_SIZE = 16 };

static void write_signal(struct json_writer *writer, int number)
{
    char name[SIGNAL_NAME_SIZE];
    const char *abbreviation = number == 0 ? NULL : sigabbrev_np(number);
    if (number == 0) {
        json_null(writer, "signal");
        return;
    }
    if (abbreviation == NULL) {
        (void)snprintf(name, sizeof name, "SIG%d", number);
    } else {
        (void)snprintf(name, sizeof name, "SIG%s", abbreviation);
    }
    json_string(writer, "signal", view_of(name));
}

void exit_write(struct json_writer *writer, const struct process_exit *exit)
{
    static const struct process_exit none = {.exit_code = -1};
    const struct process_exit *told = exit == NULL ? &none : exit;
    if (told->exit_code < 0) {
        json_null(writer, "exitCode");
    } else {
        json_int(writer, "exitCode", told->exit_code);
    }
    write_signal(writer, told->signal_number);
    json_string_or_null(writer, "reason", told->reason);
    if (exit == NULL) {
        json_null(writer, "durationMs");
    } else {
        json_int(writer, "durationMs", told->duration_ms);
    }
}

struct json_writer stream_text_begin(const struct stream *stream, struct str *out, const char *type)
{
    *out = STR_INIT(AGENT_MESSAGE_MAX);
    struct json_writer writer = json_writer_on(out);
    json_begin_object(&writer, NULL);
    json_string(&writer, "type", view_of(type));
    json_int(&writer, "streamId", stream_id(stream));
    return writer;
}

void exit_send(const struct stream *stream, pid_t pid, const struct process_exit *exit)
{
    struct str out;
    struct json_writer writer = stream_text_begin(stream, &out, "exit");
    json_int(&writer, "pid", pid);
    exit_write(&writer, exit);
    if (exit->output_open) {
        json_bool(&writer, "outputOpen", true);
    }
    reply_end(stream_reply(stream), &writer);
}

int signal_from_name(struct view name)
{
    static const struct view prefix = VIEW("SIG");
    if (name.len > prefix.len && view_equal_nocase((struct view){name.ptr, prefix.len}, prefix)) {
        name = view_from(name, prefix.len);
    }
    for (int number = 1; number < SIGRTMIN; number++) {
        const char *abbreviation = sigabbrev_np(number);
        if (abbreviation != NULL && view_equal_nocase(name, view_of(abbreviation))) {
            return number;
        }
    }
    return 0;
}
