#include "bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

BenchOptions bench_options = {.count = 1, .port = 20000};

static void die(const char *words)
{
    g_printerr("%s: %s\n", g_get_prgname(), words);
    exit(2);
}

void bench_parse(int *argc, char ***argv, const GOptionEntry *own)
{
    const GOptionEntry shared[] = {
        {"count", 0, 0, G_OPTION_ARG_INT, &bench_options.count, "participants", "N"},
        {"port", 0, 0, G_OPTION_ARG_INT, &bench_options.port, "first port, four a participant", "PORT"},
        {"suite", 0, 0, G_OPTION_ARG_STRING, &bench_options.suite, "SDES suite", "NAME"},
        {"key", 0, 0, G_OPTION_ARG_STRING, &bench_options.key_base64, "key and salt, base64", "KEY"},
        {NULL}};
    g_autoptr(GError) error = NULL;
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    gsize bytes = 0;
    g_option_context_add_main_entries(context, shared, NULL);
    g_option_context_add_main_entries(context, own, NULL);
    if (!g_option_context_parse(context, argc, argv, &error))
        die(error->message);
    if (!bench_options.suite || !bench_options.key_base64)
        die("--suite and --key are needed");
    bench_options.key = g_base64_decode(bench_options.key_base64, &bytes);
    if (bytes != (strcmp(bench_options.suite, "AEAD_AES_128_GCM") == 0 ? 28 : 30))
        die("the key does not fit the suite");
    if (srtp_init() != srtp_err_status_ok)
        die("libsrtp does not start");
}

srtp_t bench_srtp(gboolean outbound)
{
    srtp_policy_t policy;
    srtp_t session;
    memset(&policy, 0, sizeof policy);
    if (strcmp(bench_options.suite, "AEAD_AES_128_GCM") == 0) {
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&policy.rtcp);
    } else {
        srtp_crypto_policy_set_rtp_default(&policy.rtp);
        srtp_crypto_policy_set_rtcp_default(&policy.rtcp);
    }
    policy.ssrc.type = outbound ? ssrc_any_outbound : ssrc_any_inbound;
    policy.key = bench_options.key;
    policy.window_size = 1024;
    if (srtp_create(&session, &policy) != srtp_err_status_ok)
        die("libsrtp refuses the suite");
    return session;
}

int bench_socket(guint16 port, gboolean listening)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), bytes = 4 * 1024 * 1024;
    if (fd < 0)
        die("no more sockets");
    (void)setsockopt(fd, SOL_SOCKET, listening ? SO_RCVBUF : SO_SNDBUF, &bytes, sizeof bytes);
    if ((listening ? bind : connect)(fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("a port is taken");
    return fd;
}
