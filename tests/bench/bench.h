/*
 * What sender and floor share: the SRTP suites, and where a participant's packets go: four ports each, video RTP and
 * RTCP, audio RTP and RTCP.
 */
#ifndef STENO_TESTS_BENCH_H
#define STENO_TESTS_BENCH_H

#include <glib.h>
#include <srtp2/srtp.h>

#define PORTS 4
enum { PORT_VIDEO, PORT_VIDEO_RTCP, PORT_AUDIO, PORT_AUDIO_RTCP };

typedef struct {
    gint count, port;
    char *suite, *key_base64;
    guint8 *key;
} BenchOptions;

extern BenchOptions bench_options;
/* Options of both programs; parses them with the program's own, and reads the key. Exits when they are wrong. */
void bench_parse(int *argc, char ***argv, const GOptionEntry *own);
/* A session with the key for one direction. */
srtp_t bench_srtp(gboolean outbound);
/* A UDP socket on loopback with large buffers; listening on the port, or sending to it. */
int bench_socket(guint16 port, gboolean listening);

#endif
