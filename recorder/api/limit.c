#include "limit.h"

#include <arpa/inet.h>
#include <string.h>

typedef struct {
    char *name;
    double tokens;
    gint64 at_us;
    GList link; /* in LimitTable.order */
} Bucket;

struct LimitTable {
    double rate;
    guint burst, entries_max;
    GHashTable *buckets; /* by name */
    GQueue order;        /* longest not asked for first */
};

static void bucket_free(gpointer data)
{
    Bucket *bucket = data;
    g_free(bucket->name);
    g_free(bucket);
}

LimitTable *limit_new(double rate_per_s, guint burst, guint entries_max)
{
    LimitTable *table = g_new0(LimitTable, 1);
    table->rate = rate_per_s;
    table->burst = burst;
    table->entries_max = entries_max;
    table->buckets = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, bucket_free);
    g_queue_init(&table->order);
    return table;
}

void limit_free(LimitTable *table)
{
    if (!table)
        return;
    g_hash_table_unref(table->buckets);
    g_free(table);
}

static Bucket *bucket_of(LimitTable *table, const char *name, gint64 now_us)
{
    Bucket *bucket = g_hash_table_lookup(table->buckets, name);
    if (bucket) {
        g_queue_unlink(&table->order, &bucket->link);
    } else {
        if (g_hash_table_size(table->buckets) >= table->entries_max) {
            Bucket *oldest = g_queue_peek_head(&table->order);
            g_queue_unlink(&table->order, &oldest->link);
            g_hash_table_remove(table->buckets, oldest->name);
        }
        bucket = g_new0(Bucket, 1);
        bucket->name = g_strdup(name);
        bucket->tokens = table->burst;
        bucket->at_us = now_us;
        bucket->link.data = bucket;
        g_hash_table_insert(table->buckets, bucket->name, bucket);
    }
    g_queue_push_tail_link(&table->order, &bucket->link);
    return bucket;
}

static guint seconds_up(double seconds)
{
    guint whole = (guint)seconds;
    return seconds > whole ? whole + 1 : whole;
}

void limit_take(LimitTable *table, const char *name, gint64 now_us, LimitState *state)
{
    Bucket *bucket = bucket_of(table, name, now_us);
    bucket->tokens = MIN((double)table->burst, bucket->tokens + (double)(now_us - bucket->at_us) / 1e6 * table->rate);
    bucket->at_us = now_us;
    state->allowed = bucket->tokens >= 1;
    if (state->allowed)
        bucket->tokens -= 1;
    state->remaining = (guint)bucket->tokens;
    state->reset_s = seconds_up((table->burst - bucket->tokens) / table->rate);
    state->retry_after_s = state->allowed ? 0 : MAX(1, seconds_up((1 - bucket->tokens) / table->rate));
}

void limit_policy(const LimitTable *table, guint *requests, guint *window_s)
{
    *requests = table->burst;
    *window_s = seconds_up(table->burst / table->rate);
}

guint limit_count(const LimitTable *table)
{
    return g_hash_table_size(table->buckets);
}

char *limit_address_name(const char *address)
{
    struct in6_addr six;
    if (inet_pton(AF_INET6, address, &six) != 1)
        return g_strdup(address);
    char text[INET6_ADDRSTRLEN];
    memset(six.s6_addr + 8, 0, 8);
    return g_strdup(inet_ntop(AF_INET6, &six, text, sizeof(text)));
}
