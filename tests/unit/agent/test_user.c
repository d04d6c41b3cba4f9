#include "sandbox-service/agent/user.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const char passwd[] = "root:x:0:0:root:/root:/bin/bash\n"
                             "\n"
                             "broken line\n"
                             "half:x:12\n"
                             ":x:9:9::/:/bin/sh\n"
                             "big:x:4294967295:1::/:/bin/sh\n"
                             "user:x:1000:1000:A User,,,:/home/user:/bin/zsh\n"
                             "1000:x:2000:2000::/home/number:\n"
                             "toor:x:0:0::/root:/bin/sh\n"
                             "staff:x:50:0::/srv:/bin/sh";
static const char group[] = "root:x:0:staff,user\n"
                            "user:x:1000:\n"
                            "wheel:x:10:other,user\n"
                            "video:x:44:user\n"
                            "nobody-in-it:x:45:\n"
                            "again:x:44:user\n"
                            "docker:x:998:users,user2";

static bool resolve(const char *asked, const char *image_user, bool locked, struct user *out,
                    struct err *err)
{
    const struct user_choice choice = {
        .asked = view_of(asked), .image_user = view_of(image_user), .locked = locked};
    return user_resolve(view_of(passwd), view_of(group), &choice, out, err);
}

static void user_is_the_default(void **state)
{
    (void)state;
    struct user user;
    struct err err;
    assert_true(resolve("", "staff", false, &user, &err));
    assert_int_equal(user.uid, 1000);
    assert_int_equal(user.gid, 1000);
    assert_string_equal(user.name, "user");
    assert_string_equal(user.home, "/home/user");
    assert_string_equal(user.shell, "/bin/zsh");
    assert_int_equal(user.group_count, 3);
    assert_int_equal(user.groups[0], 0);
    assert_int_equal(user.groups[1], 10);
    assert_int_equal(user.groups[2], 44);
}

static void names_and_numbers_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *asked;
        unsigned uid, gid;
        const char *name;
    } cases[] = {
        {"root", 0, 0, "root"},           {"0", 0, 0, "root"},
        {"user:video", 1000, 44, "user"}, {"user:44", 1000, 44, "user"},
        {"user:7", 1000, 7, "user"},      {"1000", 2000, 2000, "1000"},
        {"50", 50, 0, "staff"},           {"4242", 4242, 0, "4242"},
        {"4242:10", 4242, 10, "4242"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct user user;
        struct err err;
        assert_true(resolve(cases[i].asked, "", false, &user, &err));
        assert_int_equal(user.uid, cases[i].uid);
        assert_int_equal(user.gid, cases[i].gid);
        assert_string_equal(user.name, cases[i].name);
    }
}

static void who_does_not_exist_is_told(void **state)
{
    (void)state;
    static const char *const cases[] = {"nobody",     "broken line", "big", "user:none", ":video",
                                        "4294967295", "99999999999", "-1",  "user:",     "half"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct user user;
        struct err err;
        assert_false(resolve(cases[i], "", false, &user, &err));
        assert_string_equal(err.reason, "user_not_found");
    }
}

static void nobody_is_root_under_the_locked_profile(void **state)
{
    (void)state;
    static const char *const cases[] = {"root", "0", "toor", "user:root", "user:0", "0:10"};
    struct user user;
    struct err err;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_false(resolve(cases[i], "", true, &user, &err));
        assert_string_equal(err.reason, "root_denied");
    }
    assert_true(resolve("user", "", true, &user, &err));
    assert_int_equal(user.group_count, 2);
    assert_int_equal(user.groups[0], 10);
    assert_true(resolve("staff", "", true, &user, &err));
    assert_int_equal(user.gid, USER_NOBODY);
    assert_int_equal(user.group_count, 0);
    assert_true(resolve("4242", "", true, &user, &err));
    assert_int_equal(user.gid, USER_NOBODY);
}

static void a_group_is_for_its_members_under_the_locked_profile(void **state)
{
    (void)state;
    struct user user;
    struct err err;
    assert_true(resolve("user:wheel", "", true, &user, &err));
    assert_int_equal(user.gid, 10);
    assert_false(resolve("user:docker", "", true, &user, &err));
    assert_string_equal(err.reason, "group_denied");
    assert_false(resolve("user:998", "", true, &user, &err));
    assert_true(resolve("user:docker", "", false, &user, &err));
}

static void a_chosen_default_is_that_or_nobody(void **state)
{
    (void)state;
    struct user user;
    struct err err;
    struct user_choice choice = {.image_user = VIEW("staff"), .chosen = true};
    assert_true(user_resolve(view_of(passwd), view_of(group), &choice, &user, &err));
    assert_string_equal(user.name, "staff");
    choice.image_user = VIEW("gone");
    assert_false(user_resolve(view_of(passwd), view_of(group), &choice, &user, &err));
    assert_string_equal(err.reason, "user_not_found");
    choice.image_user = VIEW("root");
    choice.locked = true;
    assert_false(user_resolve(view_of(passwd), view_of(group), &choice, &user, &err));
    assert_string_equal(err.reason, "root_denied");
}

static void an_image_without_files_has_a_default_too(void **state)
{
    (void)state;
    static const struct {
        const char *image_user;
        bool locked;
        unsigned uid;
    } cases[] = {
        {"", false, 0},     {"", true, USER_NOBODY}, {"root", true, USER_NOBODY}, {"77", false, 77},
        {"77:8", true, 77}, {"gone", false, 0},      {"gone", true, USER_NOBODY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct user_choice choice = {.image_user = view_of(cases[i].image_user),
                                           .locked = cases[i].locked};
        struct user user;
        struct err err;
        assert_true(user_resolve((struct view){0}, (struct view){0}, &choice, &user, &err));
        assert_int_equal(user.uid, cases[i].uid);
        assert_string_equal(user.shell, "/bin/sh");
        assert_string_equal(user.home, "/");
    }
}

static void groups_end_at_the_bound(void **state)
{
    (void)state;
    AUTO(free_string) char *many = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&many, &size);
    for (int i = 0; i < USER_GROUPS_MAX * 2; i++) {
        (void)fprintf(out, "g%d:x:%d:user\n", i, 100 + i);
    }
    (void)fclose(out);
    const struct user_choice choice = {.asked = VIEW("user")};
    struct user user;
    struct err err;
    assert_true(user_resolve(view_of(passwd), view_of(many), &choice, &user, &err));
    assert_int_equal(user.group_count, USER_GROUPS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(user_is_the_default),
        cmocka_unit_test(names_and_numbers_are_found),
        cmocka_unit_test(who_does_not_exist_is_told),
        cmocka_unit_test(nobody_is_root_under_the_locked_profile),
        cmocka_unit_test(a_group_is_for_its_members_under_the_locked_profile),
        cmocka_unit_test(a_chosen_default_is_that_or_nobody),
        cmocka_unit_test(an_image_without_files_has_a_default_too),
        cmocka_unit_test(groups_end_at_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
