#include "steno/daemon.h"

typedef int steno_daemon_placeholder;
