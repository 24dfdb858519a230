/* Publishing to a Janus VideoRoom over its HTTP API. */
#include "publisher.h"
#include "steno/base/error.h"
#include "steno/transport.h"

#include <curl/curl.h>
#include <string.h>

#define PACKETS_MAX 512
#define CONNECT_TIMEOUT_US (20 * G_USEC_PER_SEC)

typedef struct {
    const Options *options;
    Participant *participant;
    StenoTransport *transport;
    char *session_url, *handle_url, *offer;
    gint64 feed;
    CURL *curl; /* requests of the main thread */
    GThread *poller;
    gint stop, gone; /* atomic */
    StenoTransportState state;
    GError *error;
} Session;

struct Output {
    Session *sessions;
    guint n_sessions;
    StenoPacketPool *pool;
    GMainContext *context;
};

/* ---- HTTP -------------------------------------------------------------------------------------------------------- */

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    g_string_append_len(user, data, (gssize)(size * count));
    return size * count;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return g_atomic_int_get(&((Session *)user)->stop);
}

/* body NULL: a GET. Returns the answer, or NULL with an error. */
static json_t *request(Session *session, CURL *curl, const char *url, json_t *body, GError **error)
{
    g_autoptr(GString) answer = g_string_new(NULL);
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    json_error_t json_error;

    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 45L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, session);
    if (session->options->ca_file)
        curl_easy_setopt(curl, CURLOPT_CAINFO, session->options->ca_file);
    if (text)
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text);
    CURLcode code = curl_easy_perform(curl);
    curl_slist_free_all(headers);
    free(text);
    if (body)
        json_decref(body);
    json_t *json = code == CURLE_OK ? json_loadb(answer->str, answer->len, 0, &json_error) : NULL;
    if (!json)
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "Janus: %s",
                    code == CURLE_OK ? "the answer is not JSON" : curl_easy_strerror(code));
    return json;
}

static json_t *with_credentials(const Session *session, json_t *body)
{
    g_autofree char *transaction = g_strdup_printf("%08x", g_random_int());

    json_object_set_new(body, "transaction", json_string(transaction));
    if (session->options->token)
        json_object_set_new(body, "token", json_string(session->options->token));
    if (session->options->api_secret)
        json_object_set_new(body, "apisecret", json_string(session->options->api_secret));
    return body;
}

/* "create" and "attach": returns the new id, 0 on failure. */
static gint64 make(Session *session, const char *url, json_t *body, GError **error)
{
    json_t *answer = request(session, session->curl, url, with_credentials(session, body), error);
    gint64 id = json_integer_value(json_object_get(json_object_get(answer, "data"), "id"));

    if (answer && id == 0) {
        const char *reason = json_string_value(json_object_get(json_object_get(answer, "error"), "reason"));
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "Janus: %s", reason ? reason : "no id in the answer");
    }
    json_decref(answer);
    return id;
}

static char *poll_url(const Session *session)
{
    GString *url = g_string_new(session->session_url);

    g_string_append(url, "?x=1");
    if (session->options->token) {
        g_autofree char *token = g_uri_escape_string(session->options->token, NULL, FALSE);
        g_string_append_printf(url, "&token=%s", token);
    }
    if (session->options->api_secret)
        g_string_append_printf(url, "&apisecret=%s", session->options->api_secret);
    return g_string_free(url, FALSE);
}

/* Keeps the session alive and hears when it ends. */
static gpointer poller(gpointer user)
{
    Session *session = user;
    CURL *curl = curl_easy_init();
    g_autofree char *url = poll_url(session);

    while (!g_atomic_int_get(&session->stop)) {
        json_t *event = request(session, curl, url, NULL, NULL);
        const char *kind = json_string_value(json_object_get(event, "janus"));
        if (!event || g_strcmp0(kind, "hangup") == 0 || g_strcmp0(kind, "timeout") == 0 ||
            g_strcmp0(kind, "error") == 0)
            g_atomic_int_set(&session->gone, 1);
        json_decref(event);
        if (g_atomic_int_get(&session->gone))
            break;
    }
    curl_easy_cleanup(curl);
    return NULL;
}

