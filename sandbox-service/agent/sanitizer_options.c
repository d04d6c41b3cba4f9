/* In Sanitize builds only. The leak check traces its own process, which a process that can't be
 * looked into does not allow; a first process must not handle signals that a tenant can send; and
 * freed memory is kept from use for a while, but not so much of it that a test can't tell an agent
 * that holds what passes through it. */
#define SEEN_BY_LIBRARIES __attribute__((visibility("default")))

SEEN_BY_LIBRARIES const char *__asan_default_options(void);
SEEN_BY_LIBRARIES const char *__ubsan_default_options(void);

const char *__asan_default_options(void)
{
    return "detect_leaks=0:abort_on_error=1:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:"
           "handle_sigill=0:handle_abort=0:use_sigaltstack=0:allocator_may_return_null=1:"
           "quarantine_size_mb=8";
}

const char *__ubsan_default_options(void)
{
    return "print_stacktrace=1:abort_on_error=1";
}
