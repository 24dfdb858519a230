/* stenod's heart: opens what it needs, takes over what runs, and looks after it each second. */
#include "daemon_internal.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/base/version.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define PROBE_S 10
#define PRUNE_S 3600
#define DAY_US (24 * 3600 * (gint64)G_USEC_PER_SEC)
/* An Idempotency-Key is good for so long. */
#define IDEMPOTENCY_US (2 * DAY_US)

/* ---- each second ------------------------------------------------------------------------------------------------- */

static void finish_disk_low(StenoDaemon *daemon)
{
    double percent = disk_free_percent(daemon);
    double least = (double)daemon->config->limits.finish_below_percent;
    if (percent >= least) {
        daemon->disk_finishing = FALSE;
        return;
    }
    if (!daemon->disk_finishing)
        steno_error(daemon->log,
                    "only %.1f %% of the disk of '%s' is free (limits.finish_below_percent is %g): "
                    "recordings are finished",
                    percent, daemon->config->top.spool_dir, least);
    daemon->disk_finishing = TRUE;
    GHashTableIter iter;
    Recording *recording;
    g_hash_table_iter_init(&iter, daemon->recordings);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&recording)) {
        if (!recording_records(recording) || strcmp(recording->row->desired, "stop") == 0)
            continue;
        recording_stop(recording, "disk-low");
        audit_own(daemon, "recording.stop", recording->row->app, recording->row->id, "ok",
                  json_pack("{s:s}", "end_reason", "disk-low"));
    }
}

static void prune(StenoDaemon *daemon)
{
    gint64 now_us = steno_clock_wall_us();
    g_autoptr(GError) error = NULL;
    if (!steno_journal_events_prune(daemon->journal, now_us - daemon->config->limits.event_days * DAY_US, &error) ||
        !steno_journal_idempotency_prune(daemon->journal, now_us - IDEMPOTENCY_US, &error))
        (void)outbox_judge(daemon, FALSE, &error);
}

static void renew_lease(StenoDaemon *daemon)
{
    g_autoptr(GError) error = NULL;
    gboolean renewed = steno_journal_renew(daemon->journal, DAEMON_LEASE_S, &error);
    (void)outbox_judge(daemon, renewed, &error);
    if (renewed && !daemon->outbox.retry_timer)
        (void)outbox_flush(daemon, TRUE);
}

/* What still has something to do before we may end: not what waits for its time, or for its storage to come back. */
static gboolean is_busy(const Recording *recording)
{
    return !recording->timer && !recording->free_source && !storing_is_held_up(recording);
}

static void look_whether_finished(StenoDaemon *daemon)
{
    GHashTableIter iter;
    const Recording *recording;
    g_hash_table_iter_init(&iter, daemon->recordings);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&recording)) {
        /* What has ended, but cannot be written down: the next start finds it in its storage. */
        if (is_busy(recording) && !(recording->ended && daemon->outbox.fault))
            return;
    }
    if (daemon->finished_told)
        return;
    daemon->finished_told = TRUE;
    daemon->events->finished(daemon->user);
}

