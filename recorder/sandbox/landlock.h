/* Landlock: which files a process can reach at all, by the kernel's rules of its version. */
#ifndef SANDBOX_LANDLOCK_H
#define SANDBOX_LANDLOCK_H

#include "steno/sandbox.h"

/* 0: the kernel has none, or has it switched off. */
guint landlock_abi(void);

/* A set of rules, as a file descriptor; -1 with errno. */
int landlock_new(guint abi);
/* FALSE with errno: ENOENT and the like where there is nothing at the path. */
gboolean landlock_allow(int rules, guint abi, const char *path, StenoSandboxAccess access);
/* From here on, for this thread and those that it starts, or, where the kernel can, for all. */
gboolean landlock_enforce(int rules, guint abi);
/* Would that hold for all threads? */
gboolean landlock_holds_for_all(guint abi);

#endif
