/* The container's first program, /.insien/agent: statically linked, and with nothing to do but to
 * start the real one with an empty environment. The loader and the C library obey variables such
 * as LD_PRELOAD, and the image may set any. What it set reaches the agent as arguments. */
#include <string.h>
#include <unistd.h>

#define REAL_PROGRAM "/.insien/insien-agent"

enum { VARIABLES_MAX = 4096 };

int main(int argc, char **argv, char **envp)
{
    (void)argc;
    (void)argv;
    static char name[] = "insien-agent";
    static char *arguments[VARIABLES_MAX + 2] = {name};
    static char *no_environment[] = {NULL};
    for (int i = 0; i < VARIABLES_MAX && envp[i] != NULL; i++) {
        arguments[i + 1] = envp[i];
    }
    (void)execve(REAL_PROGRAM, arguments, no_environment);
    static const char failure[] = "insien-agent: " REAL_PROGRAM " can't be run\n";
    (void)!write(STDERR_FILENO, failure, strlen(failure));
    return 127;
}
