#include "common/json/doc.h"

#include "common/base/secret.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <stdint.h>
#include <stdlib.h>

/* cJSON's strings end at a NUL, so a NUL that the text spells \u0000 goes through it as the two
 * bytes C0 80. They are no valid UTF-8: the scan has made sure that nothing else is written so. */
#define NUL_ESCAPE "\\u0000"
enum { NUL_ESCAPE_LEN = sizeof NUL_ESCAPE - 1 };
static const char nul_stand_in[] = {(char)0xc0, (char)0x80};

struct block {
    struct block *next;
    size_t len;
    max_align_t bytes[];
};

struct json_doc {
    cJSON *values; /* owned; an array of all that was parsed */
    struct block *blocks;
    bool is_secret;
};

struct json_doc *json_doc_new(void)
{
    struct json_doc *doc = calloc(1, sizeof *doc);
    if (doc == NULL) {
        return NULL;
    }
    doc->values = cJSON_CreateArray();
    if (doc->values == NULL) {
        free(doc);
        return NULL;
    }
    return doc;
}

/* A value is a string, or has strings. What was read of them has its length in valueint, which
 * cJSON leaves alone in strings: they may have NULs by now. */
static void wipe_strings(cJSON *value)
{
    if (value->valuestring != NULL) {
        secret_wipe(value->valuestring, (size_t)value->valueint);
    }
    for (cJSON *item = value->child; item != NULL; item = item->next) {
        secret_wipe(item->valuestring, (size_t)item->valueint);
    }
}

static void wipe(struct json_doc *doc)
{
    for (struct block *block = doc->blocks; block != NULL; block = block->next) {
        secret_wipe(block->bytes, block->len);
    }
    for (cJSON *value = doc->values->child; value != NULL; value = value->next) {
        wipe_strings(value);
    }
}

void json_doc_mark_secret(struct json_doc *doc)
{
    if (doc != NULL) {
        doc->is_secret = true;
    }
}

void json_doc_free(struct json_doc *doc)
{
    if (doc == NULL) {
        return;
    }
    if (doc->is_secret) {
        wipe(doc);
    }
    while (doc->blocks != NULL) {
        struct block *block = doc->blocks;
        doc->blocks = block->next;
        free(block);
    }
    cJSON_Delete(doc->values);
    free(doc);
}

void json_doc_release(struct json_doc **doc)
{
    json_doc_free(*doc);
    *doc = NULL;
}

void *json_doc_alloc(struct json_doc *doc, size_t len)
{
    struct block *block = calloc(1, sizeof *block + len);
    if (block == NULL) {
        return NULL;
    }
    block->len = len;
    block->next = doc->blocks;
    doc->blocks = block;
    return block->bytes;
}

bool json_doc_copy(struct json_doc *doc, struct view text, struct view *out)
{
    char *copy = json_doc_alloc(doc, text.len);
    if (copy == NULL) {
        return false;
    }
    memcpy(copy, text.ptr, text.len);
    *out = (struct view){copy, text.len};
    return true;
}

/* Copies text with the stand-in for each \u0000; returns the length, which only shrinks. */
static size_t replace_nuls(struct view text, char *out)
{
    size_t at = 0;
    while (text.len > 0) {
        const char *backslash = memchr(text.ptr, '\\', text.len);
        size_t run = backslash == NULL ? text.len : (size_t)(backslash - text.ptr);
        memcpy(out + at, text.ptr, run);
        at += run;
        text = view_from(text, run);
        if (view_starts_with(text, VIEW(NUL_ESCAPE))) {
            memcpy(out + at, nul_stand_in, sizeof nul_stand_in);
            at += sizeof nul_stand_in;
            text = view_from(text, NUL_ESCAPE_LEN);
        } else if (text.len > 0) {
            memcpy(out + at, text.ptr, 2); /* a backslash never ends a string */
            at += 2;
            text = view_from(text, 2);
        }
    }
    return at;
}

static struct view restore_nuls(char *string)
{
    size_t len = strlen(string);
    char *stand_in = memmem(string, len, nul_stand_in, sizeof nul_stand_in);
    if (stand_in == NULL) {
        return (struct view){string, len};
    }
    size_t to = (size_t)(stand_in - string);
    for (size_t from = to; from < len; from++, to++) {
        string[to] = string[from];
        if (string[from] == nul_stand_in[0]) {
            string[to] = '\0';
            from++;
        }
    }
    return (struct view){string, to};
}

static struct view restore_value(cJSON *item)
{
    item->valueint = (int)strlen(item->valuestring);
    return restore_nuls(item->valuestring);
}

static cJSON *parse(struct json_doc *doc, struct view text)
{
    char *copy = NULL;
    if (memmem(text.ptr, text.len, NUL_ESCAPE, NUL_ESCAPE_LEN) != NULL) {
        copy = calloc(1, text.len);
        if (copy == NULL) {
            return NULL;
        }
        text = (struct view){copy, replace_nuls(text, copy)};
    }
    cJSON *value = cJSON_ParseWithLength(text.ptr, text.len);
    if (copy != NULL) {
        secret_wipe(copy, text.len);
    }
    free(copy);
    if (value != NULL) {
        (void)cJSON_AddItemToArray(doc->values, value);
    }
    return value;
}

bool json_doc_string(struct json_doc *doc, struct view text, struct view *out)
{
    cJSON *value = parse(doc, text);
    if (value == NULL) {
        return false;
    }
    *out = restore_value(value);
    return true;
}

bool json_doc_strings(struct json_doc *doc, struct view text, size_t count,
                      struct json_strings *out)
{
    cJSON *value = parse(doc, text);
    struct view *items = json_doc_alloc(doc, count * sizeof *items);
    if (value == NULL || items == NULL) {
        return false;
    }
    size_t at = 0;
    for (cJSON *item = value->child; item != NULL; item = item->next) {
        assert(at < count);
        items[at++] = restore_value(item);
    }
    *out = (struct json_strings){items, at};
    return true;
}

bool json_doc_pairs(struct json_doc *doc, struct view text, size_t count, struct json_pairs *out)
{
    cJSON *value = parse(doc, text);
    struct json_pair *items = json_doc_alloc(doc, count * sizeof *items);
    if (value == NULL || items == NULL) {
        return false;
    }
    size_t at = 0;
    for (cJSON *item = value->child; item != NULL; item = item->next) {
        assert(at < count);
        items[at++] =
            (struct json_pair){.name = restore_nuls(item->string), .value = restore_value(item)};
    }
    *out = (struct json_pairs){items, at};
    return true;
}
