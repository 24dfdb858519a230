#include <glib.h>

typedef int steno_notify_placeholder;
