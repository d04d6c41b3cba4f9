#include "sandbox-service/agent/exec_prepare.h"

#include <stdlib.h>
#include <string.h>

void preparation_free(struct preparation *preparation)
{
    environment_free(&preparation->env);
    for (char **item = preparation->argv; item != NULL && *item != NULL; item++) {
        free(*item);
    }
    free(preparation->argv);
    preparation->argv = NULL;
}

static bool make_argv(struct preparation *out, const struct agent_exec *exec, struct err *err)
{
    size_t count = exec->args.count + 1;
    out->argv = calloc(count + 1, sizeof *out->argv);
    for (size_t i = 0; out->argv != NULL && i < count; i++) {
        struct view arg = i == 0 ? exec->cmd : exec->args.items[i - 1];
        out->argv[i] = strndup(arg.len == 0 ? "" : arg.ptr, arg.len);
        if (out->argv[i] == NULL) {
            return err_set(err, ERR_INTERNAL, "exec: out of memory");
        }
    }
    return out->argv != NULL || err_set(err, ERR_INTERNAL, "exec: out of memory");
}

static bool set_terminal(struct environment *env, struct err *err)
{
    return environment_get(env, "TERM") != NULL ||
           environment_set(env, VIEW("TERM"), VIEW("xterm-256color"), err);
}

bool preparation_make(struct preparation *out, const struct settings *settings,
                      const struct agent_exec *exec, struct err *err)
{
    const char *work_dir = settings_work_dir(settings);
    struct view cwd = exec->cwd.len == 0 ? view_of(work_dir) : exec->cwd;
    return env_size_check(&exec->env, err) &&
           settings_user(settings, exec->user, &out->user, err) &&
           path_resolve(cwd, work_dir, out->user.home, out->cwd, err) &&
           settings_environment(settings, &out->user, &exec->env, &out->env, err) &&
           (!exec->has_pty || set_terminal(&out->env, err)) && make_argv(out, exec, err);
}

/* In the background, or at a terminal, nothing ends a command unless that was asked for. */
static int64_t timeout_of(const struct agent_exec *request)
{
    int64_t fallback = request->background || request->has_pty ? 0 : EXEC_TIMEOUT_MS_DEFAULT;
    return request->has_timeout ? request->timeout_ms : fallback;
}

/* What somebody waits for is handed over whole; its spool is for those who look on. */
static size_t spool_of(const struct agent_exec *request)
{
    bool is_waited_for = !request->stream && !request->background;
    return is_waited_for && !request->has_spool_bytes ? PREPARATION_SPOOL_BYTES
                                                      : (size_t)request->spool_bytes;
}

struct process_start preparation_start(const struct preparation *preparation,
                                       const struct settings *settings,
                                       const struct agent_exec *request)
{
    return (struct process_start){
        .spawn = {.argv = preparation->argv,
                  .envp = preparation->env.items,
                  .cwd = preparation->cwd,
                  .cwd_optional = request->cwd.len == 0,
                  .user = &preparation->user,
                  .locked = settings->locked},
        .about = {.tag = request->tag,
                  .session = request->session,
                  .cmd = request->cmd,
                  .args = &request->args,
                  .cwd = view_of(preparation->cwd),
                  .user = view_of(preparation->user.name)},
        .terminal = request->has_pty ? &request->pty : NULL,
        .stdin_text = request->stdin_text,
        .has_stdin = request->has_stdin,
        .stdin_open = request->stdin_open,
        .timeout_ms = timeout_of(request),
        .output_max = (size_t)request->max_output_bytes,
        .spool_max = spool_of(request),
        .measure = request->measure,
        .alone = request->alone,
        .strict_eof = request->strict_eof,
    };
}
