/* GET /openapi.json: the description of the API; it lies in the program as it lies in the tree. */
#include "gateway/native/routes.h"

/* C has no #embed yet. */
__asm__(".pushsection .rodata\n"
        ".global openapi_begin, openapi_end\n"
        ".hidden openapi_begin, openapi_end\n"
        "openapi_begin: .incbin \"" OPENAPI_FILE "\"\n"
        "openapi_end:\n"
        ".popsection\n");
extern const char openapi_begin[];
extern const char openapi_end[];

void openapi_show(struct request *request)
{
    const struct http_response response = {
        .status = 200,
        .body = {openapi_begin, (size_t)(openapi_end - openapi_begin)},
    };
    request_respond(request, &response);
}
