/* The audit log: what is appended is there, what is changed is found. */
#include "steno/audit.h"
#include "steno/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct {
    char *folder, *path;
    StenoAudit *audit;
} Fixture;

/* ---- calls that fail --------------------------------------------------------------------------------------------- */

/* The call by whose number one fails, then (until cleared) all of them when `for_good`. */
static struct {
    int calls, fail_at, saved_errno;
    gboolean for_good;
} fault;

static gboolean fails(void)
{
    int call = ++fault.calls;
    if (fault.fail_at == 0 || call < fault.fail_at || (call > fault.fail_at && !fault.for_good))
        return FALSE;
    errno = fault.saved_errno;
    return TRUE;
}

ssize_t __real_write(int fd, const void *data, size_t bytes);
ssize_t __wrap_write(int fd, const void *data, size_t bytes);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_ftruncate(int fd, off_t bytes);
int __wrap_ftruncate(int fd, off_t bytes);

ssize_t __wrap_write(int fd, const void *data, size_t bytes)
{
    /* A full disk takes what fits, and refuses the rest. */
    if (fails())
        return bytes > 40 ? __real_write(fd, data, 40) : -1;
    return __real_write(fd, data, bytes);
}

int __wrap_fdatasync(int fd)
{
    return fails() ? -1 : __real_fdatasync(fd);
}

int __wrap_ftruncate(int fd, off_t bytes)
{
    return fails() ? -1 : __real_ftruncate(fd, bytes);
}

/* ---- fixture ----------------------------------------------------------------------------------------------------- */

static int setup(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->folder = g_dir_make_tmp("steno-audit-XXXXXX", NULL);
    fixture->path = g_build_filename(fixture->folder, "audit.jsonl", NULL);
    memset(&fault, 0, sizeof fault);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    steno_audit_close(fixture->audit);
    g_unlink(fixture->path);
    g_rmdir(fixture->folder);
    g_free(fixture->folder);
    g_free(fixture->path);
    g_free(fixture);
    return 0;
}

static void reopen(Fixture *fixture)
{
    g_autoptr(GError) error = NULL;
    g_clear_pointer(&fixture->audit, steno_audit_close);
    fixture->audit = steno_audit_open(fixture->path, &error);
    if (!fixture->audit)
        fail_msg("%s", error->message);
}

static gboolean append(Fixture *fixture, const char *target)
{
    json_t *detail = json_pack("{s:s, s:f}", "label", "\xc3\xa4 \"quoted\" / \x01", "share", 0.1);
    StenoAuditEntry entry = {.actor = "key_01J",
                             .role = "operator",
                             .address = "192.0.2.7",
                             .action = "recording.start",
                             .app = "clinic",
                             .target = target,
                             .result = "ok",
                             .detail = detail};
    g_autoptr(GError) error = NULL;
    gboolean appended = steno_audit_append(fixture->audit, &entry, &error);
    assert_true(appended == !error);
    json_decref(detail);
    return appended;
}

static char *content(const Fixture *fixture, gsize *bytes)
{
    char *text = NULL;
    assert_true(g_file_get_contents(fixture->path, &text, bytes, NULL));
    return text;
}

static void set_content(const Fixture *fixture, const char *text, gsize bytes)
{
    int fd = open(fixture->path, O_WRONLY | O_TRUNC | O_CREAT, 0600);
    assert_int_equal(__real_write(fd, text, bytes), bytes);
    close(fd);
}

static guint64 good_entries(const Fixture *fixture)
{
    guint64 entries = 0;
    g_autoptr(GError) error = NULL;
    if (!steno_audit_verify(fixture->path, &entries, NULL, &error))
        fail_msg("%s", error->message);
    return entries;
}

/* The words of the damage, or NULL when there is none. Caller frees. */
static char *damage(const Fixture *fixture)
{
    guint64 entries = 77;
    char *hash = NULL;
    g_autoptr(GError) error = NULL;
    if (steno_audit_verify(fixture->path, &entries, &hash, &error)) {
        g_free(hash);
        return NULL;
    }
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_AUDIT_DAMAGED));
    assert_int_equal(entries, 77);
    assert_null(hash);
    return g_strdup(error->message);
}

