#include "source.h"

#include "steno/config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Our own table needs three levels: a list, a group, a list. */
#define DEPTH_MAX 8

typedef struct {
    const char *file, *at, *end;
    guint line, depth;
    gboolean line_is_blank; /* so far, comments apart */
    GString *out;
    ConfigSource *source;
    ConfigFaults *faults;
} Scan;

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* O_NONBLOCK: a FIFO must be refused, not waited for. */
static int open_regular(const char *path, char **fault)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0) {
        *fault = g_strdup_printf("cannot be read: %s", g_strerror(errno));
    } else if (!S_ISREG(status.st_mode)) {
        *fault = g_strdup("is no regular file");
    } else {
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

char *config_source_read(const char *path, gsize *bytes, char **fault)
{
    int fd = open_regular(path, fault);
    if (fd < 0)
        return NULL;
    gsize room = STENO_CONFIG_FILE_MAX_BYTES + 1, filled = 0;
    g_autofree char *text = g_malloc(room);
    gssize got;
    do {
        got = read(fd, text + filled, room - filled);
        filled += got > 0 ? (gsize)got : 0;
    } while ((got > 0 && filled < room) || (got < 0 && errno == EINTR));
    if (got < 0)
        *fault = g_strdup_printf("cannot be read: %s", g_strerror(errno));
    else if (filled == room)
        *fault = g_strdup_printf("is larger than %d bytes, but must be a configuration", STENO_CONFIG_FILE_MAX_BYTES);
    close(fd);
    *bytes = filled;
    return *fault ? NULL : g_steal_pointer(&text);
}

static gint compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A folder that is not there has no files: conf.d may be removed. Hidden files are editors' and package managers'. */
static char **match_folder(const char *folder, const char *pattern, char **fault)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    GDir *dir = g_dir_open(folder, 0, &error);
    if (!dir && !g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
        *fault = g_strdup(error->message);
        return NULL;
    }
    for (const char *name; dir && (name = g_dir_read_name(dir)) != NULL;) {
        if (name[0] != '.' && g_pattern_match_simple(pattern, name))
            g_ptr_array_add(paths, g_build_filename(folder, name, NULL));
    }
    if (dir)
        g_dir_close(dir);
    g_ptr_array_sort(paths, compare_names);
    g_ptr_array_add(paths, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&paths), FALSE);
}

char **config_source_expand(const char *file, const char *pattern, char **fault)
{
    g_autofree char *beside = g_path_get_dirname(file);
    g_autofree char *path = g_path_is_absolute(pattern) ? g_strdup(pattern) : g_build_filename(beside, pattern, NULL);
    g_autofree char *folder = g_path_get_dirname(path), *name = g_path_get_basename(path);
    if (strpbrk(pattern, "*?") == NULL) {
        char *one[] = {path, NULL};
        return g_strdupv(one);
    }
    gsize last = strlen(pattern) - MIN(strlen(pattern), strlen(name));
    if (strcspn(pattern, "*?") < last) {
        *fault = g_strdup("has * or ? in the name of a folder, but must have them in the file's name only");
        return NULL;
    }
    return match_folder(folder, name, fault);
}

/* ---- scanning ---------------------------------------------------------------------------------------------------- */

static gboolean refuse(Scan *scan, guint line, const char *words)
{
    config_faults_add(scan->faults, (ConfigPlace){scan->file, line}, NULL, NULL, "%s", words);
    return FALSE;
}

static void copy(Scan *scan, gsize bytes)
{
    g_string_append_len(scan->out, scan->at, (gssize)bytes);
    scan->at += bytes;
    scan->line_is_blank = FALSE;
}

static gsize left(const Scan *scan)
{
    return (gsize)(scan->end - scan->at);
}

static gboolean sees(const Scan *scan, const char *words)
{
    gsize bytes = strlen(words);
    return left(scan) >= bytes && memcmp(scan->at, words, bytes) == 0;
}

static void skip_to_line_end(Scan *scan)
{
    const char *newline = memchr(scan->at, '\n', left(scan));
    scan->at = newline ? newline : scan->end;
}

static gboolean skip_block_comment(Scan *scan)
{
    guint first = scan->line;
    for (scan->at += 2; !sees(scan, "*/"); scan->at++) {
        if (scan->at == scan->end)
            return refuse(scan, first, "the comment that begins here has no end, but must have one: */");
        if (*scan->at == '\n') {
            g_string_append_c(scan->out, '\n');
            scan->line++;
            scan->line_is_blank = TRUE;
        }
    }
    scan->at += 2;
    g_string_append_c(scan->out, ' ');
    return TRUE;
}

/* libconfig knows \" and \\ ; what else follows a backslash cannot end the text. */
static gboolean scan_text(Scan *scan)
{
    const char *p = scan->at + 1;
    while (p < scan->end && *p != '"' && *p != '\n')
        p += *p == '\\' && p + 1 < scan->end && p[1] != '\n' ? 2 : 1;
    if (p >= scan->end || *p == '\n')
        return refuse(scan, scan->line, "the text that begins here has no end, but must have one on its line: \"");
    copy(scan, (gsize)(p + 1 - scan->at));
    return TRUE;
}

