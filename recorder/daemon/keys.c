/* API keys: made here, shown once; what is kept is a hash. */
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"

#include <string.h>
#include <sys/random.h>

#define KEY_SECRET_BYTES 32
#define KEY_LABEL_MAX_BYTES 256
/* Each is compared with at a login; nobody has that many callers. */
#define KEYS_MAX 10000

static GPtrArray *read_keys(StenoDaemon *daemon, GError **error)
{
    g_autoptr(GError) why = NULL;
    GPtrArray *keys = steno_journal_keys(daemon->journal, &why);
    outbox_judge_read(daemon, &why);
    if (why)
        g_propagate_error(error, g_steal_pointer(&why));
    return keys;
}

void keys_tell(StenoDaemon *daemon)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) keys = NULL;
    if (!daemon->watch || !daemon->watch->keys)
        return;
    keys = read_keys(daemon, &error);
    if (keys)
        daemon->watch->keys(daemon->watch_user, keys);
    else
        steno_error(daemon->log, "the API keys cannot be read: %s", error->message);
}

/* base64url without padding. */
static char *random_text(void)
{
    guint8 random[KEY_SECRET_BYTES];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        g_error("the system gives no random numbers");
    char *text = g_base64_encode(random, sizeof random);
    steno_secret_wipe(random, sizeof random);
    g_strdelimit(text, "+", '-');
    g_strdelimit(text, "/", '_');
    for (char *end = text + strlen(text); end > text && end[-1] == '=';)
        *--end = '\0';
    return text;
}

static StenoJournalKey *make_key(const char *app, StenoRole role, const char *label, char **secret)
{
    StenoJournalKey *key = g_new0(StenoJournalKey, 1);
    g_autofree char *id = steno_job_new_id();
    *secret = random_text();
    g_autofree char *digest = g_compute_checksum_for_string(G_CHECKSUM_SHA256, *secret, -1);
    key->id = g_strconcat("key_", id, NULL);
    key->app = g_strdup(app);
    key->role = g_strdup(steno_role_name(role));
    key->label = g_strdup(label);
    g_strlcpy(key->sha256_hex, digest, sizeof key->sha256_hex);
    key->created_us = steno_clock_wall_us();
    return key;
}

static json_t *key_to_json(const StenoJournalKey *key)
{
    g_autofree char *created_at = steno_clock_format(key->created_us);
    g_autofree char *revoked_at = key->revoked_us > 0 ? steno_clock_format(key->revoked_us) : NULL;
    return json_pack("{s:s, s:s?, s:s, s:s, s:s, s:s?}", "id", key->id, "app", key->app, "role", key->role, "label",
                     key->label ? key->label : "", "created_at", created_at, "revoked_at", revoked_at);
}

static gboolean add_key(StenoDaemon *daemon, const StenoJournalKey *key, GError **error)
{
    g_autoptr(GError) why = NULL;
    gboolean added = outbox_judge(daemon, steno_journal_key_add(daemon->journal, key, &why), &why);
    if (why)
        g_propagate_error(error, g_steal_pointer(&why));
    if (added)
        keys_tell(daemon);
    return added;
}

/* ---- commands ---------------------------------------------------------------------------------------------------- */

/* Who is bound to an app sees and makes only keys that are. */
static gboolean is_theirs(const Ask *ask, const char *app)
{
    return !ask->request->actor.app || g_strcmp0(ask->request->actor.app, app) == 0;
}

gboolean command_key_list(StenoDaemon *daemon, Ask *ask)
{
    g_autoptr(GPtrArray) keys = read_keys(daemon, &ask->reply->error);
    if (!keys)
        return TRUE;
    json_t *list = json_array();
    for (guint i = 0; i < keys->len; i++) {
        const StenoJournalKey *key = keys->pdata[i];
        if (is_theirs(ask, key->app))
            json_array_append_new(list, key_to_json(key));
    }
    ask->reply->body = json_pack("{s:o}", "keys", list);
    return TRUE;
}

