/*
 * bench-content: what it takes to open a frame of each format, beside what OpenSSL takes for the same bytes with a
 * context that has its key already. One JSON object a line; tests/bench/content makes a table of them.
 *
 * open    steno_content_open() by the public interface: header, key, AEAD
 * plain   EVP_DecryptInit_ex2() with the IV, EVP_DecryptUpdate(), and with GCM the tag and EVP_DecryptFinal_ex()
 * update  EVP_DecryptUpdate() alone
 * needed  plain, and what else the format asks for, as OpenSSL and libc do it: the HMAC of SFrame's suites 1 to 3, the
 *         check of XTS and ECB; with LiveKit's H.264 one search for emulation prevention, and a copy where there is any
 *
 * CPU time of the thread. The four take turns, 1 ms each; a time is the least of all trials, a ratio the median of each
 * trial's: on a machine that is busy or changes its clock, both sides of a trial have met the same.
 */
#include "seal.h"
#include "steno/content.h"

#include <jansson.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FRAMES 8 /* different ones in turn; so few that they stay in the cache, as a frame that was just received */
#define TRIALS 60
#define TRIAL_NS 1000000
#define TAG_BYTES 16
#define H264_CLEAR_BYTES 6 /* a start code, and two bytes of the slice */

static const gsize sizes[] = {80, 1200, 20 * 1024, 200 * 1024};

typedef struct {
    const char *label, *set; /* a key set, which the sealer reads, too */
    const char *cipher, *extra;
    StenoCodec codec;
    gboolean unescaped; /* LiveKit's H.264 as 19 of 20 frames of 200 KiB are: nothing had to be escaped */
} Case;

#define SECRET "\"secret\": \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""
#define SALT ", \"salt\": \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\""
#define KEY "\"key\": \"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\""
#define SET(FORMAT, MORE, WHAT) "{\"format\": \"" FORMAT "\"" MORE ", \"keys\": [{" WHAT "}]}"

static const Case cases[] = {
    {"sframe suite 1", SET("sframe", ", \"suite\": 1", KEY), "AES-128-CTR", "HMAC", STENO_CODEC_OPUS, FALSE},
    {"sframe suite 2", SET("sframe", ", \"suite\": 2", KEY), "AES-128-CTR", "HMAC", STENO_CODEC_OPUS, FALSE},
    {"sframe suite 3", SET("sframe", ", \"suite\": 3", KEY), "AES-128-CTR", "HMAC", STENO_CODEC_OPUS, FALSE},
    {"sframe suite 4", SET("sframe", ", \"suite\": 4", KEY), "AES-128-GCM", NULL, STENO_CODEC_OPUS, FALSE},
    {"sframe suite 5", SET("sframe", ", \"suite\": 5", KEY), "AES-256-GCM", NULL, STENO_CODEC_OPUS, FALSE},
    {"livekit VP8", SET("livekit", "", "\"passphrase\": \"bench\""), "AES-128-GCM", NULL, STENO_CODEC_VP8, FALSE},
    {"livekit H.264", SET("livekit", "", "\"passphrase\": \"bench\""), "AES-128-GCM", NULL, STENO_CODEC_H264, TRUE},
    {"… escaped", SET("livekit", "", "\"passphrase\": \"bench\""), "AES-128-GCM", "copy", STENO_CODEC_H264, FALSE},
    {"jitsi VP8", SET("jitsi", "", KEY), "AES-128-GCM", NULL, STENO_CODEC_VP8, FALSE},
    {"aes-128-gcm", SET("aes-128-gcm", "", SECRET), "AES-128-GCM", NULL, STENO_CODEC_OPUS, FALSE},
    {"aes-256-gcm", SET("aes-256-gcm", "", SECRET), "AES-256-GCM", NULL, STENO_CODEC_OPUS, FALSE},
    {"aes-128-gcm2", SET("aes-128-gcm2", "", SECRET SALT), "AES-128-GCM", NULL, STENO_CODEC_OPUS, FALSE},
    {"aes-256-gcm2", SET("aes-256-gcm2", "", SECRET SALT), "AES-256-GCM", NULL, STENO_CODEC_OPUS, FALSE},
    {"aes-128-xts", SET("aes-128-xts", "", SECRET), "AES-128-XTS", "check", STENO_CODEC_OPUS, FALSE},
    {"aes-256-xts", SET("aes-256-xts", "", SECRET), "AES-256-XTS", "check", STENO_CODEC_OPUS, FALSE},
    {"aes-128-ecb", SET("aes-128-ecb", "", SECRET), "AES-128-ECB", "check", STENO_CODEC_OPUS, FALSE},
    {"sm4-128-ecb", SET("sm4-128-ecb", "", SECRET), "SM4-ECB", "check", STENO_CODEC_OPUS, FALSE},
};

