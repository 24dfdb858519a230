/* Names with values, in order: headers and queries on their way out. */
#ifndef STENO_STORAGE_S3_PAIRS_H
#define STENO_STORAGE_S3_PAIRS_H

#include "sign.h"

/* Owns its texts, and wipes them: there are secrets among them. */
typedef struct S3Pairs S3Pairs;

S3Pairs *s3_pairs_new(void);
S3Pairs *s3_pairs_copy(const S3Pairs *pairs);
void s3_pairs_free(S3Pairs *pairs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(S3Pairs, s3_pairs_free)

/* value NULL: nothing is added. */
void s3_pairs_add(S3Pairs *pairs, const char *name, const char *value);
void s3_pairs_add_number(S3Pairs *pairs, const char *name, gint64 value);
/* Ends with a name of NULL; valid until the next addition. */
const S3Pair *s3_pairs_list(const S3Pairs *pairs);

#endif
