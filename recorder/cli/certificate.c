/* When a server's certificate ends. */
#include "checks.h"

#include <curl/curl.h>
#include <string.h>

#define TIMEOUT_MS 5000

static size_t ignore(char *data, size_t one, size_t count, void *user)
{
    (void)data, (void)user;
    return one * count;
}

/* "Expire date:…" of the first certificate of the chain. */
static gint64 expiry(CURL *curl)
{
    static const char head[] = "Expire date:";
    struct curl_certinfo *chain = NULL;
    if (curl_easy_getinfo(curl, CURLINFO_CERTINFO, &chain) != CURLE_OK || !chain || chain->num_of_certs < 1)
        return 0;
    for (const struct curl_slist *line = chain->certinfo[0]; line; line = line->next) {
        if (g_ascii_strncasecmp(line->data, head, strlen(head)) == 0)
            return MAX(0, (gint64)curl_getdate(line->data + strlen(head), NULL));
    }
    return 0;
}

gint64 cli_client_certificate(const char *address, char **words)
{
    g_autofree char *url = g_strdup_printf("https://%s/livez", address);
    CURL *curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)TIMEOUT_MS);
    curl_easy_setopt(curl, CURLOPT_CERTINFO, 1L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, ignore);
    /* It is only looked at: nothing is sent that others should not read, and nothing that comes is believed. */
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    CURLcode code = curl_easy_perform(curl);
    gint64 until_s = expiry(curl);
    if (until_s == 0)
        *words = g_strdup(code == CURLE_OK ? "it shows no certificate" : curl_easy_strerror(code));
    curl_easy_cleanup(curl);
    return until_s;
}
