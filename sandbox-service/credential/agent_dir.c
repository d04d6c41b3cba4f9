#include "sandbox-service/credential/agent_dir.h"

#include "common/contracts/agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/* Names that are no ids, so that gateways do not see them: a directory is complete when it gets its
 * name, and has lost its name when it is being emptied. */
#define NEW_PREFIX ".new-"
#define GONE_PREFIX ".gone-"

enum {
    HIDDEN_SIZE = 8 + ID32_SIZE,
    OPEN_DIR = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
    NEW_FILE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
    DIR_MODE =
        02750, /* set-group-id: the gateway's socket gets the group of the container's root */
    TOKEN_MODE = 0440,
    LOCK_MODE = 0660,
};

static bool fail(struct err *err, const char *what, const char *name)
{
    return err_set(err, ERR_INTERNAL, "%s %s: %s", what, name, strerror(errno));
}

static DIR *list_dir(int fd)
{
    int copy = openat(fd, ".", OPEN_DIR);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (dir == NULL && copy >= 0) {
        (void)close(copy);
    }
    return dir;
}

/* Unlinks all files in the directory; there are no others in it. */
static bool empty(int fd)
{
    bool ok = true;
    DIR *dir = list_dir(fd);
    const struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            ok = (unlinkat(fd, entry->d_name, 0) == 0 || errno == ENOENT) && ok;
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return dir != NULL && ok;
}

/* Removes a directory that has lost, or never got, its name. */
static bool discard(const struct agent_dirs *dirs, const char *hidden, struct err *err)
{
    AUTO(close_fd) int fd = openat(dirs->agents_fd, hidden, OPEN_DIR);
    if (fd < 0) {
        return errno == ENOENT || fail(err, "open", hidden);
    }
    return (empty(fd) && unlinkat(dirs->agents_fd, hidden, AT_REMOVEDIR) == 0) ||
           fail(err, "remove", hidden);
}

