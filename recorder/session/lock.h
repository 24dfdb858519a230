/*
 * CAPTURE/recorder.lock: held by the recorder that writes a capture, as long as it lives.
 */
#ifndef STENO_SESSION_LOCK_H
#define STENO_SESSION_LOCK_H

#include <glib.h>

/*
 * Makes the capture's folder when it is missing, takes the lock and writes our pid into it. Returns the file descriptor
 * (closing it gives the lock back), or -1: CONFLICT when another recorder holds it, STORAGE_*.
 */
int lock_capture(const char *capture, GError **error);

#endif
