#include "sandbox-service/agent/user.h"

#include "common/base/str.h"
#include "sandbox-service/agent/open.h"

#include <fcntl.h>
#include <stdio.h>

/* The number above it means "no id" to the kernel. */
static const unsigned long number_max = 4294967294UL;

/* One line of /etc/passwd; views into the text. */
struct passwd_entry {
    struct view name;
    uid_t uid;
    gid_t gid;
    struct view home;
    struct view shell;
};

/* What a look-up in one of the files is after: a name, or a number when by_number. */
struct key {
    struct view name;
    bool by_number;
    unsigned number;
};

/* "user" or "user:group" taken apart. */
struct spec {
    struct key user;
    bool has_group;
    struct key group;
};

static bool parse_number(struct view digits, unsigned *out)
{
    unsigned long value = 0;
    if (digits.len == 0 || digits.len > 10) {
        return false;
    }
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9') {
            return false;
        }
        value = value * 10 + (unsigned long)(digits.ptr[i] - '0');
    }
    *out = (unsigned)value;
    return value <= number_max;
}

static struct key key_of(struct view text)
{
    struct key key = {.name = text};
    key.by_number = parse_number(text, &key.number);
    return key;
}

static struct spec spec_of(struct view text)
{
    struct spec spec = {.has_group = text.len > 0 && memchr(text.ptr, ':', text.len) != NULL};
    spec.user = key_of(view_cut(&text, ':'));
    spec.group = key_of(text);
    return spec;
}

static bool parse_passwd_line(struct view line, struct passwd_entry *out)
{
    out->name = view_cut(&line, ':');
    (void)view_cut(&line, ':'); /* the password */
    struct view uid = view_cut(&line, ':');
    struct view gid = view_cut(&line, ':');
    (void)view_cut(&line, ':'); /* the full name */
    out->home = view_cut(&line, ':');
    out->shell = view_cut(&line, ':');
    return out->name.len > 0 && out->name.len <= USER_NAME_MAX && parse_number(uid, &out->uid) &&
           parse_number(gid, &out->gid);
}

/* A name goes before a number, as in chown(1): a user may be called 1000. */
static bool find_user(struct view passwd, struct key key, struct passwd_entry *out)
{
    bool found = false;
    while (passwd.len > 0) {
        struct passwd_entry entry;
        if (!parse_passwd_line(view_cut(&passwd, '\n'), &entry)) {
            continue;
        }
        if (view_equal(entry.name, key.name)) {
            *out = entry;
            return true;
        }
        if (key.by_number && !found && entry.uid == key.number) {
            *out = entry;
            found = true;
        }
    }
    return found;
}

static bool find_group(struct view group, struct key key, gid_t *out)
{
    while (group.len > 0) {
        struct view line = view_cut(&group, '\n');
        struct view name = view_cut(&line, ':');
        (void)view_cut(&line, ':');
        if (name.len > 0 && view_equal(name, key.name) && parse_number(view_cut(&line, ':'), out)) {
            return true;
        }
    }
    *out = key.number;
    return key.by_number;
}

static bool is_member(struct view members, struct view name)
{
    while (members.len > 0) {
        if (view_equal(view_cut(&members, ','), name)) {
            return true;
        }
    }
    return false;
}

static void add_group(struct user *user, gid_t gid)
{
    for (size_t i = 0; i < user->group_count; i++) {
        if (user->groups[i] == gid) {
            return;
        }
    }
    if (user->group_count < USER_GROUPS_MAX) {
        user->groups[user->group_count++] = gid;
    }
}

static void add_memberships(struct view group, bool locked, struct user *user)
{
    struct view name = view_of(user->name);
    while (group.len > 0) {
        struct view line = view_cut(&group, '\n');
        gid_t gid = 0;
        (void)view_cut(&line, ':');
        (void)view_cut(&line, ':');
        if (parse_number(view_cut(&line, ':'), &gid) && is_member(line, name) &&
            !(locked && gid == 0)) {
            add_group(user, gid);
        }
    }
}

static void copy_or(struct view text, const char *fallback, char *out, size_t size)
{
    if (text.len == 0 || !view_copy(text, out, size)) {
        (void)snprintf(out, size, "%s", fallback);
    }
}

