#include "sandbox-service/docker/bundle.h"

#include "common/base/encode.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

bool bundle_map(const char *path, struct view *out, struct err *err)
{
    struct stat status;
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &status) != 0) {
        return err_set(err, ERR_INVALID, "can't open the agent's bundle %s: %s", path,
                       strerror(errno));
    }
    if (!S_ISREG(status.st_mode) || status.st_size == 0) {
        return err_set(err, ERR_INVALID, "the agent's bundle %s is no file or empty", path);
    }
    size_t len = (size_t)status.st_size;
    void *bytes = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) {
        return err_set(err, ERR_INTERNAL, "can't map %s: %s", path, strerror(errno));
    }
    *out = (struct view){bytes, len};
    return true;
}

void bundle_unmap(struct view bundle)
{
    if (bundle.ptr != NULL) {
        union {
            const char *in;
            void *out;
        } bytes = {.in = bundle.ptr};
        (void)munmap(bytes.out, bundle.len);
    }
}

bool bundle_volume_name(const char *path, char out[BUNDLE_VOLUME_SIZE], struct err *err)
{
    enum { NAME_BYTES = 6 };
    struct view bundle = {0};
    if (!bundle_map(path, &bundle, err)) {
        return false;
    }
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[ENCODE_HEX_SIZE(NAME_BYTES)];
    bool ok = EVP_Digest(bundle.ptr, bundle.len, digest, NULL, EVP_sha256(), NULL) == 1;
    bundle_unmap(bundle);
    encode_hex(digest, NAME_BYTES, hex);
    (void)snprintf(out, BUNDLE_VOLUME_SIZE, "insien-agent-%s", hex);
    return ok || err_set(err, ERR_INTERNAL, "SHA-256 failed");
}
