/* Session descriptions: what real servers, browsers and tools write, and what nobody should. */
#include "steno/base/error.h"
#include "steno/sdp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define V0 "v=0\r\n"

static StenoSdp *parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    StenoSdp *sdp = steno_sdp_parse(text, strlen(text), &error);
    if (error)
        fail_msg("%s", error->message);
    return sdp;
}

/* One of the fuzzer's seeds: offers of real peers. */
static StenoSdp *parse_seed(const char *name)
{
    g_autofree char *path = g_build_filename(STENO_TEST_DIR, "fuzz/channel/corpus/sdp", name, NULL);
    g_autofree char *text = NULL;
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return parse(text);
}

static void expect_invalid(const char *text, const char *words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(StenoSdp) sdp = steno_sdp_parse(text, strlen(text), &error);
    assert_null(sdp);
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_SDP_INVALID));
    if (!strstr(error->message, words))
        fail_msg("'%s' does not say '%s'", error->message, words);
}

static StenoSdpMedia *media_of(const StenoSdp *sdp, guint index)
{
    assert_true(index < sdp->media->len);
    return g_ptr_array_index(sdp->media, index);
}

static char *answer_to(const StenoSdp *offer, StenoDtlsSetup setup)
{
    StenoTransportLocal local = {.ufrag = (char *)"mine",
                                 .password = (char *)"0123456789abcdef012345",
                                 .fingerprint = (char *)"sha-256 AB:CD",
                                 .setup = setup,
                                 .candidates = g_ptr_array_new()};
    g_ptr_array_add(local.candidates, (gpointer) "candidate:1 1 UDP 2130706431 127.0.0.1 40000 typ host");
    char *answer = steno_sdp_answer(offer, &local);
    g_ptr_array_unref(local.candidates);
    return answer;
}

