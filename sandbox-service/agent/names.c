#include "sandbox-service/agent/names.h"

#include "sandbox-service/agent/open.h"

#include <stdio.h>

static void load(struct names_file *file, const char *path)
{
    struct err ignored;
    AUTO(close_fd) int fd = open_regular(path, O_RDONLY, NULL, &ignored);
    *file = (struct names_file){.text = STR_INIT(USER_FILE_MAX)};
    if (fd < 0 || !open_read_all(fd, &file->text, &ignored)) {
        str_clear(&file->text);
    }
}

void names_load(struct names *names)
{
    load(&names->users, "/etc/passwd");
    load(&names->groups, "/etc/group");
}

void names_free(struct names *names)
{
    str_free(&names->users.text);
    str_free(&names->groups.text);
}

/* In both files a line begins with the name, a password and the number. */
static const char *name_of(struct names_file *file, uint32_t id)
{
    char digits[sizeof "4294967295"];
    struct view rest = str_view(&file->text);
    if (file->name[0] != '\0' && file->id == id) {
        return file->name;
    }
    int len = snprintf(digits, sizeof digits, "%u", id);
    file->id = id;
    (void)snprintf(file->name, sizeof file->name, "%s", digits);
    while (rest.len > 0) {
        struct view line = view_cut(&rest, '\n');
        struct view name = view_cut(&line, ':');
        (void)view_cut(&line, ':');
        if (view_equal(view_cut(&line, ':'), (struct view){digits, (size_t)len}) && name.len > 0 &&
            name.len <= USER_NAME_MAX) {
            (void)view_copy(name, file->name, sizeof file->name);
            break;
        }
    }
    return file->name;
}

const char *names_of_user(struct names *names, uid_t uid)
{
    return name_of(&names->users, uid);
}

const char *names_of_group(struct names *names, gid_t gid)
{
    return name_of(&names->groups, gid);
}
