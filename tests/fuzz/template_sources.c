/* What users and the engine say of templates: Dockerfiles, names of images, and a making's
 * progress. The first byte of an input chooses the reader. */
#include "sandbox-service/templates/dockerfile.h"
#include "sandbox-service/templates/progress.h"
#include "sandbox-service/templates/reference.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LOG_MOST = 2 * PROGRESS_LINE_MAX + PROGRESS_LOG_KEPT };

static const char image_id[] =
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const char label[] = "LABEL a=b";

static bool has(struct view text, const char *part)
{
    return text.len > 0 && memmem(text.ptr, text.len, part, strlen(part)) != NULL;
}

/* What is built from names only images that we chose, in the same places, and is still taken. */
static void check_written(const struct dockerfile *read)
{
    const char *ids[DOCKERFILE_IMAGES_MAX];
    struct dockerfile again;
    struct err err = {0};
    AUTO(str_free)
    struct str text = STR_INIT(read->text.len + DOCKERFILE_IMAGES_MAX * sizeof image_id +
                               DOCKERFILE_STAGES_MAX * sizeof label);
    for (size_t i = 0; i < DOCKERFILE_IMAGES_MAX; i++) {
        ids[i] = image_id;
    }
    dockerfile_write(read, ids, label, &text);
    assert(!text.failed);
    if (!dockerfile_read(str_view(&text), &again, &err)) {
        assert(strstr(err.message, "too long") != NULL);
        return;
    }
    assert(again.image_count == read->image_count && again.stage_count == read->stage_count);
    for (size_t i = 0; i < again.image_count; i++) {
        assert(view_equal(again.images[i], view_of(image_id)));
    }
}

static void try_dockerfile(struct view text)
{
    struct dockerfile read;
    struct err err = {0};
    if (!dockerfile_read(text, &read, &err)) {
        assert(strcmp(err.reason, "invalid_dockerfile") == 0);
        return;
    }
    const char *end = text.ptr;
    assert(read.stage_count > 0 && read.image_count <= DOCKERFILE_IMAGES_MAX);
    for (size_t i = 0; i < read.image_count; i++) {
        assert(read.images[i].len > 0 && read.images[i].ptr >= end);
        end = read.images[i].ptr + read.images[i].len;
        assert(end <= text.ptr + text.len);
    }
    if (!has(text, "sha256:")) {
        check_written(&read);
    }
}

static void try_reference(struct view text)
{
    struct reference read;
    struct reference again;
    struct err err = {0};
    char name[REFERENCE_TEXT_SIZE];
    if (!reference_parse(text, &read, &err)) {
        assert(strcmp(err.reason, "invalid_image") == 0);
        return;
    }
    reference_write(&read, name);
    assert(name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                             "._-:/@")] == '\0');
    assert(reference_parse(view_of(name), &again, &err));
    assert(strcmp(read.repository, again.repository) == 0 &&
           strcmp(read.registry, again.registry) == 0 && strcmp(read.tag, again.tag) == 0 &&
           strcmp(read.digest, again.digest) == 0);
}

/* However the bytes are cut, the log is the same. */
static void try_progress(struct view text)
{
    struct progress whole;
    struct progress cut;
    uint64_t from = 0;
    int64_t current;
    int64_t total;
    progress_open(&whole);
    progress_open(&cut);
    progress_take(&whole, text);
    for (size_t i = 0; i < text.len; i++) {
        progress_take(&cut, (struct view){text.ptr + i, 1});
    }
    struct view log = progress_log(&whole, &from);
    assert(view_equal(log, progress_log(&cut, &from)) && log.len <= LOG_MOST);
    progress_bytes(&whole, &current, &total);
    assert(memchr(whole.error, '\0', sizeof whole.error) != NULL);
    progress_close(&whole);
    progress_close(&cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(struct view) = {try_dockerfile, try_reference, try_progress};
    if (size > 0) {
        struct view text = {(const char *)data + 1, size - 1};
        readers[data[0] % (sizeof readers / sizeof readers[0])](text);
    }
    return 0;
}
