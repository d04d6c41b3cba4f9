/* sandbox-service/docker/wire_read.c, on answers of an engine cut to what matters. */
#include "sandbox-service/docker/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#define SANDBOX "6f1c1c1e-0d4c-4f0e-9a51-3f1d2b8c7a60"

static void id_of_a_new_container_is_read(void **state)
{
    (void)state;
    char id[WIRE_ID_SIZE];
    struct err err = {0};
    assert_true(wire_read_id(VIEW("{\"Id\":\"abc\",\"Warnings\":[]}\n"), id, &err));
    assert_string_equal(id, "abc");
    assert_false(wire_read_id(VIEW("{\"Warnings\":[]}"), id, &err));
    assert_int_equal(err.code, ERR_UNAVAILABLE);
    assert_string_equal(err.reason, "docker_unavailable");
}

static void message_of_an_error_is_read_and_cleaned(void **state)
{
    (void)state;
    char message[16];
    wire_read_message(VIEW("{\"message\":\"no\\nway\"}"), message, sizeof message);
    assert_string_equal(message, "no way");
    wire_read_message(VIEW("<html>"), message, sizeof message);
    assert_string_equal(message, "<html>");
    wire_read_message(VIEW("{\"message\":\"0123456789abcdefghij\"}"), message, sizeof message);
    assert_string_equal(message, "0123456789abcde");
    wire_read_message(VIEW("{\"message\":\"0123456789abcd\xc3\xa9\"}"), message, sizeof message);
    assert_string_equal(message, "0123456789abcd");
}

static void state_of_a_container_is_read(void **state)
{
    (void)state;
    struct wire_container container;
    struct err err = {0};
    assert_true(wire_read_container(
        VIEW("{\"Id\":\"x\",\"State\":{\"Status\":\"exited\",\"Running\":false,\"OOMKilled\":true,"
             "\"ExitCode\":137,\"Error\":\"\"},\"NetworkSettings\":{\"Networks\":{\"insien-x\":"
             "{\"IPAMConfig\":null,\"IPAddress\":\"10.200.0.2\"}}}}"),
        &container, &err));
    assert_false(container.running);
    assert_true(container.oom_killed);
    assert_int_equal(container.exit_code, 137);
    assert_string_equal(container.status, "exited");
    assert_string_equal(container.address, "10.200.0.2");
}

static void on_mount(struct view target, void *arg)
{
    char *seen = arg;
    (void)strncat(seen, " ", 2);
    (void)strncat(seen, target.ptr, target.len);
}

static void mounts_of_a_container_are_read(void **state)
{
    (void)state;
    char seen[64] = "";
    struct err err = {0};
    assert_true(wire_read_mounts(VIEW("{\"Mounts\":[{\"Type\":\"bind\",\"Destination\":\"/a/b\"},"
                                      "{\"Destination\":\"/c\"}]}"),
                                 on_mount, seen, &err));
    assert_string_equal(seen, " /a/b /c");
    assert_false(
        wire_read_mounts(VIEW("{\"Mounts\":[{\"Type\":\"bind\"}]}"), on_mount, seen, &err));
    assert_false(wire_read_mounts(VIEW("{}"), on_mount, seen, &err));
    assert_string_equal(err.reason, "docker_unavailable");
}

static void what_a_path_is_is_read(void **state)
{
    (void)state;
    bool is_folder = true;
    struct err err = {0};
    /* {"name":"run","size":4,"mode":134218239,"linkTarget":"/run"} */
    assert_true(
        wire_read_path_stat(VIEW("eyJuYW1lIjoicnVuIiwic2l6ZSI6NCwibW9kZSI6MTM0MjE4MjM5LCJsaW5"
                                 "rVGFyZ2V0IjoiL3J1biJ9"),
                            &is_folder, &err));
    assert_false(is_folder);
    /* {"name":"etc","size":4096,"mode":2147484141,"linkTarget":""} */
    assert_true(
        wire_read_path_stat(VIEW("eyJuYW1lIjoiZXRjIiwic2l6ZSI6NDA5NiwibW9kZSI6MjE0NzQ4NDE0MSw"
                                 "ibGlua1RhcmdldCI6IiJ9"),
                            &is_folder, &err));
    assert_true(is_folder);
    assert_false(wire_read_path_stat(VIEW(""), &is_folder, &err));
    assert_false(wire_read_path_stat(VIEW("e30="), &is_folder, &err));
    assert_false(wire_read_path_stat(VIEW("not base64"), &is_folder, &err));
}

