/* The commands of a third party: a shell in the test's folder. */
#ifndef TEST_PROOF_SHELL_H
#define TEST_PROOF_SHELL_H

#include <glib.h>

/* Runs it by sh in folder; what it says is shown when it does not succeed. */
gboolean shell(const char *folder, const char *command);
/* A folder of its own, and away with it. */
char *folder_new(void);
void folder_free(char *folder);
char *in_folder(const char *folder, const char *name);

#endif
