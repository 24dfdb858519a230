#include "steno/audit.h"

typedef int steno_audit_placeholder;
