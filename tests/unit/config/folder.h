/* A folder of a test's own, with files in it. */
#ifndef TEST_CONFIG_FOLDER_H
#define TEST_CONFIG_FOLDER_H

#include "steno/config.h"

/* Made and removed by cmocka's setup and teardown; the state is its path. */
int folder_setup(void **state);
int folder_teardown(void **state);

/* The path of a file with this text. Caller frees. */
char *folder_write(const char *folder, const char *name, const char *text);
char *folder_write_mode(const char *folder, const char *name, const char *text, int mode);

/* Must load. */
StenoConfig *folder_load(const char *folder, const char *text);
/* Must be refused: the message, with the folder's path (and "/") taken out of it. Caller frees. */
char *folder_refuse(const char *folder, const char *text);

#endif
