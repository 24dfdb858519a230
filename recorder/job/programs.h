/*
 * programs: the programs of ours that a job runs, and where their sockets are.
 */
#ifndef STENO_JOB_PROGRAMS_H
#define STENO_JOB_PROGRAMS_H

#include <gio/gio.h>
#include <sys/types.h>

/* The path of one of our programs: beside this one, or in the libexec folder. Caller frees. */
char *job_program(const char *name);

/*
 * The socket of a recording's recorder, in a folder of ours (0700), which is made: <runtime_dir>/recordings, or one
 * below the user's runtime folder. STORAGE_UNWRITABLE. Caller frees.
 */
char *job_socket_path(const char *runtime_dir, const char *id, GError **error);

/*
 * Starts steno-recorder in a session of its own, with nothing of ours but the listening socket, standard error and the
 * environment. Its pid; the caller reaps it. 0 and INTERNAL when it can't be started.
 */
pid_t job_spawn_recorder(int listening_fd, GError **error);

/* For children that do not see the terminal's Ctrl-C, give way to all others, and end with us. The caller unrefs it. */
GSubprocessLauncher *job_assembler_launcher(GSubprocessFlags flags);

#endif
