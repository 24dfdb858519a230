/* Where a recording's files lie: the key template ("{app}/{channel}/{date}/{recording}/{file}"), step by step. */
#include "sink.h"

#include "steno/base/clock.h"
#include "steno/base/error.h"
#include "steno/base/safe_name.h"

#include <string.h>

#define MANIFEST "manifest.json"

/* What stands for a word; NULL: it has no value here. */
typedef char *(*ValueOf)(const StenoStorePlace *place);

static char *app_of(const StenoStorePlace *place)
{
    return place->app && place->app[0] ? steno_safe_name(place->app) : NULL;
}

static char *channel_of(const StenoStorePlace *place)
{
    return steno_safe_name(place->channel);
}

static char *date_of(const StenoStorePlace *place)
{
    g_autofree char *time = steno_clock_format(place->started_wall_us);
    return g_strndup(time, strlen("2026-11-21"));
}

static char *time_of(const StenoStorePlace *place)
{
    return steno_clock_format_compact(place->started_wall_us);
}

static char *recording_of(const StenoStorePlace *place)
{
    return steno_safe_name(place->id);
}

static const struct {
    const char *word;
    ValueOf value;
    const char *any; /* what it may be where the start is not known, as a regular expression; NULL: it is known */
} words[] = {
    {"{app}", app_of, NULL},
    {"{channel}", channel_of, NULL},
    {"{date}", date_of, "[0-9]{4}-[0-9]{2}-[0-9]{2}"},
    {"{time}", time_of, "[0-9]{8}T[0-9]{6}Z"},
    {"{recording}", recording_of, NULL},
};

static gint word_at(const char *text)
{
    for (guint i = 0; i < G_N_ELEMENTS(words); i++)
        if (g_str_has_prefix(text, words[i].word))
            return (gint)i;
    return -1;
}

/* One step of the template; NULL when it is left out. `pattern`: as a regular expression, for any start. */
static char *expand_step(const char *step, const StenoStorePlace *place, gboolean pattern)
{
    GString *out = g_string_new(NULL);
    for (const char *p = step; *p;) {
        gint i = word_at(p);
        gboolean any = i >= 0 && pattern && words[i].any;
        g_autofree char *value = i < 0 ? g_strndup(p, 1) : any ? g_strdup(words[i].any) : words[i].value(place);
        if (!value) {
            g_string_free(out, TRUE);
            return NULL;
        }
        g_autofree char *escaped = pattern && !any ? g_regex_escape_string(value, -1) : NULL;
        g_string_append(out, escaped ? escaped : value);
        p += i < 0 ? 1 : strlen(words[i].word);
    }
    return g_string_free(out, FALSE);
}

/* All steps but the file's. */
static char *expand(const StenoStore *store, const StenoStorePlace *place, gboolean pattern)
{
    GString *out = g_string_new(NULL);
    g_auto(GStrv) steps = g_strsplit(store_key_template(store), "/", -1);
    for (guint i = 0; steps[i + 1]; i++) {
        g_autofree char *step = expand_step(steps[i], place, pattern);
        if (step)
            g_string_append_printf(out, "%s%s", out->len ? "/" : "", step);
    }
    return g_string_free(out, FALSE);
}

char *steno_store_folder(const StenoStore *store, const StenoStorePlace *place)
{
    return expand(store, place, FALSE);
}

/* ---- looking for one --------------------------------------------------------------------------------------------- */

typedef struct {
    GRegex *manifest;
    char *folder;
} Search;

static gboolean on_found(gpointer user, const char *key, gint64 bytes)
{
    Search *search = user;
    (void)bytes;
    if (!g_regex_match(search->manifest, key, 0, NULL))
        return TRUE;
    search->folder = g_strndup(key, strlen(key) - strlen("/" MANIFEST));
    return FALSE;
}

/* What all keys of the recording begin with: the template as far as it does not depend on the start. */
static char *known_prefix(const StenoStore *store, const StenoStorePlace *place)
{
    StenoStorePlace one = *place, other = *place;
    one.started_wall_us = 0;
    other.started_wall_us = (gint64)40 * 365 * 86400 * G_USEC_PER_SEC; /* 2009: already the first digit differs */
    g_autofree char *a = steno_store_folder(store, &one), *b = steno_store_folder(store, &other);
    const char *end = a;
    while (*end && *end == b[end - a])
        end++;
    return g_strndup(a, (gsize)(end - a));
}

char *steno_store_find(StenoStore *store, const StenoStorePlace *place, GCancellable *cancellable, GError **error)
{
    g_autofree char *prefix = known_prefix(store, place), *folder = expand(store, place, TRUE);
    g_autofree char *pattern = g_strdup_printf("^%s/" MANIFEST "$", folder);
    Search search = {.manifest = g_regex_new(pattern, G_REGEX_DOLLAR_ENDONLY, 0, NULL)};
    gboolean listed = steno_store_list(store, prefix, on_found, &search, cancellable, error);
    g_regex_unref(search.manifest);
    if (listed && !search.folder)
        g_set_error(error, STENO_ERROR, STENO_ERROR_NOT_FOUND, "there is no %s of recording %s in storage %s", MANIFEST,
                    place->id, steno_store_name(store));
    if (!listed)
        g_clear_pointer(&search.folder, g_free);
    return search.folder;
}
