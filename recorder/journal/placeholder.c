#include "steno/journal.h"

typedef int steno_journal_placeholder;
