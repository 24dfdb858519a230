/*
 * What a recorder's client says: each message is checked here, and only what is lawful and comes at its time reaches
 * the recorder. Trusts nothing. Main thread.
 */
#ifndef STENO_SESSION_CONTROL_H
#define STENO_SESSION_CONTROL_H

#include <glib.h>
#include <jansson.h>

typedef struct {
    const json_t *job; /* an object */
    const char *capture;
    guint part;          /* from 1 */
    gint64 zero_wall_us; /* 0: now */
    gboolean finish_when_alone;
} ControlStart;

typedef struct {
    void (*start)(gpointer user, const ControlStart *start);
    void (*attach)(gpointer user, guint part, guint seq);
    void (*stop)(gpointer user, const char *end_reason);
    void (*pause)(gpointer user, gboolean paused);
    /* FALSE: nothing of it was taken over. */
    gboolean (*update)(gpointer user, const json_t *job, GError **error);
} ControlCommands;

typedef struct {
    const ControlCommands *commands;
    gpointer user;
    gboolean started;  /* somebody said start */
    gboolean attached; /* the present client said start or attach; to be cleared when it goes */
} Control;

/* Takes one message. FALSE, with nothing done, when it is not lawful: USAGE or CONFLICT. */
gboolean control_message(Control *control, const json_t *message, GError **error);

#endif
