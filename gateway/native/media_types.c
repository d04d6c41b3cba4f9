#include "gateway/native/media_types.h"

static const struct {
    struct view extension;
    const char *type;
} types[] = {
    {VIEW("aac"), "audio/aac"},
    {VIEW("avif"), "image/avif"},
    {VIEW("bmp"), "image/bmp"},
    {VIEW("bz2"), "application/x-bzip2"},
    {VIEW("c"), "text/plain; charset=utf-8"},
    {VIEW("conf"), "text/plain; charset=utf-8"},
    {VIEW("css"), "text/css; charset=utf-8"},
    {VIEW("csv"), "text/csv; charset=utf-8"},
    {VIEW("doc"), "application/msword"},
    {VIEW("docx"), "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    {VIEW("flac"), "audio/flac"},
    {VIEW("gif"), "image/gif"},
    {VIEW("go"), "text/plain; charset=utf-8"},
    {VIEW("gz"), "application/gzip"},
    {VIEW("h"), "text/plain; charset=utf-8"},
    {VIEW("htm"), "text/html; charset=utf-8"},
    {VIEW("html"), "text/html; charset=utf-8"},
    {VIEW("ico"), "image/x-icon"},
    {VIEW("jpeg"), "image/jpeg"},
    {VIEW("jpg"), "image/jpeg"},
    {VIEW("js"), "text/javascript; charset=utf-8"},
    {VIEW("json"), "application/json"},
    {VIEW("jsonl"), "application/x-ndjson"},
    {VIEW("log"), "text/plain; charset=utf-8"},
    {VIEW("md"), "text/markdown; charset=utf-8"},
    {VIEW("mjs"), "text/javascript; charset=utf-8"},
    {VIEW("mp3"), "audio/mpeg"},
    {VIEW("mp4"), "video/mp4"},
    {VIEW("ndjson"), "application/x-ndjson"},
    {VIEW("ogg"), "audio/ogg"},
    {VIEW("otf"), "font/otf"},
    {VIEW("pdf"), "application/pdf"},
    {VIEW("png"), "image/png"},
    {VIEW("ppt"), "application/vnd.ms-powerpoint"},
    {VIEW("pptx"), "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
    {VIEW("py"), "text/x-python; charset=utf-8"},
    {VIEW("rs"), "text/plain; charset=utf-8"},
    {VIEW("sh"), "text/x-shellscript; charset=utf-8"},
    {VIEW("sql"), "application/sql"},
    {VIEW("svg"), "image/svg+xml"},
    {VIEW("tar"), "application/x-tar"},
    {VIEW("tgz"), "application/gzip"},
    {VIEW("toml"), "application/toml"},
    {VIEW("ts"), "text/plain; charset=utf-8"},
    {VIEW("tsv"), "text/tab-separated-values; charset=utf-8"},
    {VIEW("ttf"), "font/ttf"},
    {VIEW("txt"), "text/plain; charset=utf-8"},
    {VIEW("wasm"), "application/wasm"},
    {VIEW("wav"), "audio/wav"},
    {VIEW("webm"), "video/webm"},
    {VIEW("webp"), "image/webp"},
    {VIEW("woff"), "font/woff"},
    {VIEW("woff2"), "font/woff2"},
    {VIEW("xls"), "application/vnd.ms-excel"},
    {VIEW("xlsx"), "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
    {VIEW("xml"), "application/xml"},
    {VIEW("xz"), "application/x-xz"},
    {VIEW("yaml"), "application/yaml"},
    {VIEW("yml"), "application/yaml"},
    {VIEW("zip"), "application/zip"},
    {VIEW("zst"), "application/zstd"},
};

static struct view last_segment(struct view path)
{
    const char *slash = path.len == 0 ? NULL : memrchr(path.ptr, '/', path.len);
    return slash == NULL ? path : view_from(path, (size_t)(slash - path.ptr) + 1);
}

const char *media_type_of(struct view path)
{
    struct view name = last_segment(path);
    const char *dot = name.len == 0 ? NULL : memrchr(name.ptr, '.', name.len);
    struct view extension = dot == NULL ? VIEW("") : view_from(name, (size_t)(dot - name.ptr) + 1);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (view_equal_nocase(types[i].extension, extension)) {
            return types[i].type;
        }
    }
    return "application/octet-stream";
}

/* attr-char of RFC 8187. */
static bool is_attribute_byte(char c)
{
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    return letter || (c != '\0' && strchr("!#$&+-.^_`|~", c) != NULL);
}

void media_disposition(struct view path, struct str *out)
{
    struct view name = last_segment(path);
    str_append_view(out, VIEW("attachment; filename*=UTF-8''"));
    for (size_t i = 0; i < name.len; i++) {
        if (is_attribute_byte(name.ptr[i])) {
            str_append_char(out, name.ptr[i]);
        } else {
            str_appendf(out, "%%%02X", (unsigned)(unsigned char)name.ptr[i]);
        }
    }
}
