#include "sandbox-service/sandbox/welcome.h"

#include "common/base/secret.h"
#include "common/json/write.h"
#include "sandbox-service/credential/token.h"

struct env_holder {
    struct json_pairs env;
};
static const struct json_field env_fields[] = {
    JSON_PAIRS(struct env_holder, env, "env"),
};
static const struct json_schema env_schema = {env_fields, 1, true};

/* The row has the environment as a JSON object; the contract wants it in pairs. */
static struct json_doc *read_env(const char *text, struct json_pairs *out, struct err *err)
{
    struct env_holder holder = {0};
    struct str wrapped = STR_INIT(strlen(text) + 16);
    str_append_string(&wrapped, "{\"env\":");
    str_append_string(&wrapped, text);
    str_append_string(&wrapped, "}");
    struct json_doc *doc = NULL;
    if (str_check(&wrapped, "the environment", err)) {
        doc = json_read(str_view(&wrapped), &env_schema, &holder, NULL, err);
    }
    str_free(&wrapped);
    *out = holder.env;
    return doc;
}

bool welcome_make(struct welcome *out, const char *secret, const struct welcome_source *source,
                  struct err *err)
{
    *out = (struct welcome){.words = {.profile = view_of(source->profile),
                                      .work_dir = view_of(source->work_dir),
                                      .work_dir_chosen = source->work_dir_chosen,
                                      .start = view_of(source->start),
                                      .user = view_of(source->user),
                                      .user_chosen = source->user_chosen}};
    out->token = agent_token_sign(secret, source->sandbox_id, source->generation + 1, 0, err);
    if (out->token == NULL) {
        return false;
    }
    out->words.token = view_of(out->token);
    out->env = read_env(source->env, &out->words.env, err);
    return out->env != NULL;
}

void welcome_clear(struct welcome *welcome)
{
    json_doc_release(&welcome->env);
    secret_free_string(&welcome->token);
}

bool welcome_write(const char *secret, const struct welcome_source *source, struct str *out,
                   struct err *err)
{
    struct welcome welcome = {0};
    struct json_writer json = json_writer_on(out);
    bool ok = welcome_make(&welcome, secret, source, err);
    if (ok) {
        json_begin_object(&json, NULL);
        json_struct(&json, &sandbox_agent_welcome_schema, &welcome.words);
        json_end_object(&json);
        ok = str_check(out, "the agent's welcome", err);
    }
    welcome_clear(&welcome);
    return ok;
}