static gboolean scan_number(Scan *scan)
{
    gsize bytes = 0, digits, marks;
    while (bytes < left(scan) && (g_ascii_isalnum(scan->at[bytes]) || scan->at[bytes] == '.'))
        bytes++;
    g_autofree char *number = g_strndup(scan->at, bytes);
    gboolean is_hex = g_ascii_strncasecmp(number, "0x", 2) == 0;
    digits = is_hex ? 2 + strspn(number + 2, "0123456789abcdefABCDEF") : strspn(number, "0123456789");
    marks = strspn(number + digits, "L");
    copy(scan, bytes);
    if (digits + marks != bytes)
        return TRUE; /* with a fraction, or none: libconfig's to tell */
    errno = 0;
    guint64 value = g_ascii_strtoull(number, NULL, is_hex ? 16 : 10);
    if (errno || value > G_MAXINT64)
        return refuse(scan, scan->line, "a number is too large, but must be at most 9223372036854775807");
    if (!marks && value > G_MAXINT32)
        g_string_append_c(scan->out, 'L');
    return TRUE;
}

static gboolean scan_include(Scan *scan)
{
    static const char words[] = "an include must stand on a line of its own, outside of groups and lists: "
                                "@include \"FILE\"";
    const char *at = scan->at;
    if (!scan->line_is_blank || scan->depth || !sees(scan, "@include"))
        return refuse(scan, scan->line, words);
    skip_to_line_end(scan);
    g_autofree char *line = g_strndup(at, (gsize)(scan->at - at));
    char *open = line + strlen("@include"), *close;
    open += strspn(open, " \t");
    close = open[0] == '"' ? strchr(open + 1, '"') : NULL;
    const char *rest = close ? close + 1 + strspn(close + 1, " \t\r;") : "-";
    if (!close || close == open + 1 || (rest[0] && rest[0] != '#' && !g_str_has_prefix(rest, "//")))
        return refuse(scan, scan->line, words);
    *close = '\0';
    ConfigInclude include = {scan->line, g_strdup(open + 1)};
    g_array_append_val(scan->source->includes, include);
    return TRUE;
}

static gboolean scan_bracket(Scan *scan)
{
    if (strchr("({[", *scan->at)) {
        if (++scan->depth > DEPTH_MAX)
            return refuse(scan, scan->line,
                          "groups and lists lie in each other too deep; is a closing bracket missing?");
    } else if (scan->depth) {
        scan->depth--;
    }
    copy(scan, 1);
    return TRUE;
}

static gsize name_bytes(const Scan *scan)
{
    gsize bytes = 0;
    if (!g_ascii_isalpha(*scan->at) && *scan->at != '*')
        return 0;
    while (bytes < left(scan) && (g_ascii_isalnum(scan->at[bytes]) || strchr("-_*", scan->at[bytes])))
        bytes++;
    return bytes;
}

static gboolean scan_one(Scan *scan)
{
    char c = *scan->at;
    gsize bytes;
    if (c == '\n') {
        copy(scan, 1);
        scan->line++;
        scan->line_is_blank = TRUE;
    } else if (c == '#' || sees(scan, "//")) {
        skip_to_line_end(scan);
    } else if (sees(scan, "/*")) {
        return skip_block_comment(scan);
    } else if (c == '"') {
        return scan_text(scan);
    } else if (c == '@') {
        return scan_include(scan);
    } else if (strchr("({[]})", c)) {
        return scan_bracket(scan);
    } else if ((bytes = name_bytes(scan)) > 0) {
        copy(scan, bytes);
    } else if (g_ascii_isdigit(c)) {
        return scan_number(scan);
    } else if (g_ascii_isspace(c)) {
        g_string_append_c(scan->out, ' ');
        scan->at++;
    } else {
        copy(scan, 1);
    }
    return TRUE;
}

static guint line_of(const char *text, const char *at)
{
    guint line = 1;
    for (; text < at; text++)
        line += *text == '\n';
    return line;
}

static void clear_include(gpointer include)
{
    g_free(((ConfigInclude *)include)->pattern);
}

ConfigSource *config_source_scan(const char *file, const char *text, gsize bytes, ConfigFaults *faults)
{
    const char *invalid;
    g_autoptr(ConfigSource) source = g_new0(ConfigSource, 1);
    Scan scan = {.file = file,
                 .at = text,
                 .end = text + bytes,
                 .line = 1,
                 .line_is_blank = TRUE,
                 .source = source,
                 .faults = faults};
    source->includes = g_array_new(FALSE, FALSE, sizeof(ConfigInclude));
    g_array_set_clear_func(source->includes, clear_include);
    if (!g_utf8_validate_len(text, bytes, &invalid)) {
        refuse(&scan, line_of(text, invalid), "is not UTF-8 here, but must be");
        return NULL;
    }
    scan.out = g_string_sized_new(bytes + 16);
    gboolean good = TRUE;
    while (good && scan.at < scan.end)
        good = scan_one(&scan);
    source->text = g_string_free(scan.out, FALSE);
    return good ? g_steal_pointer(&source) : NULL;
}

void config_source_free(ConfigSource *source)
{
    if (!source)
        return;
    g_free(source->text);
    g_array_unref(source->includes);
    g_free(source);
}