typedef struct {
    StenoContentOpener *opener;
    StenoCodec codec;
    GByteArray *sealed[FRAMES];
    guint8 *plain;
    gsize plain_bytes;
    guint8 *out;
    gsize checked; /* frames that came out as they went in */
    /* The floor. */
    EVP_CIPHER_CTX *context, *stream; /* the second one begins once, and never ends */
    gboolean gcm;
    gsize floor_bytes;
    guint8 *floor[FRAMES], *tags[FRAMES];
    guint8 iv[FRAMES][16];
    EVP_MAC_CTX *hmac;
    EVP_CIPHER_CTX *check;
    gboolean search;
    guint searched; /* found: so that the search is not optimised away */
    guint8 *copy;
} Bench;

static void die(const char *label, const char *words)
{
    fprintf(stderr, "bench-content: %s: %s\n", label, words);
    exit(2);
}

/* The 3 of 00 00 03, which an encoder puts in where a start code could be seen otherwise (H.264 §7.4.1). */
static gboolean has_escape(const guint8 *data, gsize bytes)
{
    const guint8 *end = data + bytes, *three = data + 2;
    while (three < end && (three = memchr(three, 3, (gsize)(end - three)))) {
        if (three[-1] == 0 && three[-2] == 0)
            return TRUE;
        three++;
    }
    return FALSE;
}

/* ---- what takes turns -------------------------------------------------------------------------------------------- */

static void do_open(Bench *bench, guint i)
{
    StenoContentOpened opened;
    if (steno_content_open(bench->opener, bench->codec, bench->sealed[i]->data, bench->sealed[i]->len, bench->out,
                           &opened) != STENO_CONTENT_OPENED)
        die("a frame", "did not open");
}

static void do_update(Bench *bench, guint i)
{
    int written;
    if (EVP_DecryptUpdate(bench->stream, bench->out, &written, bench->floor[i], (int)bench->floor_bytes) != 1)
        die("the floor", "OpenSSL does not decrypt");
}

static void do_plain(Bench *bench, guint i)
{
    int written;
    EVP_DecryptInit_ex2(bench->context, NULL, NULL, bench->iv[i], NULL);
    EVP_DecryptUpdate(bench->context, bench->out, &written, bench->floor[i], (int)bench->floor_bytes);
    if (bench->gcm && (EVP_CIPHER_CTX_ctrl(bench->context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, bench->tags[i]) != 1 ||
                       EVP_DecryptFinal_ex(bench->context, bench->out + bench->floor_bytes, &written) != 1))
        die("the floor", "the tag is wrong");
}

static void do_needed(Bench *bench, guint i)
{
    guint8 tag[32];
    size_t bytes;
    int written;
    if (bench->hmac) {
        EVP_MAC_init(bench->hmac, NULL, 0, NULL);
        EVP_MAC_update(bench->hmac, bench->floor[i], bench->floor_bytes);
        EVP_MAC_final(bench->hmac, tag, &bytes, sizeof tag);
    }
    if (bench->check)
        EVP_EncryptUpdate(bench->check, tag, &written, bench->iv[i], 16);
    if (bench->search && has_escape(bench->sealed[i]->data + H264_CLEAR_BYTES, bench->floor_bytes - H264_CLEAR_BYTES))
        bench->searched++;
    if (bench->copy)
        memcpy(bench->copy, bench->floor[i], bench->floor_bytes);
    do_plain(bench, i);
}

typedef void (*Work)(Bench *bench, guint i);

static gint64 now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * G_GINT64_CONSTANT(1000000000) + now.tv_nsec;
}

static double run_ns(Bench *bench, Work work, guint times)
{
    const gint64 start = now_ns();
    for (guint i = 0; i < times; i++)
        work(bench, i % FRAMES);
    return (double)(now_ns() - start) / times;
}

/* ---- one format, one size ---------------------------------------------------------------------------------------- */

/* A frame of this size that is one of the codec's, as far as senders look. */
static guint8 *frame_of(StenoCodec codec, gsize bytes, GRand *rand)
{
    guint8 *frame = g_malloc(bytes);
    for (gsize i = 0; i < bytes; i++)
        frame[i] = (guint8)g_rand_int(rand);
    if (codec == STENO_CODEC_VP8)
        frame[0] |= 1; /* no key frame: three clear bytes */
    if (codec == STENO_CODEC_H264)
        memcpy(frame, "\0\0\0\1\x41\x9a", H264_CLEAR_BYTES);
    return frame;
}

/* Has two zeros before a byte of at most 3. */
static gboolean needs_escape(const guint8 *data, gsize bytes)
{
    for (gsize i = 2; i < bytes; i++)
        if (data[i] <= 3 && data[i - 1] == 0 && data[i - 2] == 0)
            return TRUE;
    return FALSE;
}