static void make_log(Fixture *fixture, int lines)
{
    reopen(fixture);
    for (int i = 0; i < lines; i++)
        assert_true(append(fixture, i % 2 ? "rec" : NULL));
    g_clear_pointer(&fixture->audit, steno_audit_close);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void test_chain_goes_on(void **state)
{
    Fixture *fixture = *state;
    struct stat status;
    make_log(fixture, 3);
    make_log(fixture, 2);
    assert_int_equal(good_entries(fixture), 5);
    assert_int_equal(stat(fixture->path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);

    gsize bytes;
    g_autofree char *text = content(fixture, &bytes);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    assert_int_equal(g_strv_length(lines), 6);
    g_autofree char *last_hash = NULL;
    guint64 entries = 0;
    assert_true(steno_audit_verify(fixture->path, &entries, &last_hash, NULL));
    json_t *line = json_loads(lines[4], 0, NULL);
    static const char *const members[] = {"n",   "time",   "actor",  "role",   "address",  "action",
                                          "app", "target", "result", "detail", "previous", "hash"};
    for (gsize i = 0; i < G_N_ELEMENTS(members); i++)
        assert_non_null(json_object_get(line, members[i]));
    assert_int_equal(json_object_size(line), G_N_ELEMENTS(members));
    assert_int_equal(json_integer_value(json_object_get(line, "n")), 5);
    assert_string_equal(json_string_value(json_object_get(line, "hash")), last_hash);
    assert_string_equal(json_string_value(json_object_get(line, "target")), "rec");
    json_decref(line);
}

static void test_hash_is_the_documented_one(void **state)
{
    Fixture *fixture = *state;
    make_log(fixture, 1);
    gsize bytes;
    g_autofree char *text = content(fixture, &bytes);
    json_t *line = json_loads(text, 0, NULL);
    g_autofree char *hash = g_strdup(json_string_value(json_object_get(line, "hash")));
    assert_int_equal(strspn(json_string_value(json_object_get(line, "previous")), "0"), 64);
    json_object_del(line, "hash");
    char *form = json_dumps(line, JSON_COMPACT | JSON_SORT_KEYS);
    g_autofree char *expected = g_compute_checksum_for_string(G_CHECKSUM_SHA256, form, -1);
    assert_string_equal(hash, expected);
    free(form);
    json_decref(line);
}

static void test_any_changed_byte_is_found(void **state)
{
    Fixture *fixture = *state;
    make_log(fixture, 4);
    gsize bytes;
    g_autofree char *text = content(fixture, &bytes);
    for (gsize i = 0; i < bytes; i++) {
        static const char flips[] = {1, 0x20, (char)0x80};
        for (gsize f = 0; f < sizeof flips; f++) {
            g_autofree char *changed = g_memdup2(text, bytes);
            changed[i] = (char)(changed[i] ^ flips[f]);
            set_content(fixture, changed, bytes);
            g_autofree char *words = damage(fixture);
            if (!words)
                fail_msg("byte %zu changed by %x was not found", i, (unsigned char)flips[f]);
        }
    }
}

static void test_missing_added_and_moved_lines_are_found(void **state)
{
    Fixture *fixture = *state;
    make_log(fixture, 4);
    gsize bytes;
    g_autofree char *text = content(fixture, &bytes);
    g_auto(GStrv) l = g_strsplit(text, "\n", -1);
    const struct {
        char *text;
        const char *words; /* NULL: it is good */
    } rows[] = {
        {g_strconcat(l[1], "\n", l[2], "\n", l[3], "\n", NULL), "line 1: its n is 2, but must be 1"},
        {g_strconcat(l[0], "\n", l[2], "\n", l[3], "\n", NULL), "line 2: its n is 3, but must be 2"},
        {g_strconcat(l[0], "\n", l[2], "\n", l[1], "\n", l[3], "\n", NULL), "line 2: its n is 3"},
        {g_strconcat(l[0], "\n", l[1], "\n", l[1], "\n", l[2], "\n", NULL), "line 3: its n is 2"},
        {g_strconcat(l[0], "\n", "{}\n", l[1], "\n", NULL), "line 2: it has no n"},
        {g_strconcat(l[0], "\n", "nonsense\n", NULL), "line 2: it is no JSON object"},
        {g_strconcat(l[0], "\n", "[]\n", NULL), "line 2: it is no JSON object"},
        {g_strconcat(l[0], "\n\n", l[1], "\n", NULL), "line 2: it is no JSON object"},
        {g_strconcat(l[0], "\n", l[1], NULL), "line 2: it is cut"},
        /* What the chain can't tell: its end is cut off. The count and last hash do. */
        {g_strconcat(l[0], "\n", l[1], "\n", NULL), NULL},
        {g_strdup(""), NULL},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        set_content(fixture, rows[i].text, strlen(rows[i].text));
        g_autofree char *words = damage(fixture);
        if (!rows[i].words != !words || (words && !strstr(words, rows[i].words)))
            fail_msg("row %zu: %s", i, words ? words : "nothing found");
        g_free(rows[i].text);
    }
}

/* A line that was made anew, hash and all, is found by the line that follows it. */
static void test_forged_line_is_found(void **state)
{
    Fixture *fixture = *state;
    make_log(fixture, 3);
    gsize bytes;
    g_autofree char *text = content(fixture, &bytes);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    json_t *line = json_loads(lines[1], 0, NULL);
    json_object_set_new(line, "actor", json_string("somebody else"));
    json_object_del(line, "hash");
    char *form = json_dumps(line, JSON_COMPACT | JSON_SORT_KEYS);
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, form, -1);
    free(form);
    json_object_set_new(line, "hash", json_string(hash));
    form = json_dumps(line, JSON_COMPACT | JSON_SORT_KEYS);
    g_autofree char *forged = g_strconcat(lines[0], "\n", form, "\n", lines[2], "\n", NULL);
    free(form);
    json_decref(line);
    set_content(fixture, forged, strlen(forged));
    g_autofree char *words = damage(fixture);
    assert_non_null(words);
    assert_non_null(strstr(words, "line 3: its previous is not the hash"));
}

static void test_torn_end_is_cut_and_told(void **state)
{
    Fixture *fixture = *state;
    make_log(fixture, 3);
    gsize bytes;
    g_autofree char *text = content(fixture, &bytes);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    gsize third = strlen(lines[0]) + strlen(lines[1]) + 2;
    /* Anywhere in the last line; with NULs for a page that was not on disk; and with nothing else in the file. */
    for (gsize cut = third + 1; cut < bytes; cut += 7) {
        for (int zeros = 0; zeros < 2; zeros++) {
            g_autofree char *torn = g_memdup2(text, bytes);
            if (zeros)
                memset(torn + cut - 1, 0, bytes - cut);
            set_content(fixture, torn, zeros ? bytes : cut);
            reopen(fixture);
            assert_true(append(fixture, NULL));
            g_clear_pointer(&fixture->audit, steno_audit_close);
            assert_int_equal(good_entries(fixture), 4);
            gsize now;
            g_autofree char *repaired = content(fixture, &now);
            g_autofree char *told = g_strdup_printf("\"detail\":{\"cut_bytes\":%zu}", (zeros ? bytes : cut) - third);
            assert_non_null(strstr(repaired, "\"action\":\"audit.repaired\""));
            assert_non_null(strstr(repaired, told));
        }
    }
    set_content(fixture, text, 10);
    reopen(fixture);
    assert_int_equal(good_entries(fixture), 1);
}

static void test_damaged_end_is_refused(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GError) error = NULL;
    make_log(fixture, 2);
    gsize bytes;
    g_autofree char *text = content(fixture, &bytes);
    text[bytes - 20] ^= 1;
    set_content(fixture, text, bytes);
    assert_null(steno_audit_open(fixture->path, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_AUDIT_DAMAGED));
    g_autofree char *after = content(fixture, &bytes);
    assert_memory_equal(after, text, bytes);
    /* No line end for longer than a line: that is not what a crash leaves. */
    g_autofree char *endless = g_strnfill(200000, 'x');
    g_clear_error(&error);
    set_content(fixture, endless, 200000);
    assert_null(steno_audit_open(fixture->path, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_AUDIT_DAMAGED));
    g_autofree char *words = damage(fixture);
    assert_non_null(strstr(words, "line 1: it is longer"));
}