static void container_without_networks_has_no_address(void **state)
{
    (void)state;
    struct wire_container container;
    struct err err = {0};
    assert_true(wire_read_container(VIEW("{\"State\":{\"Status\":\"running\",\"Running\":true},"
                                         "\"NetworkSettings\":{\"Networks\":null}}"),
                                    &container, &err));
    assert_string_equal(container.address, "");
}

struct listed {
    int count;
    struct wire_listed last;
};

static void on_listed(const struct wire_listed *container, void *arg)
{
    struct listed *listed = arg;
    listed->count++;
    listed->last = *container;
}

static void each_listed_container_is_told(void **state)
{
    (void)state;
    struct listed listed = {0};
    struct err err = {0};
    assert_true(wire_read_list(
        VIEW("[{\"Id\":\"a\",\"Names\":[\"/x\"],\"Labels\":{\"insien.sandbox\":\"nonsense\"},"
             "\"State\":\"created\"},{\"Id\":\"b\",\"Names\":[\"/insien-" SANDBOX
             "\"],\"Labels\":{\"insien.sandbox\":\"" SANDBOX
             "\",\"insien.instance\":\"y\"},\"State\":\"running\",\"NetworkSettings\":"
             "{\"Networks\":{\"insien-x\":{\"IPAddress\":\"10.0.0.2\"},\"none\":{}}}}]\n"),
        on_listed, &listed, &err));
    assert_int_equal(listed.count, 2);
    assert_string_equal(listed.last.id, "b");
    assert_string_equal(listed.last.sandbox_id, SANDBOX);
    assert_string_equal(listed.last.state, "running");
    assert_string_equal(listed.last.networks, "insien-x,none");
}

/* A Dockerfile may have any label; a build's container has another name, or none any more. */
static void label_alone_makes_no_sandbox(void **state)
{
    (void)state;
    static const char *const names[] = {"[\"/quirky_bohr\"]",
                                        "[\"/x/insien-" SANDBOX "\"]",
                                        "[\"insien-" SANDBOX "\"]",
                                        "[\"/insien-" SANDBOX "0\"]",
                                        "[\"/insien-\"]",
                                        "[\"\"]",
                                        "[]",
                                        "null"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char text[512];
        struct listed listed = {0};
        struct err err = {0};
        (void)snprintf(text, sizeof text,
                       "[{\"Id\":\"b\",\"Names\":%s,\"Labels\":{\"insien.sandbox\":\"" SANDBOX
                       "\"},\"State\":\"running\"}]",
                       names[i]);
        assert_true(wire_read_list(view_of(text), on_listed, &listed, &err));
        assert_int_equal(listed.count, 1);
        assert_string_equal(listed.last.sandbox_id, "");
    }
}

static void event_of_a_build_with_the_label_is_no_sandboxes(void **state)
{
    (void)state;
    struct wire_event event;
    struct err err = {0};
    assert_true(wire_read_event(
        VIEW("{\"Action\":\"die\",\"Actor\":{\"Attributes\":{\"insien.sandbox\":\"" SANDBOX
             "\",\"name\":\"quirky_bohr\"}}}"),
        &event, &err));
    assert_string_equal(event.sandbox_id, "");
    assert_true(wire_read_event(
        VIEW("{\"Action\":\"die\",\"Actor\":{\"Attributes\":{\"insien.sandbox\":\"" SANDBOX
             "\"}}}"),
        &event, &err));
    assert_string_equal(event.sandbox_id, "");
}

static void empty_list_is_a_list(void **state)
{
    (void)state;
    struct listed listed = {0};
    struct err err = {0};
    assert_true(wire_read_list(VIEW("[]"), on_listed, &listed, &err));
    assert_int_equal(listed.count, 0);
}

static void what_is_no_list_is_an_error(void **state)
{
    (void)state;
    static const struct view wrong[] = {
        VIEW(""), VIEW("{}"), VIEW("[1]"), VIEW("[{}]"), VIEW("[{\"Id\":\"a\"}"), VIEW("null")};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct listed listed = {0};
        struct err err = {0};
        assert_false(wire_read_list(wrong[i], on_listed, &listed, &err));
        assert_int_equal(listed.count, 0);
    }
}

