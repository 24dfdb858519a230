#include "deriver.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct ContentDeriver {
    GThread *thread;
    int wake_fd;
    _Atomic(ContentChain *) requests; /* newest first; each holds a reference */
    atomic_bool quit;
};

static void wake(ContentDeriver *deriver)
{
    const guint64 one = 1;
    while (write(deriver->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void sleep_until_woken(ContentDeriver *deriver)
{
    guint64 count;
    while (read(deriver->wake_fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
}

static void take_requests(ContentDeriver *deriver, GQueue *turns)
{
    ContentChain *chain = atomic_exchange(&deriver->requests, NULL);
    while (chain) {
        /* Once it is in a queue, it is not in the list any more, and may be put there by nobody. */
        ContentChain *next = chain->next;
        g_queue_push_tail(turns, chain);
        chain = next;
    }
}

/* One step; is there more to do? */
static gboolean serve(ContentChain *chain)
{
    if (content_chain_derive_wanted(chain))
        return TRUE;
    /* Who wants more from here on puts it into the list again; who did so just before, could not. */
    atomic_store(&chain->queued, false);
    return !atomic_load(&chain->ended) && chain->derived < atomic_load(&chain->wanted) &&
           !atomic_exchange(&chain->queued, true);
}

static gpointer run(gpointer data)
{
    ContentDeriver *deriver = data;
    GQueue turns = G_QUEUE_INIT;
    while (!atomic_load(&deriver->quit)) {
        take_requests(deriver, &turns);
        ContentChain *chain = g_queue_pop_head(&turns);
        if (!chain)
            sleep_until_woken(deriver);
        else if (serve(chain))
            g_queue_push_tail(&turns, chain);
        else
            content_chain_unref(chain);
    }
    take_requests(deriver, &turns);
    g_queue_clear_full(&turns, (GDestroyNotify)content_chain_unref);
    return NULL;
}

ContentDeriver *content_deriver_new(void)
{
    ContentDeriver *deriver = g_new0(ContentDeriver, 1);
    deriver->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (deriver->wake_fd < 0)
        g_error("cannot make an eventfd: %s", g_strerror(errno));
    deriver->thread = g_thread_new("ratchet", run, deriver);
    return deriver;
}

void content_deriver_free(ContentDeriver *deriver)
{
    if (!deriver)
        return;
    atomic_store(&deriver->quit, true);
    wake(deriver);
    g_thread_join(deriver->thread);
    close(deriver->wake_fd);
    g_free(deriver);
}

void content_deriver_request(ContentDeriver *deriver, ContentChain *chain, guint64 wanted)
{
    atomic_store(&chain->wanted, wanted);
    if (atomic_exchange(&chain->queued, true))
        return;
    content_chain_ref(chain);
    chain->next = atomic_load(&deriver->requests);
    while (!atomic_compare_exchange_weak(&deriver->requests, &chain->next, chain))
        ;
    wake(deriver);
}
