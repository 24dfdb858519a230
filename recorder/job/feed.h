/*
 * feed: a secret text on its way into a child's standard input, which reads it when it likes to.
 */
#ifndef STENO_JOB_FEED_H
#define STENO_JOB_FEED_H

#include "steno/base/secret.h"

typedef struct Feed Feed;

/* The two ends of a connection for it: a socket, since writing to one whose reader is gone kills nobody. Both block, so
 * that a child may write to ours as well. INTERNAL. */
gboolean feed_socket(int *ours, int *theirs, GError **error);

/* Writes the text to a socket (taken) from the default main context, and closes it behind that, or when nobody reads
 * any more. The text is referenced. */
Feed *feed_start(int fd, StenoSecret *text);
/* What is not written is not written any more. NULL is nothing. */
void feed_free(Feed *feed);

#endif
