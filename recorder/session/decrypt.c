/* Which frames go on in the clear, and which are sealed: the two states of an encrypted track, and how it changes. */
#include "decrypt.h"

#include <string.h>

/* ---- sealed ------------------------------------------------------------------------------------------------------ */

static StenoFrame *new_format(const Decryption *decryption, const StenoFrame *first)
{
    const StenoDepacketizerConfig *config = &decryption->config;
    StenoFrame *format = steno_frame_new(decryption->track->peer->net->frames, STENO_FRAME_FORMAT, 0);
    if (!format)
        return NULL;
    format->codec = config->codec;
    format->track = config->track;
    format->rtp_ts = first->rtp_ts;
    format->arrival_us = first->arrival_us;
    format->encrypted = true;
    format->format.clock_hz = config->clock_hz;
    if (!steno_codec_is_video(config->codec))
        format->format.channels = config->codec == STENO_CODEC_OPUS ? 2 : MAX(config->channels, 1);
    return format;
}

static void end_inspector(Decryption *decryption)
{
    if (!decryption->inspector)
        return;
    steno_inspector_flush(decryption->inspector);
    session_decrypt_add_stats(decryption, &decryption->track->codec_gone);
    steno_inspector_free(g_steal_pointer(&decryption->inspector));
}

/* After a short time in the clear, or after many changes, the next one has to wait. */
static void hold(Decryption *decryption, gint64 now_us)
{
    gboolean hasty = decryption->clear_since_us > 0 && now_us - decryption->clear_since_us < SESSION_CLEAR_MIN_US;
    decryption->hold_us = hasty ? CLAMP(decryption->hold_us * 2, SESSION_CLEAR_MIN_US, SESSION_SEALED_HOLD_MAX_US) : 0;
    if (++decryption->n_changes > SESSION_CHANGES_MAX)
        decryption->hold_us = SESSION_SEALED_HOLD_MAX_US;
    decryption->clear_again_us = now_us + decryption->hold_us;
}

/* FALSE: there is no room to say so. */
static gboolean become_sealed(Decryption *decryption, const StenoFrame *first)
{
    StenoFrame *format = new_format(decryption, first);
    if (!format)
        return FALSE;
    if (session_decrypt_is_per_packet(decryption))
        session_decrypt_end_packets(decryption);
    else
        end_inspector(decryption);
    hold(decryption, first->arrival_us);
    decryption->sealed = TRUE;
    decryption->sealed_since_us = first->arrival_us;
    decryption->sealed_before = decryption->n_sealed;
    session_wiring_capture(decryption->track, format);
    return TRUE;
}

void session_decrypt_seal(Decryption *decryption, StenoFrame *frame)
{
    if (!decryption->sealed && !become_sealed(decryption, frame)) {
        session_wiring_overflowed(decryption->track, frame->rtp_ts);
        steno_frame_unref(frame);
        return;
    }
    frame->encrypted = true;
    frame->keyframe = false;
    frame->decodable = true;
    session_wiring_capture(decryption->track, frame); /* first: it may be the first one of another part */
    decryption->n_sealed++;
    decryption->track->peer->net->ticking.sealed++;
}

/* ---- clear ------------------------------------------------------------------------------------------------------- */

void session_decrypt_unseal(Decryption *decryption, StenoFrame *frame)
{
    if (session_decrypt_is_per_packet(decryption))
        session_decrypt_settle(decryption, frame);
    decryption->sealed = FALSE;
    decryption->clear_since_us = frame->arrival_us;
    session_trouble_over(decryption);
    if (decryption->format)
        session_wiring_capture(decryption->track, g_steal_pointer(&decryption->format));
    session_wiring_capture(decryption->track, frame);
}

