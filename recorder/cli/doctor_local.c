/* steno doctor: what of this machine makes recordings fail. */
#include "checks.h"

#include "steno/proof.h"
#include "steno/sandbox.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/types.h>
#include <unistd.h>

/* A clock that may be further off puts tracks of several machines visibly apart. */
#define CLOCK_ERROR_MAX_US (500 * 1000)
/* Secrets of a recorder and of stenod, with room. */
#define MEMLOCK_MIN_BYTES (1024 * 1024)
/* Descriptors of stenod besides its connections and recordings, and those of one recording, with room. */
#define FILES_OWN 256
#define FILES_A_RECORDING 10

void doctor_clock(CliChecks *checks)
{
    struct timex clock = {.modes = 0};
    int state = adjtimex(&clock);
    const char *advice =
        "synchronise it: `apt install chrony`, then `chronyc tracking`; files tell times by this clock";
    if (state < 0)
        checks_add(checks, CHECK_WARNING, "clock", NULL, "the system does not tell: %s", g_strerror(errno));
    else if (state == TIME_ERROR || (clock.status & STA_UNSYNC))
        checks_add(checks, CHECK_WARNING, "clock", advice, "is not synchronised");
    else if (clock.maxerror > CLOCK_ERROR_MAX_US)
        checks_add(checks, CHECK_WARNING, "clock", advice, "is synchronised, but may be %ld ms off",
                   clock.maxerror / 1000);
    else
        checks_add(checks, CHECK_GOOD, "clock", NULL, "is synchronised, at most %ld ms off", clock.maxerror / 1000);
}

/* ---- disks ------------------------------------------------------------------------------------------------------- */

static void check_disk(CliChecks *checks, const StenoConfig *config, const char *what, const char *folder)
{
    struct statvfs status;
    g_autofree char *name = g_strdup_printf("disk of %s", what);
    if (statvfs(folder, &status) != 0) {
        checks_add(checks, CHECK_BAD, name, "make the folder, writable for the user steno", "%s: %s", folder,
                   g_strerror(errno));
        return;
    }
    guint64 free_bytes = (guint64)status.f_bavail * status.f_frsize, all = (guint64)status.f_blocks * status.f_frsize;
    gint64 percent = all ? (gint64)(free_bytes * 100 / all) : 0;
    g_autofree char *left = g_format_size(free_bytes);
    const char *advice = "make room, or put it on another disk";
    if (percent < config->limits.finish_below_percent)
        checks_add(checks, CHECK_BAD, name, advice, "%s: %s free (%d %%): recordings are being finished", folder, left,
                   (int)percent);
    else if (percent < config->limits.refuse_below_percent)
        checks_add(checks, CHECK_BAD, name, advice, "%s: %s free (%d %%): new recordings are refused", folder, left,
                   (int)percent);
    else
        checks_add(checks, CHECK_GOOD, name, NULL, "%s: %s free (%d %%)", folder, left, (int)percent);
}

void doctor_disks(CliChecks *checks, const StenoConfig *config)
{
    if (!config)
        return;
    check_disk(checks, config, "the spool", config->top.spool_dir);
    check_disk(checks, config, "the journal", config->top.state_dir);
    for (guint i = 0; i < config->storages->len; i++) {
        const StenoConfigStorage *storage = g_ptr_array_index(config->storages, i);
        if (storage->root)
            check_disk(checks, config, storage->name, storage->root);
    }
}

/* ---- the signing key --------------------------------------------------------------------------------------------- */

void doctor_signing(CliChecks *checks, const StenoConfig *config)
{
    if (!config)
        return;
    const char *given = config->top.signing_key_file;
    g_autofree char *path = given ? g_strdup(given) : g_build_filename(config->top.state_dir, "signing/key.pem", NULL);
    if (g_str_has_prefix(path, "credential:")) {
        checks_add(checks, CHECK_GOOD, "signing key", NULL, "is a credential of the service, which stenod alone reads");
        return;
    }
    if (access(path, R_OK) != 0) {
        gboolean missing = errno == ENOENT;
        checks_add(checks, given && missing ? CHECK_BAD : CHECK_WARNING, "signing key",
                   missing ? "stenod makes one at its first start, unless signing_key_file names another"
                           : "run this with sudo to have it checked",
                   "%s: %s", path, g_strerror(errno));
        return;
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSecret) pem = steno_secret_read_file(path, &error);
    g_autoptr(StenoSigner) signer = pem ? steno_signer_new(pem, &error) : NULL;
    if (signer)
        checks_add(checks, CHECK_GOOD, "signing key", NULL, "%s, fingerprint %s", path,
                   steno_signer_fingerprint(signer));
    else
        checks_add_error(checks, "signing key", "manifests can't be signed with it: docs/VERIFY.md", error);
}

/* ---- limits ------------------------------------------------------------------------------------------------------ */

