/* What can be asked: the table of commands.def, who may, with which arguments, and who answers. */
#include "daemon_internal.h"

#include "steno/base/error.h"

#include <string.h>
#include <unistd.h>

static const StenoCommandRow rows[] = {
#define STENO_COMMAND(name, action, role, audited, method, path, words)                                                \
    {action, STENO_ROLE_##role, audited, method, path, words},
#include "steno/commands.def"
#undef STENO_COMMAND
};

/* Besides what is in the path. */
typedef struct {
    CommandHandler handler;
    const char *arguments; /* blank-separated */
} Command;

static const Command commands[STENO_COMMANDS] = {
    [STENO_COMMAND_RECORDING_START] = {command_recording_start, "body idempotency_key"},
    [STENO_COMMAND_RECORDING_LIST] = {command_recording_list,
                                      "app state channel platform label created_from created_until order page_size "
                                      "page_token"},
    [STENO_COMMAND_RECORDING_GET] = {command_recording_get, ""},
    [STENO_COMMAND_RECORDING_UPDATE] = {command_recording_update, "body"},
    [STENO_COMMAND_RECORDING_FORGET] = {command_recording_forget, "files"},
    [STENO_COMMAND_RECORDING_PAUSE] = {command_recording_pause, ""},
    [STENO_COMMAND_RECORDING_RESUME] = {command_recording_resume, ""},
    [STENO_COMMAND_RECORDING_STOP] = {command_recording_stop, ""},
    [STENO_COMMAND_FILE_LIST] = {command_file_list, ""},
    [STENO_COMMAND_FILE_OPEN] = {command_file_open, "via"},
    [STENO_COMMAND_MANIFEST] = {command_manifest, "via"},
    [STENO_COMMAND_EVENTS] = {command_events, "after recording app count"},
    [STENO_COMMAND_PLATFORM_LIST] = {command_platform_list, ""},
    [STENO_COMMAND_PLATFORM_CHECK] = {command_platform_check, "body"},
    [STENO_COMMAND_STORAGE_LIST] = {command_storage_list, ""},
    [STENO_COMMAND_STORAGE_CHECK] = {command_storage_check, ""},
    [STENO_COMMAND_STORAGE_RETRY] = {command_storage_retry, ""},
    [STENO_COMMAND_KEY_LIST] = {command_key_list, ""},
    [STENO_COMMAND_KEY_ADD] = {command_key_add, "body"},
    [STENO_COMMAND_KEY_INIT] = {command_key_init, ""},
    [STENO_COMMAND_KEY_REVOKE] = {command_key_revoke, ""},
    [STENO_COMMAND_WEBHOOK_LIST] = {command_webhook_list, ""},
    [STENO_COMMAND_WEBHOOK_ENABLE] = {command_webhook_enable, ""},
    [STENO_COMMAND_LIVE] = {command_live, ""},
    [STENO_COMMAND_READY] = {command_ready, ""},
    [STENO_COMMAND_METRICS] = {command_metrics, ""},
    [STENO_COMMAND_VERSION] = {command_version, ""},
    [STENO_COMMAND_LOGIN_REFUSED] = {command_login_refused, "reason id"},
};

static const char *const role_names[] = {"nobody", "viewer", "operator", "admin"};

const StenoCommandRow *steno_command_row(StenoCommand command)
{
    return &rows[command];
}

gboolean steno_role_from_name(const char *name, StenoRole *role)
{
    for (guint i = STENO_ROLE_VIEWER; i < G_N_ELEMENTS(role_names); i++) {
        if (g_strcmp0(name, role_names[i]) == 0) {
            *role = (StenoRole)i;
            return TRUE;
        }
    }
    return FALSE;
}

const char *steno_role_name(StenoRole role)
{
    return role_names[role];
}

gboolean command_refuse(Ask *ask, StenoError code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    g_clear_error(&ask->reply->error);
    ask->reply->error = g_error_new_literal(STENO_ERROR, code, message);
    return TRUE;
}

/* ---- may they, and with these arguments? ------------------------------------------------------------------------- */

static gboolean is_path_member(const char *path, const char *name)
{
    g_autofree char *member = g_strdup_printf("{%s}", name);
    return strstr(path, member) != NULL;
}

static gboolean check_argument(Ask *ask, const StenoCommandRow *row, const char *name, const json_t *value)
{
    const Command *command = &commands[ask->request->command];
    g_auto(GStrv) allowed = g_strsplit(command->arguments, " ", -1);
    gboolean in_path = is_path_member(row->path, name);
    if (!in_path && !g_strv_contains((const char *const *)allowed, name)) {
        if (strcmp(name, "body") == 0 && json_is_object(value) && json_object_size(value) == 0)
            return TRUE; /* clients that send {} with every POST */
        if (strcmp(name, "body") == 0)
            command_refuse(ask, STENO_ERROR_USAGE, ": this request has no body");
        else if (strcmp(name, "idempotency_key") == 0)
            return TRUE; /* harmless where nothing is made */
        else
            command_refuse(ask, STENO_ERROR_USAGE, "?%s: there is no such parameter; these are: %s", name,
                           command->arguments[0] ? command->arguments : "none");
        return FALSE;
    }
    if (strcmp(name, "body") == 0 || json_is_string(value))
        return TRUE;
    command_refuse(ask, STENO_ERROR_USAGE, "?%s: must be a string", name);
    return FALSE;
}

static gboolean check_arguments(Ask *ask, const StenoCommandRow *row)
{
    const char *name;
    json_t *value;
    json_object_foreach (ask->request->arguments, name, value) {
        if (!check_argument(ask, row, name, value))
            return FALSE;
    }
    for (const char *const *member = (const char *const[]){"id", "name", NULL}; *member; member++) {
        if (is_path_member(row->path, *member) && !ask_text(ask, *member)) {
            command_refuse(ask, STENO_ERROR_USAGE, "the argument '%s' is missing", *member);
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean check_role(Ask *ask, const StenoCommandRow *row)
{
    const StenoActor *actor = &ask->request->actor;
    if (actor->role >= row->role)
        return TRUE;
    if (actor->role == STENO_ROLE_NOBODY)
        command_refuse(ask, STENO_ERROR_UNAUTHENTICATED, "this needs an API key");
    else
        command_refuse(ask, STENO_ERROR_FORBIDDEN, "this needs the role %s, and the key's is %s",
                       steno_role_name(row->role), steno_role_name(actor->role));
    return FALSE;
}

void command_run(Ask *ask)
{
    const StenoCommandRow *row = steno_command_row(ask->request->command);
    const char *id = ask_text(ask, "id"), *name = ask_text(ask, "name");
    ask->app = g_strdup(ask->request->actor.app);
    ask->target = id && name ? g_strdup_printf("%s/%s", id, name) : g_strdup(id ? id : name);
    if (!check_role(ask, row) || !check_arguments(ask, row) ||
        commands[ask->request->command].handler(ask->daemon, ask))
        ask_done(ask);
}

/* ---- afterwards -------------------------------------------------------------------------------------------------- */

/* What gives something away is not given when it cannot be told to the audit log. */
static gboolean gives_away(StenoCommand command)
{
    return command == STENO_COMMAND_FILE_OPEN || command == STENO_COMMAND_MANIFEST ||
           command == STENO_COMMAND_KEY_ADD || command == STENO_COMMAND_KEY_INIT;
}

static void withdraw(Ask *ask)
{
    StenoDaemonReply *reply = ask->reply;
    json_decref(g_steal_pointer(&reply->body));
    if (reply->fd >= 0)
        close(reply->fd);
    reply->fd = -1;
    stream_free(g_steal_pointer(&reply->stream));
    if (reply->redirect_url)
        steno_secret_wipe(reply->redirect_url, strlen(reply->redirect_url));
    g_clear_pointer(&reply->redirect_url, g_free);
    g_clear_pointer(&reply->location, g_free);
    reply->created = FALSE;
    command_refuse(ask, STENO_ERROR_STORAGE_FAILED, "the audit log cannot be written, and this is not done without it");
}

void command_finish(Ask *ask)
{
    StenoCommand command = ask->request->command;
    const GError *error = ask->reply->error;
    gboolean forbidden = g_error_matches(error, STENO_ERROR, STENO_ERROR_FORBIDDEN);
    ask->daemon->counts.requests[command][error != NULL]++;
    if (ask->audited || command == STENO_COMMAND_LOGIN_REFUSED || !(rows[command].audited || forbidden))
        return;
    if (!audit_ask(ask, error) && !error && gives_away(command))
        withdraw(ask);
}
