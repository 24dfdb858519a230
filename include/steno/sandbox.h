/*
 * What a process gives up for good once it knows its work: system calls (seccomp), the file system but for some places
 * (Landlock, where the kernel has it), and resources (rlimits). Nothing of it can be taken back, and children inherit it.
 *
 * The recorder enters when it has its job and what that needs is known; the assembler when its arguments are read.
 * What may be done is one table a profile (sandbox/profile_*.c): system calls by name, and places that every process of
 * this profile reads (resolver, certificates, libraries, time zones).
 */
#ifndef STENO_SANDBOX_H
#define STENO_SANDBOX_H

#include <glib.h>

typedef enum {
    STENO_SANDBOX_RECORDER,  /* network, threads, files; no execve, no ptrace, no mounts … */
    STENO_SANDBOX_ASSEMBLER, /* as above without any socket() */
} StenoSandboxProfile;

typedef enum {
    STENO_SANDBOX_READ,  /* a file, or all that is below a folder */
    STENO_SANDBOX_WRITE, /* … also made, written, renamed, linked and removed below it */
} StenoSandboxAccess;

/* What a sandbox holds, for logs, events and `steno doctor`. */
typedef struct {
    gboolean seccomp;    /* the filter is in force, also in threads that run already */
    guint landlock_abi;  /* 0: the kernel has none, files are kept from the process by its user only */
    gboolean network;    /* Landlock keeps TCP ports from being bound, too (ABI 4) */
} StenoSandboxState;

typedef struct StenoSandbox StenoSandbox;

/* Never NULL. The caller frees. */
StenoSandbox *steno_sandbox_new(StenoSandboxProfile profile);
void steno_sandbox_free(StenoSandbox *sandbox);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoSandbox, steno_sandbox_free)

/*
 * Allows a place beside those of the profile. path is absolute or relative to the current folder, and copied; where there
 * is nothing when the sandbox is entered, the place is left out.
 */
void steno_sandbox_allow(StenoSandbox *sandbox, const char *path, StenoSandboxAccess access);

/*
 * Enters: rlimits, no new privileges, Landlock, then seccomp, for all threads of the process. Call it in the main thread
 * before threads are started where that can be (Landlock holds for the calling thread and those that it starts).
 * state says what holds, may be NULL. A kernel without Landlock is no error, and a process that cannot be confined by
 * seccomp is: FALSE with INTERNAL, which says what to do; then some of it may be in force.
 */
gboolean steno_sandbox_enter(StenoSandbox *sandbox, StenoSandboxState *state, GError **error);

/* What this kernel and this process could have, without entering: for `steno doctor`. */
void steno_sandbox_probe(StenoSandboxState *state);

#endif
