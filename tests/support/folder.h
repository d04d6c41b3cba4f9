/* tests/support/folder.h: a temporary folder. */
#ifndef TESTS_SUPPORT_FOLDER_H
#define TESTS_SUPPORT_FOLDER_H

enum { FOLDER_PATH_SIZE = 64 }; /* short: sockets lie in it */

void folder_make(char out[FOLDER_PATH_SIZE]);
/* With all that is in it. */
void folder_remove(const char *path);

#endif
