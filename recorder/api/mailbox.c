#include "mailbox.h"

struct Mailbox {
    gint ref_count;
    GMutex lock;
    GQueue messages;
    gboolean closed;
    void (*wake)(gpointer user);
    gpointer user;
};

void message_free(Message *message)
{
    if (!message)
        return;
    if (message->reply)
        steno_daemon_reply_free(message->reply);
    auth_keys_free(message->keys);
    g_free(message->app);
    g_free(message->type);
    g_free(message->line);
    g_free(message);
}

Mailbox *mailbox_new(void (*wake)(gpointer user), gpointer user)
{
    Mailbox *mailbox = g_new0(Mailbox, 1);
    mailbox->ref_count = 1;
    g_mutex_init(&mailbox->lock);
    g_queue_init(&mailbox->messages);
    mailbox->wake = wake;
    mailbox->user = user;
    return mailbox;
}

Mailbox *mailbox_ref(Mailbox *mailbox)
{
    g_atomic_int_inc(&mailbox->ref_count);
    return mailbox;
}

void mailbox_unref(Mailbox *mailbox)
{
    if (!g_atomic_int_dec_and_test(&mailbox->ref_count))
        return;
    Message *message;
    while ((message = g_queue_pop_head(&mailbox->messages)))
        message_free(message);
    g_mutex_clear(&mailbox->lock);
    g_free(mailbox);
}

void mailbox_post(Mailbox *mailbox, Message *message)
{
    g_mutex_lock(&mailbox->lock);
    if (mailbox->closed) {
        g_mutex_unlock(&mailbox->lock);
        message_free(message);
        return;
    }
    g_queue_push_tail(&mailbox->messages, message);
    /* Under the lock: who is woken must not be gone by then. */
    mailbox->wake(mailbox->user);
    g_mutex_unlock(&mailbox->lock);
}

Message *mailbox_take(Mailbox *mailbox)
{
    g_mutex_lock(&mailbox->lock);
    Message *message = g_queue_pop_head(&mailbox->messages);
    g_mutex_unlock(&mailbox->lock);
    return message;
}

void mailbox_close(Mailbox *mailbox)
{
    g_mutex_lock(&mailbox->lock);
    mailbox->closed = TRUE;
    g_mutex_unlock(&mailbox->lock);
}
