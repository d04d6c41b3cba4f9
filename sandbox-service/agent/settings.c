#include "sandbox-service/agent/settings.h"

#include <string.h>
#include <sys/stat.h>

static const char app_dir[] = "/app";
static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

bool settings_open(struct settings *settings, char *const *entries, struct err *err)
{
    *settings = (struct settings){0};
    for (; *entries != NULL; entries++) {
        struct view entry = view_of(*entries);
        const char *equals = strchr(*entries, '=');
        if (equals == NULL || equals == *entries || view_starts_with(entry, VIEW("INSIEN_"))) {
            continue;
        }
        struct view name = {*entries, (size_t)(equals - *entries)};
        if (!environment_set(&settings->container, name, view_of(equals + 1), err)) {
            return false;
        }
    }
    return true;
}

void settings_close(struct settings *settings)
{
    environment_free(&settings->container);
    environment_free(&settings->env);
}

bool settings_configure(struct settings *settings, const struct agent_configure *configure,
                        struct err *err)
{
    bool locked = view_equal(configure->profile, VIEW("locked"));
    char work_dir[sizeof settings->work_dir];
    char image_user[sizeof settings->image_user];
    if (!locked && !view_equal(configure->profile, VIEW("sudo"))) {
        return err_set_reason(err, ERR_INVALID, "invalid_request", "profile is not known");
    }
    if (!view_copy(configure->work_dir, work_dir, sizeof work_dir) ||
        !view_copy(configure->user, image_user, sizeof image_user)) {
        return err_set_reason(err, ERR_INVALID, "invalid_request", "workDir or user is too long");
    }
    struct environment env = {0};
    if (!environment_set_pairs(&env, &configure->env, err)) {
        environment_free(&env);
        return false;
    }
    environment_free(&settings->env);
    settings->env = env;
    settings->locked = locked;
    memcpy(settings->work_dir, work_dir, sizeof work_dir);
    memcpy(settings->image_user, image_user, sizeof image_user);
    settings->work_dir_chosen = configure->work_dir_chosen;
    settings->user_chosen = configure->user_chosen;
    settings->configured = true;
    return true;
}

bool settings_user(const struct settings *settings, struct view asked, struct user *out,
                   struct err *err)
{
    const struct user_choice choice = {
        .asked = asked,
        .image_user = view_of(settings->image_user),
        .chosen = settings->user_chosen,
        .locked = settings->locked,
    };
    return user_load(&choice, out, err);
}

const char *settings_work_dir(const struct settings *settings)
{
    struct stat status;
    bool is_chosen = settings->work_dir_chosen && settings->work_dir[0] == '/';
    if (!is_chosen && stat(app_dir, &status) == 0 && S_ISDIR(status.st_mode)) {
        return app_dir;
    }
    return settings->work_dir[0] == '/' ? settings->work_dir : "/";
}

static bool set_default(struct environment *env, const char *name, const char *value,
                        struct err *err)
{
    return environment_get(env, name) != NULL ||
           environment_set(env, view_of(name), view_of(value), err);
}

static bool set_user(struct environment *env, const struct user *user, struct err *err)
{
    return environment_set(env, VIEW("HOME"), view_of(user->home), err) &&
           environment_set(env, VIEW("USER"), view_of(user->name), err) &&
           environment_set(env, VIEW("LOGNAME"), view_of(user->name), err) &&
           environment_set(env, VIEW("SHELL"), view_of(user->shell), err);
}

bool settings_environment(const struct settings *settings, const struct user *user,
                          const struct json_pairs *own, struct environment *out, struct err *err)
{
    return environment_set_all(out, &settings->container, err) && set_user(out, user, err) &&
           set_default(out, "PATH", default_path, err) &&
           set_default(out, "LANG", "C.UTF-8", err) &&
           environment_set_all(out, &settings->env, err) && environment_set_pairs(out, own, err);
}
