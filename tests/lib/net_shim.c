/*
 * Preloaded by tests: writes each address that a program connects or sends to, and each name that it looks up, to
 * STENO_NET_LOG, a line each. The file STENO_NET_NAMES ("storage.test 127.0.0.1", a line each) is the DNS of the test.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void say(const char *what, const char *which)
{
    const char *path = getenv("STENO_NET_LOG");
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    char line[512];
    int bytes = snprintf(line, sizeof line, "%s %s\n", what, which);
    if (fd < 0)
        return;
    if (write(fd, line, (size_t)bytes) != bytes)
        abort();
    close(fd);
}

static void say_address(const char *what, const struct sockaddr *address)
{
    char text[INET6_ADDRSTRLEN] = "", whole[INET6_ADDRSTRLEN + 8];
    unsigned port = 0;
    if (!address)
        return;
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const void *)address;
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
        port = ntohs(v4->sin_port);
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const void *)address;
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        port = ntohs(v6->sin6_port);
    } else {
        return;
    }
    snprintf(whole, sizeof whole, "%s %u", text, port);
    say(what, whole);
}

int connect(int fd, const struct sockaddr *address, socklen_t bytes)
{
    int (*real)(int, const struct sockaddr *, socklen_t) =
        (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
    say_address("connect", address);
    return real(fd, address, bytes);
}

ssize_t sendto(int fd, const void *data, size_t bytes, int flags, const struct sockaddr *address, socklen_t length)
{
    ssize_t (*real)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) =
        (ssize_t(*)(int, const void *, size_t, int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "sendto");
    say_address("sendto", address);
    return real(fd, data, bytes, flags, address, length);
}

/* The address of a name of the test; 0 when it has none. */
static int named(const char *name, char *address, size_t room)
{
    const char *path = getenv("STENO_NET_NAMES");
    FILE *file = path ? fopen(path, "re") : NULL;
    char its_name[256], its_address[64];
    int found = 0;
    while (file && !found && fscanf(file, "%255s %63s", its_name, its_address) == 2)
        found = strcmp(its_name, name) == 0;
    if (file)
        fclose(file);
    if (found)
        snprintf(address, room, "%s", its_address);
    return found;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
        (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))dlsym(RTLD_NEXT,
                                                                                                "getaddrinfo");
    char address[64];
    if (!node)
        return real(node, service, hints, found);
    int ours = named(node, address, sizeof address);
    say("lookup", node);
    return real(ours ? address : node, service, hints, found);
}
