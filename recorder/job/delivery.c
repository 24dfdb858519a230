/* Delivering in a thread: hashing and copying gigabytes does not keep the main loop waiting. */
#include "deliver.h"

#include "capture_folder.h"

#include "steno/job.h"

#include <unistd.h>

struct Delivery {
    DeliveryConfig config;
    char *capture, *assembled, *root;
    GCancellable *cancellable;
    char *folder;
    GError *error, *warning;
};

static void delivery_free(gpointer data)
{
    Delivery *delivery = data;
    g_free(delivery->capture);
    g_free(delivery->assembled);
    g_free(delivery->root);
    g_free(delivery->folder);
    g_clear_error(&delivery->error);
    g_clear_error(&delivery->warning);
    g_object_unref(delivery->cancellable);
    g_free(delivery);
}

/* In the thread; the main thread touches nothing of it but the cancellable meanwhile. */
static void run(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    Delivery *delivery = data;
    (void)source;
    int lock_fd = job_capture_lock(delivery->capture, &delivery->error);
    if (lock_fd >= 0 &&
        job_deliver(delivery->capture, delivery->assembled, delivery->root, cancellable, &delivery->folder,
                    &delivery->error) &&
        !delivery->config.keep_capture && !g_cancellable_is_cancelled(cancellable))
        (void)steno_job_capture_forget(delivery->capture, &delivery->warning);
    if (lock_fd >= 0)
        close(lock_fd);
    g_task_return_boolean(task, TRUE);
}

static void on_done(GObject *source, GAsyncResult *result, gpointer data)
{
    Delivery *delivery = g_task_get_task_data(G_TASK(result));
    (void)source;
    (void)data;
    if (!g_cancellable_is_cancelled(delivery->cancellable))
        delivery->config.done(delivery->config.user, delivery->folder, delivery->error, delivery->warning);
}

Delivery *delivery_start(const DeliveryConfig *config)
{
    Delivery *delivery = g_new0(Delivery, 1);
    delivery->config = *config;
    delivery->config.capture = delivery->capture = g_strdup(config->capture);
    delivery->config.assembled = delivery->assembled = g_strdup(config->assembled);
    delivery->config.root = delivery->root = g_strdup(config->root);
    delivery->cancellable = g_cancellable_new();
    GTask *task = g_task_new(NULL, delivery->cancellable, on_done, NULL);
    g_task_set_task_data(task, delivery, delivery_free);
    g_task_run_in_thread(task, run);
    g_object_unref(task);
    return delivery;
}

void delivery_cancel(Delivery *delivery)
{
    g_cancellable_cancel(delivery->cancellable);
}
