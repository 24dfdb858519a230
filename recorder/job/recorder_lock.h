/*
 * recorder_lock: who writes a capture? CAPTURE/recorder.lock is locked (flock) by its recorder as long as that lives,
 * and holds its pid.
 */
#ifndef STENO_JOB_RECORDER_LOCK_H
#define STENO_JOB_RECORDER_LOCK_H

#include <glib.h>
#include <sys/types.h>

gboolean recorder_lock_held(const char *capture);
/* Who holds it, or held it last; 0: nobody knows. */
pid_t recorder_lock_pid(const char *capture);
/* Is it a steno-recorder? */
gboolean recorder_is_program(pid_t pid);
/*
 * Kills (SIGKILL) who holds the lock: only when it is really held, by a live steno-recorder of our user with that pid.
 * FALSE when it was not done: then nobody was touched. The lock becomes free a little later.
 */
gboolean recorder_lock_kill(const char *capture);

#endif