/* A frame as LiveKit seals it, with an IV under which nothing has to be escaped: the counters of our sealer, which is
 * made for tests, always have zeros. */
static GByteArray *seal_h264(const guint8 *plain, gsize bytes)
{
    static guint32 number = 0x9e3779b9;
    static const char salt[] = "LKFrameEncryptionKey";
    guint8 key[16];
    PKCS5_PBKDF2_HMAC("bench", -1, (const guint8 *)salt, sizeof salt - 1, 100000, EVP_sha256(), sizeof key, key);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    GByteArray *sealed = g_byte_array_new();
    g_byte_array_set_size(sealed, (guint)bytes + TAG_BYTES + 14);
    guint8 *tail = sealed->data + bytes + TAG_BYTES;
    int n;
    do {
        memcpy(sealed->data, plain, H264_CLEAR_BYTES);
        memset(tail, 0x5e, 12);
        memcpy(tail, &(guint32){number++}, 4);
        memcpy(tail + 12, "\x0c", 2);
        EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), NULL, key, tail);
        EVP_EncryptUpdate(context, NULL, &n, plain, H264_CLEAR_BYTES);
        EVP_EncryptUpdate(context, sealed->data + H264_CLEAR_BYTES, &n, plain + H264_CLEAR_BYTES,
                          (int)bytes - H264_CLEAR_BYTES);
        EVP_EncryptFinal_ex(context, tail, &n);
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, sealed->data + bytes);
    } while (needs_escape(sealed->data + H264_CLEAR_BYTES, sealed->len - H264_CLEAR_BYTES));
    EVP_CIPHER_CTX_free(context);
    return sealed;
}

static void bench_seal(Bench *bench, const Case *what, gsize bytes, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GRand) rand = g_rand_new_with_seed(17);
    Sealer *sealer = sealer_new(path, &error);
    if (!sealer)
        die(what->label, error->message);
    bench->plain = frame_of(what->codec, bytes, rand);
    bench->plain_bytes = bytes;
    bench->out = g_malloc(bytes + 1024);
    for (guint i = 0; i < FRAMES; i++) {
        const SealedFrame frame = {.codec = what->codec, .rtp_ts = 960 * i};
        StenoContentOpened opened = {0};
        bench->sealed[i] =
            what->unescaped ? seal_h264(bench->plain, bytes) : sealer_seal(sealer, &frame, bench->plain, bytes);
        if (steno_content_open(bench->opener, what->codec, bench->sealed[i]->data, bench->sealed[i]->len, bench->out,
                               &opened) != STENO_CONTENT_OPENED ||
            opened.bytes != bytes || memcmp(bench->out, bench->plain, bytes) != 0)
            die(what->label, "a frame did not come out as it went in");
    }
    sealer_free(sealer);
}

static EVP_CIPHER_CTX *context_of(const Case *what, const char *name, gboolean encrypt)
{
    guint8 key[64];
    for (guint i = 0; i < sizeof key; i++)
        key[i] = (guint8)(3 * i + 1);
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (!cipher || EVP_CipherInit_ex2(context, cipher, key, NULL, encrypt, NULL) != 1)
        die(what->label, "OpenSSL does not have the cipher");
    EVP_CIPHER_CTX_set_padding(context, 0);
    EVP_CIPHER_free(cipher);
    return context;
}

/* The same number of bytes under the same cipher, with tags that are right. */
static void bench_floor(Bench *bench, const Case *what)
{
    EVP_CIPHER_CTX *encrypt = context_of(what, what->cipher, TRUE);
    int written;
    bench->context = context_of(what, what->cipher, FALSE);
    bench->stream = context_of(what, what->cipher, FALSE);
    EVP_DecryptInit_ex2(bench->stream, NULL, NULL, bench->iv[0], NULL);
    bench->gcm = strstr(what->cipher, "GCM") != NULL;
    bench->floor_bytes =
        strstr(what->cipher, "ECB") ? (bench->plain_bytes + 15) / 16 * 16 : MAX(bench->plain_bytes, 16);
    for (guint i = 0; i < FRAMES; i++) {
        bench->floor[i] = g_malloc0(bench->floor_bytes);
        bench->tags[i] = g_malloc0(TAG_BYTES);
        bench->iv[i][0] = (guint8)i;
        memcpy(bench->floor[i], bench->plain, bench->plain_bytes);
        EVP_EncryptInit_ex2(encrypt, NULL, NULL, bench->iv[i], NULL);
        EVP_EncryptUpdate(encrypt, bench->floor[i], &written, bench->floor[i], (int)bench->floor_bytes);
        if (bench->gcm) {
            EVP_EncryptFinal_ex(encrypt, bench->tags[i], &written);
            EVP_CIPHER_CTX_ctrl(encrypt, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, bench->tags[i]);
        }
    }
    EVP_CIPHER_CTX_free(encrypt);
    if (g_strcmp0(what->extra, "check") == 0)
        bench->check = context_of(what, "AES-256-ECB", TRUE);
    bench->search = what->codec == STENO_CODEC_H264;
    if (g_strcmp0(what->extra, "copy") == 0)
        bench->copy = g_malloc(bench->floor_bytes);
    if (g_strcmp0(what->extra, "HMAC") == 0) {
        char digest[] = "SHA256";
        const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                     OSSL_PARAM_construct_end()};
        EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
        bench->hmac = EVP_MAC_CTX_new(mac);
        EVP_MAC_init(bench->hmac, (const guint8 *)what->set, 32, params);
        EVP_MAC_free(mac);
    }
}