static guint count(const char *text, const char *part)
{
    guint found = 0;
    while ((text = strstr(text, part))) {
        found++;
        text += strlen(part);
    }
    return found;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static void reads_a_janus_offer(void **state)
{
    (void)state;
    g_autoptr(StenoSdp) sdp = parse_seed("janus_c.sdp");
    assert_string_equal(sdp->session_name, "VideoRoom 1234");
    assert_string_equal(sdp->bundle, "0 1");
    assert_false(sdp->ice_lite);
    assert_int_equal(sdp->media->len, 2);
    const StenoSdpMedia *audio = media_of(sdp, 0), *video = media_of(sdp, 1);
    assert_string_equal(audio->kind, "audio");
    assert_string_equal(audio->protocol, "UDP/TLS/RTP/SAVPF");
    assert_int_equal(audio->direction, STENO_SDP_SENDONLY);
    assert_int_equal(audio->ssrc, 381306503);
    assert_int_equal(audio->rtx_ssrc, 0);
    assert_true(audio->rtcp_mux);
    assert_string_equal(audio->msid_stream, "6900195190658742");
    assert_string_equal(audio->msid_track, "0");
    const StenoSdpFormat *opus = steno_sdp_format(audio, 111);
    assert_int_equal(opus->codec, STENO_CODEC_OPUS);
    assert_int_equal(opus->clock_hz, 48000);
    assert_int_equal(opus->channels, 2);
    assert_true(opus->transport_cc && !opus->nack);

    assert_string_equal(video->mid, "1");
    assert_string_equal(video->ufrag, "lcn+");
    assert_string_equal(video->password, "GoHbASST8nerHBc4f+lCyk");
    /* The fingerprint stands at the session. */
    assert_int_equal(video->fingerprints->len, 1);
    assert_true(g_str_has_prefix(g_ptr_array_index(video->fingerprints, 0), "sha-256 82:B9:"));
    assert_null(video->fingerprints->pdata[1]);
    assert_true(video->has_setup);
    assert_int_equal(video->setup, STENO_DTLS_ACTPASS);
    assert_int_equal(video->candidates->len, 3);
    assert_string_equal(g_ptr_array_index(video->candidates, 0),
                        "candidate:1 1 udp 2015363327 192.0.2.2 38026 typ host");
    assert_null(video->candidates->pdata[3]);
    assert_true(video->end_of_candidates);
    assert_int_equal(video->ssrc, 2026714783);
    assert_int_equal(video->rtx_ssrc, 2454344195);
    assert_int_equal(video->mid_extension, 4);
    assert_int_equal(video->transport_cc_extension, 3);
    assert_int_equal(video->abs_send_time_extension, 2);
    const StenoSdpFormat *h264 = steno_sdp_format(video, 107), *rtx = steno_sdp_format(video, 108);
    assert_int_equal(h264->codec, STENO_CODEC_H264);
    assert_string_equal(h264->fmtp, "profile-level-id=42001f;packetization-mode=1");
    assert_true(h264->nack && h264->pli && h264->fir && h264->remb && h264->transport_cc);
    assert_int_equal(h264->rtx_of, -1);
    assert_int_equal(rtx->rtx_of, 107);
    assert_int_equal(rtx->codec, STENO_CODEC_UNKNOWN);
    assert_null(steno_sdp_format(video, 96));
}

static void reads_sdes_files(void **state)
{
    (void)state;
    g_autoptr(StenoSdp) sdp = parse_seed("rtpengine_sdes.sdp");
    const StenoSdpMedia *caller = media_of(sdp, 0), *callee = media_of(sdp, 1);
    assert_string_equal(caller->address, "198.51.100.10");
    assert_int_equal(caller->port, 30032);
    assert_int_equal(caller->rtcp_port, 30033);
    assert_string_equal(caller->label, "a-leg");
    assert_string_equal(callee->label, "callee");
    /* Not the suite that nobody has, not the key with an MKI: the third. */
    assert_string_equal(caller->sdes_suite, "AES_CM_128_HMAC_SHA1_80");
    assert_string_equal(caller->sdes_key_base64, "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj");
    /* Not the one that would switch encryption off. */
    assert_string_equal(callee->sdes_suite, "AEAD_AES_256_GCM");
    assert_true(callee->rtcp_mux);
    assert_int_equal(steno_sdp_format(caller, 101)->codec, STENO_CODEC_UNKNOWN);

    g_autoptr(StenoSdp) none = parse(V0 "m=audio 9 RTP/AVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:short\r\n");
    assert_null(media_of(none, 0)->sdes_suite);
    assert_true(media_of(none, 0)->sdes_offered);
    g_autoptr(StenoSdp) clear = parse(V0 "m=audio 9 RTP/AVP 0\r\n");
    assert_false(media_of(clear, 0)->sdes_offered);
}

static void reads_what_tools_write(void **state)
{
    (void)state;
    g_autoptr(StenoSdp) multicast = parse_seed("ffmpeg_multicast.sdp");
    assert_string_equal(media_of(multicast, 0)->address, "239.1.2.3");
    g_autoptr(StenoSdp) protected = parse_seed("ffmpeg_srtp.sdp");
    assert_string_equal(media_of(protected, 0)->sdes_suite, "AES_CM_128_HMAC_SHA1_80");
    g_autoptr(StenoSdp) studio = parse_seed("broadcast.sdp");
    const StenoSdpMedia *video = media_of(studio, 0), *audio = media_of(studio, 1);
    assert_string_equal(video->address, "232.1.1.1");
    assert_string_equal(video->source_filter, "192.0.2.77");
    assert_int_equal(video->direction, STENO_SDP_RECVONLY);
    assert_int_equal(steno_sdp_format(video, 96)->codec, STENO_CODEC_H265);
    assert_true(steno_sdp_format(video, 96)->nack);
    /* A static payload type needs no rtpmap. */
    assert_int_equal(steno_sdp_format(audio, 0)->codec, STENO_CODEC_PCMU);
    assert_int_equal(steno_sdp_format(audio, 0)->clock_hz, 8000);
    assert_string_equal(audio->address, "ff3e::1");
    g_autoptr(StenoSdp) pion = parse_seed("livekit.sdp");
    assert_true(pion->ice_lite);
    assert_true(steno_sdp_format(media_of(pion, 2), 96)->fir); /* written with a space behind it */
    assert_string_equal(media_of(pion, 1)->msid_stream, "PA_hqVrZhwMTxzK|camera");
}

static void names_the_line_that_is_wrong(void **state)
{
    (void)state;
    expect_invalid("", "line 0: it is empty");
    expect_invalid("hello", "line 1");
    expect_invalid("s=x\r\nv=0\r\n", "line 1: a session description begins with 'v=0'");
    expect_invalid(V0 "s=x\r\nnonsense\r\n", "line 3");
    expect_invalid(V0 "m=audio\r\n", "line 2: 'm=<media>");
    expect_invalid(V0 "m=audio 65536 RTP/AVP 0\r\n", "line 2: a port");
    expect_invalid(V0 "m=audio 9 RTP/AVP 128\r\n", "line 2: an RTP payload type");
    expect_invalid(V0 "m=audio 9 RTP/AVP 0x\r\n", "line 2: an RTP payload type");
    expect_invalid(V0 "m=audio 9\r\n", "line 2: a transport protocol");
    expect_invalid(V0 "c=IN IP5 x\r\n", "line 2: 'c=IN IP4");
    expect_invalid(V0 "m=audio 9 RTP/AVP 0\r\na=rtpmap:0 PCMU\r\n", "line 3: an encoding name");
    expect_invalid(V0 "m=audio 9 RTP/AVP 0\r\na=rtpmap:0 PCMU/0\r\n", "line 3");
    expect_invalid(V0 "m=audio 9 RTP/AVP 0\r\na=mid:a b\r\n", "line 3: 'a=mid");
    expect_invalid(V0 "m=audio 9 RTP/AVP 0\r\na=mid:\r\n", "line 3: 'a=mid");
    expect_invalid(V0 "m=audio 9 RTP/AVP 0\r\na=ice-ufrag:abc\r\n", "line 3: 'a=ice-ufrag");
    expect_invalid(V0 "a=fingerprint:sha-256 AB:C\r\n", "line 2: 'a=fingerprint");
    expect_invalid(V0 "a=setup:holdconn\r\n", "line 2: 'a=setup");
    expect_invalid(V0 "m=audio 9 RTP/AVP 0\r\na=ssrc:4294967296 cname:x\r\n", "line 3: 'a=ssrc");
    expect_invalid(V0 "m=audio 9 RTP/AVP 0\r\na=mid:a\rb\r\n", "line 3: a control character");
    g_autoptr(GError) nul = NULL;
    assert_null(steno_sdp_parse("v=0\r\n\0x", 7, &nul));
    assert_true(g_error_matches(nul, STENO_ERROR, STENO_ERROR_SDP_INVALID));
}

static void never_shows_keys(void **state)
{
    (void)state;
    static const char *const texts[] = {
        V0 "m=audio 9 RTP/SAVP 0\r\na=ice-pwd:tooshortSECRET\r\n",
        V0 "m=audio 9 RTP/SAVP 0\r\na=crypto:SECRET\001\r\n",
    };
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        assert_null(steno_sdp_parse(texts[i], strlen(texts[i]), &error));
        assert_null(strstr(error->message, "SECRET"));
    }
}

