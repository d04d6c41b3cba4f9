/* The container's /etc/passwd and /etc/group: "<profile><asked>\0<image's
 * user>\0<passwd>\0<group>". */
#include "sandbox-service/agent/user.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    struct view rest = {(const char *)data + 1, size - 1};
    struct user_choice choice = {.locked = data[0] == 'l'};
    struct user user;
    struct err err;
    choice.asked = view_cut(&rest, '\0');
    choice.image_user = view_cut(&rest, '\0');
    struct view passwd = view_cut(&rest, '\0');
    if (!user_resolve(passwd, rest, &choice, &user, &err)) {
        return 0;
    }
    assert(user.group_count <= USER_GROUPS_MAX);
    assert(user.home[0] != '\0' && user.shell[0] != '\0' && user.name[0] != '\0');
    if (choice.locked) {
        assert(user.uid != 0 && user.gid != 0);
        for (size_t i = 0; i < user.group_count; i++) {
            assert(user.groups[i] != 0);
        }
    }
    return 0;
}
