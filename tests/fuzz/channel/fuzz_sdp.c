/*
 * Any bytes as a session description. What is read must make an answer that can be read again, with as many m-lines,
 * and in which no value of the offer has become a line of its own. What is refused is said in words that print.
 */
#include "steno/sdp.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_lines(const char *answer)
{
    for (const char *line = answer; *line;) {
        const char *end = strstr(line, "\r\n");
        /* Each line ends in CR LF, has neither alone, and is one of the kinds that answers have. */
        if (!end || !strchr("vostcma", line[0]) || line[1] != '=')
            abort();
        for (const char *c = line; c < end; c++) {
            if (*c == '\r' || *c == '\n')
                abort();
        }
        if (g_str_has_prefix(line, "a=crypto") || g_str_has_prefix(line, "a=sendonly") ||
            g_str_has_prefix(line, "a=sendrecv"))
            abort();
        line = end + 2;
    }
}

static void check_words(const char *words)
{
    if (strlen(words) > 400 || !g_utf8_validate(words, -1, NULL))
        abort();
    for (; *words; words = g_utf8_next_char(words)) {
        if (g_unichar_iscntrl(g_utf8_get_char(words)))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    GError *error = NULL;
    StenoSdp *offer = steno_sdp_parse((const char *)data, bytes, &error);
    if ((offer == NULL) != (error != NULL))
        abort();
    if (error)
        check_words(error->message);
    g_clear_error(&error);
    if (!offer)
        return 0;

    StenoTransportLocal local = {.ufrag = (char *)"Ufr4",
                                 .password = (char *)"PasswordPasswordPassword",
                                 .fingerprint = (char *)"sha-256 AB:CD:EF",
                                 .setup = STENO_DTLS_ACTIVE,
                                 .candidates = g_ptr_array_new()};
    g_ptr_array_add(local.candidates, (gpointer) "candidate:1 1 UDP 2130706431 127.0.0.1 40000 typ host");
    char *answer = steno_sdp_answer(offer, &local);
    check_lines(answer);
    gsize length = strlen(answer);
    StenoSdp *again = length <= STENO_SDP_MAX_BYTES ? steno_sdp_parse(answer, length, &error) : NULL;
    /* Our own lines for each m-line can make the answer to the longest offers longer than the longest offer. */
    if (length <= STENO_SDP_MAX_BYTES && (!again || again->media->len != offer->media->len))
        abort();
    for (guint i = 0; again && i < again->media->len; i++) {
        const StenoSdpMedia *one = g_ptr_array_index(again->media, i), *offered = g_ptr_array_index(offer->media, i);
        if (strcmp(one->kind, offered->kind) != 0 || g_strcmp0(one->mid, offered->mid) != 0)
            abort();
        if (one->direction != STENO_SDP_RECVONLY && one->direction != STENO_SDP_INACTIVE)
            abort();
        if (one->fingerprints->pdata[one->fingerprints->len] != NULL || one->candidates->pdata[one->candidates->len])
            abort();
    }
    steno_sdp_free(again);
    g_free(answer);
    g_ptr_array_unref(local.candidates);
    steno_sdp_free(offer);
    return 0;
}
