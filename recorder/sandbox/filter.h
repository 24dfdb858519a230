/* The filter of system calls, by the tables of a profile. */
#ifndef SANDBOX_FILTER_H
#define SANDBOX_FILTER_H

#include "profiles.h"

/* In force for all threads of the process. INTERNAL. */
gboolean filter_enforce(const SandboxProfile *profile, GError **error);
/* Has the kernel filters, and may this process have one? */
gboolean filter_is_possible(void);

#endif
