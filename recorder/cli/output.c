/* What is printed: data on standard output, messages on standard error. */
#include "cli.h"

#include "steno/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

int cli_fail(const GError *error)
{
    g_autofree char *words = steno_log_redact(error->message);
    /* The faults of a configuration are several lines. */
    g_auto(GStrv) lines = g_strsplit(words, "\n", -1);
    for (guint i = 0; lines[i]; i++) {
        g_autofree char *line = cli_printable(lines[i]);
        if (i == 0 || line[0])
            fprintf(stderr, "%s%s\n", i == 0 ? "steno: " : "", line);
    }
    return steno_error_exit_code(error);
}

int cli_usage_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *words = g_strdup_vprintf(format, args);
    va_end(args);
    fprintf(stderr, "steno: %s\n", words);
    return 2;
}

void cli_print_json(json_t *value)
{
    char *line = json_dumps(value, JSON_COMPACT);
    g_autofree char *redacted = steno_log_redact(line);
    puts(redacted);
    fflush(stdout);
    free(line);
    json_decref(value);
}

void cli_print_answer(const json_t *value)
{
    char *line = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    puts(line ? line : "null");
    fflush(stdout);
    free(line);
}

/* ---- progress ---------------------------------------------------------------------------------------------------- */

#define PROGRESS_US (200 * 1000)

void cli_progress(const char *name, gint64 have, gint64 whole, gint64 *told_us)
{
    gint64 now_us = steno_clock_mono_us();
    if (now_us - *told_us < PROGRESS_US)
        return;
    *told_us = now_us;
    g_autofree char *have_text = g_format_size((guint64)have), *printable = cli_printable(name);
    g_autofree char *whole_text = whole < 0 ? NULL : g_format_size((guint64)whole);
    fprintf(stderr, "\r\033[K%s  %s%s%s", printable, have_text, whole_text ? " of " : "", whole_text ? whole_text : "");
    fflush(stderr);
}

void cli_progress_end(void)
{
    fputs("\r\033[K", stderr);
}

/* ---- data -------------------------------------------------------------------------------------------------------- */

gboolean cli_terminal(void)
{
    return isatty(STDOUT_FILENO);
}

gboolean cli_colour(void)
{
    const char *no_colour = g_getenv("NO_COLOR");
    return cli_terminal() && !(no_colour && no_colour[0]) && g_strcmp0(g_getenv("TERM"), "dumb") != 0;
}

char *cli_printable(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *printable = g_string_new(NULL);
    for (const char *at = valid; *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        GUnicodeType type = g_unichar_type(c);
        /* A FORMAT character may turn the direction of what follows. */
        if (type == G_UNICODE_CONTROL || type == G_UNICODE_LINE_SEPARATOR || type == G_UNICODE_PARAGRAPH_SEPARATOR)
            g_string_append_c(printable, ' ');
        else if (type != G_UNICODE_FORMAT)
            g_string_append_unichar(printable, c);
    }
    return g_string_free(printable, FALSE);
}

const char *cli_member(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

gint64 cli_number(const json_t *object, const char *name)
{
    return (gint64)json_number_value(json_object_get(object, name));
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

struct CliTable {
    const char *const *heads;
    guint columns, flexible;
    GPtrArray *cells; /* row after row */
};

/* A column never becomes narrower than this, however narrow the terminal is. */
#define COLUMN_MIN_WIDTH 8

CliTable *cli_table_new(const char *const *heads, guint flexible)
{
    CliTable *table = g_new0(CliTable, 1);
    table->heads = heads;
    table->columns = g_strv_length((char **)heads);
    table->flexible = flexible;
    table->cells = g_ptr_array_new_with_free_func(g_free);
    return table;
}

void cli_table_free(CliTable *table)
{
    g_ptr_array_unref(table->cells);
    g_free(table);
}

void cli_table_add(CliTable *table, ...)
{
    va_list args;
    va_start(args, table);
    for (guint i = 0; i < table->columns; i++) {
        const char *text = va_arg(args, const char *);
        g_ptr_array_add(table->cells, cli_printable(text ? text : ""));
    }
    va_end(args);
}

static guint width_of(const char *text)
{
    guint width = 0;
    for (; *text; text = g_utf8_next_char(text)) {
        gunichar c = g_utf8_get_char(text);
        width += g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
    }
    return width;
}

static void append_cell(GString *text, const char *cell, guint width, gboolean last)
{
    guint filled = 0, whole = width_of(cell);
    for (const char *at = cell; *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        guint step = g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
        if (whole > width && filled + step > width - 1) {
            g_string_append(text, "…");
            filled++;
            break;
        }
        g_string_append_unichar(text, c);
        filled += step;
    }
    for (; !last && filled < width + 2; filled++)
        g_string_append_c(text, ' ');
}

static void append_row(const CliTable *table, GString *text, const char *const *cells, const guint *widths)
{
    for (guint i = 0; i < table->columns; i++)
        append_cell(text, cells[i][0] ? cells[i] : "-", widths[i], i + 1 == table->columns);
    while (text->len > 0 && text->str[text->len - 1] == ' ')
        g_string_truncate(text, text->len - 1);
    g_string_append_c(text, '\n');
}

static char *format_plain(const CliTable *table)
{
    GString *text = g_string_new(NULL);
    for (guint i = 0; i < table->cells->len; i++) {
        g_string_append(text, g_ptr_array_index(table->cells, i));
        g_string_append_c(text, (i + 1) % table->columns == 0 ? '\n' : '\t');
    }
    return g_string_free(text, FALSE);
}

char *cli_table_format(const CliTable *table, gboolean plain, guint width)
{
    if (plain)
        return format_plain(table);
    g_autofree guint *widths = g_new0(guint, table->columns);
    guint total = 0;
    for (guint i = 0; i < table->columns; i++) {
        widths[i] = width_of(table->heads[i]);
        for (guint cell = i; cell < table->cells->len; cell += table->columns)
            widths[i] = MAX(widths[i], width_of(g_ptr_array_index(table->cells, cell)));
        total += widths[i] + (i ? 2 : 0);
    }
    guint *flexible = &widths[table->flexible];
    if (width && total > width && *flexible > COLUMN_MIN_WIDTH)
        *flexible = MAX(COLUMN_MIN_WIDTH, *flexible - MIN(*flexible, total - width));
    GString *text = g_string_new(NULL);
    append_row(table, text, table->heads, widths);
    for (guint cell = 0; cell < table->cells->len; cell += table->columns)
        append_row(table, text, (const char *const *)table->cells->pdata + cell, widths);
    return g_string_free(text, FALSE);
}

static guint terminal_width(void)
{
    struct winsize size = {0};
    return cli_terminal() && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

void cli_table_print(CliTable *table, gboolean plain)
{
    if (plain || table->cells->len > 0) {
        g_autofree char *text = cli_table_format(table, plain, terminal_width());
        fputs(text, stdout);
    }
    cli_table_free(table);
}