/* What the inspector, or per packet the depacketizer, makes of what opens. */
static void take_clear(Decryption *decryption, StenoFrame *frame)
{
    if (decryption->ending) {
        if (frame->kind == STENO_FRAME_GAP && frame->gap.first_seq < decryption->sealed_from)
            session_wiring_capture(decryption->track, frame);
        else
            steno_frame_unref(frame);
    } else if (!decryption->sealed) {
        if (frame->kind == STENO_FRAME_MEDIA)
            session_decrypt_release(decryption, frame);
        session_wiring_capture(decryption->track, frame);
    } else if (frame->kind == STENO_FRAME_MEDIA) {
        session_decrypt_unseal(decryption, frame);
    } else if (frame->kind == STENO_FRAME_FORMAT) {
        g_clear_pointer(&decryption->format, steno_frame_unref);
        decryption->format = frame;
    } else {
        steno_frame_unref(frame); /* what is missing on trial was sealed */
    }
}

static void on_inspected(gpointer user, StenoFrame *frame)
{
    take_clear(((NetTrack *)user)->decryption, frame);
}

/* Takes the frame. FALSE: it cannot be looked into. */
static gboolean inspect(Decryption *decryption, StenoFrame *frame)
{
    NetTrack *track = decryption->track;
    if (!decryption->inspector)
        decryption->inspector = steno_inspector_new(&decryption->config, track->peer->net->frames, on_inspected, track);
    if (decryption->inspector)
        (void)steno_inspector_frame(decryption->inspector, frame);
    else
        steno_frame_unref(frame);
    return decryption->inspector != NULL;
}

/* ---- frames ------------------------------------------------------------------------------------------------------ */

static gboolean is_open(StenoContentOutcome outcome)
{
    return outcome == STENO_CONTENT_OPENED || outcome == STENO_CONTENT_CLEAR;
}

/* Opens all parts that were encrypted each on its own; as soon as one does not open, the frame does not. */
static StenoContentOutcome open_parts(Decryption *decryption, const StenoFrame *frame, StenoFrame *clear)
{
    gsize sizes[STENO_CODEC_LAYERS_MAX];
    guint count = steno_codec_layers(frame->codec, frame->payload, frame->payload_bytes, sizes);
    StenoContentOutcome outcome = STENO_CONTENT_CLEAR;
    gsize from = 0, to = 0;
    for (guint i = 0; i < count; i++) {
        StenoContentOpened opened = {0};
        StenoContentOutcome part = steno_content_open(decryption->opener, frame->codec, frame->payload + from, sizes[i],
                                                      clear->payload + to, &opened);
        session_trouble_note(decryption, part, &opened, frame->arrival_us);
        if (!is_open(part))
            return part;
        if (part == STENO_CONTENT_OPENED)
            outcome = part;
        from += sizes[i];
        to += sizes[i] = opened.bytes;
    }
    clear->payload_bytes = (guint32)steno_codec_join_layers(clear->payload, sizes, count);
    return outcome;
}

/* The frame, opened into another one; NULL: it is not. */
static StenoFrame *open_frame(Decryption *decryption, const StenoFrame *frame, StenoContentOutcome *outcome)
{
    StenoFrame *clear = steno_frame_new(decryption->track->peer->net->frames, STENO_FRAME_MEDIA, frame->payload_bytes);
    if (!clear) /* sealed, it needs no more room than it has */
        return NULL;
    *outcome = open_parts(decryption, frame, clear);
    if (!is_open(*outcome)) {
        steno_frame_unref(clear);
        return NULL;
    }
    clear->codec = frame->codec;
    clear->track = frame->track;
    clear->rtp_ts = frame->rtp_ts;
    clear->arrival_us = frame->arrival_us;
    return clear;
}