static bool discard_leftovers(const struct agent_dirs *dirs, struct err *err)
{
    DIR *dir = list_dir(dirs->agents_fd);
    const struct dirent *entry;
    bool ok = dir != NULL || fail(err, "list", "agents");
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        struct view name = view_of(entry->d_name);
        if (view_starts_with(name, VIEW(NEW_PREFIX)) || view_starts_with(name, VIEW(GONE_PREFIX))) {
            ok = discard(dirs, entry->d_name, err) && ok;
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return ok;
}

/* Makes the directory unless it is there; owner and mode are set either way. */
static int open_folder(const char *run_dir, const char *name, mode_t mode, gid_t group,
                       struct err *err)
{
    char path[AGENT_DIR_PATH_SIZE];
    int length = snprintf(path, sizeof path, "%s/%s", run_dir, name);
    if (length < 0 || (size_t)length >= sizeof path) {
        err_set(err, ERR_INVALID, "INSIEN_RUN_DIR is too long");
        return -1;
    }
    if (mkdir(path, mode) != 0 && errno != EEXIST) {
        fail(err, "make", path);
        return -1;
    }
    int fd = open(path, OPEN_DIR);
    if (fd < 0 || fchown(fd, (uid_t)-1, group) != 0 || fchmod(fd, mode) != 0) {
        fail(err, "open", path);
        close_fd(&fd);
        return -1;
    }
    return fd;
}

/* A run directory that is there belongs to who made it; but the engine, when it remaps users, goes
 * through it as a user that nobody knows. */
static bool make_run_dir(const char *run_dir, gid_t group, struct err *err)
{
    struct stat status;
    bool made = mkdir(run_dir, 0700) == 0;
    if (!made && errno != EEXIST) {
        return fail(err, "make", run_dir);
    }
    if ((made && chown(run_dir, (uid_t)-1, group) != 0) || stat(run_dir, &status) != 0) {
        return fail(err, "chown", run_dir);
    }
    mode_t mode = (status.st_mode & 07777U) | (made ? 0751U : 0011U);
    return chmod(run_dir, mode) == 0 || fail(err, "chmod", run_dir);
}

bool agent_dirs_open(struct agent_dirs *dirs, const char *run_dir, uid_t service_uid,
                     gid_t service_gid, struct err *err)
{
    *dirs = (struct agent_dirs){.run_dir = run_dir,
                                .agents_fd = -1,
                                .locks_fd = -1,
                                .service_uid = service_uid,
                                .service_gid = service_gid};
    if (!make_run_dir(run_dir, service_gid, err)) {
        return false;
    }
    dirs->agents_fd = open_folder(run_dir, "agents", 0751, service_gid, err);
    if (dirs->agents_fd < 0) {
        return false;
    }
    dirs->locks_fd = open_folder(run_dir, "locks", 0770, service_gid, err);
    return dirs->locks_fd >= 0 && discard_leftovers(dirs, err);
}

void agent_dirs_close(struct agent_dirs *dirs)
{
    close_fd(&dirs->agents_fd);
    close_fd(&dirs->locks_fd);
    dirs->agents_fd = -1;
    dirs->locks_fd = -1;
}

void agent_dir_path(const struct agent_dirs *dirs, const char sandbox_id[ID_SIZE],
                    char out[AGENT_DIR_PATH_SIZE])
{
    char id32[ID32_SIZE];
    id_to_id32(sandbox_id, id32);
    (void)snprintf(out, AGENT_DIR_PATH_SIZE, "%s/agents/%s", dirs->run_dir, id32);
}

static bool make_lock(const struct agent_dirs *dirs, const char *id32, struct err *err)
{
    AUTO(close_fd) int fd = openat(dirs->locks_fd, id32, NEW_FILE, LOCK_MODE);
    if (fd < 0) {
        return errno == EEXIST || fail(err, "make the lock", id32);
    }
    return (fchown(fd, (uid_t)-1, dirs->service_gid) == 0 && fchmod(fd, LOCK_MODE) == 0) ||
           fail(err, "chown the lock", id32);
}

static bool write_token(const struct agent_dirs *dirs, int dir_fd, const char *name,
                        const char *token, struct err *err)
{
    AUTO(close_fd) int fd = openat(dir_fd, name, NEW_FILE, 0400);
    size_t len = strlen(token);
    return (fd >= 0 && write(fd, token, len) == (ssize_t)len &&
            fchown(fd, dirs->service_uid, dirs->root_gid) == 0 && fchmod(fd, TOKEN_MODE) == 0) ||
           fail(err, "write", "the token");
}

/* Changing the owner clears the set-group-id bit, so the mode comes last. */
static bool fill_dir(const struct agent_dirs *dirs, const char *hidden, const char *token,
                     struct err *err)
{
    AUTO(close_fd) int fd = openat(dirs->agents_fd, hidden, OPEN_DIR);
    if (fd < 0) {
        return fail(err, "open", hidden);
    }
    return write_token(dirs, fd, AGENT_TOKEN_NAME, token, err) &&
           ((fchown(fd, dirs->service_uid, dirs->root_gid) == 0 && fchmod(fd, DIR_MODE) == 0) ||
            fail(err, "chown", hidden));
}

/* The lock comes first: a gateway that sees the directory looks for it. */
bool agent_dir_make(const struct agent_dirs *dirs, const char sandbox_id[ID_SIZE],
                    const char *token, struct err *err)
{
    char id32[ID32_SIZE];
    char hidden[HIDDEN_SIZE];
    id_to_id32(sandbox_id, id32);
    (void)snprintf(hidden, sizeof hidden, NEW_PREFIX "%s", id32);
    if (!make_lock(dirs, id32, err) || !discard(dirs, hidden, err)) {
        return false;
    }
    if (mkdirat(dirs->agents_fd, hidden, 0700) != 0) {
        return fail(err, "make", hidden);
    }
    if (fill_dir(dirs, hidden, token, err) &&
        (renameat(dirs->agents_fd, hidden, dirs->agents_fd, id32) == 0 ||
         fail(err, "name", hidden))) {
        return true;
    }
    struct err ignored = {0}; /* the caller hears the first */
    (void)!discard(dirs, hidden, &ignored);
    return false;
}

/* What a dead process left of the new name is no token that anybody has. */
bool agent_dir_renew(const struct agent_dirs *dirs, const char sandbox_id[ID_SIZE],
                     const char *token, struct err *err)
{
    static const char new_name[] = NEW_PREFIX AGENT_TOKEN_NAME;
    char id32[ID32_SIZE];
    id_to_id32(sandbox_id, id32);
    AUTO(close_fd) int fd = openat(dirs->agents_fd, id32, OPEN_DIR);
    if (fd < 0) {
        return fail(err, "open", id32);
    }
    if (unlinkat(fd, new_name, 0) != 0 && errno != ENOENT) {
        return fail(err, "remove", new_name);
    }
    return write_token(dirs, fd, new_name, token, err) &&
           (renameat(fd, new_name, fd, AGENT_TOKEN_NAME) == 0 || fail(err, "name", "the token"));
}

bool agent_dir_remove(const struct agent_dirs *dirs, const char sandbox_id[ID_SIZE],
                      struct err *err)
{
    char id32[ID32_SIZE];
    char hidden[HIDDEN_SIZE];
    id_to_id32(sandbox_id, id32);
    (void)snprintf(hidden, sizeof hidden, GONE_PREFIX "%s", id32);
    if (!discard(dirs, hidden, err)) {
        return false;
    }
    if (renameat(dirs->agents_fd, id32, dirs->agents_fd, hidden) != 0 && errno != ENOENT) {
        return fail(err, "rename", id32);
    }
    return discard(dirs, hidden, err) && (unlinkat(dirs->locks_fd, id32, 0) == 0 ||
                                          errno == ENOENT || fail(err, "remove the lock", id32));
}

static bool visit_names(int fd, agent_dir_fn *visit, void *arg, struct err *err)
{
    char id[ID_SIZE];
    const struct dirent *entry;
    DIR *dir = list_dir(fd);
    if (dir == NULL) {
        return fail(err, "list", "the agents' directories");
    }
    while ((entry = readdir(dir)) != NULL) {
        if (id_from_id32(view_of(entry->d_name), id)) {
            visit(id, arg);
        }
    }
    (void)closedir(dir);
    return true;
}

bool agent_dirs_each(const struct agent_dirs *dirs, agent_dir_fn *visit, void *arg, struct err *err)
{
    return visit_names(dirs->agents_fd, visit, arg, err) &&
           visit_names(dirs->locks_fd, visit, arg, err);
}
