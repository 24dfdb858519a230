#include "steno/config.h"

typedef int steno_config_placeholder;