/* Errors go to terminals, which obey what they are told. */
static void errors_quote_only_what_prints(void **state)
{
    (void)state;
    static const struct {
        const char *text, *quoted;
    } cases[] = {
        {V0 "a=\033]0;title\007\033[2J\r\n", "at 'a=\\x1b]0;title\\x07\\x1b[2J'"},
        {"\177\b\033c", "at '\\x7f\\x08\\x1bc'"},
        {V0 "m=audio\t9\r\n", "at 'audio\\x099'"},
        {V0 "m=\302\2332J\r\n", "at '\\xc2\\x9b2J'"},                /* a control sequence in one character */
        {V0 "m=\342\200\256oidua\r\n", "at '\\xe2\\x80\\xaeoidua'"}, /* writes the rest from right to left */
        {V0 "m=\377\376\r\n", "at '\\xff\\xfe'"},                    /* no UTF-8 */
        {V0 "m=caf\303\251 \344\275\240\r\n", "at 'caf\303\251 \344\275\240'"}, /* people's letters stay */
        {V0 "m=0123456789012345678901234567890123456789more\r\n", "at '0123456789012345678901234567890123456789'"},
        {V0 "m=012345678901234567890123456789012345678\303\251more\r\n",
         "at '012345678901234567890123456789012345678\303\251'"}, /* never half a character */
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        expect_invalid(cases[i].text, cases[i].quoted);
}

static void keeps_its_ceilings(void **state)
{
    (void)state;
    g_autoptr(GString) text = g_string_new(V0);
    for (guint i = 0; i < STENO_SDP_MEDIA_MAX; i++)
        g_string_append(text, "m=audio 9 RTP/AVP 0\r\n");
    g_autoptr(StenoSdp) most = parse(text->str);
    assert_int_equal(most->media->len, STENO_SDP_MEDIA_MAX);
    g_string_append(text, "m=audio 9 RTP/AVP 0\r\n");
    expect_invalid(text->str, "more than 256 m= lines");

    g_string_assign(text, V0 "m=video 9 RTP/AVP");
    for (guint i = 0; i < STENO_SDP_FORMATS_MAX; i++)
        g_string_append_printf(text, " %u", i);
    g_autoptr(StenoSdp) full = parse(text->str);
    assert_int_equal(media_of(full, 0)->formats->len, STENO_SDP_FORMATS_MAX);
    g_string_append(text, " 100");
    expect_invalid(text->str, "more than 64 payload types");

    g_string_assign(text, V0 "m=video 9 RTP/AVP 96\r\n");
    for (guint i = 0; i < STENO_TRANSPORT_CANDIDATES_MAX + 5; i++)
        g_string_append(text, "a=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n");
    g_autoptr(StenoSdp) many = parse(text->str);
    assert_int_equal(media_of(many, 0)->candidates->len, STENO_TRANSPORT_CANDIDATES_MAX);

    g_string_assign(text, V0);
    while (text->len <= STENO_SDP_MAX_BYTES)
        g_string_append(text, "a=x\r\n");
    expect_invalid(text->str, "longer than any real one");
}

/* ---- answering --------------------------------------------------------------------------------------------------- */

static void answers_a_janus_offer(void **state)
{
    (void)state;
    g_autoptr(StenoSdp) offer = parse_seed("janus_c.sdp");
    g_autofree char *answer = answer_to(offer, STENO_DTLS_ACTIVE);
    assert_string_equal(answer,
                        "v=0\r\n"
                        "o=- 1 1 IN IP4 127.0.0.1\r\n"
                        "s=-\r\n"
                        "t=0 0\r\n"
                        "a=group:BUNDLE 0 1\r\n"
                        "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"
                        "c=IN IP4 0.0.0.0\r\n"
                        "a=mid:0\r\n"
                        "a=recvonly\r\n"
                        "a=ice-ufrag:mine\r\n"
                        "a=ice-pwd:0123456789abcdef012345\r\n"
                        "a=fingerprint:sha-256 AB:CD\r\n"
                        "a=setup:active\r\n"
                        "a=candidate:1 1 UDP 2130706431 127.0.0.1 40000 typ host\r\n"
                        "a=end-of-candidates\r\n"
                        "a=rtcp-mux\r\n"
                        "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
                        "a=rtpmap:111 opus/48000/2\r\n"
                        "a=fmtp:111 useinbandfec=1\r\n"
                        "a=rtcp-fb:111 transport-cc\r\n"
                        "m=video 9 UDP/TLS/RTP/SAVPF 107 108\r\n"
                        "c=IN IP4 0.0.0.0\r\n"
                        "a=mid:1\r\n"
                        "a=recvonly\r\n"
                        "a=ice-ufrag:mine\r\n"
                        "a=ice-pwd:0123456789abcdef012345\r\n"
                        "a=fingerprint:sha-256 AB:CD\r\n"
                        "a=setup:active\r\n"
                        "a=rtcp-mux\r\n"
                        "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n"
                        "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n"
                        "a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time\r\n"
                        "a=rtpmap:107 H264/90000\r\n"
                        "a=fmtp:107 profile-level-id=42001f;packetization-mode=1\r\n"
                        "a=rtcp-fb:107 nack\r\n"
                        "a=rtcp-fb:107 nack pli\r\n"
                        "a=rtcp-fb:107 ccm fir\r\n"
                        "a=rtcp-fb:107 goog-remb\r\n"
                        "a=rtcp-fb:107 transport-cc\r\n"
                        "a=rtpmap:108 rtx/90000\r\n"
                        "a=fmtp:108 apt=107\r\n");
}

static void takes_only_what_is_recorded(void **state)
{
    (void)state;
    g_autoptr(StenoSdp) offer = parse_seed("chromium_maxbundle.sdp");
    g_autofree char *answer = answer_to(offer, STENO_DTLS_PASSIVE);
    assert_non_null(strstr(answer, "m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8\r\n"));
    assert_non_null(strstr(answer, "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n"));
    assert_non_null(strstr(answer, "a=group:BUNDLE 0 1\r\n"));
    assert_non_null(strstr(answer, "a=setup:passive\r\n"));
    assert_int_equal(count(answer, "a=candidate:"), 1);
    assert_int_equal(count(answer, "a=end-of-candidates"), 1);
    assert_int_equal(count(answer, "a=rtcp-rsize\r\n"), 2);
    static const char *const unwanted[] = {"red/", "ulpfec",  "telephone-event", "flexfec", "G722",
                                           "CN/",  "toffset", "a=ssrc",          "sendonly"};
    for (guint i = 0; i < G_N_ELEMENTS(unwanted); i++)
        assert_null(strstr(answer, unwanted[i]));
    g_autoptr(StenoSdp) again = parse(answer);
    const StenoSdpMedia *video = media_of(again, 1), *offered = media_of(offer, 1);
    guint primaries = 0;
    for (guint i = 0; i < video->formats->len; i++) {
        const StenoSdpFormat *format = g_ptr_array_index(video->formats, i);
        assert_true(format->codec != STENO_CODEC_UNKNOWN || steno_sdp_format(video, (guint8)format->rtx_of));
        assert_string_equal(format->fmtp ? format->fmtp : "",
                            steno_sdp_format(offered, format->payload_type)->fmtp
                                ? steno_sdp_format(offered, format->payload_type)->fmtp
                                : "");
        primaries += format->codec != STENO_CODEC_UNKNOWN;
    }
    assert_true(primaries >= 6); /* VP8, VP9 in two profiles, H.264 in several, AV1 */
}

static void moves_the_tag_behind_a_rejected_line(void **state)
{
    (void)state;
    g_autoptr(StenoSdp) offer = parse_seed("livekit.sdp");
    g_autofree char *answer = answer_to(offer, STENO_DTLS_ACTIVE);
    assert_non_null(strstr(answer, "a=group:BUNDLE 1 2\r\n"));
    const char *application = strstr(answer, "m=application 0 "), *audio = strstr(answer, "m=audio 9 ");
    const char *candidate = strstr(answer, "a=candidate:"), *video = strstr(answer, "m=video 9 ");
    assert_true(application && audio && candidate && video);
    assert_true(application < audio && audio < candidate && candidate < video);
    assert_null(strstr(answer, "a=ice-lite"));
}

#define WEBRTC "a=ice-ufrag:abcd\r\na=rtpmap:96 VP8/90000\r\n"

static void answers_each_direction(void **state)
{
    (void)state;
    static const struct {
        const char *media, *expected;
    } cases[] = {
        {"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:v\r\n" WEBRTC,
         "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\n"
         "a=mid:v\r\na=recvonly\r\n"},
        {"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=recvonly\r\na=mid:v\r\n" WEBRTC, "a=mid:v\r\na=inactive\r\na=ice-ufrag"},
        {"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=inactive\r\na=mid:v\r\n" WEBRTC, "a=mid:v\r\na=inactive\r\na=ice-ufrag"},
        {"m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:v\r\n" WEBRTC, "m=video 0 UDP/TLS/RTP/SAVPF 96\r\n"},
        {"m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:v\r\na=bundle-only\r\n" WEBRTC, "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n"},
        /* Nothing to record: rejected, but kept as the bundle's tag. */
        {"m=audio 9 UDP/TLS/RTP/SAVPF 9\r\na=mid:a\r\n", "m=audio 0 UDP/TLS/RTP/SAVPF 9\r\n"},
        {"m=audio 9 UDP/TLS/RTP/SAVPF 9\r\na=mid:t\r\n", "m=audio 9 UDP/TLS/RTP/SAVPF 9\r\nc=IN IP4 0.0.0.0\r\n"
                                                         "a=mid:t\r\na=inactive\r\n"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strconcat(V0 "a=group:BUNDLE t v a\r\n", cases[i].media, NULL);
        g_autoptr(StenoSdp) offer = parse(text);
        g_autofree char *answer = answer_to(offer, STENO_DTLS_ACTIVE);
        if (!strstr(answer, cases[i].expected))
            fail_msg("case %u: no '%s' in '%s'", i, cases[i].expected, answer);
    }
}

static void gives_unbundled_lines_candidates(void **state)
{
    (void)state;
    g_autoptr(StenoSdp) offer =
        parse(V0 "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" WEBRTC "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" WEBRTC);
    g_autofree char *answer = answer_to(offer, STENO_DTLS_ACTIVE);
    assert_null(strstr(answer, "a=group"));
    assert_int_equal(count(answer, "a=candidate:"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_janus_offer),
        cmocka_unit_test(reads_sdes_files),
        cmocka_unit_test(reads_what_tools_write),
        cmocka_unit_test(names_the_line_that_is_wrong),
        cmocka_unit_test(never_shows_keys),
        cmocka_unit_test(errors_quote_only_what_prints),
        cmocka_unit_test(keeps_its_ceilings),
        cmocka_unit_test(answers_a_janus_offer),
        cmocka_unit_test(takes_only_what_is_recorded),
        cmocka_unit_test(moves_the_tag_behind_a_rejected_line),
        cmocka_unit_test(answers_each_direction),
        cmocka_unit_test(gives_unbundled_lines_candidates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
