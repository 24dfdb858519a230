/*
 * What other threads tell the API's. The mailbox outlives the API: a reply that comes after steno_api_stop() is freed
 * here.
 */
#ifndef STENO_API_MAILBOX_H
#define STENO_API_MAILBOX_H

#include "auth.h"

typedef struct {
    enum { MESSAGE_REPLY, MESSAGE_EVENT, MESSAGE_KEYS, MESSAGE_STOP } kind;
    guint64 connection; /* REPLY: whose */
    StenoDaemonReply *reply;
    AuthKeys *keys;
    gint64 seq; /* EVENT */
    char *app, *type, *line;
} Message;

void message_free(Message *message);

typedef struct Mailbox Mailbox;

/* wake is called after each message, on the thread of who posts. */
Mailbox *mailbox_new(void (*wake)(gpointer user), gpointer user);
Mailbox *mailbox_ref(Mailbox *mailbox);
void mailbox_unref(Mailbox *mailbox);
/* Any thread; takes the message. */
void mailbox_post(Mailbox *mailbox, Message *message);
/* The next message, or NULL. */
Message *mailbox_take(Mailbox *mailbox);
/* From now on messages are freed, and nobody is woken. */
void mailbox_close(Mailbox *mailbox);

#endif
