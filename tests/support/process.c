#include "tests/support/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_NOT_STARTED = 127, WORDS_MAX = 32 };

static void become(const struct passwd *entry)
{
    if (entry != NULL &&
        (setgid(entry->pw_gid) != 0 || setgroups(0, NULL) != 0 || setuid(entry->pw_uid) != 0)) {
        _exit(EXIT_NOT_STARTED);
    }
}

static void run(const char *const *argv, const struct passwd *user, const char *log_path)
{
    int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0) {
        _exit(EXIT_NOT_STARTED);
    }
    become(user);
    char *words[WORDS_MAX + 1] = {NULL};
    for (int i = 0; i < WORDS_MAX && argv[i] != NULL; i++) {
        words[i] = strdup(argv[i]);
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* after the change of user, which clears it */
    if (words[0] != NULL) {
        (void)execvp(words[0], words);
    }
    _exit(EXIT_NOT_STARTED);
}

pid_t process_start(const char *const *argv, const char *user, const char *log_path)
{
    const struct passwd *entry = NULL;
    if (user != NULL && geteuid() == 0) {
        entry = getpwnam(user);
        assert_non_null(entry);
    }
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        run(argv, entry, log_path);
    }
    return pid;
}

int process_wait(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        assert_int_equal(errno, EINTR);
    }
    return status;
}

void process_end(pid_t pid, int signal_number)
{
    assert_int_equal(kill(pid, signal_number), 0);
    (void)kill(pid, SIGCONT);
    (void)process_wait(pid);
}