static void bench_clear(Bench *bench)
{
    for (guint i = 0; i < FRAMES; i++) {
        g_byte_array_unref(bench->sealed[i]);
        g_free(bench->floor[i]);
        g_free(bench->tags[i]);
    }
    g_free(bench->plain);
    g_free(bench->out);
    g_free(bench->copy);
    EVP_CIPHER_CTX_free(bench->context);
    EVP_CIPHER_CTX_free(bench->stream);
    EVP_CIPHER_CTX_free(bench->check);
    EVP_MAC_CTX_free(bench->hmac);
}

static int by_size(gconstpointer a, gconstpointer b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double median(double *values, guint n)
{
    qsort(values, n, sizeof *values, by_size);
    return values[n / 2];
}

enum { OPEN, PLAIN, NEEDED, UPDATE, WORKS };

static void measure(const Case *what, StenoContentOpener *opener, gsize bytes, const char *path)
{
    static const Work works[WORKS] = {do_open, do_plain, do_needed, do_update};
    double least[WORKS], ratios[WORKS][TRIALS];
    guint times[WORKS];
    Bench bench = {.opener = opener, .codec = what->codec};
    bench_seal(&bench, what, bytes, path);
    bench_floor(&bench, what);
    for (guint i = 0; i < WORKS; i++) {
        /* Warms up, and tells how often it goes into a trial. */
        run_ns(&bench, works[i], FRAMES);
        least[i] = run_ns(&bench, works[i], FRAMES);
        times[i] = (guint)MAX(FRAMES, TRIAL_NS / least[i]);
    }
    for (guint trial = 0; trial < TRIALS; trial++) {
        double open = 0;
        for (guint i = 0; i < WORKS; i++) {
            const double ns = run_ns(&bench, works[i], times[i]);
            open = i == OPEN ? ns : open;
            least[i] = MIN(least[i], ns);
            ratios[i][trial] = open / ns;
        }
    }
    printf("{\"format\": \"%s\", \"bytes\": %" G_GSIZE_FORMAT ", \"open_us\": %.3f", what->label, bytes,
           least[OPEN] / 1000);
    for (guint i = PLAIN; i < WORKS; i++) {
        const char *name = i == PLAIN ? "plain" : i == NEEDED ? "needed" : "update";
        printf(", \"%s_us\": %.3f, \"%s_ratio\": %.3f", name, least[i] / 1000, name, median(ratios[i], TRIALS));
    }
    printf("}\n");
    (void)fflush(stdout);
    bench_clear(&bench);
}

static void bench_case(const Case *what)
{
    g_autoptr(GError) error = NULL;
    json_t *set = json_loads(what->set, 0, NULL);
    const StenoContentFormat *format = steno_content_format(json_string_value(json_object_get(set, "format")));
    g_autoptr(StenoContentKeys) keys =
        steno_content_keys_parse(format, what->set, strlen(what->set), what->label, &error);
    json_decref(set);
    if (!keys)
        die(what->label, error->message);
    g_autofree char *path = NULL;
    const int fd = g_file_open_tmp("bench-content-XXXXXX.json", &path, NULL);
    if (fd < 0 || !g_file_set_contents(path, what->set, -1, NULL))
        die(what->label, "no temporary file");
    (void)close(fd);
    const StenoContentRingConfig config = {.format = format, .live = FALSE};
    g_autoptr(StenoContentRing) ring = steno_content_ring_new(&config);
    steno_content_ring_add(ring, keys);
    g_autoptr(StenoContentOpener) opener = steno_content_opener_new(ring, "bench");
    for (guint i = 0; i < G_N_ELEMENTS(sizes); i++)
        measure(what, opener, sizes[i], path);
    (void)unlink(path);
}

int main(int argc, char **argv)
{
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++)
        if (argc < 2 || strstr(cases[i].label, argv[1]))
            bench_case(&cases[i]);
    return 0;
}