static void check_limit(CliChecks *checks, gint pid, const char *name, int resource, guint64 needed, const char *advice)
{
    struct rlimit limit = {0};
    if (prlimit(pid, (enum __rlimit_resource)resource, NULL, &limit) != 0 &&
        getrlimit((enum __rlimit_resource)resource, &limit) != 0)
        return;
    if (limit.rlim_cur == RLIM_INFINITY)
        checks_add(checks, CHECK_GOOD, name, NULL, "no limit");
    else
        checks_add(checks, limit.rlim_cur >= needed ? CHECK_GOOD : CHECK_WARNING, name, advice,
                   "%" G_GUINT64_FORMAT "%s, of which %" G_GUINT64_FORMAT " may be needed", (guint64)limit.rlim_cur,
                   pid ? "" : " (of this shell: stenod does not run)", needed);
}

void doctor_limits(CliChecks *checks, const StenoConfig *config, gint pid)
{
    guint64 files = FILES_OWN + 1024 + 50 * FILES_A_RECORDING;
    if (config)
        files = FILES_OWN + (guint64)config->api.max_connections +
                (guint64)config->limits.max_recordings * FILES_A_RECORDING;
    check_limit(checks, pid, "open files", RLIMIT_NOFILE, files, "LimitNOFILE= in `systemctl edit stenod`");
    check_limit(checks, pid, "locked memory", RLIMIT_MEMLOCK, MEMLOCK_MIN_BYTES,
                "LimitMEMLOCK=8M in `systemctl edit stenod`; else secrets may be swapped out");
}

/* ---- the sandbox ------------------------------------------------------------------------------------------------- */

void doctor_sandbox(CliChecks *checks)
{
    StenoSandboxState state;
    steno_sandbox_probe(&state);
    if (!state.seccomp)
        checks_add(checks, CHECK_BAD, "sandbox",
                   "allow seccomp(2) in the container's profile, or use a kernel with CONFIG_SECCOMP_FILTER",
                   "the kernel takes no filter of system calls from this process: recorders and assemblers do not run");
    else if (state.landlock_abi == 0)
        checks_add(checks, CHECK_WARNING, "sandbox",
                   "a kernel from 5.13 on with Landlock (`lsm=landlock,…` on its command line where it is off)",
                   "seccomp, but no Landlock: recorders and assemblers reach all files that the user steno can");
    else
        checks_add(checks, CHECK_GOOD, "sandbox", NULL, "seccomp, and Landlock (ABI %u)", state.landlock_abi);
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static void check_name(CliChecks *checks, const char *what, const char *host)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    g_autofree char *name = g_strdup_printf("DNS of %s", what);
    int fault = getaddrinfo(host, NULL, &hints, &found);
    if (fault) {
        checks_add(checks, CHECK_BAD, name, "see /etc/resolv.conf and the name in the configuration", "%s: %s", host,
                   gai_strerror(fault));
        return;
    }
    char address[NI_MAXHOST] = "";
    (void)getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof address, NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(found);
    checks_add(checks, CHECK_GOOD, name, NULL, "%s is %s", host, address);
}

/* "turn:host:port?transport=udp", "host:port", "[::1]:port" → host. */
static char *host_of(const char *server)
{
    const char *at = server;
    if (g_str_has_prefix(at, "turn:") || g_str_has_prefix(at, "stun:"))
        at += 5;
    else if (g_str_has_prefix(at, "turns:"))
        at += 6;
    if (at[0] == '[')
        return g_strndup(at + 1, strcspn(at + 1, "]"));
    return g_strndup(at, strcspn(at, ":?"));
}

static void check_server(CliChecks *checks, const char *what, const char *server)
{
    g_autofree char *host = host_of(server);
    check_name(checks, what, host);
}

void doctor_names(CliChecks *checks, const StenoConfig *config)
{
    for (guint i = 0; config && i < config->platforms->len; i++) {
        const StenoConfigPlatform *platform = g_ptr_array_index(config->platforms, i);
        g_autoptr(GUri) uri = g_uri_parse(platform->url, G_URI_FLAGS_NONE, NULL);
        if (uri && g_uri_get_host(uri))
            check_name(checks, platform->name, g_uri_get_host(uri));
        if (platform->stun)
            check_server(checks, platform->name, platform->stun);
        for (char **turn = platform->turn; *turn; turn++)
            check_server(checks, platform->name, *turn);
    }
    for (guint i = 0; config && i < config->storages->len; i++) {
        const StenoConfigStorage *storage = g_ptr_array_index(config->storages, i);
        g_autoptr(GUri) uri = storage->endpoint ? g_uri_parse(storage->endpoint, G_URI_FLAGS_NONE, NULL) : NULL;
        if (uri && g_uri_get_host(uri))
            check_name(checks, storage->name, g_uri_get_host(uri));
    }
    for (guint i = 0; config && i < config->key_sources->len; i++) {
        const StenoConfigKeys *source = g_ptr_array_index(config->key_sources, i);
        g_autoptr(GUri) uri = source->url ? g_uri_parse(source->url, G_URI_FLAGS_NONE, NULL) : NULL;
        if (uri && g_uri_get_host(uri) && g_uri_get_host(uri)[0])
            check_name(checks, source->name, g_uri_get_host(uri));
    }
}
