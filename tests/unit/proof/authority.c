#include "authority.h"

#include "shell.h"

#include <gio/gio.h>
#include <string.h>

struct Authority {
    char *folder, *url;
    GSocketService *service;
    GMainContext *context;
    GThread *thread;
    gint stopping, mood, queries; /* atomic */
    GMutex lock;                  /* one stamp at a time: they share files */
};

static const char making[] =
    "cat >ts.cnf <<'END'\n"
    "[tsa]\ndefault_tsa = t\n[t]\nserial = serial\ncrypto_device = builtin\nsigner_cert = tsa.pem\nsigner_key = "
    "tsa.key\n"
    "signer_digest = sha256\ndefault_policy = 1.2.3.4.1\nother_policies = 1.2.3.4.5\ndigests = sha256\n"
    "accuracy = secs:1\nordering = yes\ntsa_name = yes\ness_cert_id_chain = yes\ness_cert_id_alg = sha256\n"
    "[ext]\nextendedKeyUsage = critical,timeStamping\n"
    "END\n"
    "cp ts.cnf refusing.cnf; sed -i 's/^digests = .*/digests = sha512/' refusing.cnf\n"
    "for ca in ca other_ca; do openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $ca.key "
    "-out $ca.pem -subj /CN=$ca -days 2; done\n"
    "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tsa.key -out tsa.csr -subj /CN=tsa\n"
    "openssl x509 -req -in tsa.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out tsa.pem -days 2 -extfile ts.cnf "
    "-extensions ext\n"
    "echo 01 >serial\n";

/* Longest of several would be a query of kilobytes: ours have 70 bytes. */
#define QUERY_MAX_BYTES 4096

static const char *reply_command(AuthorityMood mood)
{
    switch (mood) {
    case AUTHORITY_OTHER_NONCE:
        return "openssl ts -query -digest $(openssl asn1parse -inform DER -in query | sed -n "
               "'s/.*OCTET STRING *\\[HEX DUMP\\]://p') -sha256 -cert -out other && "
               "openssl ts -reply -config ts.cnf -queryfile other -out answer";
    case AUTHORITY_REFUSES:
        return "openssl ts -reply -config refusing.cnf -queryfile query -out answer";
    case AUTHORITY_FLIPPED:
        return "openssl ts -reply -config ts.cnf -queryfile query -out answer && "
               "size=$(stat -c %s answer) && printf '\\001' | dd of=answer bs=1 seek=$((size - 5)) conv=notrunc";
    case AUTHORITY_LARGE:
        return "head -c 1048576 /dev/zero >answer";
    case AUTHORITY_HTML:
        return "echo '<html>hello</html>' >answer";
    case AUTHORITY_OTHER_QUERY:
        return "test -s answer";
    default:
        return "openssl ts -reply -config ts.cnf -queryfile query -out answer";
    }
}

static char *make_answer(Authority *authority, AuthorityMood mood, const guint8 *query, gsize bytes,
                         gsize *answer_bytes)
{
    g_autofree char *query_path = in_folder(authority->folder, "query");
    g_autofree char *answer_path = in_folder(authority->folder, "answer");
    char *answer = NULL;
    g_mutex_lock(&authority->lock);
    if (!g_file_set_contents(query_path, (const char *)query, (gssize)bytes, NULL) ||
        !shell(authority->folder, reply_command(mood)) ||
        !g_file_get_contents(answer_path, &answer, answer_bytes, NULL))
        *answer_bytes = 0;
    g_mutex_unlock(&authority->lock);
    return answer;
}

