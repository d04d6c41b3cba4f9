/* tests/support/process.h: programs that a test starts; they end with it in any case. */
#ifndef TESTS_SUPPORT_PROCESS_H
#define TESTS_SUPPORT_PROCESS_H

#include <sys/types.h>

/* argv is NULL-terminated; user is whose rights it gets when we are root, NULL: ours. Its output
 * goes to the file log_path. Fails the test when it can't be started. */
pid_t process_start(const char *const *argv, const char *user, const char *log_path);
/* Returns the exit status as waitpid gives it. */
int process_wait(pid_t pid);
/* Sends the signal and waits for the end. */
void process_end(pid_t pid, int signal_number);

#endif