/* ---- SDP --------------------------------------------------------------------------------------------------------- */

static void append_codec(GString *sdp, const Track *track)
{
    static const char *const names[STENO_CODEC_COUNT] = {
        [STENO_CODEC_OPUS] = "opus/48000/2", [STENO_CODEC_PCMU] = "PCMU/8000", [STENO_CODEC_PCMA] = "PCMA/8000",
        [STENO_CODEC_VP8] = "VP8/90000",     [STENO_CODEC_VP9] = "VP9/90000",  [STENO_CODEC_H264] = "H264/90000",
        [STENO_CODEC_H265] = "H265/90000",   [STENO_CODEC_AV1] = "AV1/90000"};
    const guint8 *profile = track->clip->h264_profile;

    g_string_append_printf(sdp, "a=rtpmap:%u %s\r\n", track->payload_type, names[track->clip->codec]);
    if (track->clip->codec == STENO_CODEC_OPUS)
        g_string_append_printf(sdp, "a=fmtp:%u minptime=10;useinbandfec=1%s\r\n", track->payload_type,
                               track->clip->channels == 2 ? ";stereo=1" : "");
    if (track->clip->codec == STENO_CODEC_H264)
        g_string_append_printf(
            sdp, "a=fmtp:%u level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=%02x%02x%02x\r\n",
            track->payload_type, profile[0], profile[1], profile[2]);
    if (track->clip->codec == STENO_CODEC_VP9)
        g_string_append_printf(sdp, "a=fmtp:%u profile-id=0\r\n", track->payload_type);
}

static void append_media(GString *sdp, const Track *track, const StenoTransportLocal *local, const Options *options)
{
    gboolean video = track->clip->channels == 0;

    g_string_append_printf(sdp, "m=%s 9 UDP/TLS/RTP/SAVPF %u", track->kind, track->payload_type);
    if (track->rtx_payload_type)
        g_string_append_printf(sdp, " %u", track->rtx_payload_type);
    g_string_append_printf(sdp,
                           "\r\nc=IN IP4 0.0.0.0\r\na=mid:%c\r\na=sendonly\r\na=rtcp-mux\r\na=ice-ufrag:%s\r\n"
                           "a=ice-pwd:%s\r\na=ice-options:trickle\r\na=fingerprint:%s\r\na=setup:actpass\r\n",
                           track->mid, local->ufrag, local->password, local->fingerprint);
    if (!options->no_extensions)
        g_string_append(sdp,
                        "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
                        "a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r\n"
                        "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n");
    append_codec(sdp, track);
    if (video)
        g_string_append_printf(sdp,
                               "a=rtcp-fb:%u nack\r\na=rtcp-fb:%u nack pli\r\na=rtcp-fb:%u ccm fir\r\n"
                               "a=rtcp-fb:%u goog-remb\r\na=rtcp-fb:%u transport-cc\r\n",
                               track->payload_type, track->payload_type, track->payload_type, track->payload_type,
                               track->payload_type);
    g_string_append_printf(sdp, "a=msid:publisher %s\r\na=ssrc:%u cname:publisher\r\n", track->kind, track->ssrc);
    if (track->rtx_payload_type)
        g_string_append_printf(sdp,
                               "a=rtpmap:%u rtx/90000\r\na=fmtp:%u apt=%u\r\na=ssrc:%u cname:publisher\r\n"
                               "a=ssrc-group:FID %u %u\r\n",
                               track->rtx_payload_type, track->rtx_payload_type, track->payload_type, track->rtx_ssrc,
                               track->ssrc, track->rtx_ssrc);
    for (guint i = 0; i < local->candidates->len; i++)
        g_string_append_printf(sdp, "a=%s\r\n", (const char *)g_ptr_array_index(local->candidates, i));
    g_string_append(sdp, "a=end-of-candidates\r\n");
}

