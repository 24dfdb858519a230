#include "confine.h"

#include "steno/base/crypto_modules.h"

#include <fcntl.h>

/*
 * What is at a path may be replaced while the recording runs, and a rule is for what was there; a rule for the folder
 * would be for the keys that lie there as well. So it is read by its descriptor, each time anew. A file that is not
 * there is left to whoever needs it, and says so with its name.
 */
static void pin(StenoSandbox *sandbox, char **path)
{
    int fd = *path && (*path)[0] ? open(*path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    g_free(*path);
    *path = g_strdup_printf("/proc/self/fd/%d", fd);
    steno_sandbox_allow(sandbox, *path, STENO_SANDBOX_READ);
}

gboolean confine(StenoJobSpec *job, Agent *agent, const ConfinePlaces *places, int *keys_fd, StenoSandboxState *state,
                 GError **error)
{
    if (!agent_take_job(agent, job, keys_fd, error))
        return FALSE;
    g_autoptr(StenoSandbox) sandbox = steno_sandbox_new(STENO_SANDBOX_RECORDER);
    steno_sandbox_allow(sandbox, places->capture, STENO_SANDBOX_WRITE);
    steno_sandbox_allow(sandbox, places->socket_folder, STENO_SANDBOX_REMOVE);
    pin(sandbox, &job->ca_file);
    pin(sandbox, &job->key_ca_file);
    pin(sandbox, &job->key_client_certificate_file);
    if (g_strcmp0(job->platform, "sdp") == 0) /* the description, read at once */
        steno_sandbox_allow(sandbox, job->url, STENO_SANDBOX_READ);
    (void)steno_crypto_is_fips(); /* OpenSSL reads its configuration, and loads what that names, where it may lie */
    return steno_sandbox_enter(sandbox, state, error);
}
