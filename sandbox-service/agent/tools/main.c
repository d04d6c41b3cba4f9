/* insien-tool, /.insien/tool in a container: work on many files that the agent starts as the acting
 * user, so that all of it happens with that user's rights.
 *
 *   tool pack FOLDER tar|tar.gz                              the archive on stdout
 *   tool unpack FOLDER tar|tar.gz|auto [--max-bytes N]       an archive on stdin;
 *                                                            {"entries", "bytes"} on stdout
 *   tool search FOLDER QUERY                                 JSON lines on stdout (search.h)
 *
 * On failure: exit code 1 and one line {"error", "code"} on stderr. */
#include "common/json/write.h"
#include "sandbox-service/agent/open.h"
#include "sandbox-service/agent/tools/pack.h"
#include "sandbox-service/agent/tools/search.h"
#include "sandbox-service/agent/tools/unpack.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

enum {
    REPORT_MAX = 4 * 1024,
    DECIMAL = 10,
};

static bool misused(struct err *err)
{
    return err_set_reason(err, ERR_INVALID, "invalid_arguments",
                          "use: pack FOLDER FORMAT, unpack FOLDER FORMAT [--max-bytes N], or "
                          "search FOLDER QUERY");
}

static bool read_format(const char *name, enum input_format *out, struct err *err)
{
    static const char *const names[] = {
        [INPUT_TAR] = "tar", [INPUT_TAR_GZ] = "tar.gz", [INPUT_AUTO] = "auto"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum input_format)i;
            return true;
        }
    }
    return misused(err);
}

static bool read_bytes_max(char **options, int count, uint64_t *out, struct err *err)
{
    if (count == 0) {
        return true;
    }
    char *end = NULL;
    if (count != 2 || strcmp(options[0], "--max-bytes") != 0 || options[1][0] < '0' ||
        options[1][0] > '9') {
        return misused(err);
    }
    errno = 0;
    unsigned long long value = strtoull(options[1], &end, DECIMAL);
    if (errno != 0 || *end != '\0' || value > INT64_MAX) {
        return misused(err);
    }
    *out = value;
    return true;
}

static bool run_pack(const char *folder, char **options, int count, struct err *err)
{
    enum input_format format = INPUT_AUTO;
    if (count != 1 || !read_format(options[0], &format, err) || format == INPUT_AUTO) {
        return misused(err);
    }
    return pack(folder, format == INPUT_TAR_GZ, stdout, err);
}

static bool run_unpack(const char *folder, char **options, int count, struct err *err)
{
    struct unpack_options limits = {.bytes_max = UNPACK_BYTES_MAX};
    struct unpack_result result;
    if (count < 1 || !read_format(options[0], &limits.format, err) ||
        !read_bytes_max(options + 1, count - 1, &limits.bytes_max, err)) {
        return misused(err);
    }
    if (!unpack(STDIN_FILENO, folder, &limits, &result, err)) {
        return false;
    }
    (void)printf("{\"entries\":%llu,\"bytes\":%llu}\n", (unsigned long long)result.entries,
                 (unsigned long long)result.bytes);
    return fflush(stdout) == 0 || open_failed(err, errno, "while writing the answer");
}

static bool run_search(const char *folder, char **options, int count, struct err *err)
{
    if (count != 1) {
        return misused(err);
    }
    return search(folder, view_of(options[0]), stdout, err);
}

static const struct {
    const char *name;
    bool (*run)(const char *folder, char **options, int count, struct err *err);
} commands[] = {{"pack", run_pack}, {"unpack", run_unpack}, {"search", run_search}};

static void report(const struct err *failure)
{
    AUTO(str_free) struct str line = STR_INIT(REPORT_MAX);
    struct json_writer writer = json_writer_on(&line);
    json_begin_object(&writer, NULL);
    json_string(&writer, "error", view_of(failure->message));
    json_string(&writer, "code", view_of(failure->reason));
    json_end_object(&writer);
    (void)fprintf(stderr, "%s\n",
                  line.failed ? "{\"error\":\"\",\"code\":\"internal\"}" : line.data);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    enum { FIRST_OPTION = 3 };
    (void)signal(SIGXFSZ, SIG_IGN); /* A file that gets too large is an error to tell. */
    for (size_t i = 0; argc >= FIRST_OPTION && i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(argv[1], commands[i].name) != 0) {
            continue;
        }
        if (commands[i].run(argv[2], argv + FIRST_OPTION, argc - FIRST_OPTION, &err)) {
            return EXIT_SUCCESS;
        }
        report(&err);
        return EXIT_FAILURE;
    }
    misused(&err);
    report(&err);
    return EXIT_FAILURE;
}