static void test_second_writer_is_refused(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(GError) error = NULL;
    reopen(fixture);
    assert_null(steno_audit_open(fixture->path, &error));
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_STORAGE_UNWRITABLE));
    g_clear_error(&error);
    assert_null(steno_audit_open(fixture->folder, &error));
    assert_non_null(error);
}

static void test_changes_by_others_are_refused(void **state)
{
    Fixture *fixture = *state;
    reopen(fixture);
    assert_true(append(fixture, NULL));
    assert_int_equal(truncate(fixture->path, 10), 0);
    assert_false(append(fixture, NULL));
    g_unlink(fixture->path);
    assert_false(append(fixture, NULL));
}

static void test_odd_entries(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *large = g_strnfill(100000, '\x01');
    json_t *detail = json_pack("{s:s}", "large", large);
    reopen(fixture);
    StenoAuditEntry entries[] = {
        {.actor = "a", .action = "b", .result = "ok"},
        {.actor = "\xff\xfe", .action = "line\nend", .result = "ok", .target = "\"}\\"},
        {.actor = "a", .action = "b", .result = "ok", .detail = detail},
        {.actor = large,
         .role = large,
         .address = large,
         .action = large,
         .app = large,
         .target = large,
         .result = large,
         .detail = detail},
        {0},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(entries); i++)
        assert_true(steno_audit_append(fixture->audit, &entries[i], NULL));
    json_decref(detail);
    assert_int_equal(good_entries(fixture), G_N_ELEMENTS(entries));
    reopen(fixture);
    assert_true(append(fixture, NULL));
    assert_int_equal(good_entries(fixture), G_N_ELEMENTS(entries) + 1);
}

