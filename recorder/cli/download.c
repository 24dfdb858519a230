/* One file from stenod to this disk. */
#include "download.h"

#include "steno/base/clock.h"
#include "steno/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How often in a row a connection may break before anything came. */
#define ATTEMPTS 5
#define CHUNK_BYTES (256 * 1024)

typedef struct {
    const CliDownload *wanted;
    char *final, *part;
    int fd;
    gint64 filled;  /* bytes in the part */
    gint64 asked;   /* from where the rest was asked for */
    gint64 offered; /* from where it comes, by Content-Range */
    char *etag;     /* of what is in the part */
    GChecksum *sum;
    gint64 told_us;
    GError *error;
} State;

/* ---- what is there ----------------------------------------------------------------------------------------------- */

/* Reads a file into the sum; its size, or -1. */
static gint64 sum_file(int fd, GChecksum *sum)
{
    g_autofree guchar *chunk = g_malloc(CHUNK_BYTES);
    gint64 total = 0;
    if (lseek(fd, 0, SEEK_SET) != 0)
        return -1;
    for (;;) {
        gssize n = read(fd, chunk, CHUNK_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -1 : total;
        g_checksum_update(sum, chunk, n);
        total += n;
    }
}

/* 1: there, and right; 0: not there; -1: there, and another file. */
static int look_at_final(const State *state)
{
    int fd = open(state->final, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    gint64 bytes = sum_file(fd, sum);
    close(fd);
    /* Without a digest it can't be known to be right. */
    return bytes == state->wanted->bytes && strcmp(g_checksum_get_string(sum), state->wanted->sha256) == 0 ? 1 : -1;
}

static gboolean restart(State *state)
{
    g_checksum_reset(state->sum);
    state->filled = 0;
    return ftruncate(state->fd, 0) == 0 && lseek(state->fd, 0, SEEK_SET) == 0;
}

static gboolean open_part(State *state, GError **error)
{
    state->fd = open(state->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (state->fd < 0)
        return steno_error_set_errno(error, errno, "opening '%s'", state->part);
    state->filled = sum_file(state->fd, state->sum);
    gboolean useful = state->filled >= 0 && state->wanted->bytes >= 0 && state->filled <= state->wanted->bytes &&
                      state->wanted->sha256[0];
    if (!useful && !restart(state))
        return steno_error_set_errno(error, errno, "emptying '%s'", state->part);
    return TRUE;
}

/* ---- what comes -------------------------------------------------------------------------------------------------- */

static void on_header(gpointer user, const char *name, const char *value)
{
    State *state = user;
    if (strcmp(name, "etag") == 0 && g_str_has_prefix(value, "\"")) {
        g_free(state->etag);
        state->etag = g_strdup(value);
    } else if (strcmp(name, "content-range") == 0 && g_str_has_prefix(value, "bytes ")) {
        state->offered = g_ascii_strtoll(value + strlen("bytes "), NULL, 10);
    }
}

static gboolean on_opened(gpointer user, long status)
{
    State *state = user;
    gint64 from = status == 206 ? state->offered : 0;
    if (from == state->filled)
        return TRUE;
    if (from == 0 && restart(state))
        return TRUE;
    g_set_error(&state->error, STENO_ERROR, STENO_ERROR_PROTOCOL,
                "'%s' was sent from byte %" G_GINT64_FORMAT " instead of %" G_GINT64_FORMAT, state->wanted->name, from,
                state->asked);
    return FALSE;
}

static gboolean on_data(gpointer user, const char *bytes, gsize count)
{
    State *state = user;
    if (state->wanted->bytes >= 0 && state->filled + (gint64)count > state->wanted->bytes) {
        g_set_error(&state->error, STENO_ERROR, STENO_ERROR_VERIFY_FAILED,
                    "'%s' is longer than the %" G_GINT64_FORMAT " bytes that were promised", state->wanted->name,
                    state->wanted->bytes);
        return FALSE;
    }
    if (!steno_file_write(state->fd, bytes, count))
        return steno_error_set_errno(&state->error, errno, "writing '%s'", state->part);
    g_checksum_update(state->sum, (const guchar *)bytes, (gssize)count);
    state->filled += (gint64)count;
    if (state->wanted->progress)
        cli_progress(state->wanted->name, state->filled, state->wanted->bytes, &state->told_us);
    return TRUE;
}

/* One connection. */
static gboolean fetch_rest(CliClient *client, State *state, GError **error)
{
    g_autofree char *range = g_strdup_printf("Range: bytes=%" G_GINT64_FORMAT "-", state->filled);
    g_autofree char *if_range = g_strdup_printf("If-Range: %s", state->etag);
    /* A storage's versions are others than stenod's; what was joined wrongly is seen by its digest. */
    char *headers[] = {range, state->etag && !state->wanted->direct ? if_range : NULL, NULL};
    CliExchange exchange = {
        .method = "GET",
        .path = state->wanted->path,
        .headers = state->filled > 0 ? headers : NULL,
        .header = on_header,
        .opened = on_opened,
        .data = on_data,
        .user = state,
        .direct = state->wanted->direct,
        .storage_ca = state->wanted->storage_ca,
    };
    state->asked = state->filled;
    state->offered = 0;
    gboolean good = cli_client_exchange(client, &exchange, NULL, error);
    json_decref(exchange.problem);
    if (!state->error)
        return good;
    g_clear_error(error);
    g_propagate_error(error, g_steal_pointer(&state->error));
    return FALSE;
}

static gboolean will_pass(const GError *error)
{
    return g_error_matches(error, STENO_ERROR, STENO_ERROR_DAEMON_UNREACHABLE) ||
           g_error_matches(error, STENO_ERROR, STENO_ERROR_STORAGE_UNREACHABLE);
}

static gboolean fetch(CliClient *client, State *state, GError **error)
{
    guint failures = 0;
    while (state->wanted->bytes < 0 || state->filled < state->wanted->bytes || state->wanted->bytes == 0) {
        g_autoptr(GError) broken = NULL;
        gint64 before = state->filled;
        if (fetch_rest(client, state, &broken) && (state->wanted->bytes < 0 || state->filled == state->wanted->bytes))
            return TRUE;
        failures = state->filled > before ? 0 : failures + 1;
        if (broken && (!will_pass(broken) || failures >= ATTEMPTS)) {
            g_propagate_error(error, g_steal_pointer(&broken));
            return FALSE;
        }
        if (!broken && failures > 0) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_VERIFY_FAILED,
                        "'%s' ended after %" G_GINT64_FORMAT " bytes instead of %" G_GINT64_FORMAT, state->wanted->name,
                        state->filled, state->wanted->bytes);
            return FALSE;
        }
    }
    return TRUE;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static gboolean is_right(const State *state)
{
    return !state->wanted->sha256[0] || strcmp(g_checksum_get_string(state->sum), state->wanted->sha256) == 0;
}

static gboolean publish(State *state, GError **error)
{
    if (fsync(state->fd) != 0)
        return steno_error_set_errno(error, errno, "syncing '%s'", state->part);
    if (rename(state->part, state->final) != 0)
        return steno_error_set_errno(error, errno, "renaming '%s' to '%s'", state->part, state->final);
    return TRUE;
}

static gboolean download(CliClient *client, State *state, GError **error)
{
    if (!open_part(state, error))
        return FALSE;
    gboolean resumed = state->filled > 0;
    if (!fetch(client, state, error))
        return FALSE;

    if (!is_right(state) && resumed) {
        g_clear_pointer(&state->etag, g_free);
        if (!restart(state))
            return steno_error_set_errno(error, errno, "emptying '%s'", state->part);
        if (!fetch(client, state, error))
            return FALSE;
    }
    if (is_right(state))
        return publish(state, error);
    (void)unlink(state->part);
    g_set_error(error, STENO_ERROR, STENO_ERROR_VERIFY_FAILED,
                "'%s' came with SHA-256 %s instead of %s; it was thrown away", state->wanted->name,
                g_checksum_get_string(state->sum), state->wanted->sha256);
    return FALSE;
}

gboolean cli_download(CliClient *client, const CliDownload *wanted, gboolean *fetched, GError **error)
{
    State state = {.wanted = wanted, .fd = -1};
    state.final = g_build_filename(wanted->folder, wanted->name, NULL);
    state.part = g_strconcat(state.final, ".part", NULL);
    state.sum = g_checksum_new(G_CHECKSUM_SHA256);
    /* stenod's ETag is the digest; another one is a reason to send it from the beginning. */
    state.etag = wanted->sha256[0] ? g_strdup_printf("\"%s\"", wanted->sha256) : NULL;
    int there = look_at_final(&state);
    gboolean good = there == 1;
    *fetched = FALSE;
    if (there < 0 && !wanted->force && wanted->sha256[0]) {
        g_set_error(error, STENO_ERROR, STENO_ERROR_STORAGE_UNWRITABLE,
                    "'%s' is there, and is another file than the recording's; --force replaces it", state.final);
    } else if (!good) {
        good = *fetched = download(client, &state, error);
        if (!good && state.fd >= 0 && state.filled == 0)
            (void)unlink(state.part);
        if (wanted->progress)
            cli_progress_end();
    }
    if (state.fd >= 0)
        close(state.fd);
    g_checksum_free(state.sum);
    g_free(state.etag);
    g_free(state.final);
    g_free(state.part);
    return good;
}