static void take_frame(Decryption *decryption, StenoFrame *frame)
{
    StenoContentOutcome outcome = STENO_CONTENT_NO_KEY;
    StenoFrame *clear = open_frame(decryption, frame, &outcome);
    gboolean was_sealed = decryption->sealed;
    if (outcome == STENO_CONTENT_INJECTED) {
        decryption->track->peer->net->ticking.injected++;
        steno_frame_unref(frame);
        return;
    }
    /* What passes as it is proves no key. */
    gboolean trusted =
        !was_sealed || (outcome == STENO_CONTENT_OPENED && frame->arrival_us >= decryption->clear_again_us);
    if (clear && !trusted)
        steno_frame_unref(g_steal_pointer(&clear));
    if (clear && inspect(decryption, clear) && !decryption->sealed)
        steno_frame_unref(frame);
    else
        session_decrypt_seal(decryption, frame);
}

void session_decrypt_frame(gpointer user, StenoFrame *frame)
{
    Decryption *decryption = ((NetTrack *)user)->decryption;
    if (session_decrypt_is_per_packet(decryption))
        take_clear(decryption, frame);
    else if (frame->kind == STENO_FRAME_MEDIA)
        take_frame(decryption, frame);
    else if (frame->kind == STENO_FRAME_FORMAT) /* the inspector tells what it is, and of sealed ones we do */
        steno_frame_unref(frame);
    else if (decryption->inspector && !decryption->sealed)
        steno_inspector_gap(decryption->inspector, frame);
    else
        session_wiring_capture(decryption->track, frame);
}

/* ---- beginning, breaking, ending --------------------------------------------------------------------------------- */

void session_decrypt_begin(NetTrack *track, const char *participant)
{
    Decryption *decryption = track->decryption = g_new0(Decryption, 1);
    decryption->track = track;
    decryption->participant = g_strdup(participant);
    decryption->opener = steno_content_opener_new(track->peer->net->ring, participant);
}

void session_decrypt_set_codec(Decryption *decryption, StenoDepacketizerConfig *config)
{
    config->opaque = !session_decrypt_is_per_packet(decryption);
    g_free((char *)decryption->config.fmtp);
    decryption->config = *config;
    decryption->config.fmtp = g_strdup(config->fmtp);
}

gboolean session_decrypt_is_per_packet(const Decryption *decryption)
{
    return steno_content_format_unit(decryption->track->peer->net->content) == STENO_CONTENT_PER_PACKET;
}

void session_decrypt_break(NetTrack *track)
{
    end_inspector(track->decryption);
    g_clear_pointer(&track->decryption->format, steno_frame_unref);
}

void session_decrypt_end(NetTrack *track)
{
    session_decrypt_break(track);
    session_trouble_end(track->decryption);
}

void session_decrypt_free(Decryption *decryption)
{
    if (!decryption)
        return;
    while (decryption->kept) {
        StenoPacket *packet = decryption->kept;
        decryption->kept = packet->next;
        steno_packet_free(packet);
    }
    steno_inspector_free(decryption->inspector);
    g_clear_pointer(&decryption->format, steno_frame_unref);
    steno_content_opener_free(decryption->opener);
    g_free((char *)decryption->config.fmtp);
    g_free(decryption->participant);
    g_free(decryption);
}

guint64 session_decrypt_change_over(Decryption *decryption)
{
    decryption->n_changes = 0;
    return decryption->n_sealed;
}

bool session_decrypt_needs_keyframe(const NetTrack *track)
{
    const Decryption *decryption = track->decryption;
    if (!steno_codec_is_video(track->codec))
        return false;
    if (decryption->sealed)
        return decryption->opens; /* without the key, it would be of no use */
    return decryption->inspector ? steno_inspector_needs_keyframe(decryption->inspector)
                                 : track->depacketizer && steno_depacketizer_needs_keyframe(track->depacketizer);
}

void session_decrypt_add_stats(const Decryption *decryption, StenoDepacketizerStats *stats)
{
    if (!decryption->inspector)
        return;
    const StenoDepacketizerStats *inspected = steno_inspector_stats(decryption->inspector);
    stats->undecodable += inspected->undecodable;
    stats->damaged += inspected->damaged;
}

guint64 session_decrypt_sealed(const Decryption *decryption)
{
    return decryption->n_sealed;
}
