/*
 * What a process gives up for good once it knows its work: system calls (seccomp), the file system but for some places
 * (Landlock, where the kernel has it), and resources (rlimits). Nothing of it can be taken back, and children inherit
 * it.
 *
 * The recorder enters when it has its job and what that needs is known; the assembler when its arguments are read. What
 * may be done is a table a profile (sandbox/profiles.c): system calls by name, and places that every process of this
 * profile reads (certificates, libraries, time zones).
 */
#ifndef STENO_SANDBOX_H
#define STENO_SANDBOX_H

#include <glib.h>

typedef enum {
    /* Network, threads, files; no other process, no server, no Unix socket to anybody (stenod's own would take its user
     * for an administrator). */
    STENO_SANDBOX_RECORDER,
    /* Threads and files; no socket of any kind. */
    STENO_SANDBOX_ASSEMBLER,
    /* Looks up names and reads key files for a recorder: the whole file system to read, Unix sockets (name services).
     */
    STENO_SANDBOX_AGENT,
} StenoSandboxProfile;

typedef enum {
    STENO_SANDBOX_READ,  /* a file, or all that is below a folder */
    STENO_SANDBOX_WRITE, /* … also made, written, renamed, linked and removed below it */
    STENO_SANDBOX_LINK, /* … read, and given a second name in a place of WRITE. Landlock links only where files may not
                           have fewer rights than at the new place: they can be written, but not made or removed */
    STENO_SANDBOX_REMOVE, /* files of a folder can be removed, and nothing else */
} StenoSandboxAccess;

/* What a sandbox holds, for logs, events and `steno doctor`. */
typedef struct {
    gboolean seccomp;   /* the filter is in force, also in threads that run already */
    guint landlock_abi; /* 0: the kernel has none, files are kept from the process by its user only */
} StenoSandboxState;

typedef struct StenoSandbox StenoSandbox;

/* Never NULL. The caller frees. */
StenoSandbox *steno_sandbox_new(StenoSandboxProfile profile);
void steno_sandbox_free(StenoSandbox *sandbox);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StenoSandbox, steno_sandbox_free)

/*
 * Allows a place beside those of the profile. path is absolute or relative to the current folder, and copied; NULL and
 * where there is nothing when the sandbox is entered, it is left out. A rule is for what is at the path then: a file
 * that takes its place later is not allowed, but for those below a folder that is.
 */
void steno_sandbox_allow(StenoSandbox *sandbox, const char *path, StenoSandboxAccess access);

/*
 * Enters: rlimits, no new privileges, Landlock, then seccomp, for all threads of the process. Call it in the main
 * thread before threads are started: Landlock holds for the calling thread and those that it starts (for all, where the
 * kernel can do that), and a warning is logged when there are others already. state says what holds, may be NULL. A
 * kernel without Landlock is no error, and is logged at notice; a process that cannot be confined by seccomp is: FALSE
 * with INTERNAL, which says what to do; then some of it may be in force.
 */
gboolean steno_sandbox_enter(StenoSandbox *sandbox, StenoSandboxState *state, GError **error);

/* What this kernel and this process could have, without entering: for `steno doctor`. */
void steno_sandbox_probe(StenoSandboxState *state);

#endif
