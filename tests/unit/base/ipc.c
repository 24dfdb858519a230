/* Messages between processes: whole, bounded, and told when the other side goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "steno/base/ipc.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    StenoIpc *ipc;
    GPtrArray *received; /* json_t * */
    guint closed;
    gboolean failed;
    gboolean free_on_message;
} End;

static void on_message(gpointer user, json_t *message)
{
    End *end = user;
    g_ptr_array_add(end->received, json_incref(message));
    if (end->free_on_message)
        steno_ipc_free(g_steal_pointer(&end->ipc));
}

static void on_closed(gpointer user, const GError *error)
{
    End *end = user;
    end->closed++;
    end->failed = error != NULL;
}

static const StenoIpcEvents events = {.message = on_message, .closed = on_closed};

static void open_pair(End *a, End *b)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    *a = (End){.received = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref)};
    *b = (End){.received = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref)};
    a->ipc = steno_ipc_new(fds[0], NULL, &events, a);
    b->ipc = steno_ipc_new(fds[1], NULL, &events, b);
}

static void close_pair(End *a, End *b)
{
    steno_ipc_free(a->ipc);
    steno_ipc_free(b->ipc);
    g_ptr_array_unref(a->received);
    g_ptr_array_unref(b->received);
}

static void messages_arrive_whole_and_in_order(void **state)
{
    (void)state;
    End a, b;
    open_pair(&a, &b);
    g_autofree char *long_text = g_strnfill(100000, 'x'); /* more than a socket holds at once */
    for (int i = 0; i < 20; i++)
        assert_true(steno_ipc_send(a.ipc, json_pack("{s:i, s:s}", "n", i, "text", long_text)));
    while (b.received->len < 20)
        g_main_context_iteration(NULL, TRUE);
    for (int i = 0; i < 20; i++)
        assert_int_equal(json_integer_value(json_object_get(b.received->pdata[i], "n")), i);
    close_pair(&a, &b);
}

static void the_end_is_told_once(void **state)
{
    (void)state;
    End a, b;
    open_pair(&a, &b);
    assert_true(steno_ipc_send(a.ipc, json_pack("{s:i}", "last", 1)));
    steno_ipc_flush(a.ipc, 1000);
    steno_ipc_free(g_steal_pointer(&a.ipc));
    while (!b.closed)
        g_main_context_iteration(NULL, TRUE);
    assert_int_equal(b.received->len, 1); /* the last words are heard */
    assert_int_equal(b.closed, 1);
    assert_false(b.failed);
    assert_false(steno_ipc_send(b.ipc, json_object()));
    close_pair(&a, &b);
}

static void send_raw(const char *text, gsize bytes, gboolean failed)
{
    End a;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    a = (End){.received = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref)};
    a.ipc = steno_ipc_new(fds[0], NULL, &events, &a);
    for (gsize sent = 0; sent < bytes && !a.closed;) {
        gssize n = send(fds[1], text + sent, bytes - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0)
            sent += (gsize)n;
        g_main_context_iteration(NULL, FALSE);
    }
    close(fds[1]);
    while (!a.closed)
        g_main_context_iteration(NULL, TRUE);
    assert_int_equal(a.failed, failed);
    steno_ipc_free(a.ipc);
    g_ptr_array_unref(a.received);
}

static void garbage_ends_the_connection(void **state)
{
    (void)state;
    send_raw("{\"a\":", 5, FALSE); /* torn: an end like any other */
    send_raw("nonsense\n", 9, TRUE);
    send_raw("[1]\n", 4, TRUE);
    send_raw("{\"a\":1,\"a\":2}\n", 14, TRUE);
    g_autofree char *endless = g_strnfill(STENO_IPC_LINE_MAX_BYTES + 1, 'x');
    send_raw(endless, STENO_IPC_LINE_MAX_BYTES + 1, TRUE);
}

static void may_be_freed_while_it_calls(void **state)
{
    (void)state;
    End a, b;
    open_pair(&a, &b);
    b.free_on_message = TRUE;
    assert_true(steno_ipc_send(a.ipc, json_object()));
    assert_true(steno_ipc_send(a.ipc, json_object()));
    while (b.received->len == 0)
        g_main_context_iteration(NULL, TRUE);
    assert_int_equal(b.received->len, 1);
    close_pair(&a, &b);
}

static void sockets_are_ours_alone(void **state)
{
    (void)state;
    g_autofree char *folder = g_dir_make_tmp("steno-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "s", NULL);
    g_autoptr(GError) error = NULL;
    int listening = steno_ipc_listen(path, &error);
    assert_true(listening >= 0);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    int client = steno_ipc_connect(path, &error);
    assert_true(client >= 0);
    close(client);
    close(listening);
    assert_int_equal(steno_ipc_connect(path, &error), -1);
    assert_non_null(error);
    g_autofree char *endless = g_strnfill(200, 'x');
    g_clear_error(&error);
    assert_int_equal(steno_ipc_listen(endless, &error), -1);
    assert_non_null(strstr(error->message, "longer than"));
    (void)g_unlink(path);
    (void)g_rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_arrive_whole_and_in_order),
        cmocka_unit_test(the_end_is_told_once),
        cmocka_unit_test(garbage_ends_the_connection),
        cmocka_unit_test(may_be_freed_while_it_calls),
        cmocka_unit_test(sockets_are_ours_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
