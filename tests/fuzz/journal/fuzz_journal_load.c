/*
 * A journal of any bytes: opening it ends in a journal that can be used or in an error with words, and reading and
 * writing what was believed does no harm.
 */
#include "journal_internal.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static char *folder;

/* ---- SQLite's memory --------------------------------------------------------------------------------------------- */

/*
 * SQLite asks for some thousand small pieces an input, which the sanitizer's allocator takes longer over than SQLite
 * over all the rest; and SQLite is not what is tested. They come from one block instead, which is empty again after
 * each input, or something was not closed.
 */
#define BLOCK_BYTES (256u << 20)
#define PIECE_HEAD 16

static struct {
    char *block;
    gsize used, kept; /* kept: what SQLite holds for good */
    sqlite3_int64 kept_bytes;
} memory;

static void *piece_new(int bytes)
{
    gsize need = PIECE_HEAD + (((gsize)bytes + 15) & ~(gsize)15);
    if (memory.used + need > BLOCK_BYTES)
        return NULL;
    char *piece = memory.block + memory.used;
    memory.used += need;
    memcpy(piece, &bytes, sizeof bytes);
    return piece + PIECE_HEAD;
}

static int piece_bytes(void *piece)
{
    int bytes = 0;
    if (piece)
        memcpy(&bytes, (char *)piece - PIECE_HEAD, sizeof bytes);
    return bytes;
}

static void piece_free(void *piece)
{
    (void)piece;
}

static void *piece_resize(void *piece, int bytes)
{
    void *larger = piece_new(bytes);
    if (larger && piece)
        memcpy(larger, piece, (gsize)MIN(bytes, piece_bytes(piece)));
    return larger;
}

static int round_up(int bytes)
{
    return (bytes + 15) & ~15;
}

static int memory_init(void *user)
{
    (void)user;
    return SQLITE_OK;
}

static void memory_shutdown(void *user)
{
    (void)user;
}

static void memory_install(void)
{
    static const sqlite3_mem_methods methods = {piece_new, piece_free,  piece_resize,    piece_bytes,
                                                round_up,  memory_init, memory_shutdown, NULL};
    memory.block = mmap(NULL, BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory.block == MAP_FAILED || sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK)
        abort();
}

static void memory_keep(void)
{
    memory.kept = memory.used;
    memory.kept_bytes = sqlite3_memory_used();
}

static void memory_reset(void)
{
    if (sqlite3_memory_used() != memory.kept_bytes)
        abort();
    memory.used = memory.kept;
}

/* ---- the target -------------------------------------------------------------------------------------------------- */

static void clean_up(void)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        (void)g_unlink(path);
    }
}

static void remove_folder(void)
{
    clean_up();
    (void)g_rmdir(folder);
}

static void write_file(const char *path, const uint8_t *data, size_t bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes)
        abort();
    close(fd);
}

static void give_back(GPtrArray *rows)
{
    if (rows)
        g_ptr_array_unref(rows);
}

static void use(StenoJournal *journal)
{
    static const char *const states[] = {"completed", "queued", NULL};
    StenoJournalFilter filter = {.oldest_first = TRUE}, other = {.app = "clinic", .states = states};
    g_autofree char *token = NULL, *found = NULL;
    g_autoptr(GPtrArray) rows = steno_journal_recordings_list(journal, &filter, 3, NULL, &token, NULL);
    if (token) {
        g_ptr_array_unref(rows);
        rows = steno_journal_recordings_list(journal, &filter, 100, token, NULL, NULL);
    }
    give_back(steno_journal_recordings_list(journal, &other, 10, NULL, NULL, NULL));
    for (guint i = 0; rows && i < rows->len; i++)
        (void)steno_journal_recording_save(journal, rows->pdata[i], NULL);
    give_back(steno_journal_recordings_unfinished(journal, NULL));
    give_back(steno_journal_events(journal, 0, NULL, NULL, 10, NULL));
    give_back(steno_journal_deliveries_waiting(journal, 10, NULL));
    give_back(steno_journal_keys(journal, NULL));
    json_decref(steno_journal_endpoints_disabled(journal, NULL));
    (void)steno_journal_idempotency_find(journal, "clinic", "k", "d", &found, NULL);
    (void)steno_journal_files_bytes(journal, "clinic", NULL);
    (void)steno_journal_events_last(journal, NULL);
    g_autoptr(StenoJournalRecording) row = steno_journal_recording_new();
    row->id = g_strdup("new");
    row->app = g_strdup("clinic");
    row->platform = g_strdup("janus-1");
    row->channel = g_strdup("new");
    (void)steno_journal_recording_add(journal, row, NULL);
    (void)steno_journal_event_add(journal, "r1", "clinic", "t", NULL, NULL, NULL);
    (void)steno_journal_recording_forget(journal, "r1", NULL);
}

/* All the way: what is damaged is set aside, and a new one made. */
static void try_open(const char *path)
{
    StenoJournalHow how = STENO_JOURNAL_OPENED;
    g_autoptr(GError) error = NULL;
    StenoJournal *journal = steno_journal_open(path, "ward-7", &how, &error);
    if (!journal != !!error || (journal && (how == STENO_JOURNAL_SET_ASIDE) != !!steno_journal_damage(journal)))
        abort();
    if (journal && how == STENO_JOURNAL_OPENED)
        use(journal);
    steno_journal_close(journal);
}

/* Judged only: the making of a new one takes SQLite longer than all the rest, and knows nothing of the old one's bytes.
 */
static void try_judge(const char *path)
{
    StenoJournalHow how = STENO_JOURNAL_OPENED;
    g_autofree char *damage = NULL;
    g_autoptr(GError) error = NULL;
    StenoJournal *journal = journal_new(path, "ward-7", open("/dev/null", O_RDONLY | O_CLOEXEC));
    OpenResult result = journal_open_file(journal, &how, &damage, &error);
    if ((result == OPEN_DAMAGED) != !!damage || (result == OPEN_FAILED) != !!error)
        abort();
    if (result == OPEN_GOOD)
        use(journal);
    steno_journal_close(journal);
}

static void try_file(const uint8_t *data, size_t bytes)
{
    g_autofree char *path = g_build_filename(folder, "j", NULL);
    write_file(path, data, bytes);
    if (bytes > 0 && data[bytes - 1] % 16 != 0)
        try_judge(path);
    else
        try_open(path);
    clean_up();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (!folder) {
        memory_install();
        folder = g_strdup("/dev/shm/steno-fuzz-journal-XXXXXX");
        if (!g_mkdtemp(folder))
            abort();
        atexit(remove_folder);
        try_file(data, 0);
        memory_keep();
    }
    try_file(data, bytes);
    memory_reset();
    return 0;
}
