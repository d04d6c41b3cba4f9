/* In Sanitize builds only: freed memory is kept from use for a while, but not so much of it that a
 * test can't tell a gateway that holds what passes through it. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "quarantine_size_mb=8";
}