/* The Nth write, sync or cut fails, N = 1, 2, … until none does. */
static void test_every_failing_call(void **state)
{
    Fixture *fixture = *state;
    static const int errnos[] = {ENOSPC, EIO};
    for (guint i = 0; i < 4; i++) {
        int acknowledged = 0, rounds = 0;
        g_unlink(fixture->path);
        for (int n = 1;; n++) {
            memset(&fault, 0, sizeof fault);
            fault.saved_errno = errnos[i % 2];
            fault.for_good = i / 2 != 0;
            fault.fail_at = n;
            reopen(fixture);
            for (int a = 0; a < 3; a++) {
                acknowledged += append(fixture, NULL);
                /* What was refused can't be read either, unless cutting it off failed as well. */
                if (!fault.for_good)
                    assert_int_equal(good_entries(fixture), acknowledged);
            }
            gboolean none_failed = fault.calls < n;
            fault.fail_at = 0;
            /* And it goes on as if nothing had been, in this process and in the next. */
            acknowledged += append(fixture, NULL);
            assert_int_equal(good_entries(fixture), acknowledged);
            rounds++;
            if (none_failed)
                break;
        }
        g_clear_pointer(&fixture->audit, steno_audit_close);
        assert_true(rounds > 6);
    }
}

/* A child writes and is killed; what it was told to be in the log is. */
static void test_kill(void **state)
{
    Fixture *fixture = *state;
    guint64 acknowledged = 0;
    for (int round = 0; round < 20; round++) {
        int pipe_fds[2];
        assert_int_equal(pipe(pipe_fds), 0);
        pid_t child = fork();
        if (child == 0) {
            StenoAuditEntry entry = {.actor = "a", .action = "b", .result = "ok"};
            StenoAudit *audit = steno_audit_open(fixture->path, NULL);
            while (audit && steno_audit_append(audit, &entry, NULL) && __real_write(pipe_fds[1], "+", 1) == 1)
                continue;
            _exit(1);
        }
        close(pipe_fds[1]);
        char ack[64];
        for (int i = 0; i <= round; i++) {
            ssize_t n = read(pipe_fds[0], ack, 1);
            assert_int_equal(n, 1);
            acknowledged++;
        }
        kill(child, SIGKILL);
        ssize_t n;
        while ((n = read(pipe_fds[0], ack, sizeof ack)) > 0)
            acknowledged += (guint64)n;
        close(pipe_fds[0]);
        assert_int_equal(waitpid(child, NULL, 0), child);
        reopen(fixture);
        guint64 entries = good_entries(fixture);
        /* One more may be in it that the kill kept from being told. */
        assert_in_range(entries, acknowledged, acknowledged + 1);
        acknowledged = entries;
        g_clear_pointer(&fixture->audit, steno_audit_close);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_chain_goes_on),
        TEST(test_hash_is_the_documented_one),
        TEST(test_any_changed_byte_is_found),
        TEST(test_missing_added_and_moved_lines_are_found),
        TEST(test_forged_line_is_found),
        TEST(test_torn_end_is_cut_and_told),
        TEST(test_damaged_end_is_refused),
        TEST(test_second_writer_is_refused),
        TEST(test_changes_by_others_are_refused),
        TEST(test_odd_entries),
        TEST(test_every_failing_call),
        TEST(test_kill),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