static gboolean read_new_key(StenoDaemon *daemon, Ask *ask, const char **app, StenoRole *role, const char **label)
{
    static const char *const members[] = {"app", "role", "label", NULL};
    static const char *const roles[] = {"viewer", "operator", "admin", NULL};
    const json_t *body = json_object_get(ask->request->arguments, "body");
    const json_t *app_json = json_object_get(body, "app"), *label_json = json_object_get(body, "label");
    GError **error = &ask->reply->error;
    const char *role_name;
    *app = ask->request->actor.app;
    *label = "";
    if (!request_members(body, "", members, error) ||
        !request_one_of(json_object_get(body, "role"), "/role", roles, &role_name, error) ||
        (app_json && !json_is_null(app_json) &&
         !request_name(app_json, "/app", STENO_CONFIG_NAME_MAX_BYTES, app, error)) ||
        (label_json && !request_text(label_json, "/label", KEY_LABEL_MAX_BYTES, label, error)))
        return FALSE;
    (void)steno_role_from_name(role_name, role);
    if (*app && (!steno_config_app(daemon->config, *app) || !is_theirs(ask, *app))) {
        command_refuse(ask, STENO_ERROR_NOT_FOUND, "/app: there is no app '%s'", *app);
        return FALSE;
    }
    return TRUE;
}

/* The answer: the key, and this once its secret. */
static void give_key(StenoDaemon *daemon, Ask *ask, const StenoJournalKey *key, const char *secret)
{
    recording_set_text(&ask->app, key->app);
    recording_set_text(&ask->target, key->id);
    if (!add_key(daemon, key, &ask->reply->error))
        return;
    ask->reply->body = key_to_json(key);
    json_object_set_new(ask->reply->body, "secret", json_string(secret));
    ask->reply->created = TRUE;
    ask->reply->location = g_strdup_printf("/v1/keys/%s", key->id);
}

gboolean command_key_add(StenoDaemon *daemon, Ask *ask)
{
    const char *app, *label;
    StenoRole role;
    g_autofree char *secret = NULL;
    if (!read_new_key(daemon, ask, &app, &role, &label))
        return TRUE;
    g_autoptr(GPtrArray) keys = read_keys(daemon, &ask->reply->error);
    if (!keys)
        return TRUE;
    if (keys->len >= KEYS_MAX)
        return command_refuse(ask, STENO_ERROR_LIMIT_REACHED, "there are %d API keys, and no more can be made",
                              KEYS_MAX);
    g_autoptr(StenoJournalKey) key = make_key(app, role, label, &secret);
    give_key(daemon, ask, key, secret);
    steno_secret_wipe(secret, strlen(secret));
    return TRUE;
}

/* Commands come one after the other: of two that ask at once, one gets the key, and the other is told so. */
gboolean command_key_init(StenoDaemon *daemon, Ask *ask)
{
    g_autofree char *secret = NULL;
    if (g_strcmp0(ask->request->actor.address, "unix") != 0)
        return command_refuse(ask, STENO_ERROR_FORBIDDEN,
                              "the first key is made on the server itself: run `steno key init` there as root");
    g_autoptr(GPtrArray) keys = read_keys(daemon, &ask->reply->error);
    if (!keys)
        return TRUE;
    for (guint i = 0; i < keys->len; i++) {
        const StenoJournalKey *key = keys->pdata[i];
        if (key->revoked_us == 0 && !key->app && strcmp(key->role, steno_role_name(STENO_ROLE_ADMIN)) == 0)
            return command_refuse(ask, STENO_ERROR_CONFLICT,
                                  "there is an admin key already (%s), whose secret nobody can tell again: `steno key "
                                  "add --role admin`, run as root on the server, makes another one",
                                  key->id);
    }
    g_autoptr(StenoJournalKey) key = make_key(NULL, STENO_ROLE_ADMIN, "the first", &secret);
    give_key(daemon, ask, key, secret);
    steno_secret_wipe(secret, strlen(secret));
    return TRUE;
}

gboolean command_key_revoke(StenoDaemon *daemon, Ask *ask)
{
    const char *id = ask_text(ask, "id");
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) keys = read_keys(daemon, &ask->reply->error);
    if (!keys)
        return TRUE;
    StenoJournalKey *found = NULL;
    for (guint i = 0; i < keys->len && !found; i++) {
        StenoJournalKey *key = keys->pdata[i];
        found = strcmp(key->id, id) == 0 && is_theirs(ask, key->app) ? key : NULL;
    }
    if (!found)
        return command_refuse(ask, STENO_ERROR_NOT_FOUND, "there is no API key '%s'", id);
    recording_set_text(&ask->app, found->app);
    if (found->revoked_us == 0 &&
        !outbox_judge(daemon, steno_journal_key_revoke(daemon->journal, id, &error), &error)) {
        ask->reply->error = g_steal_pointer(&error);
        return TRUE;
    }
    found->revoked_us = found->revoked_us > 0 ? found->revoked_us : steno_clock_wall_us();
    ask->reply->body = key_to_json(found);
    keys_tell(daemon);
    return TRUE;
}
