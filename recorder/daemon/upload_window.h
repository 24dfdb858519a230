/* When a storage may be stored to: "20:00-06:00". Pure. */
#ifndef STENO_DAEMON_UPLOAD_WINDOW_H
#define STENO_DAEMON_UPLOAD_WINDOW_H

#include <glib.h>

/* By the local time of that moment; the end is not within. window NULL, or from one time to the same: always. */
gboolean upload_window_is_open(const char *window, gint64 wall_us);

#endif
