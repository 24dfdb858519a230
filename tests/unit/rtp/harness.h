/* What the tests of the rtp room share: packets made by hand, a log of what came out, and a reader of what was sent. */
#ifndef STENO_TEST_RTP_HARNESS_H
#define STENO_TEST_RTP_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "steno/rtp.h"

#define VIDEO_PT 96
#define RTX_PT 97
#define AUDIO_PT 111
#define VIDEO 1
#define AUDIO 2
#define VIDEO_SSRC 0x11110000u
#define VIDEO_RTX_SSRC 0x11110001u
#define AUDIO_SSRC 0x22220000u
#define LOCAL_SSRC 0x0badcafeu
#define TICK_US 20000
#define START_US G_GINT64_CONSTANT(1000000000)

typedef enum { OUT_PACKET, OUT_GAP, OUT_RESET, OUT_CLOCK, OUT_BYE } OutKind;

typedef struct {
    OutKind kind;
    guint32 track;
    gint64 seq, last_seq; /* PACKET: seq; GAP: both */
    gint64 rtp_ts, until_rtp_ts;
    guint8 payload_type;
    guint16 payload_bytes;
    guint32 tag; /* the first four payload bytes */
    bool marker;
    StenoGapCause cause;
    guint32 ssrc; /* RESET */
    StenoRtpClockSample sample;
} Out;

typedef struct {
    StenoRtpConfig config;
    StenoRtp *rtp;
    StenoPacketPool *pool;
    gint64 now_us;
    GArray *out;     /* Out */
    GPtrArray *sent; /* GByteArray: RTCP datagrams */
    void (*on_sent)(gpointer user, const guint8 *data, gsize bytes);
    gpointer on_sent_user;
} Bench;

/* A packet to be made; zero means what is usual. */
typedef struct {
    guint32 ssrc;        /* VIDEO_SSRC */
    guint8 payload_type; /* by SSRC */
    guint16 seq;
    guint32 ts;
    guint32 tag;
    guint payload_bytes; /* 20; at least 4 */
    bool padding_only;
    guint padding_bytes;
    bool marker;
    const char *mid; /* extension 4, one byte */
    int twcc;        /* extension 3, number + 1 */
    bool rtx;        /* seq and tag are the original's; rtx_seq the own */
    guint16 rtx_seq;
} Made;

Bench *bench_new(void);
/* With the usual two tracks, and what edit changes of each. */
Bench *bench_start(void (*edit)(StenoRtpConfig *config, StenoRtpTrackConfig *video, StenoRtpTrackConfig *audio));
void bench_free(Bench *bench);
StenoRtpTrackConfig video_track(void);
StenoRtpTrackConfig audio_track(void);

int bench_receive(Bench *bench, Made made);
int bench_receive_bytes(Bench *bench, const guint8 *data, gsize bytes);
/* Time goes on by that much, with a tick at its end. */
void bench_tick(Bench *bench, gint64 us);
/* … with a tick each 20 ms. */
void bench_wait(Bench *bench, gint64 us);
/* A plain video packet, whose tag is its number. */
void bench_video(Bench *bench, guint16 seq, guint32 ts);

guint count_of(const Bench *bench, OutKind kind);
/* The n-th of a kind; fails when there is none. */
const Out *nth(const Bench *bench, OutKind kind, guint n);
void forget(Bench *bench);
StenoRtpStats stats_of(const Bench *bench, guint32 track);

/* The n-th RTCP packet of a type (and of a format, -1: any) in all that was sent; NULL. Checks each compound's form. */
const guint8 *sent_rtcp(const Bench *bench, guint8 type, int format, guint n, gsize *bytes);
guint count_rtcp(const Bench *bench, guint8 type, int format);

/* Calls for each number a NACK asks for. */
void each_nack(const guint8 *packet, gsize bytes, void (*asked)(gpointer user, guint32 ssrc, guint16 seq),
               gpointer user);

guint16 get16(const guint8 *at);
guint32 get32(const guint8 *at);

#endif
