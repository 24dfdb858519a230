/* A daemon that records nothing: canned replies, so that the API can be tested alone. */
#ifndef FAKE_DAEMON_H
#define FAKE_DAEMON_H

#include "steno/daemon.h"

/* Files are those of this folder. */
StenoDaemon *fake_daemon_new(const char *folder);
void fake_daemon_free(StenoDaemon *daemon);

#endif
