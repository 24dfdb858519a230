/*
 * What a client that comes (back) is told again: the newest numbered events. Main thread.
 */
#ifndef STENO_SESSION_REPLAY_H
#define STENO_SESSION_REPLAY_H

#include <glib.h>
#include <jansson.h>

typedef struct Replay Replay;

/* Keeps the newest `most` events. */
Replay *replay_new(guint most);
void replay_free(Replay *replay);

/* Keeps a reference to an event that has a number; others are passed over. */
void replay_add(Replay *replay, json_t *event);

/* Calls tell with each event that is kept and came after this one, oldest first, until it returns FALSE. */
void replay_after(const Replay *replay, guint part, guint seq, gboolean (*tell)(gpointer user, json_t *event),
                  gpointer user);

#endif