static gboolean on_second(gpointer data)
{
    StenoDaemon *daemon = data;
    daemon->seconds++;
    audit_tick(daemon);
    uploads_tick(daemon->uploads);
    orphans_tick(daemon->orphans);
    if (daemon->finishing)
        look_whether_finished(daemon);
    else
        finish_disk_low(daemon);
    if (daemon->seconds % DAEMON_LEASE_RENEW_S == 0)
        renew_lease(daemon);
    if (daemon->seconds % PROBE_S == 0)
        prober_look(daemon->prober);
    if (daemon->seconds % PRUNE_S == 0)
        prune(daemon);
    return G_SOURCE_CONTINUE;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static gboolean make_folder(const char *path, const char *what, GError **error)
{
    if (g_mkdir_with_parents(path, 0700) == 0)
        return TRUE;
    int failed = errno;
    const char *advice = steno_error_service_advice(failed);
    return steno_error_set_errno(error, failed, "cannot make the %s '%s'%s%s%s", what, path, advice ? " (" : "",
                                 advice ? advice : "", advice ? ")" : "");
}

/* One stenod a state folder, before anything in it is touched. */
static int take_lock(const char *state_dir, GError **error)
{
    g_autofree char *path = g_build_filename(state_dir, "stenod.lock", NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        steno_error_set_errno(error, errno, "cannot open '%s'", path);
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
    close(fd);
    g_set_error(error, STENO_ERROR, STENO_ERROR_CONFIG,
                "another stenod runs with the state_dir '%s': stop it, or give this one a folder of its own",
                state_dir);
    return -1;
}

static StenoStore *find_store(gpointer user, const char *name)
{
    const StenoDaemon *daemon = user;
    return stores_find(daemon->stores, name);
}

static StenoSigner *own_signer(const StenoDaemon *daemon, GError **error)
{
    g_autofree char *path = g_build_filename(daemon->config->top.state_dir, "signing", "key.pem", NULL);
    gboolean made = FALSE;
    StenoSigner *signer = steno_signer_load_or_make(path, &made, error);
    if (signer && made)
        steno_notice(daemon->log,
                     "made the key that signs manifests, '%s' (keep a copy; the public half is beside it): SHA-256 %s",
                     path, steno_signer_fingerprint(signer));
    return signer;
}

static StenoSigner *given_signer(const char *file, GError **error)
{
    g_autoptr(StenoSecret) pem = NULL;
    return steno_config_secret(file, &pem, error) ? steno_signer_new(pem, error) : NULL;
}

static gboolean open_signer(StenoDaemon *daemon, GError **error)
{
    const StenoConfigTop *top = &daemon->config->top;
    g_autofree char *public_path = g_build_filename(top->state_dir, "signing", "public.pem", NULL);
    daemon->timestamps = (StenoTimestampAuthority){top->timestamp_url, top->timestamp_ca_file};
    daemon->signer = top->signing_key_file ? given_signer(top->signing_key_file, error) : own_signer(daemon, error);
    /* Wherever the key is from: whoever checks a recording on this machine looks here. */
    return daemon->signer && steno_signer_publish(daemon->signer, public_path, error);
}

static gboolean open_all(StenoDaemon *daemon, StenoJournalHow *how, GError **error)
{
    const StenoConfigTop *top = &daemon->config->top;
    g_autofree char *journal = g_build_filename(top->state_dir, "journal.sqlite", NULL);
    g_autofree char *audit = g_build_filename(top->state_dir, "audit.jsonl", NULL);
    if (!make_folder(top->state_dir, "state_dir", error) || !make_folder(top->spool_dir, "spool_dir", error) ||
        !make_folder(top->runtime_dir, "runtime_dir", error))
        return FALSE;
    daemon->lock_fd = take_lock(top->state_dir, error);
    if (daemon->lock_fd < 0)
        return FALSE;
    daemon->audit = steno_audit_open(audit, error);
    daemon->journal = daemon->audit ? steno_journal_open(journal, top->instance, how, error) : NULL;
    daemon->stores = daemon->journal ? stores_open(daemon->config, error) : NULL;
    if (!daemon->stores || !open_signer(daemon, error))
        return FALSE;
    daemon->webhooks = webhooks_new(daemon->config, daemon->journal, daemon->log, error);
    if (!daemon->webhooks)
        return FALSE;
    daemon->retention = retention_new(daemon->config, daemon->journal, daemon->audit, daemon->log, find_store, daemon);
    daemon->prober = prober_new(daemon->config, daemon->stores);
    daemon->uploads = uploads_new(daemon);
    daemon->streams = streams_new();
    daemon->orphans = orphans_new(daemon);
    return TRUE;
}

static void tell_how(StenoDaemon *daemon, StenoJournalHow how)
{
    static const char *const words[] = {
        [STENO_JOURNAL_OPENED] = "opened",
        [STENO_JOURNAL_MADE] = "made",
        [STENO_JOURNAL_MIGRATED] = "migrated",
        [STENO_JOURNAL_SET_ASIDE] = "damaged, set aside and made anew",
    };
    audit_own(daemon, "stenod.start", NULL, NULL, "ok",
              json_pack("{s:s, s:s}", "journal", words[how], "version", STENO_VERSION));
    if (how == STENO_JOURNAL_SET_ASIDE)
        steno_error(daemon->log,
                    "the journal was damaged: it is kept beside the new one, which is made of the captures "
                    "on disk and the manifests in the storages");
}

/* Everything is open: goes on with what there is. */
static gboolean begin(StenoDaemon *daemon, StenoJournalHow how, GError **error)
{
    g_autoptr(GError) why = NULL;
    tell_how(daemon, how);
    if (!recover_all(daemon, error))
        return FALSE;
    daemon->rebuild = rebuild_begin(daemon, how == STENO_JOURNAL_MIGRATED, &why);
    if (why) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    (void)steno_journal_renew(daemon->journal, DAEMON_LEASE_S, NULL);
    daemon->second_timer = g_timeout_add(DAEMON_SECOND_MS, on_second, daemon);
    return TRUE;
}

StenoDaemon *steno_daemon_start(StenoConfig *config, const StenoLog *log, const StenoDaemonEvents *events,
                                gpointer user, GError **error)
{
    StenoDaemon *daemon = g_new0(StenoDaemon, 1);
    StenoJournalHow how;
    daemon->config = steno_config_ref(config);
    daemon->log = log;
    daemon->events = events;
    daemon->user = user;
    daemon->lock_fd = -1;
    daemon->recordings = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, recording_free);
    g_queue_init(&daemon->assemblies);
    asks_init(daemon);
    if (open_all(daemon, &how, error) && begin(daemon, how, error))
        return daemon;
    steno_daemon_free(daemon);
    return NULL;
}

/* ---- ending ------------------------------------------------------------------------------------------------------ */

void steno_daemon_finish(StenoDaemon *daemon)
{
    if (daemon->finishing)
        return;
    daemon->finishing = TRUE;
    audit_own(daemon, "stenod.stop", NULL, NULL, "ok", NULL);
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    GHashTableIter iter;
    Recording *recording;
    g_hash_table_iter_init(&iter, daemon->recordings);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&recording))
        g_ptr_array_add(all, recording);
    for (guint i = 0; i < all->len; i++) {
        recording = all->pdata[i];
        /* What is to begin later stays for the next start. */
        if (recording->job && strcmp(recording->row->desired, "stop") != 0)
            recording_stop(recording, "shutdown");
    }
}

