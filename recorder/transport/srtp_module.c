/*
 * Which library does SRTP's cryptography. libsrtp2 is built with its own, OpenSSL, NSS or mbedTLS, and does not tell
 * with which: what it was linked with does.
 */
#include "srtp.h"

#include "steno/transport.h"

#include <dlfcn.h>
#include <link.h>
#include <openssl/crypto.h>
#include <srtp2/srtp.h>
#include <string.h>

#define USE "media: SRTP"
#define ALGORITHMS "AES-GCM, AES-CM with HMAC-SHA1"

typedef enum { BACKEND_OWN, BACKEND_NSS, BACKEND_OPENSSL, BACKEND_MBEDTLS, BACKEND_UNKNOWN } Backend;

static Backend backend_of(const char *library)
{
    if (g_str_has_prefix(library, "libnss3.") || g_str_has_prefix(library, "libfreebl"))
        return BACKEND_NSS;
    if (g_str_has_prefix(library, "libcrypto."))
        return BACKEND_OPENSSL;
    return g_str_has_prefix(library, "libmbedcrypto.") ? BACKEND_MBEDTLS : BACKEND_OWN;
}

/* The loader has made addresses of what the file has as offsets, but not in each C library. */
static const char *strings_of(const struct dl_phdr_info *object, const ElfW(Dyn) * dynamic)
{
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        if (dynamic->d_tag == DT_STRTAB)
            return dynamic->d_un.d_ptr < object->dlpi_addr ? (const char *)object->dlpi_addr + dynamic->d_un.d_ptr
                                                           : (const char *)dynamic->d_un.d_ptr;
    }
    return NULL;
}

static int look_at(struct dl_phdr_info *object, size_t bytes, void *user)
{
    Backend *backend = user;
    const char *base = strrchr(object->dlpi_name, '/');
    (void)bytes;
    if (!g_str_has_prefix(base ? base + 1 : object->dlpi_name, "libsrtp2."))
        return 0;
    *backend = BACKEND_OWN;
    for (guint i = 0; i < object->dlpi_phnum; i++) {
        if (object->dlpi_phdr[i].p_type != PT_DYNAMIC)
            continue;
        const ElfW(Dyn) *dynamic = (const void *)(object->dlpi_addr + object->dlpi_phdr[i].p_vaddr);
        const char *strings = strings_of(object, dynamic);
        for (; strings && dynamic->d_tag != DT_NULL && *backend == BACKEND_OWN; dynamic++) {
            if (dynamic->d_tag == DT_NEEDED)
                *backend = backend_of(strings + dynamic->d_un.d_val);
        }
    }
    return 1;
}

/* Of the library that is loaded, without being linked with it ourselves. */
static json_t *nss_row(void)
{
    const char *(*get_version)(void) = NULL;
    int (*is_fips)(void) = NULL;
    *(void **)&get_version = dlsym(RTLD_DEFAULT, "NSS_GetVersion");
    *(void **)&is_fips = dlsym(RTLD_DEFAULT, "PK11_IsFIPS");
    return steno_crypto_module(USE, ALGORITHMS, "NSS", get_version ? get_version() : NULL, is_fips && is_fips());
}

json_t *steno_transport_srtp_module(void)
{
    Backend backend = BACKEND_UNKNOWN; /* linked statically: nobody can say */
    (void)steno_srtp_load();           /* NSS says whether it is in FIPS mode once it is started */
    (void)dl_iterate_phdr(look_at, &backend);
    switch (backend) {
    case BACKEND_NSS:
        return nss_row();
    case BACKEND_OPENSSL:
        return steno_crypto_module(USE, ALGORITHMS, "OpenSSL", OpenSSL_version(OPENSSL_VERSION_STRING),
                                   steno_crypto_is_fips());
    case BACKEND_MBEDTLS:
        return steno_crypto_module(USE, ALGORITHMS, "mbedTLS", NULL, FALSE);
    case BACKEND_OWN:
        return steno_crypto_module(USE, ALGORITHMS, "libsrtp2", srtp_get_version_string(), FALSE);
    case BACKEND_UNKNOWN:
        break;
    }
    return steno_crypto_module(USE, ALGORITHMS, NULL, NULL, FALSE);
}