static gboolean on_connection(GThreadedSocketService *service, GSocketConnection *connection, GObject *source,
                              gpointer user)
{
    (void)service, (void)source;
    Authority *authority = user;
    g_autoptr(GDataInputStream) in = g_data_input_stream_new(g_io_stream_get_input_stream(G_IO_STREAM(connection)));
    g_data_input_stream_set_newline_type(in, G_DATA_STREAM_NEWLINE_TYPE_CR_LF);
    guint64 length = 0;
    gboolean typed = FALSE;
    for (;;) {
        g_autofree char *line = g_data_input_stream_read_line(in, NULL, NULL, NULL);
        if (!line || !line[0])
            break;
        if (g_ascii_strncasecmp(line, "Content-Length:", 15) == 0)
            length = g_ascii_strtoull(line + 15, NULL, 10);
        typed |= g_ascii_strcasecmp(line, "Content-Type: application/timestamp-query") == 0;
    }
    guint8 query[QUERY_MAX_BYTES];
    gsize got = 0, answer_bytes = 0;
    if (length > sizeof query || !g_input_stream_read_all(G_INPUT_STREAM(in), query, length, &got, NULL, NULL))
        return TRUE;
    g_atomic_int_inc(&authority->queries);
    AuthorityMood mood = (AuthorityMood)g_atomic_int_get(&authority->mood);
    g_autofree char *answer = make_answer(authority, mood, query, got, &answer_bytes);
    const char *status = !typed                    ? "415 Unsupported Media Type"
                         : mood == AUTHORITY_BUSY  ? "503 Busy"
                         : mood == AUTHORITY_MOVED ? "302 Found\r\nLocation: /elsewhere"
                                                   : "200 OK";
    g_autofree char *head = g_strdup_printf("HTTP/1.1 %s\r\nContent-Type: application/timestamp-reply\r\n"
                                            "Connection: close\r\nContent-Length: %" G_GSIZE_FORMAT "\r\n\r\n",
                                            status, mood == AUTHORITY_CUT ? answer_bytes + 100 : answer_bytes);
    GOutputStream *out = g_io_stream_get_output_stream(G_IO_STREAM(connection));
    if (g_output_stream_write_all(out, head, strlen(head), NULL, NULL, NULL))
        g_output_stream_write_all(out, answer, answer_bytes, NULL, NULL, NULL);
    g_io_stream_close(G_IO_STREAM(connection), NULL, NULL);
    return TRUE;
}

static gpointer run(gpointer user)
{
    Authority *authority = user;
    g_main_context_push_thread_default(authority->context);
    while (!g_atomic_int_get(&authority->stopping))
        g_main_context_iteration(authority->context, TRUE);
    g_main_context_pop_thread_default(authority->context);
    return NULL;
}

Authority *authority_start(const char *folder)
{
    if (!shell(folder, making))
        return NULL;
    Authority *authority = g_new0(Authority, 1);
    authority->folder = g_strdup(folder);
    g_mutex_init(&authority->lock);
    authority->context = g_main_context_new();
    g_main_context_push_thread_default(authority->context); /* where the service listens */
    authority->service = g_threaded_socket_service_new(4);
    g_autoptr(GSocketAddress) loopback = g_inet_socket_address_new_from_string("127.0.0.1", 0);
    g_autoptr(GSocketAddress) bound = NULL;
    gboolean listens = g_socket_listener_add_address(G_SOCKET_LISTENER(authority->service), loopback,
                                                     G_SOCKET_TYPE_STREAM, G_SOCKET_PROTOCOL_TCP, NULL, &bound, NULL);
    g_main_context_pop_thread_default(authority->context);
    g_assert_true(listens);
    authority->url = g_strdup_printf("http://user:password@127.0.0.1:%u/tsa?key=SECRET",
                                     g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(bound)));
    g_signal_connect(authority->service, "run", G_CALLBACK(on_connection), authority);
    g_socket_service_start(authority->service);
    authority->thread = g_thread_new("authority", run, authority);
    return authority;
}

void authority_stop(Authority *authority)
{
    if (!authority)
        return;
    g_atomic_int_set(&authority->stopping, 1);
    g_main_context_wakeup(authority->context);
    g_thread_join(authority->thread);
    g_socket_service_stop(authority->service);
    g_socket_listener_close(G_SOCKET_LISTENER(authority->service));
    g_object_unref(authority->service);
    g_main_context_unref(authority->context);
    g_mutex_clear(&authority->lock);
    g_free(authority->folder);
    g_free(authority->url);
    g_free(authority);
}

const char *authority_url(const Authority *authority)
{
    return authority->url;
}

void authority_mood(Authority *authority, AuthorityMood mood)
{
    g_atomic_int_set(&authority->mood, (gint)mood);
}

guint authority_queries(Authority *authority)
{
    return (guint)g_atomic_int_get(&authority->queries);
}