static void fill(struct user *out, const struct passwd_entry *entry)
{
    *out = (struct user){.uid = entry->uid, .gid = entry->gid};
    if (entry->name.len == 0 || !view_copy(entry->name, out->name, sizeof out->name)) {
        (void)snprintf(out->name, sizeof out->name, "%u", (unsigned)entry->uid);
    }
    copy_or(entry->home, "/", out->home, sizeof out->home);
    copy_or(entry->shell, "/bin/sh", out->shell, sizeof out->shell);
}

/* A number without an entry gets group 0, as the engine does it; root is root in any image. */
static bool look_up(struct view passwd, struct key key, struct passwd_entry *out)
{
    *out = (struct passwd_entry){0};
    if (find_user(passwd, key, out)) {
        return true;
    }
    if (view_equal(key.name, VIEW("root"))) {
        out->name = key.name;
        return true;
    }
    out->uid = key.number;
    return key.by_number;
}

static bool resolve_spec(struct view passwd, struct view group, struct view text, bool locked,
                         struct user *out, struct err *err)
{
    struct spec spec = spec_of(text);
    struct passwd_entry entry;
    if (!look_up(passwd, spec.user, &entry)) {
        return err_set_reason(err, ERR_INVALID, "user_not_found", "there is no user '%.*s'",
                              (int)spec.user.name.len, spec.user.name.ptr);
    }
    if (spec.has_group && !find_group(group, spec.group, &entry.gid)) {
        return err_set_reason(err, ERR_INVALID, "user_not_found", "there is no group '%.*s'",
                              (int)spec.group.name.len, spec.group.name.ptr);
    }
    if (locked && (entry.uid == 0 || (spec.has_group && entry.gid == 0))) {
        return err_set_reason(err, ERR_DENIED, "root_denied", "this sandbox runs nothing as root");
    }
    if (locked && entry.gid == 0) {
        entry.gid = USER_NOBODY;
    }
    fill(out, &entry);
    if (!spec.has_group) {
        add_memberships(group, locked, out);
    }
    return true;
}

/* In the locked profile a caller may name a group only if the image's own files have the user in
 * it. */
static bool group_is_allowed(struct view passwd, struct view group, struct view asked,
                             const struct user *chosen, struct err *err)
{
    struct spec spec = spec_of(asked);
    struct passwd_entry entry;
    struct user member;
    if (!spec.has_group || !look_up(passwd, spec.user, &entry) || entry.gid == chosen->gid) {
        return true;
    }
    fill(&member, &entry);
    add_memberships(group, true, &member);
    for (size_t i = 0; i < member.group_count; i++) {
        if (member.groups[i] == chosen->gid) {
            return true;
        }
    }
    return err_set_reason(err, ERR_DENIED, "group_denied",
                          "in this sandbox '%s' acts only in groups that it is a member of",
                          member.name);
}

bool user_resolve(struct view passwd, struct view group, const struct user_choice *choice,
                  struct user *out, struct err *err)
{
    if (choice->asked.len > 0) {
        return resolve_spec(passwd, group, choice->asked, choice->locked, out, err) &&
               (!choice->locked || group_is_allowed(passwd, group, choice->asked, out, err));
    }
    if (choice->chosen) {
        return resolve_spec(passwd, group, choice->image_user, choice->locked, out, err);
    }
    struct err ignored;
    const struct view defaults[] = {VIEW("user"), choice->image_user,
                                    choice->locked ? (struct view){0} : VIEW("root")};
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
        if (defaults[i].len > 0 &&
            resolve_spec(passwd, group, defaults[i], choice->locked, out, &ignored)) {
            return true;
        }
    }
    fill(out,
         &(struct passwd_entry){.name = VIEW("nobody"), .uid = USER_NOBODY, .gid = USER_NOBODY});
    return true;
}

static void read_file(const char *path, struct str *out)
{
    struct err ignored;
    AUTO(close_fd) int fd = open_regular(path, O_RDONLY, NULL, &ignored);
    if (fd < 0 || !open_read_all(fd, out, &ignored)) {
        str_clear(out);
    }
}

bool user_load(const struct user_choice *choice, struct user *out, struct err *err)
{
    AUTO(str_free) struct str passwd = STR_INIT(USER_FILE_MAX);
    AUTO(str_free) struct str group = STR_INIT(USER_FILE_MAX);
    read_file("/etc/passwd", &passwd);
    read_file("/etc/group", &group);
    return user_resolve(str_view(&passwd), str_view(&group), choice, out, err);
}
