/*
 * The desk: who waits for which keys, what is asked when, and whether an answer says anything new. Everything on the
 * one thread that runs its context.
 */
#ifndef CONTENT_SOURCE_DESK_H
#define CONTENT_SOURCE_DESK_H

#include "source_kind.h"

typedef struct {
    /* A key set that was not there before; both lent. */
    void (*found)(gpointer user, StenoSecret *text, StenoContentKeys *keys);
    /* Told once, until it is another one or was over meanwhile. */
    void (*trouble)(gpointer user, const GError *error);
} SourceDeskEvents;

typedef struct SourceDesk SourceDesk;

/* Asks for the whole channel's set as soon as the context runs. settings, kind and events must outlive it. */
SourceDesk *source_desk_new(const SourceKind *kind, const SourceSettings *settings, GMainContext *context,
                            const SourceDeskEvents *events, gpointer user);
/* Not from inside of an event. */
void source_desk_free(SourceDesk *desk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SourceDesk, source_desk_free)

/* More wants at once than the largest key set could answer are left out: kids of frames are a stranger's. FALSE. */
gboolean source_desk_want(SourceDesk *desk, const char *participant, guint64 kid);
void source_desk_unwant(SourceDesk *desk, const char *participant, guint64 kid);

/* Has everything that was asked been answered, in a way that asking again at once would not change? */
gboolean source_desk_is_settled(const SourceDesk *desk);

#endif
