/*
 * What a process can't do any more once it is in a sandbox. Each thing is done in a child, which could do it before it
 * entered: what it can't do anyway would prove nothing.
 */
#include "steno/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

typedef struct {
    char *folder, *inside, *outside, *socket;
    int listening;
    StenoSandboxProfile profile;
} Fixture;

/* 0, or errno. */
typedef int (*Act)(const Fixture *fixture);

/* ---- acts -------------------------------------------------------------------------------------------------------- */

static int result(int value)
{
    return value < 0 ? errno : 0;
}

static int closed(int fd)
{
    int fault = fd < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return fault;
}

static int open_in(const char *folder, const char *name, int flags)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    return closed(open(path, flags | O_CLOEXEC, 0600));
}

static int read_outside(const Fixture *fixture)
{
    return open_in(fixture->outside, "file", O_RDONLY);
}

static int read_system_file(const Fixture *fixture)
{
    (void)fixture;
    return closed(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int list_outside(const Fixture *fixture)
{
    return closed(open(fixture->outside, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int write_outside(const Fixture *fixture)
{
    return open_in(fixture->outside, "file", O_WRONLY);
}

static int create_outside(const Fixture *fixture)
{
    return open_in(fixture->outside, "new", O_WRONLY | O_CREAT);
}

static int remove_outside(const Fixture *fixture)
{
    g_autofree char *path = g_build_filename(fixture->outside, "other", NULL);
    return result(unlink(path));
}

static int move_outside(const Fixture *fixture)
{
    g_autofree char *from = g_build_filename(fixture->inside, "file", NULL);
    g_autofree char *to = g_build_filename(fixture->outside, "moved", NULL);
    return result(rename(from, to));
}

static int use_inside(const Fixture *fixture)
{
    g_autofree char *folder = g_build_filename(fixture->inside, "part", NULL);
    g_autofree char *from = g_build_filename(folder, "file", NULL);
    g_autofree char *to = g_build_filename(fixture->inside, "renamed", NULL);
    g_autofree char *second = g_build_filename(folder, "second", NULL);
    if (mkdir(folder, 0700) != 0 || open_in(folder, "file", O_RDWR | O_CREAT | O_EXCL) != 0 || rename(from, to) != 0 ||
        link(to, second) != 0 || truncate(second, 10) != 0 || open_in(folder, "second", O_RDONLY) != 0 ||
        unlink(second) != 0 || unlink(to) != 0 || rmdir(folder) != 0)
        return errno ? errno : -1;
    return 0;
}

static int run_program(const Fixture *fixture)
{
    (void)fixture;
    int gone[2];
    if (pipe2(gone, O_CLOEXEC) != 0)
        return errno;
    /* Both may be kept from it: to have a child, and to become another program. */
    execl("/nonexistent", "nonexistent", NULL);
    if (errno != ENOENT)
        return errno;
    pid_t child = (pid_t)syscall(SYS_fork);
    if (child < 0)
        return errno;
    if (child == 0) {
        execl("/bin/true", "true", NULL);
        _exit(errno);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

static int fork_process(const Fixture *fixture)
{
    (void)fixture;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    if (child > 0)
        waitpid(child, NULL, 0);
    return child < 0 ? errno : 0;
}

static int new_socket(int domain, int type, int protocol)
{
    return closed(socket(domain, type | SOCK_CLOEXEC, protocol));
}

static int socket_ipv4(const Fixture *fixture)
{
    (void)fixture;
    return new_socket(AF_INET, SOCK_DGRAM, 0);
}

static int socket_ipv6(const Fixture *fixture)
{
    (void)fixture;
    int fault = new_socket(AF_INET6, SOCK_STREAM, 0);
    return fault == EAFNOSUPPORT ? 0 : fault;
}

static int socket_netlink(const Fixture *fixture)
{
    (void)fixture;
    return new_socket(AF_NETLINK, SOCK_RAW, 0);
}

static int socket_unix(const Fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, fixture->socket, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int fault = result(connect(fd, (const struct sockaddr *)&address, sizeof address));
    close(fd);
    return fault;
}

static int pair_of_streams(const Fixture *fixture)
{
    (void)fixture;
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return errno;
    close(fds[0]);
    close(fds[1]);
    return 0;
}

/* Such a one could be sent from to any other. */
static int pair_of_datagrams(const Fixture *fixture)
{
    (void)fixture;
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds) != 0)
        return errno;
    close(fds[0]);
    close(fds[1]);
    return 0;
}

static int serve(const Fixture *fixture)
{
    return result(listen(fixture->listening, 1));
}

static int trace_parent(const Fixture *fixture)
{
    (void)fixture;
    pid_t parent = getppid();
    long fault = ptrace(PTRACE_ATTACH, parent, NULL, NULL);
    int saved = errno;
    if (fault == 0) {
        waitpid(parent, NULL, 0);
        ptrace(PTRACE_DETACH, parent, NULL, NULL);
    }
    return fault == 0 ? 0 : saved;
}

static int signal_parent(const Fixture *fixture)
{
    (void)fixture;
    return result(kill(getppid(), 0));
}

static int signal_parent_thread(const Fixture *fixture)
{
    (void)fixture;
    pid_t parent = getppid();
    return result((int)syscall(SYS_tgkill, parent, parent, 0));
}

static int signal_self(const Fixture *fixture)
{
    (void)fixture;
    return result((int)syscall(SYS_tgkill, getpid(), gettid(), 0));
}

static int new_namespace(const Fixture *fixture)
{
    (void)fixture;
    return result(unshare(CLONE_FS | CLONE_SYSVSEM));
}

static int write_code(const Fixture *fixture)
{
    (void)fixture;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return errno;
    munmap(page, 4096);
    return 0;
}

static int turn_into_code(const Fixture *fixture)
{
    (void)fixture;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fault = mprotect(page, 4096, PROT_READ | PROT_EXEC) != 0 ? errno : 0;
    munmap(page, 4096);
    return fault;
}

static int use_io_uring(const Fixture *fixture)
{
    (void)fixture;
    char parameters[256] = {0};
    return closed((int)syscall(SYS_io_uring_setup, 4, parameters));
}

static int use_keyring(const Fixture *fixture)
{
    (void)fixture;
    long id = syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -1 /* of this thread */, 1);
    return id < 0 ? errno : 0;
}

static gpointer nothing(gpointer user)
{
    return user;
}

static int start_thread(const Fixture *fixture)
{
    (void)fixture;
    int seen = 0;
    return g_thread_join(g_thread_new("t", nothing, &seen)) == &seen ? 0 : -1;
}

static int watch_folder(const Fixture *fixture)
{
    int fd = inotify_init1(IN_CLOEXEC);
    if (fd < 0)
        return errno;
    int fault = result(inotify_add_watch(fd, fixture->outside, IN_CREATE));
    close(fd);
    return fault;
}

static int open_many(const Fixture *fixture)
{
    (void)fixture;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return errno;
    return limit.rlim_cur > 4096 ? 0 : EMFILE;
}

static int make_core(const Fixture *fixture)
{
    (void)fixture;
    struct rlimit limit;
    return getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max > 0 ? 0 : E2BIG;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

#define NOT_SANITIZED (SANITIZED ? ANY : EPERM)
enum { ANY = -2 };

static const struct {
    const char *name;
    Act act;
    int recorder, assembler, agent; /* once in the sandbox: 0, or errno; ANY: does not matter */
    gboolean files;                 /* Landlock's */
    gboolean either;                /* it may be that it can't be done before, on some machine */
} acts[] = {
    {"reading a file outside", read_outside, EACCES, EACCES, 0, TRUE, FALSE},
    {"reading a file of the system", read_system_file, EACCES, EACCES, 0, TRUE, FALSE},
    {"listing a folder outside", list_outside, EACCES, EACCES, 0, TRUE, FALSE},
    {"writing a file outside", write_outside, EACCES, EACCES, EACCES, TRUE, FALSE},
    {"making a file outside", create_outside, EACCES, EACCES, EACCES, TRUE, FALSE},
    {"removing a file outside", remove_outside, EACCES, EACCES, EACCES, TRUE, FALSE},
    {"all that a capture needs, inside", use_inside, 0, 0, 0, FALSE, FALSE},
    {"moving a file outside", move_outside, EACCES, EACCES, EACCES, TRUE, FALSE},
    {"running a program", run_program, EPERM, EPERM, EPERM, FALSE, FALSE},
    {"forking", fork_process, SANITIZED ? ANY : ENOSYS, SANITIZED ? ANY : ENOSYS, SANITIZED ? ANY : ENOSYS, FALSE,
     FALSE},
    {"an IPv4 socket", socket_ipv4, 0, EPERM, 0, FALSE, FALSE},
    {"an IPv6 socket", socket_ipv6, 0, EPERM, 0, FALSE, FALSE},
    {"a netlink socket", socket_netlink, 0, EPERM, 0, FALSE, FALSE},
    {"a Unix socket", socket_unix, ENOSYS, EPERM, 0, FALSE, FALSE},
    {"a pair of streams", pair_of_streams, 0, EPERM, ENOSYS, FALSE, FALSE},
    {"a pair of datagrams", pair_of_datagrams, ENOSYS, EPERM, ENOSYS, FALSE, FALSE},
    {"being a server", serve, EPERM, EPERM, EPERM, FALSE, FALSE},
    {"tracing another process", trace_parent, NOT_SANITIZED, NOT_SANITIZED, NOT_SANITIZED, FALSE, TRUE},
    {"signals to another process", signal_parent, EPERM, EPERM, EPERM, FALSE, FALSE},
    {"signals to another's thread", signal_parent_thread, SANITIZED ? ANY : ENOSYS, SANITIZED ? ANY : ENOSYS,
     SANITIZED ? ANY : ENOSYS, FALSE, FALSE},
    {"signals to oneself", signal_self, 0, 0, 0, FALSE, FALSE},
    {"namespaces", new_namespace, EPERM, EPERM, EPERM, FALSE, TRUE},
    {"memory to write and run", write_code, ENOSYS, ENOSYS, ENOSYS, FALSE, FALSE},
    {"memory written, then run", turn_into_code, ENOSYS, ENOSYS, ENOSYS, FALSE, FALSE},
    {"io_uring", use_io_uring, EPERM, EPERM, EPERM, FALSE, TRUE},
    {"the kernel's keys", use_keyring, EPERM, EPERM, EPERM, FALSE, TRUE},
    {"threads", start_thread, 0, 0, 0, FALSE, FALSE},
    {"watching a folder", watch_folder, ENOSYS, ENOSYS, 0, FALSE, FALSE},
    {"very many files", open_many, EMFILE, EMFILE, EMFILE, FALSE, TRUE},
    {"a core", make_core, E2BIG, E2BIG, E2BIG, FALSE, TRUE},
};

static int expected(guint i, StenoSandboxProfile profile, guint landlock_abi)
{
    int wanted = profile == STENO_SANDBOX_RECORDER    ? acts[i].recorder
                 : profile == STENO_SANDBOX_ASSEMBLER ? acts[i].assembler
                                                      : acts[i].agent;
    return acts[i].files && landlock_abi == 0 ? ANY : wanted;
}

/* ---- children ---------------------------------------------------------------------------------------------------- */

/* In a child of its own each: an act may change what the next one finds. Writes its words; nothing is well. */
static void in_child(const Fixture *fixture, guint i, int words)
{
    int before = acts[i].act(fixture);
    if (before != 0 && !acts[i].either)
        dprintf(words, "%s can't be done before, either: %s\n", acts[i].name, g_strerror(before));
    g_autofree char *new_file = g_build_filename(fixture->outside, "new", NULL);
    g_autofree char *other = g_build_filename(fixture->outside, "other", NULL);
    g_autofree char *file = g_build_filename(fixture->inside, "file", NULL);
    (void)unlink(new_file);
    (void)g_file_set_contents(other, "x", 1, NULL);
    (void)g_file_set_contents(file, "x", 1, NULL);
    g_autoptr(StenoSandbox) sandbox = steno_sandbox_new(fixture->profile);
    StenoSandboxState state = {FALSE, 0};
    g_autoptr(GError) error = NULL;
    steno_sandbox_allow(sandbox, fixture->inside, STENO_SANDBOX_WRITE);
    steno_sandbox_allow(sandbox, "/there/is/nothing", STENO_SANDBOX_WRITE);
    steno_sandbox_allow(sandbox, NULL, STENO_SANDBOX_WRITE);
    if (!steno_sandbox_enter(sandbox, &state, &error) || !state.seccomp) {
        dprintf(words, "entering: %s\n", error ? error->message : "no seccomp");
        return;
    }
    int wanted = expected(i, fixture->profile, state.landlock_abi), after = acts[i].act(fixture);
    if (wanted != ANY && after != wanted)
        dprintf(words, "%s: %s, not %s\n", acts[i].name, g_strerror(after), g_strerror(wanted));
}

static void check_act(const Fixture *fixture, guint i)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        in_child(fixture, i, fds[1]);
        _exit(0);
    }
    close(fds[1]);
    char words[500] = "";
    gssize bytes = read(fds[0], words, sizeof words - 1);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    close(fds[0]);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("%s: the child ended with status %x", acts[i].name, (guint)status);
    if (bytes != 0)
        fail_msg("profile %d: %s", (int)fixture->profile, words);
}

static void check_profile(Fixture *fixture, StenoSandboxProfile profile)
{
    fixture->profile = profile;
    for (guint i = 0; i < G_N_ELEMENTS(acts); i++)
        check_act(fixture, i);
}

static void test_recorder(void **state)
{
    check_profile(*state, STENO_SANDBOX_RECORDER);
}

static void test_assembler(void **state)
{
    check_profile(*state, STENO_SANDBOX_ASSEMBLER);
}

static void test_agent(void **state)
{
    check_profile(*state, STENO_SANDBOX_AGENT);
}

/* ---- places and threads ------------------------------------------------------------------------------------------ */

static pid_t start_child(void)
{
    pid_t child = fork();
    assert_true(child >= 0);
    return child;
}

static void expect_zero(pid_t child)
{
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("step %d of the child went wrong (status %x)", WEXITSTATUS(status), (guint)status);
}

/* Each kind of access; the exit code tells the step that went wrong. */
static int try_places(const Fixture *fixture)
{
    g_autofree char *file = g_build_filename(fixture->outside, "file", NULL);
    g_autofree char *second = g_build_filename(fixture->inside, "second", NULL);
    g_autoptr(StenoSandbox) sandbox = steno_sandbox_new(STENO_SANDBOX_ASSEMBLER);
    StenoSandboxState state = {FALSE, 0};
    steno_sandbox_allow(sandbox, fixture->inside, STENO_SANDBOX_WRITE);
    steno_sandbox_allow(sandbox, fixture->outside, STENO_SANDBOX_LINK);
    if (!steno_sandbox_enter(sandbox, &state, NULL))
        return 1;
    if (link(file, second) != 0 && state.landlock_abi >= 2)
        return 2;
    if (read_outside(fixture) != 0)
        return 3;
    if (state.landlock_abi > 0 && (create_outside(fixture) != EACCES || remove_outside(fixture) != EACCES))
        return 4;
    return 0;
}

static int try_removing(const Fixture *fixture)
{
    g_autoptr(StenoSandbox) sandbox = steno_sandbox_new(STENO_SANDBOX_RECORDER);
    StenoSandboxState state = {FALSE, 0};
    steno_sandbox_allow(sandbox, fixture->outside, STENO_SANDBOX_REMOVE);
    if (!steno_sandbox_enter(sandbox, &state, NULL))
        return 1;
    if (state.landlock_abi > 0 && (read_outside(fixture) != EACCES || create_outside(fixture) != EACCES))
        return 2;
    return remove_outside(fixture) == 0 ? 0 : 3;
}

/* One file is allowed; another that takes its place is not; what was opened is read again by its descriptor. */
static int try_one_file(const Fixture *fixture)
{
    g_autofree char *file = g_build_filename(fixture->outside, "file", NULL);
    g_autofree char *other = g_build_filename(fixture->outside, "other", NULL);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    g_autofree char *pinned = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autoptr(StenoSandbox) sandbox = steno_sandbox_new(STENO_SANDBOX_RECORDER);
    StenoSandboxState state = {FALSE, 0};
    steno_sandbox_allow(sandbox, pinned, STENO_SANDBOX_READ);
    if (rename(other, file) != 0 || !steno_sandbox_enter(sandbox, &state, NULL))
        return 1;
    if (state.landlock_abi > 0 && read_outside(fixture) != EACCES)
        return 2;
    return closed(open(pinned, O_RDONLY | O_CLOEXEC)) == 0 ? 0 : 3;
}

static void test_links(void **state)
{
    pid_t child = start_child();
    if (child == 0)
        _exit(try_places(*state));
    expect_zero(child);
}

static void test_remove(void **state)
{
    pid_t child = start_child();
    if (child == 0)
        _exit(try_removing(*state));
    expect_zero(child);
}

static void test_one_file(void **state)
{
    pid_t child = start_child();
    if (child == 0)
        _exit(try_one_file(*state));
    expect_zero(child);
}

typedef struct {
    GMutex lock;
    GCond changed;
    gboolean entered;
    int fault;
} Other;

static gpointer wait_and_try(gpointer user)
{
    Other *other = user;
    g_mutex_lock(&other->lock);
    while (!other->entered)
        g_cond_wait(&other->changed, &other->lock);
    g_mutex_unlock(&other->lock);
    other->fault = new_socket(AF_INET, SOCK_STREAM, 0);
    return NULL;
}

/* The filter is for threads that run already, too; and what Landlock does not hold for is told. */
static int try_threads(int words)
{
    static Other other;
    g_mutex_init(&other.lock);
    g_cond_init(&other.changed);
    GThread *thread = g_thread_new("other", wait_and_try, &other);
    g_autoptr(StenoSandbox) sandbox = steno_sandbox_new(STENO_SANDBOX_ASSEMBLER);
    (void)dup2(words, STDERR_FILENO);
    if (!steno_sandbox_enter(sandbox, NULL, NULL))
        return 1;
    g_mutex_lock(&other.lock);
    other.entered = TRUE;
    g_cond_signal(&other.changed);
    g_mutex_unlock(&other.lock);
    g_thread_join(thread);
    return other.fault == EPERM ? 0 : 2;
}

static void test_threads(void **state)
{
    (void)state;
    StenoSandboxState possible;
    steno_sandbox_probe(&possible);
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid_t child = start_child();
    if (child == 0)
        _exit(try_threads(fds[1]));
    close(fds[1]);
    char words[500] = "";
    gssize bytes = read(fds[0], words, sizeof words - 1);
    close(fds[0]);
    expect_zero(child);
    if (possible.landlock_abi > 0 && possible.landlock_abi < 8)
        assert_true(bytes > 0 && strstr(words, "1 threads run already"));
    else if (possible.landlock_abi >= 8)
        assert_int_equal(bytes, 0);
}

static void test_probe(void **state)
{
    (void)state;
    StenoSandboxState possible;
    steno_sandbox_probe(&possible);
    assert_true(possible.seccomp); /* else no test above could have passed */
}

/* Who is confined may not be confined again: no filter is taken from it. */
static int try_refused(void)
{
    g_autoptr(StenoSandbox) sandbox = steno_sandbox_new(STENO_SANDBOX_RECORDER);
    StenoSandboxState state;
    g_autoptr(GError) error = NULL;
    if (!steno_sandbox_enter(sandbox, NULL, NULL))
        return 1;
    steno_sandbox_probe(&state);
    if (state.seccomp)
        return 2;
    if (steno_sandbox_enter(sandbox, NULL, &error) || !error)
        return 3;
    return strstr(error->message, "cannot give up") || strstr(error->message, "seccomp") ? 0 : 4;
}

static void test_refused(void **state)
{
    (void)state;
    pid_t child = start_child();
    if (child == 0)
        _exit(try_refused());
    expect_zero(child);
}

/* ---- the fixture ------------------------------------------------------------------------------------------------- */

static char *folder_in(const char *above, const char *name)
{
    char *path = g_build_filename(above, name, NULL);
    assert_int_equal(g_mkdir(path, 0700), 0);
    g_autofree char *file = g_build_filename(path, "file", NULL);
    g_autofree char *other = g_build_filename(path, "other", NULL);
    assert_true(g_file_set_contents(file, "file", -1, NULL));
    assert_true(g_file_set_contents(other, "other", -1, NULL));
    return path;
}

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->folder = g_dir_make_tmp("steno-sandbox-XXXXXX", NULL);
    assert_non_null(fixture->folder);
    fixture->inside = folder_in(fixture->folder, "inside");
    fixture->outside = folder_in(fixture->folder, "outside");
    fixture->socket = g_build_filename(fixture->folder, "socket", NULL);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_strlcpy(address.sun_path, fixture->socket, sizeof address.sun_path);
    fixture->listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fixture->listening, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fixture->listening, 100), 0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;
    close(fixture->listening);
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", fixture->folder);
    assert_int_equal(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL), TRUE);
    g_free(fixture->folder);
    g_free(fixture->inside);
    g_free(fixture->outside);
    g_free(fixture->socket);
    g_free(fixture);
    return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_recorder), TEST(test_assembler), TEST(test_agent), TEST(test_links),   TEST(test_remove),
        TEST(test_one_file), TEST(test_threads),   TEST(test_probe), TEST(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
