#include "pairs.h"

#include <string.h>

struct S3Pairs {
    GArray *list; /* of S3Pair */
};

static void wipe(const char *text)
{
    char *own = (char *)text;
    steno_secret_wipe(own, strlen(own));
    g_free(own);
}

static void pair_clear(gpointer data)
{
    S3Pair *pair = data;
    wipe(pair->name);
    wipe(pair->value);
}

S3Pairs *s3_pairs_new(void)
{
    S3Pairs *pairs = g_new0(S3Pairs, 1);
    pairs->list = g_array_new(TRUE, TRUE, sizeof(S3Pair));
    g_array_set_clear_func(pairs->list, pair_clear);
    return pairs;
}

S3Pairs *s3_pairs_copy(const S3Pairs *pairs)
{
    S3Pairs *copy = s3_pairs_new();
    for (const S3Pair *pair = pairs ? s3_pairs_list(pairs) : NULL; pair && pair->name; pair++)
        s3_pairs_add(copy, pair->name, pair->value);
    return copy;
}

void s3_pairs_free(S3Pairs *pairs)
{
    if (!pairs)
        return;
    g_array_unref(pairs->list);
    g_free(pairs);
}

void s3_pairs_add(S3Pairs *pairs, const char *name, const char *value)
{
    if (!value)
        return;
    S3Pair pair = {g_strdup(name), g_strdup(value)};
    g_array_append_val(pairs->list, pair);
}

void s3_pairs_add_number(S3Pairs *pairs, const char *name, gint64 value)
{
    g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, value);
    s3_pairs_add(pairs, name, text);
}

const S3Pair *s3_pairs_list(const S3Pairs *pairs)
{
    return (const S3Pair *)(const void *)pairs->list->data;
}
