/* Who did what: commands by their replies, and what stenod does itself. */
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>

/* Refused logins told one by one in a minute; somebody who guesses would fill the disk with more. */
#define LOGINS_A_MINUTE 60

static gboolean append(StenoDaemon *daemon, const StenoAuditEntry *entry)
{
    g_autoptr(GError) error = NULL;
    if (steno_audit_append(daemon->audit, entry, &error))
        return TRUE;
    daemon->counts.audit_errors++;
    steno_error(daemon->log, "%s by %s is not in the audit log: %s", entry->action, entry->actor, error->message);
    return FALSE;
}

gboolean audit_ask(Ask *ask, const GError *result)
{
    const StenoDaemonRequest *request = ask->request;
    json_t *detail = result ? json_pack("{s:s}", "message", result->message) : NULL;
    const StenoAuditEntry entry = {
        .actor = request->actor.id ? request->actor.id : "nobody",
        .role = steno_role_name(request->actor.role),
        .address = request->actor.address,
        .action = steno_command_row(request->command)->action,
        .app = ask->app,
        .target = ask->target,
        .result = result ? steno_error_slug((StenoError)result->code) : "ok",
        .detail = detail,
    };
    gboolean written = append(ask->daemon, &entry);
    json_decref(detail);
    return written;
}

void audit_own(StenoDaemon *daemon, const char *action, const char *app, const char *target, const char *result,
               json_t *detail)
{
    const StenoAuditEntry entry = {
        .actor = "stenod",
        .action = action,
        .app = app,
        .target = target,
        .result = result,
        .detail = detail,
    };
    (void)append(daemon, &entry);
    json_decref(detail);
}

/* ---- refused logins ---------------------------------------------------------------------------------------------- */

char *mask_address(const StenoDaemon *daemon, const char *address)
{
    if (!address)
        return g_strdup("nowhere");
    if (!daemon->config->top.mask_participants)
        return g_strdup(address);
    /* The network's part says where to look; the rest is somebody. */
    const char *end = strrchr(address, '.');
    const char *first = strchr(address, ':');
    if (end)
        return g_strdup_printf("%.*s.*", (int)(end - address), address);
    return first ? g_strdup_printf("%.*s:*", (int)(first - address), address) : g_strdup(address);
}

static void audit_login(Ask *ask, const char *reason)
{
    const StenoActor *actor = &ask->request->actor;
    json_t *detail = reason ? json_pack("{s:s}", "reason", reason) : NULL;
    const char *tried = ask_text(ask, "id");
    const StenoAuditEntry entry = {
        .actor = tried       ? tried
                 : actor->id ? actor->id
                             : "nobody",
        .address = actor->address,
        .action = "login",
        .result = steno_error_slug(STENO_ERROR_UNAUTHENTICATED),
        .detail = detail,
    };
    (void)append(ask->daemon, &entry);
    json_decref(detail);
}

gboolean command_login_refused(StenoDaemon *daemon, Ask *ask)
{
    daemon->counts.logins_refused++;
    if (daemon->logins.told >= LOGINS_A_MINUTE) {
        daemon->logins.summed++;
        return TRUE;
    }
    daemon->logins.told++;
    g_autofree char *address = mask_address(daemon, ask->request->actor.address);
    const char *reason = ask_text(ask, "reason");
    steno_warning(daemon->log, "a login from %s was refused%s%s", address, reason ? ": " : "", reason ? reason : "");
    audit_login(ask, reason);
    return TRUE;
}

void audit_tick(StenoDaemon *daemon)
{
    gint64 minute = steno_clock_mono_us() / (60 * G_USEC_PER_SEC);
    if (minute == daemon->logins.minute)
        return;
    daemon->logins.minute = minute;
    if (daemon->logins.summed > 0) {
        steno_warning(daemon->log, "%u more logins were refused within a minute", daemon->logins.summed);
        audit_own(daemon, "login", NULL, NULL, steno_error_slug(STENO_ERROR_UNAUTHENTICATED),
                  json_pack("{s:i}", "more", (int)daemon->logins.summed));
    }
    daemon->logins.told = daemon->logins.summed = 0;
}
