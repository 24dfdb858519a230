/*
 * Token buckets by name: a key's requests, an address's logins. A bounded table: when it is full, the bucket that was
 * not asked for the longest time is forgotten.
 */
#ifndef STENO_API_LIMIT_H
#define STENO_API_LIMIT_H

#include <glib.h>

typedef struct LimitTable LimitTable;

typedef struct {
    gboolean allowed;
    guint remaining;     /* requests that may be made at once from now on */
    guint reset_s;       /* until the burst is whole again */
    guint retry_after_s; /* until the next one is allowed; 0 when it is */
} LimitState;

LimitTable *limit_new(double rate_per_s, guint burst, guint entries_max);
void limit_free(LimitTable *table);
/* Takes one token of the name's bucket, if there is one. */
void limit_take(LimitTable *table, const char *name, gint64 now_us, LimitState *state);
/* As the RateLimit-Policy header tells it: so many requests in so many seconds. */
void limit_policy(const LimitTable *table, guint *requests, guint *window_s);
/* How many names are remembered. */
guint limit_count(const LimitTable *table);

/* An address's name for limiting: of IPv6 the /64, since whoever has one address has all of them. Caller frees. */
char *limit_address_name(const char *address);

#endif
