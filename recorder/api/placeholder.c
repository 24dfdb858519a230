#include "steno/api.h"

typedef int steno_api_placeholder;