static void event_names_its_sandbox(void **state)
{
    (void)state;
    struct wire_event event;
    struct err err = {0};
    assert_true(wire_read_event(
        VIEW("{\"status\":\"die\",\"id\":\"x\",\"from\":\"insien/"
             "tiny:latest\",\"Type\":\"container\","
             "\"Action\":\"die\",\"Actor\":{\"ID\":\"x\",\"Attributes\":{\"exitCode\":\"137\","
             "\"insien.sandbox\":\"" SANDBOX "\",\"name\":\"insien-" SANDBOX
             "\"}},\"scope\":\"local\",\"time\":1795386662,"
             "\"timeNano\":1795386662123456789}"),
        &event, &err));
    assert_string_equal(event.action, "die");
    assert_string_equal(event.sandbox_id, SANDBOX);
}

static void event_of_something_else_is_read_too(void **state)
{
    (void)state;
    struct wire_event event;
    struct err err = {0};
    assert_true(wire_read_event(
        VIEW("{\"Action\":\"exec_start: a command of any length\",\"Actor\":{}}"), &event, &err));
    assert_string_equal(event.action, "");
    assert_string_equal(event.sandbox_id, "");
}

static void remapping_is_read_from_the_root_directory(void **state)
{
    (void)state;
    struct wire_info info;
    struct err err = {0};
    assert_true(wire_read_info(VIEW("{\"DockerRootDir\":\"/var/lib/docker/100000.100001\","
                                    "\"LiveRestoreEnabled\":true,\"ServerVersion\":\"20.10.24\"}"),
                               &info, &err));
    assert_int_equal(info.remapped_uid, 100000);
    assert_int_equal(info.remapped_gid, 100001);
    assert_true(info.live_restore);
    assert_string_equal(info.version, "20.10.24");
    assert_string_equal(info.runc, "");
    assert_string_equal(info.runtimes, "");
}

static void the_version_of_runc_is_read(void **state)
{
    (void)state;
    struct wire_info info;
    struct err err = {0};
    assert_true(wire_read_info(VIEW("{\"DockerRootDir\":\"/d\",\"RuncCommit\":"
                                    "{\"ID\":\"v1.1.12-0-g51d5e94\",\"Expected\":\"x\"}}"),
                               &info, &err));
    assert_string_equal(info.runc, "v1.1.12-0-g51d5e94");
    assert_true(wire_read_info(VIEW("{\"DockerRootDir\":\"/d\",\"RuncCommit\":"
                                    "{\"ID\":\"51d5e94601ceffbbd85688df1c928ecccbfa4685\"}}"),
                               &info, &err));
    assert_string_equal(info.runc, "");
}

static void runtimes_are_listed_by_name(void **state)
{
    (void)state;
    struct wire_info info;
    struct err err = {0};
    assert_true(
        wire_read_info(VIEW("{\"DockerRootDir\":\"/x\",\"Runtimes\":{\"runc\":{\"path\":\"runc\"},"
                            "\"runsc\":{\"path\":\"/usr/bin/runsc\",\"runtimeArgs\":[\"a\"]}}}"),
                       &info, &err));
    assert_string_equal(info.runtimes, "runc,runsc");
    assert_true(wire_list_has(info.runtimes, VIEW("runsc")));
    assert_false(wire_list_has(info.runtimes, VIEW("run")));
    assert_false(wire_list_has("", VIEW("runc")));
}

static void what_the_engine_has_is_read(void **state)
{
    (void)state;
    struct wire_info info;
    struct err err = {0};
    assert_true(wire_read_info(VIEW("{\"DockerRootDir\":\"/d\",\"Driver\":\"overlay2\","
                                    "\"MemTotal\":25275969536,\"NCPU\":2}"),
                               &info, &err));
    assert_string_equal(info.driver, "overlay2");
    assert_int_equal(info.memory_bytes, INT64_C(25275969536));
    assert_int_equal(info.cpus, 2);
    assert_true(wire_read_info(
        VIEW("{\"DockerRootDir\":\"/d\",\"Driver\":\"a-driver-we-have-never-heard-of\"}"), &info,
        &err));
    assert_string_equal(info.driver, "");
    assert_int_equal(info.memory_bytes, 0);
}

static void what_a_container_wrote_is_read_when_it_is_told(void **state)
{
    (void)state;
    struct wire_container container;
    struct err err = {0};
    assert_true(wire_read_container(
        VIEW("{\"State\":{\"Status\":\"running\",\"Running\":true},\"SizeRw\":123456789012,"
             "\"SizeRootFs\":5}"),
        &container, &err));
    assert_int_equal(container.written_bytes, INT64_C(123456789012));
    assert_true(wire_read_container(VIEW("{\"State\":{\"Status\":\"running\",\"Running\":true}}"),
                                    &container, &err));
    assert_int_equal(container.written_bytes, -1);
}

