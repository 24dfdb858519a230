/* Where a webhook may be sent to: addresses of every kind, and URLs. */
#include "target_guard.h"

#include "steno/base/error.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

static const char *refuses(const char *text, gboolean allow_private)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } address = {.any.sa_family = strchr(text, ':') ? AF_INET6 : AF_INET};
    void *bytes = strchr(text, ':') ? (void *)&address.in6.sin6_addr : (void *)&address.in.sin_addr;
    assert_int_equal(inet_pton(address.any.sa_family, text, bytes), 1);
    return target_guard_refuses(&address.any, allow_private);
}

static void public_addresses_are_allowed(void **state)
{
    static const char *const addresses[] = {
        "1.1.1.1",         "8.8.8.8",         "9.255.255.255",    "11.0.0.0",
        "100.63.255.255",  "100.128.0.0",     "126.255.255.255",  "128.0.0.0",
        "169.253.255.255", "169.255.0.0",     "172.15.255.255",   "172.32.0.0",
        "192.0.1.0",       "192.0.3.0",       "192.167.255.255",  "192.169.0.0",
        "198.17.255.255",  "198.20.0.0",      "198.51.101.0",     "203.0.112.255",
        "223.255.255.255", "2606:4700::1111", "2001:200::1",      "2001:4860:4860::8888",
        "2a00::1",         "3ffe::1",         "64:ff9b::808:808", "2002:808:808::1"};
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(addresses); i++)
        if (refuses(addresses[i], FALSE))
            fail_msg("%s is %s", addresses[i], refuses(addresses[i], FALSE));
}

static void others_are_allowed_when_the_webhook_may(void **state)
{
    static const char *const addresses[] = {
        "10.0.0.1",         "10.255.255.255",  "100.64.0.0",      "100.127.255.255",  "127.0.0.1",
        "127.255.255.255",  "169.254.169.254", "172.16.0.1",      "172.31.255.255",   "192.0.0.1",
        "192.0.2.1",        "192.88.99.1",     "192.168.1.1",     "198.18.0.1",       "198.19.255.255",
        "198.51.100.1",     "203.0.113.255",   "240.0.0.1",       "255.255.255.254",  "::1",
        "fe80::1",          "febf:ffff::1",    "fec0::1",         "fc00::1",          "fdff:ffff::1",
        "2001::1",          "2001:1ff::1",     "2001:db8::1",     "3fff::1",          "5f00::1",
        "4000::1",          "1fff::1",         "100::1",          "64:ff9b:1::1",     "::ffff:10.0.0.1",
        "::ffff:127.0.0.1", "::ffff:8.8.8.8",  "::8.8.8.8",       "::ffff:0:8.8.8.8", "64:ff9b::a00:1",
        "64:ff9b::7f00:1",  "2002:7f00:1::1",  "2002:c0a8:101::", "fe00::1"};
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(addresses); i++) {
        if (!refuses(addresses[i], FALSE))
            fail_msg("%s is public", addresses[i]);
        if (refuses(addresses[i], TRUE))
            fail_msg("%s is %s", addresses[i], refuses(addresses[i], TRUE));
    }
}

static void some_are_never_allowed(void **state)
{
    static const char *const addresses[] = {
        "0.0.0.0", "0.1.2.3", "224.0.0.1",      "239.255.255.255",  "255.255.255.255", "::",
        "ff02::1", "ffff::1", "::ffff:0.0.0.0", "::ffff:224.0.0.1", "64:ff9b::e000:1"};
    (void)state;
    for (guint i = 0; i < G_N_ELEMENTS(addresses); i++)
        if (!refuses(addresses[i], FALSE) || !refuses(addresses[i], TRUE))
            fail_msg("%s is allowed", addresses[i]);
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    assert_non_null(target_guard_refuses((struct sockaddr *)&local, TRUE));
}

static void check_url(const char *url, gboolean allow_http, gboolean expected)
{
    g_autoptr(GError) error = NULL;
    if (target_guard_check_url(url, allow_http, &error) != expected)
        fail_msg("%s: %s", url, error ? error->message : "allowed");
    if (expected)
        return;
    assert_true(g_error_matches(error, STENO_ERROR, STENO_ERROR_CONFIG));
    assert_null(strstr(error->message, "sekret"));
}

static void urls_are_https_unless_allowed(void **state)
{
    (void)state;
    check_url("https://example.org/hook?sekret=1", FALSE, TRUE);
    check_url("HTTPS://example.org:8443", FALSE, TRUE);
    check_url("https://[2001:db8::1]:8443/x", FALSE, TRUE);
    check_url("http://example.org/?sekret", FALSE, FALSE);
    check_url("http://example.org/", TRUE, TRUE);
    for (gboolean allow_http = FALSE; allow_http <= TRUE; allow_http++) {
        check_url("ftp://me:sekret@example.org/", allow_http, FALSE);
        check_url("file:///etc/x?sekret", allow_http, FALSE);
        check_url("gopher://example.org/", allow_http, FALSE);
        check_url("example.org/?sekret", allow_http, FALSE);
        check_url("https://", allow_http, FALSE);
        check_url("", allow_http, FALSE);
        check_url("https://exa mple.org/?sekret", allow_http, FALSE);
        check_url("https://example.org/\r\nX: sekret", allow_http, FALSE);
        check_url("https://example.org:99999/?sekret", allow_http, FALSE);
    }
}

static void urls_are_shown_without_what_is_secret(void **state)
{
    (void)state;
    g_autofree char *url = target_guard_mask_url("https://me:sekret@example.org:8443/a/b?token=sekret#sekret");
    assert_string_equal(url, "https://example.org:8443/a/b");
    g_autofree char *unreadable = target_guard_mask_url("sekret");
    assert_string_equal(unreadable, "(unreadable)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(public_addresses_are_allowed),
        cmocka_unit_test(others_are_allowed_when_the_webhook_may),
        cmocka_unit_test(some_are_never_allowed),
        cmocka_unit_test(urls_are_https_unless_allowed),
        cmocka_unit_test(urls_are_shown_without_what_is_secret),
    };
    return cmocka_run_group_tests_name("target_guard", tests, NULL, NULL);
}