static void on_gathered(gpointer user, const StenoTransportLocal *local)
{
    Session *session = user;
    GString *sdp = g_string_new("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=publisher\r\nt=0 0\r\na=group:BUNDLE");

    for (guint i = 0; i < session->participant->n_tracks; i++)
        g_string_append_printf(sdp, " %c", session->participant->tracks[i].mid);
    g_string_append(sdp, "\r\na=msid-semantic: WMS publisher\r\n");
    for (guint i = 0; i < session->participant->n_tracks; i++)
        append_media(sdp, &session->participant->tracks[i], local, session->options);
    session->offer = g_string_free(sdp, FALSE);
}

static guint8 extension_id(char *const *lines, const char *uri)
{
    for (guint i = 0; lines[i]; i++) {
        if (g_str_has_prefix(lines[i], "a=extmap:") && strstr(lines[i], uri))
            return (guint8)g_ascii_strtoull(lines[i] + 9, NULL, 10);
    }
    return 0;
}

/* The lines of the answer's index-th m-line. */
static void take_media(Track *track, const char *section)
{
    g_auto(GStrv) lines = g_strsplit_set(section, "\r\n", -1);
    g_autofree char *rtx = g_strdup_printf("a=rtpmap:%u rtx", track->rtx_payload_type);

    track->mid_extension = extension_id(lines, "hdrext:sdes:mid");
    track->send_time_extension = extension_id(lines, "abs-send-time");
    track->transport_cc_extension = extension_id(lines, "transport-wide-cc");
    if (!strstr(section, rtx))
        track->rtx_payload_type = 0;
}

static gboolean take_answer(Session *session, const char *sdp, GError **error)
{
    g_auto(GStrv) sections = g_strsplit(sdp, "\r\nm=", -1);
    g_auto(GStrv) lines = g_strsplit_set(sdp, "\r\n", -1);
    g_autoptr(GPtrArray) candidates = g_ptr_array_new();
    const char *fingerprints[] = {NULL, NULL};
    StenoTransportRemote remote = {.fingerprints = fingerprints, .end_of_candidates = TRUE};

    for (guint i = 0; i < session->participant->n_tracks && sections[0] && sections[i + 1]; i++)
        take_media(&session->participant->tracks[i], sections[i + 1]);
    for (guint i = 0; lines[i]; i++) {
        if (g_str_has_prefix(lines[i], "a=ice-ufrag:"))
            remote.ufrag = lines[i] + 12;
        else if (g_str_has_prefix(lines[i], "a=ice-pwd:"))
            remote.password = lines[i] + 10;
        else if (g_str_has_prefix(lines[i], "a=fingerprint:"))
            fingerprints[0] = lines[i] + 14;
        else if (strcmp(lines[i], "a=setup:passive") == 0)
            remote.setup = STENO_DTLS_PASSIVE;
        else if (strcmp(lines[i], "a=setup:active") == 0)
            remote.setup = STENO_DTLS_ACTIVE;
        else if (strcmp(lines[i], "a=ice-lite") == 0)
            remote.ice_lite = TRUE;
        else if (g_str_has_prefix(lines[i], "a=candidate:"))
            g_ptr_array_add(candidates, lines[i] + 2);
    }
    g_ptr_array_add(candidates, NULL);
    remote.candidates = (const char *const *)candidates->pdata;
    return steno_transport_set_remote(session->transport, &remote, error);
}

/* ---- joining ----------------------------------------------------------------------------------------------------- */

