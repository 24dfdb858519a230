/*
 * The `sdp` connector: RTP or SRTP that somebody pushes to us, as a session description in a file says. Nobody is asked
 * to join and nothing is told: the channel is there from the start, and ends when the recording does.
 */
#include "connectors.h"

#include "steno/base/error.h"
#include "steno/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    StenoChannel base;
    const StenoJobSpec *job;
    StenoChannelEvents events;
    gpointer user;
    GSource *start;
    StenoSdp *sdp;
} SdpChannel;

static StenoSdp *read_file(const char *path, GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *buffer = fd >= 0 ? g_malloc0(STENO_SDP_MAX_BYTES + 1) : NULL;
    gssize bytes = fd >= 0 ? steno_file_read(fd, buffer, STENO_SDP_MAX_BYTES + 1) : -1;
    StenoSdp *sdp = NULL;
    if (bytes < 0)
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "cannot read the session description %s: %s", path,
                    g_strerror(errno));
    else
        sdp = steno_sdp_parse(buffer, (gsize)bytes, error);
    if (fd >= 0) {
        close(fd);
        steno_secret_wipe(buffer, STENO_SDP_MAX_BYTES + 1); /* SDES keys */
        g_free(buffer);
    }
    return sdp;
}

static gboolean is_recorded(const StenoSdpMedia *media)
{
    for (guint i = 0; i < media->formats->len && media->port != 0 && media->direction != STENO_SDP_INACTIVE; i++) {
        const StenoSdpFormat *format = g_ptr_array_index(media->formats, i);
        if (format->codec != STENO_CODEC_UNKNOWN)
            return TRUE;
    }
    return FALSE;
}

/* Only what can be received without talking to anybody. */
static gboolean check(const StenoSdp *sdp, const char *path, GError **error)
{
    guint recorded = 0;
    for (guint i = 0; i < sdp->media->len; i++) {
        const StenoSdpMedia *media = g_ptr_array_index(sdp->media, i);
        if (!is_recorded(media))
            continue;
        recorded++;
        if (strstr(media->protocol, "TLS")) {
            g_set_error(
                error, STENO_ERROR, STENO_ERROR_SDP_INVALID,
                "%s: m= line %u is %s, which needs an answer: a file can only describe RTP/AVP(F) or RTP/SAVP(F)", path,
                i + 1, media->protocol);
            return FALSE;
        }
        /* ffmpeg writes RTP/AVP where it protects; what is protected must never be taken for clear. */
        if ((strstr(media->protocol, "SAVP") || media->sdes_offered) && !media->sdes_suite) {
            g_set_error(error, STENO_ERROR, STENO_ERROR_SDP_INVALID,
                        "%s: m= line %u is protected, but no a=crypto line has a suite and key that Steno can use",
                        path, i + 1);
            return FALSE;
        }
    }
    if (recorded == 0)
        g_set_error(error, STENO_ERROR, STENO_ERROR_SDP_INVALID,
                    "%s: no m= line has a port and a codec that Steno records", path);
    return recorded > 0;
}

/* "-" and "No Name" (ffmpeg) are how tools say that there is no name. */
static const char *session_name(const SdpChannel *channel)
{
    const char *name = channel->sdp->session_name;
    if (name[strspn(name, " ")] != '\0' && strcmp(name, "-") != 0 && strcmp(name, "No Name") != 0)
        return name;
    return channel->job->channel && channel->job->channel[0] ? channel->job->channel : "sdp";
}

static void offer_one(SdpChannel *channel, guint32 peer, const char *participant_id, StenoSdpMedia *media)
{
    StenoSdp one = {.session_name = channel->sdp->session_name, .media = g_ptr_array_new()};
    g_ptr_array_add(one.media, media);
    channel->events.peer_offer(channel->user, peer, participant_id, &one);
    g_ptr_array_unref(one.media);
}

static gboolean on_start(gpointer user)
{
    SdpChannel *channel = user;
    /* Whoever is told may close the channel: nothing of it is touched after that, but what we hold here. */
    GSource *start = g_source_ref(channel->start);
    g_autoptr(GHashTable) told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    channel->events.state(channel->user, STENO_CHANNEL_JOINED, NULL);
    for (guint i = 0; !g_source_is_destroyed(start) && i < channel->sdp->media->len; i++) {
        StenoSdpMedia *media = g_ptr_array_index(channel->sdp->media, i);
        if (!is_recorded(media))
            continue;
        g_autofree char *id = g_strdup(media->msid_stream ? media->msid_stream : session_name(channel));
        if (g_hash_table_add(told, g_strdup(id))) {
            StenoParticipant participant = {.id = id, .name = media->msid_stream ? "" : id};
            channel->events.participant_joined(channel->user, &participant);
        }
        if (!g_source_is_destroyed(start))
            offer_one(channel, i + 1, id, media);
    }
    g_source_unref(start);
    return G_SOURCE_REMOVE;
}

static StenoChannel *sdp_open(const StenoJobSpec *job, const StenoGeofence *geofence, const StenoLog *log,
                              const StenoChannelEvents *events, gpointer user, GError **error)
{
    (void)geofence; /* the transport holds packets' sources against it */
    (void)log;
    if (!job->url || job->url[0] == '\0') {
        g_set_error(error, STENO_ERROR, STENO_ERROR_USAGE, "--url, the session description's file, is missing");
        return NULL;
    }
    g_autoptr(StenoSdp) sdp = read_file(job->url, error);
    if (!sdp || !check(sdp, job->url, error))
        return NULL;
    SdpChannel *channel = g_new0(SdpChannel, 1);
    channel->base.connector = &steno_connector_sdp;
    channel->job = job;
    channel->events = *events;
    channel->user = user;
    channel->sdp = g_steal_pointer(&sdp);
    channel->start = g_idle_source_new();
    g_source_set_priority(channel->start, G_PRIORITY_DEFAULT);
    g_source_set_callback(channel->start, on_start, channel, NULL);
    g_autoptr(GMainContext) context = g_main_context_ref_thread_default();
    g_source_attach(channel->start, context);
    return &channel->base;
}

static void sdp_ignore_answer(StenoChannel *channel, guint32 peer, const StenoTransportLocal *local)
{
    (void)channel, (void)peer, (void)local; /* nobody to send it to */
}

static void sdp_ignore_failure(StenoChannel *channel, guint32 peer, const GError *why)
{
    (void)channel, (void)peer, (void)why; /* there is nothing that could be tried anew */
}

static void sdp_ignore_update(StenoChannel *channel)
{
    (void)channel; /* what is pushed comes in any case: the session drops what is not wanted */
}

static void sdp_ignore_picture(StenoChannel *channel, guint32 peer, const char *mid, guint width, guint height)
{
    (void)channel, (void)peer, (void)mid, (void)width, (void)height; /* there is no other to choose */
}

static void sdp_close(StenoChannel *base)
{
    SdpChannel *channel = (SdpChannel *)base;
    g_source_destroy(channel->start);
    g_source_unref(channel->start);
    steno_sdp_free(channel->sdp);
    g_free(channel);
}

const StenoConnector steno_connector_sdp = {
    .platform = "sdp",
    .words = "RTP or SRTP (SDES) as an SDP file describes it",
    .open = sdp_open,
    .answer = sdp_ignore_answer,
    .peer_failed = sdp_ignore_failure,
    .update = sdp_ignore_update,
    .picture = sdp_ignore_picture,
    .close = sdp_close,
};
