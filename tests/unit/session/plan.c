/* What the network thread is asked for by an offer: tracks, payload types, transport; and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "session_internal.h"
#include "steno/base/error.h"

#include <string.h>

#define ICE                                                                                                            \
    "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\n"                                      \
    "a=fingerprint:sha-256 "                                                                                           \
    "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n"
#define HEAD "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"

static StenoSdp *parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    StenoSdp *sdp = steno_sdp_parse(text, strlen(text), &error);
    if (!sdp)
        fail_msg("%s", error->message);
    return sdp;
}

static PeerPlan *plan(const char *text, GError **error)
{
    g_autoptr(StenoSdp) sdp = parse(text);
    return session_plan_new(7, sdp, error);
}

static void assert_refused(const char *text, StenoError code, const char *words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PeerPlan) refused = plan(text, &error);
    assert_null(refused);
    assert_true(g_error_matches(error, STENO_ERROR, (gint)code));
    if (!strstr(error->message, words))
        fail_msg("'%s' does not say '%s'", error->message, words);
}

static void a_webrtc_offer_becomes_tracks(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autoptr(PeerPlan) planned = plan(
        HEAD "a=group:BUNDLE 0 1 2\r\n"
             "m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\n" ICE
             "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10\r\na=rtpmap:63 red/48000/2\r\na=extmap:4 "
             "urn:ietf:params:rtp-hdrext:sdes:mid\r\na=rtcp-mux\r\na=ssrc:11 cname:x\r\n"
             "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sendonly\r\n" ICE
             "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\na=rtpmap:97 rtx/90000\r\n"
             "a=fmtp:97 apt=96\r\na=rtcp-mux\r\na=ssrc-group:FID 21 22\r\na=ssrc:21 cname:x\r\na=ssrc:22 cname:x\r\n"
             "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=inactive\r\n" ICE
             "a=rtpmap:96 VP8/90000\r\na=rtcp-mux\r\n",
        &error);
    assert_non_null(planned);
    assert_false(planned->plain);
    assert_int_equal(planned->peer, 7);
    assert_string_equal(planned->ufrag, "abcd");
    assert_int_equal(planned->rtp.mid_extension, 4);
    assert_true(planned->rtp.feedback);
    assert_int_equal(planned->tracks->len, 2); /* not the inactive one */
    const TrackPlan *audio = planned->tracks->pdata[0], *video = planned->tracks->pdata[1];
    assert_int_equal(audio->rtp.n_payloads, 1); /* red is not recorded */
    assert_int_equal(audio->rtp.payloads[0].codec, STENO_CODEC_OPUS);
    assert_string_equal(audio->fmtp[0], "minptime=10");
    assert_int_equal(audio->channels[0], 2);
    assert_true(video->rtp.video);
    assert_true(video->rtp.nack && video->rtp.pli);
    assert_int_equal(video->rtp.ssrc, 21);
    assert_int_equal(video->rtp.rtx_ssrc, 22);
    assert_int_equal(video->rtp.payloads[1].rtx_of, 96);
    assert_string_equal(video->rtp.mid, "1");
}

static void a_file_becomes_a_socket(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autoptr(PeerPlan) planned =
        plan(HEAD "c=IN IP4 239.1.2.3/32\r\nm=audio 5004 RTP/SAVP 0\r\na=recvonly\r\n"
                  "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5\r\n",
             &error);
    assert_non_null(planned);
    assert_true(planned->plain);
    assert_string_equal(planned->address, "239.1.2.3");
    assert_int_equal(planned->port, 5004);
    assert_int_equal(planned->rtcp_port, 5005);
    assert_false(planned->rtp.feedback);
    assert_string_equal(planned->sdes_suite, "AES_CM_128_HMAC_SHA1_80");
    assert_int_equal(steno_secret_bytes(planned->sdes_key), 30);
    assert_memory_equal(steno_secret_data(planned->sdes_key), "012345678901234567890123456789", 30);
    const TrackPlan *audio = planned->tracks->pdata[0];
    assert_int_equal(audio->rtp.payloads[0].codec, STENO_CODEC_PCMU); /* static payload type */
}

static void a_key_decides_and_not_the_profiles_name(void **state)
{
    (void)state;
    g_autoptr(GError) error = NULL;
    g_autoptr(PeerPlan) planned =
        plan(HEAD "c=IN IP4 127.0.0.1\r\nm=audio 5004 RTP/AVP 0\r\n"
                  "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5\r\n",
             &error);
    assert_non_null(planned);
    assert_string_equal(planned->sdes_suite, "AES_CM_128_HMAC_SHA1_80");
    assert_refused(HEAD "c=IN IP4 127.0.0.1\r\nm=audio 5004 RTP/AVP 0\r\na=crypto:1 F8_128_HMAC_SHA1_80 "
                        "inline:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5\r\n",
                   STENO_ERROR_WEAK_CRYPTO, "a=crypto");
}

static void weak_offers_are_refused(void **state)
{
    (void)state;
    assert_refused(HEAD "m=audio 5004 RTP/SAVP 0\r\nc=IN IP4 127.0.0.1\r\n", STENO_ERROR_WEAK_CRYPTO, "a=crypto");
    assert_refused(HEAD "m=audio 9 RTP/AVPF 111\r\nc=IN IP4 0.0.0.0\r\n" ICE "a=rtpmap:111 opus/48000/2\r\n",
                   STENO_ERROR_WEAK_CRYPTO, "RTP/AVPF");
    assert_refused(HEAD "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:111 opus/48000/2\r\n",
                   STENO_ERROR_SDP_INVALID, "a=ice-ufrag");
    assert_refused(HEAD, STENO_ERROR_SDP_INVALID, "no m-line");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_webrtc_offer_becomes_tracks),
        cmocka_unit_test(a_file_becomes_a_socket),
        cmocka_unit_test(a_key_decides_and_not_the_profiles_name),
        cmocka_unit_test(weak_offers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