static json_t *join_body(const Session *session)
{
    const Options *options = session->options;
    json_t *body = json_pack("{s:s, s:s, s:I, s:s}", "request", "joinandconfigure", "ptype", "publisher", "room",
                             (json_int_t)options->room, "display", session->participant->name);

    if (options->pin)
        json_object_set_new(body, "pin", json_string(options->pin));
    if (options->room_token)
        json_object_set_new(body, "token", json_string(options->room_token));
    for (guint i = 0; i < session->participant->n_tracks; i++) {
        const Track *track = &session->participant->tracks[i];
        json_object_set_new(body, track->clip->channels ? "audiocodec" : "videocodec",
                            json_string(steno_codec_name(track->clip->codec)));
    }
    return json_pack("{s:s, s:o, s:{s:s, s:s, s:b}}", "janus", "message", "body", body, "jsep", "type", "offer", "sdp",
                     session->offer, "trickle", FALSE);
}

/* Waits for the answer to our offer. */
static gboolean await_answer(Session *session, GError **error)
{
    g_autofree char *url = poll_url(session);

    for (;;) {
        json_t *event = request(session, session->curl, url, NULL, error);
        if (!event)
            return FALSE;
        json_t *data = json_object_get(json_object_get(event, "plugindata"), "data");
        const char *refusal = json_string_value(json_object_get(data, "error"));
        const char *sdp = json_string_value(json_object_get(json_object_get(event, "jsep"), "sdp"));
        gboolean ok = FALSE;
        if (sdp) {
            session->feed = json_integer_value(json_object_get(data, "id"));
            ok = take_answer(session, sdp, error);
        } else if (refusal) {
            g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "Janus refuses: %s", refusal);
        }
        gboolean over = sdp || refusal;
        json_decref(event);
        if (over)
            return ok;
    }
}

static gboolean join(Session *session, GError **error)
{
    gint64 id = make(session, session->options->url, json_pack("{s:s}", "janus", "create"), error);
    if (!id)
        return FALSE;
    session->session_url = g_strdup_printf("%s/%" G_GINT64_FORMAT, session->options->url, id);
    id = make(session, session->session_url,
              json_pack("{s:s, s:s}", "janus", "attach", "plugin", "janus.plugin.videoroom"), error);
    if (!id)
        return FALSE;
    session->handle_url = g_strdup_printf("%s/%" G_GINT64_FORMAT, session->session_url, id);
    json_t *answer =
        request(session, session->curl, session->handle_url, with_credentials(session, join_body(session)), error);
    if (!answer)
        return FALSE;
    json_decref(answer);
    return await_answer(session, error);
}

static void on_rtp(gpointer user, StenoPacket *packet)
{
    (void)user;
    steno_packet_free(packet);
}

static void on_rtcp(gpointer user, const guint8 *data, gsize bytes, gint64 arrival_us)
{
    (void)arrival_us;
    participant_take_rtcp(((Session *)user)->participant, data, bytes);
}

static void on_state(gpointer user, StenoTransportState state, const GError *error)
{
    Session *session = user;

    session->state = state;
    if (error && !session->error)
        session->error = g_error_copy(error);
    if (state == STENO_TRANSPORT_CONNECTED)
        participant_start(session->participant, g_get_monotonic_time(), 0);
}

static void on_send(Participant *participant, guint track, gboolean rtcp, const guint8 *data, gsize bytes)
{
    Session *session = participant->user;

    (void)track;
    if (rtcp)
        steno_transport_send_rtcp(session->transport, data, bytes);
    else
        steno_transport_send_rtp(session->transport, data, bytes);
}

static void choose_payload_types(Participant *participant, const Options *options)
{
    static const guint8 types[STENO_CODEC_COUNT] = {
        [STENO_CODEC_OPUS] = 111, [STENO_CODEC_PCMU] = 0,   [STENO_CODEC_PCMA] = 8,   [STENO_CODEC_VP8] = 96,
        [STENO_CODEC_VP9] = 98,   [STENO_CODEC_H264] = 102, [STENO_CODEC_H265] = 104, [STENO_CODEC_AV1] = 100};

    for (guint i = 0; i < participant->n_tracks; i++) {
        Track *track = &participant->tracks[i];
        track->payload_type = types[track->clip->codec];
        track->rtx_payload_type = track->clip->channels == 0 && !options->no_rtx ? track->payload_type + 1 : 0;
    }
}

