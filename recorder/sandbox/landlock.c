#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Later than the headers that this may be built with. Which the kernel knows is asked at run time. */
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13) /* ABI 2 */
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14) /* ABI 3 */
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15) /* ABI 5 */
#endif
#define SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0) /* ABI 6 */
#define SCOPE_SIGNAL (1ULL << 1)
#define RESTRICT_SELF_ALL_THREADS (1U << 3) /* ABI 8 */

/* landlock_ruleset_attr, as of ABI 6; a kernel that knows less of it is told so. */
typedef struct {
    guint64 files, network, scopes;
} Ruleset;

#define ACCESS_FIRST ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1) /* all that ABI 1 has */
#define READING (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define CHANGING (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)
#define MAKING                                                                                                         \
    (LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |                    \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REFER)
/* What a rule for a file may say. */
#define OF_FILE (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | CHANGING | LANDLOCK_ACCESS_FS_IOCTL_DEV)

static const guint64 rights[] = {
    [STENO_SANDBOX_READ] = READING,
    [STENO_SANDBOX_WRITE] = READING | CHANGING | MAKING,
    [STENO_SANDBOX_LINK] = READING | CHANGING | LANDLOCK_ACCESS_FS_REFER,
    [STENO_SANDBOX_REMOVE] = LANDLOCK_ACCESS_FS_REMOVE_FILE,
};

/* All that the kernel can keep from us. */
static guint64 known_rights(guint abi)
{
    guint64 known = ACCESS_FIRST;
    if (abi >= 2)
        known |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        known |= LANDLOCK_ACCESS_FS_TRUNCATE;
    if (abi >= 5)
        known |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
    return known;
}

guint landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi > 0 ? (guint)abi : 0;
}

int landlock_new(guint abi)
{
    Ruleset ruleset = {.files = known_rights(abi)};
    gsize bytes = sizeof ruleset.files;
    if (abi >= 6) {
        ruleset.scopes = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
        bytes = sizeof ruleset;
    }
    return (int)syscall(SYS_landlock_create_ruleset, &ruleset, bytes, 0);
}

gboolean landlock_allow(int rules, guint abi, const char *path, StenoSandboxAccess access)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat status;
    if (fd < 0)
        return FALSE;
    gboolean added = fstat(fd, &status) == 0;
    guint64 allowed = rights[access] & known_rights(abi);
    if (added && !S_ISDIR(status.st_mode))
        allowed &= OF_FILE;
    if (added && allowed) {
        struct landlock_path_beneath_attr rule = {.allowed_access = allowed, .parent_fd = fd};
        added = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    }
    int saved_errno = errno;
    close(fd);
    errno = saved_errno;
    return added;
}

gboolean landlock_holds_for_all(guint abi)
{
    return abi >= 8;
}

gboolean landlock_enforce(int rules, guint abi)
{
    guint flags = landlock_holds_for_all(abi) ? RESTRICT_SELF_ALL_THREADS : 0;
    return syscall(SYS_landlock_restrict_self, rules, flags) == 0;
}
