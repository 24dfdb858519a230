/* sd_notify(3) without libsystemd: one datagram to $NOTIFY_SOCKET. */
#ifndef STENO_STENOD_NOTIFY_H
#define STENO_STENOD_NOTIFY_H

#include <glib.h>

/* Says it ("READY=1", lines separated by \n); nothing happens when nobody listens. */
void notify(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* Half of $WATCHDOG_USEC in ms, 0 when there is no watchdog for this process. */
guint notify_watchdog_ms(void);

#endif
