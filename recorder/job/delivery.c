/* Delivering in a thread: hashing and copying gigabytes does not keep the main loop waiting. */
#include "deliver.h"

#include "worker.h"

#include "steno/base/clock.h"

#include <unistd.h>

/* Bytes are told so often. */
#define TELL_US G_USEC_PER_SEC

struct Delivery {
    Worker *worker;
    StenoStore *store;
    Shipment *shipment;
    char *folder, *capture;
    int lock_fd;
    void (*progress)(gpointer user, gint64 bytes, const GError *trouble);
    void (*done)(gpointer user, const GError *error);

    /* The thread's. */
    gint64 told_mono_us;
    int told_trouble; /* its code; -1: none */
    GError *error;

    GMutex lock; /* of what follows */
    gint64 bytes;
    GError *trouble;
};

static void delivery_free(gpointer data)
{
    Delivery *delivery = data;
    steno_store_unref(delivery->store);
    shipment_unref(delivery->shipment);
    g_free(delivery->folder);
    g_free(delivery->capture);
    g_clear_error(&delivery->error);
    g_clear_error(&delivery->trouble);
    g_mutex_clear(&delivery->lock);
    g_free(delivery);
}

typedef struct {
    Delivery *delivery;
    Worker *worker;
} Running;

static void on_progress(gpointer user, gint64 bytes, const GError *trouble)
{
    Running *running = user;
    Delivery *delivery = running->delivery;
    gint64 now_us = steno_clock_mono_us();
    int code = trouble ? trouble->code : -1;
    g_mutex_lock(&delivery->lock);
    delivery->bytes = bytes;
    g_clear_error(&delivery->trouble);
    delivery->trouble = trouble ? g_error_copy(trouble) : NULL;
    g_mutex_unlock(&delivery->lock);
    if (code == delivery->told_trouble && now_us - delivery->told_mono_us < TELL_US)
        return;
    delivery->told_mono_us = now_us;
    delivery->told_trouble = code;
    worker_tell(running->worker);
}

static void run(Worker *worker, gpointer data, GCancellable *cancellable)
{
    Delivery *delivery = data;
    Running running = {.delivery = delivery, .worker = worker};
    const DeliverConfig config = {
        .store = delivery->store,
        .folder = delivery->folder,
        .shipment = delivery->shipment,
        .capture = delivery->capture,
        .cancellable = cancellable,
        .progress = on_progress,
        .user = &running,
    };
    if (!g_cancellable_set_error_if_cancelled(cancellable, &delivery->error))
        (void)job_deliver(&config, &delivery->error);
    close(delivery->lock_fd);
}

static void on_told(gpointer user, gpointer data)
{
    Delivery *delivery = data;
    g_mutex_lock(&delivery->lock);
    gint64 bytes = delivery->bytes;
    g_autoptr(GError) trouble = delivery->trouble ? g_error_copy(delivery->trouble) : NULL;
    g_mutex_unlock(&delivery->lock);
    delivery->progress(user, bytes, trouble);
}

static void on_done(gpointer user, gpointer data)
{
    Delivery *delivery = data;
    delivery->done(user, delivery->error);
}

static const WorkerKind delivery_kind = {.run = run, .told = on_told, .done = on_done, .free = delivery_free};

Delivery *delivery_start(const DeliveryConfig *config)
{
    Delivery *delivery = g_new0(Delivery, 1);
    g_mutex_init(&delivery->lock);
    delivery->store = steno_store_ref(config->store);
    delivery->shipment = shipment_ref(config->shipment);
    delivery->folder = g_strdup(config->folder);
    delivery->capture = g_strdup(config->capture);
    delivery->lock_fd = config->lock_fd;
    delivery->progress = config->progress;
    delivery->done = config->done;
    delivery->told_mono_us = steno_clock_mono_us();
    delivery->told_trouble = -1;
    delivery->worker = worker_start(&delivery_kind, delivery, config->user);
    return delivery;
}

void delivery_stop(Delivery *delivery)
{
    worker_stop(delivery->worker);
}

void delivery_leave(Delivery *delivery)
{
    if (delivery)
        worker_leave(delivery->worker);
}