static gboolean wait_until(Output *output, Session *session, gboolean connected, GError **error)
{
    gint64 deadline_us = g_get_monotonic_time() + CONNECT_TIMEOUT_US;

    while (connected ? session->state != STENO_TRANSPORT_CONNECTED : !session->offer) {
        if (session->error) {
            g_propagate_error(error, g_error_copy(session->error));
            return FALSE;
        }
        if (g_get_monotonic_time() > deadline_us) {
            g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "no media path to Janus");
            return FALSE;
        }
        g_main_context_iteration(output->context, FALSE);
        g_usleep(500);
    }
    return TRUE;
}

static gboolean open_session(Output *output, Session *session, GError **error)
{
    static const StenoTransportEvents events = {on_rtp, on_rtcp, on_gathered, on_state};
    StenoTransportConfig config = {
        .controlling = TRUE, .preferred_setup = STENO_DTLS_ACTIVE, .loopback = TRUE, .pool = output->pool};

    session->curl = curl_easy_init();
    session->participant->user = session;
    session->participant->send = on_send;
    choose_payload_types(session->participant, session->options);
    session->transport = steno_transport_new_ice(&config, output->context, &events, session, error);
    if (!session->transport || !wait_until(output, session, FALSE, error) || !join(session, error))
        return FALSE;
    session->poller = g_thread_new("poller", poller, session);
    return wait_until(output, session, TRUE, error);
}

static void close_session(Session *session)
{
    if (session->state == STENO_TRANSPORT_CONNECTED)
        participant_send_bye(session->participant);
    g_atomic_int_set(&session->stop, 1);
    if (session->poller)
        g_thread_join(session->poller);
    g_atomic_int_set(&session->stop, 0);
    if (session->handle_url && !g_atomic_int_get(&session->gone)) {
        json_t *leave = json_pack("{s:s, s:{s:s}}", "janus", "message", "body", "request", "leave");
        json_decref(request(session, session->curl, session->handle_url, with_credentials(session, leave), NULL));
    }
    if (session->session_url && !g_atomic_int_get(&session->gone))
        json_decref(request(session, session->curl, session->session_url,
                            with_credentials(session, json_pack("{s:s}", "janus", "destroy")), NULL));
    steno_transport_free(session->transport);
    curl_easy_cleanup(session->curl);
    g_clear_error(&session->error);
    g_free(session->session_url);
    g_free(session->handle_url);
    g_free(session->offer);
}

static void janus_close(Output *output)
{
    for (guint i = 0; i < output->n_sessions; i++)
        close_session(&output->sessions[i]);
    while (g_main_context_iteration(output->context, FALSE))
        ;
    g_free(output->sessions);
    steno_packet_pool_free(output->pool);
    g_free(output);
    curl_global_cleanup();
}

static Output *janus_open(const Options *options, Participant *participants, guint n, GMainContext *context,
                          GError **error)
{
    Output *output = g_new0(Output, 1);

    curl_global_init(CURL_GLOBAL_DEFAULT);
    output->context = context;
    output->pool = steno_packet_pool_new(PACKETS_MAX);
    output->sessions = g_new0(Session, n);
    for (guint i = 0; i < n; i++) {
        Session *session = &output->sessions[output->n_sessions++];
        session->options = options;
        session->participant = &participants[i];
        if (!open_session(output, session, error)) {
            janus_close(output);
            return NULL;
        }
    }
    return output;
}

static gboolean janus_tick(Output *output, gint64 mono_us)
{
    gboolean alive = TRUE;

    for (guint i = 0; i < output->n_sessions; i++) {
        Session *session = &output->sessions[i];
        steno_transport_drain(session->transport, mono_us);
        alive &= session->state == STENO_TRANSPORT_CONNECTED && !g_atomic_int_get(&session->gone);
    }
    return alive;
}

const OutputKind janus_output = {janus_open, janus_tick, janus_close};