char *steno_daemon_status(const StenoDaemon *daemon)
{
    guint recording_now = 0, assembling = 0, queued = 0;
    GHashTableIter iter;
    const Recording *recording;
    g_hash_table_iter_init(&iter, daemon->recordings);
    while (g_hash_table_iter_next(&iter, NULL, (gpointer *)&recording)) {
        if (strcmp(recording->row->state, "queued") == 0)
            queued++;
        else if (recording_records(recording))
            recording_now++;
        else
            assembling++;
    }
    StoringCount storing;
    storing_count(daemon, NULL, NULL, &storing);
    g_autofree char *blocked =
        storing.blocked > 0 ? g_strdup_printf("; %u blocked at their storage", storing.blocked) : g_strdup("");
    return g_strdup_printf("%s%u recording, %u assembling or storing, %u queued%s%s",
                           daemon->finishing ? "ending: " : "", recording_now, assembling, queued, blocked,
                           daemon->outbox.fault ? "; journal not writable" : "");
}

void steno_daemon_watch(StenoDaemon *daemon, const StenoDaemonWatch *watch, gpointer user)
{
    daemon->watch = watch;
    daemon->watch_user = user;
    keys_tell(daemon);
}

void steno_daemon_free(StenoDaemon *daemon)
{
    if (!daemon)
        return;
    if (daemon->second_timer)
        g_source_remove(daemon->second_timer);
    if (daemon->journal)
        (void)outbox_flush(daemon, TRUE);
    if (daemon->retention)
        retention_free(daemon->retention);
    rebuild_free(daemon->rebuild);
    orphans_free(daemon->orphans);
    asks_close(daemon);
    g_hash_table_unref(daemon->recordings);
    outbox_clear(daemon);
    uploads_free(daemon->uploads);
    streams_free(daemon->streams);
    if (daemon->assemblies_source)
        g_source_remove(daemon->assemblies_source);
    prober_free(daemon->prober);
    if (daemon->webhooks)
        webhooks_free(daemon->webhooks);
    if (daemon->journal)
        steno_journal_close(daemon->journal);
    if (daemon->audit)
        steno_audit_close(daemon->audit);
    if (daemon->signer)
        steno_signer_unref(daemon->signer);
    stores_free(daemon->stores);
    if (daemon->lock_fd >= 0)
        close(daemon->lock_fd);
    steno_config_unref(daemon->config);
    g_free(daemon);
}