static void directories_that_only_look_like_it_are_not_a_remapping(void **state)
{
    (void)state;
    static const struct view bodies[] = {
        VIEW("{\"DockerRootDir\":\"/var/lib/docker\"}"),
        VIEW("{\"DockerRootDir\":\"/data/1.\"}"),
        VIEW("{\"DockerRootDir\":\"/data/20.10.24\"}"),
        VIEW("{\"DockerRootDir\":\"\"}"),
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct wire_info info;
        struct err err = {0};
        assert_true(wire_read_info(bodies[i], &info, &err));
        assert_int_equal(info.remapped_uid, 0);
        assert_int_equal(info.remapped_gid, 0);
    }
}

static void image_may_name_user_and_folder(void **state)
{
    (void)state;
    struct wire_image image;
    struct err err = {0};
    assert_true(wire_read_image(
        VIEW("{\"Id\":\"sha256:0\",\"Config\":{\"User\":\"user\",\"WorkingDir\":\"/app\"}}"),
        &image, &err));
    assert_string_equal(image.user, "user");
    assert_string_equal(image.work_dir, "/app");
    assert_true(wire_read_image(VIEW("{\"Config\":null}"), &image, &err));
    assert_string_equal(image.user, "");
    assert_string_equal(image.work_dir, "");
}

static void network_is_read(void **state)
{
    (void)state;
    struct wire_network network;
    struct err err = {0};
    assert_true(wire_read_network(
        VIEW("{\"Name\":\"n\",\"EnableIPv6\":false,\"IPAM\":{\"Driver\":\"default\",\"Config\":"
             "[{\"Subnet\":\"10.200.0.0/20\",\"Gateway\":\"10.200.0.1\"}]},\"Options\":{"
             "\"com.docker.network.bridge.enable_icc\":\"false\","
             "\"com.docker.network.bridge.name\":\"ins-x\"}}"),
        &network, &err));
    assert_string_equal(network.bridge, "ins-x");
    assert_string_equal(network.subnet, "10.200.0.0/20");
    assert_true(network.icc_off);
    assert_false(network.ipv6);
}

static void network_without_our_options_is_not_apart(void **state)
{
    (void)state;
    struct wire_network network;
    struct err err = {0};
    assert_true(wire_read_network(VIEW("{\"EnableIPv6\":true,\"IPAM\":{\"Config\":null},"
                                       "\"Options\":null}"),
                                  &network, &err));
    assert_false(network.icc_off);
    assert_true(network.ipv6);
    assert_string_equal(network.subnet, "");
}

static void exit_status_is_read(void **state)
{
    (void)state;
    int64_t exit_code;
    struct err err = {0};
    assert_true(wire_read_exit(VIEW("{\"Error\":null,\"StatusCode\":3}"), &exit_code, &err));
    assert_int_equal(exit_code, 3);
    assert_false(wire_read_exit(VIEW("{}"), &exit_code, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(id_of_a_new_container_is_read),
        cmocka_unit_test(message_of_an_error_is_read_and_cleaned),
        cmocka_unit_test(state_of_a_container_is_read),
        cmocka_unit_test(mounts_of_a_container_are_read),
        cmocka_unit_test(what_a_path_is_is_read),
        cmocka_unit_test(container_without_networks_has_no_address),
        cmocka_unit_test(each_listed_container_is_told),
        cmocka_unit_test(label_alone_makes_no_sandbox),
        cmocka_unit_test(event_of_a_build_with_the_label_is_no_sandboxes),
        cmocka_unit_test(empty_list_is_a_list),
        cmocka_unit_test(what_is_no_list_is_an_error),
        cmocka_unit_test(event_names_its_sandbox),
        cmocka_unit_test(event_of_something_else_is_read_too),
        cmocka_unit_test(remapping_is_read_from_the_root_directory),
        cmocka_unit_test(what_the_engine_has_is_read),
        cmocka_unit_test(what_a_container_wrote_is_read_when_it_is_told),
        cmocka_unit_test(the_version_of_runc_is_read),
        cmocka_unit_test(runtimes_are_listed_by_name),
        cmocka_unit_test(directories_that_only_look_like_it_are_not_a_remapping),
        cmocka_unit_test(image_may_name_user_and_folder),
        cmocka_unit_test(network_is_read),
        cmocka_unit_test(network_without_our_options_is_not_apart),
        cmocka_unit_test(exit_status_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
