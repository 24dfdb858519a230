#include "steno/sandbox.h"

#include "filter.h"
#include "landlock.h"
#include "profiles.h"

#include "steno/base/error.h"
#include "steno/base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

typedef struct {
    char *path;
    StenoSandboxAccess access;
} Place;

struct StenoSandbox {
    const SandboxProfile *profile;
    GArray *places; /* of Place */
};

/* ---- places ------------------------------------------------------------------------------------------------------ */

static void place_clear(gpointer data)
{
    g_free(((Place *)data)->path);
}

StenoSandbox *steno_sandbox_new(StenoSandboxProfile profile)
{
    StenoSandbox *sandbox = g_new0(StenoSandbox, 1);
    sandbox->profile = sandbox_profile(profile);
    sandbox->places = g_array_new(FALSE, FALSE, sizeof(Place));
    g_array_set_clear_func(sandbox->places, place_clear);
    g_auto(GStrv) files = g_strsplit(sandbox->profile->files, " ", -1);
    g_auto(GStrv) variables = g_strsplit(sandbox->profile->variables, " ", -1);
    for (guint i = 0; files[i]; i++)
        steno_sandbox_allow(sandbox, files[i], STENO_SANDBOX_READ);
    for (guint i = 0; variables[i]; i++)
        steno_sandbox_allow(sandbox, g_getenv(variables[i]), STENO_SANDBOX_READ);
    steno_sandbox_allow(sandbox, "/dev/null", STENO_SANDBOX_WRITE);
    return sandbox;
}

void steno_sandbox_free(StenoSandbox *sandbox)
{
    if (!sandbox)
        return;
    g_array_unref(sandbox->places);
    g_free(sandbox);
}

void steno_sandbox_allow(StenoSandbox *sandbox, const char *path, StenoSandboxAccess access)
{
    if (!path || !path[0])
        return;
    const Place place = {g_strdup(path), access};
    g_array_append_val(sandbox->places, place);
}

/* ---- resources --------------------------------------------------------------------------------------------------- */

static void lower(int resource, rlim_t most)
{
    struct rlimit limit;
    if (getrlimit((enum __rlimit_resource)resource, &limit) != 0)
        return;
    limit.rlim_cur = MIN(limit.rlim_cur, most);
    limit.rlim_max = MIN(limit.rlim_max, most);
    (void)setrlimit((enum __rlimit_resource)resource, &limit);
}

static void limit_resources(const SandboxProfile *profile)
{
    lower(RLIMIT_CORE, 0);
    lower(RLIMIT_NOFILE, profile->descriptors);
    lower(RLIMIT_MSGQUEUE, 0);
    lower(RLIMIT_RTPRIO, 0);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static gboolean is_not_there(int fault)
{
    return fault == ENOENT || fault == ENOTDIR || fault == EACCES || fault == ELOOP;
}

static gboolean fill(const StenoSandbox *sandbox, int rules, guint abi, GError **error)
{
    for (guint i = 0; i < sandbox->places->len; i++) {
        const Place *place = &g_array_index(sandbox->places, Place, i);
        if (!landlock_allow(rules, abi, place->path, place->access) && !is_not_there(errno))
            return steno_error_set(error, STENO_ERROR_INTERNAL, "cannot allow '%s' in the sandbox: %s", place->path,
                                   g_strerror(errno));
    }
    return TRUE;
}

/* 0: it cannot be told. */
static guint count_threads(void)
{
    g_autoptr(GDir) tasks = g_dir_open("/proc/self/task", 0, NULL);
    guint n = 0;
    while (tasks && g_dir_read_name(tasks))
        n++;
    return n;
}

static gboolean confine_files(const StenoSandbox *sandbox, guint abi, GError **error)
{
    if (abi == 0) {
        steno_notice(NULL,
                     "this kernel has no Landlock: what files this process reaches is for its user's rights alone");
        return TRUE;
    }
    guint threads = landlock_holds_for_all(abi) ? 1 : count_threads();
    if (threads > 1)
        steno_warning(NULL, "%u threads run already, which Landlock does not hold for", threads - 1);
    int rules = landlock_new(abi);
    if (rules < 0)
        return steno_error_set(error, STENO_ERROR_INTERNAL, "cannot make Landlock's rules: %s", g_strerror(errno));
    gboolean confined = fill(sandbox, rules, abi, error);
    if (confined && !landlock_enforce(rules, abi))
        confined =
            steno_error_set(error, STENO_ERROR_INTERNAL, "the kernel refuses Landlock's rules: %s", g_strerror(errno));
    close(rules);
    return confined;
}

/* ---- entering ---------------------------------------------------------------------------------------------------- */

gboolean steno_sandbox_enter(StenoSandbox *sandbox, StenoSandboxState *state, GError **error)
{
    StenoSandboxState held = {.landlock_abi = landlock_abi()};
    limit_resources(sandbox->profile);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return steno_error_set(error, STENO_ERROR_INTERNAL, "cannot give up gaining privileges: %s", g_strerror(errno));
    if (!confine_files(sandbox, held.landlock_abi, error) || !filter_enforce(sandbox->profile, error))
        return FALSE;
    held.seccomp = TRUE;
    if (state)
        *state = held;
    return TRUE;
}

void steno_sandbox_probe(StenoSandboxState *state)
{
    *state = (StenoSandboxState){.seccomp = filter_is_possible(), .landlock_abi = landlock_abi()};
}
