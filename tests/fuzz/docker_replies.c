/* Any bytes as an answer of the Docker Engine. What is read must be text that ends within its
 * buffer. */
#include "sandbox-service/docker/wire.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ASSERT_TEXT(buffer) assert(memchr((buffer), '\0', sizeof(buffer)) != NULL)

static void try_id(struct view text)
{
    char id[WIRE_ID_SIZE];
    struct err err = {0};
    if (wire_read_id(text, id, &err)) {
        ASSERT_TEXT(id);
    }
}

static void try_message(struct view text)
{
    char message[64];
    wire_read_message(text, message, sizeof message);
    ASSERT_TEXT(message);
}

static void try_container(struct view text)
{
    struct wire_container container;
    struct err err = {0};
    if (wire_read_container(text, &container, &err)) {
        ASSERT_TEXT(container.status);
        ASSERT_TEXT(container.error);
        ASSERT_TEXT(container.address);
    }
}

static void on_mount(struct view target, void *arg)
{
    size_t *total = arg;
    *total += target.len;
}

static void try_mounts(struct view text)
{
    size_t total = 0;
    bool is_folder = false;
    struct err err = {0};
    if (!wire_read_mounts(text, on_mount, &total, &err)) {
        assert(err.code != ERR_NONE);
    }
    err = (struct err){0};
    if (!wire_read_path_stat(text, &is_folder, &err)) {
        assert(err.code != ERR_NONE && !is_folder);
    }
}

static void on_listed(const struct wire_listed *container, void *arg)
{
    int *count = arg;
    ASSERT_TEXT(container->id);
    ASSERT_TEXT(container->sandbox_id);
    ASSERT_TEXT(container->state);
    (*count)++;
}

static void try_list(struct view text)
{
    int count = 0;
    struct err err = {0};
    if (!wire_read_list(text, on_listed, &count, &err)) {
        assert(err.code != ERR_NONE);
    }
}

static void try_event(struct view text)
{
    struct wire_event event;
    struct err err = {0};
    if (wire_read_event(text, &event, &err)) {
        ASSERT_TEXT(event.action);
        ASSERT_TEXT(event.sandbox_id);
    }
}

static void try_info(struct view text)
{
    struct wire_info info;
    struct err err = {0};
    if (wire_read_info(text, &info, &err)) {
        ASSERT_TEXT(info.version);
    }
}

static void try_image(struct view text)
{
    struct wire_image image;
    struct err err = {0};
    if (wire_read_image(text, &image, &err)) {
        ASSERT_TEXT(image.user);
        ASSERT_TEXT(image.work_dir);
    }
}

static void try_network(struct view text)
{
    struct wire_network network;
    struct err err = {0};
    if (wire_read_network(text, &network, &err)) {
        ASSERT_TEXT(network.bridge);
        ASSERT_TEXT(network.subnet);
    }
}

static void try_exit(struct view text)
{
    int64_t exit_code;
    struct err err = {0};
    if (!wire_read_exit(text, &exit_code, &err)) {
        assert(exit_code == -1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(struct view text) = {
        try_id,   try_message, try_container, try_list, try_event,
        try_info, try_image,   try_network,   try_exit, try_mounts,
    };
    if (size > 0) {
        const struct view text = {(const char *)data + 1, size - 1};
        readers[data[0] % (sizeof readers / sizeof readers[0])](text);
    }
    return 0;
}
