/* Key sets of one source, made one: what it answered to each question. */
#ifndef CONTENT_SOURCE_MERGE_H
#define CONTENT_SOURCE_MERGE_H

#include "source_buffer.h"

/*
 * texts: of StenoSecret, at least one, each of them a key set that could be read. A key of a later one takes the place
 * of the same participant's and kid's of an earlier one. KEYS_INVALID when they disagree about anything but keys, or
 * are too large together.
 */
StenoSecret *source_merge(const GPtrArray *texts, GError **error);

#endif
