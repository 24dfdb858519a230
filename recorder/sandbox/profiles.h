/* The tables: what the processes of each profile may do. Lists are words with spaces between them. */
#ifndef SANDBOX_PROFILES_H
#define SANDBOX_PROFILES_H

#include "steno/sandbox.h"

#include <seccomp.h>

/* A system call that is lawful with some arguments only; several rows of one name are alternatives. */
typedef struct {
    const char *name;
    struct scmp_arg_cmp argument;
} SandboxCondition;

typedef struct {
    /* System calls. What is in no list is told to be missing (ENOSYS), not to be forbidden: C library and GLib then do
     * without it, also with calls that are younger than these tables. */
    const char *allowed, *refused; /* beside those of all; refused: EPERM */
    const SandboxCondition *if_so; /* beside those of all; the last has no name */
    const char *files;             /* and folders, which are read whatever the job */
    const char *variables;         /* of the environment, which name some */
    guint64 descriptors;           /* RLIMIT_NOFILE, at most */
} SandboxProfile;

const SandboxProfile *sandbox_profile(StenoSandboxProfile profile);

extern const char sandbox_allowed[], sandbox_refused[];
extern const SandboxCondition sandbox_if_so[];

#endif
