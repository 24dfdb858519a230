#include "profiles.h"

#include <linux/sched.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define SANITIZED
#endif

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

#define MASKED(number, mask, value) SCMP_CMP64(number, SCMP_CMP_MASKED_EQ, (scmp_datum_t)(mask), (scmp_datum_t)(value))
/* The kernel looks at the lower half of an int alone, and so must we. */
#define INT(number, value) MASKED(number, G_MAXUINT32, (guint32)(value))

/* ---- system calls of all ----------------------------------------------------------------------------------------- */

const char sandbox_allowed[] =
    /* Files: which, Landlock says. */
    "access close close_range copy_file_range dup dup2 dup3 faccessat faccessat2 fadvise64 fallocate fchmod fcntl "
    "fcntl64 fdatasync flock fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 getcwd getdents "
    "getdents64 link linkat lseek lstat lstat64 memfd_create mkdir mkdirat newfstatat open openat openat2 pipe pipe2 "
    "pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readlink readlinkat readv rename renameat renameat2 rmdir "
    "sendfile sendfile64 stat stat64 statfs statfs64 statx sync_file_range truncate umask unlink unlinkat utimensat "
    "write writev _llseek "
    /* Memory. */
    "brk madvise membarrier mincore mlock mlock2 mremap msync munlock munmap "
    /* Threads. */
    "arch_prctl exit exit_group futex futex_time64 futex_waitv get_robust_list getcpu getpriority gettid rseq "
    "sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler "
    "sched_yield set_robust_list set_tid_address "
    /* Who and where we are. */
    "getegid geteuid getgid getgroups getpgid getpgrp getpid getppid getresgid getresuid getrlimit getrusage getsid "
    "getuid sysinfo times ugetrlimit uname "
    /* Signals. */
    "pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend rt_sigtimedwait "
    "rt_sigtimedwait_time64 sigaltstack signalfd4 sigreturn "
    /* Time, events, chance. */
    "clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 "
    "epoll_create "
    "epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 getrandom gettimeofday nanosleep "
    "poll "
    "ppoll ppoll_time64 pselect6 pselect6_time64 select time timerfd_create timerfd_gettime timerfd_settime "
#ifdef SANITIZED
    /* At the end, another process looks for leaks in this one's memory. */
    "clone kill personality prctl process_vm_readv ptrace wait4 "
#endif
    ;

const SandboxCondition sandbox_if_so[] = {
#ifndef SANITIZED
    /* A thread, and no process. clone3, whose flags a filter does not see, is missing, and clone taken for it. */
    {"clone", MASKED(0, CLONE_THREAD, CLONE_THREAD)},
    {"prctl", INT(0, PR_SET_NAME)},
    {"prctl", INT(0, PR_GET_NAME)},
    {"prctl", INT(0, PR_GET_DUMPABLE)},
    {"prctl", INT(0, PR_GET_NO_NEW_PRIVS)},
    {"prctl", INT(0, PR_GET_SECCOMP)},
    {"prctl", INT(0, PR_SET_VMA)},
#endif
    /* Nothing that was written is run: as MemoryDenyWriteExecute= of the unit. */
    {"mmap", MASKED(2, PROT_WRITE | PROT_EXEC, 0)},
    {"mmap", MASKED(2, PROT_WRITE | PROT_EXEC, PROT_WRITE)},
    {"mmap", MASKED(2, PROT_WRITE | PROT_EXEC, PROT_EXEC)},
    {"mmap2", MASKED(2, PROT_WRITE | PROT_EXEC, 0)},
    {"mmap2", MASKED(2, PROT_WRITE | PROT_EXEC, PROT_WRITE)},
    {"mmap2", MASKED(2, PROT_WRITE | PROT_EXEC, PROT_EXEC)},
    {"mprotect", MASKED(2, PROT_EXEC, 0)},
    /* Our own limits: getrlimit() is this. */
    {"prlimit64", INT(0, 0)},
    /* Is it a terminal, how much is there to read; do not block, close at exec. */
    {"ioctl", INT(1, TCGETS)},
    {"ioctl", INT(1, FIONREAD)},
    {"ioctl", INT(1, FIONBIO)},
    {"ioctl", INT(1, FIOCLEX)},
    {NULL},
};

const char sandbox_refused[] =
    "acct add_key adjtimex bpf capset chmod chown chroot clock_adjtime clock_settime delete_module execve execveat "
    "fanotify_init fchmodat fchown fchownat finit_module fork fsconfig fsmount fsopen fspick init_module io_setup "
    "io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lchown listen "
    "mknod mknodat modify_ldt mount mount_setattr move_mount name_to_handle_at open_by_handle_at open_tree "
    "perf_event_open pidfd_getfd pidfd_open pidfd_send_signal pivot_root process_madvise process_vm_writev quotactl "
    "reboot request_key setdomainname setfsuid setgid setgroups sethostname setns setpgid setregid setresgid setresuid "
    "setreuid setsid settimeofday setuid setxattr shmat shmget swapoff swapon symlink symlinkat syslog tkill umount2 "
    "unshare userfaultfd vfork vhangup "
#ifndef SANITIZED
    "kill personality process_vm_readv ptrace "
#endif
    ;

/* ---- the network ------------------------------------------------------------------------------------------------- */

#define NETWORK_CALLS                                                                                                  \
    "accept accept4 bind connect getpeername getsockname getsockopt recvfrom recvmmsg recvmmsg_time64 recvmsg "        \
    "sendmmsg sendmsg sendto setsockopt shutdown "

static const SandboxCondition recorder_if_so[] = {
    {"socket", INT(0, AF_INET)},
    {"socket", INT(0, AF_INET6)},
    /* The kernel tells which addresses this machine has. */
    {"socket", INT(0, AF_NETLINK)},
    {"ioctl", INT(1, SIOCGIFADDR)},
    {"ioctl", INT(1, SIOCGIFCONF)},
    {"ioctl", INT(1, SIOCGIFFLAGS)},
    {"ioctl", INT(1, SIOCGIFINDEX)},
    {"ioctl", INT(1, SIOCGIFNAME)},
    {"ioctl", INT(1, SIOCGIFMTU)},
    /* Streams, connected from the start, so that they lead nowhere else: curl wakes itself up with one. */
    {"socketpair", MASKED(1, 0xf, SOCK_STREAM)},
    {NULL},
};

static const SandboxCondition agent_if_so[] = {
    {"socket", INT(0, AF_INET)},
    {"socket", INT(0, AF_INET6)},
    {"socket", INT(0, AF_NETLINK)},
    /* Name services of this machine. */
    {"socket", INT(0, AF_UNIX)},
    {NULL},
};

/* ---- profiles ---------------------------------------------------------------------------------------------------- */

/* Code that is loaded late, and what the C library looks at: nothing of it is secret, or the administrator's. */
#define SYSTEM_FILES                                                                                                   \
    "/usr/lib /usr/lib64 /lib64 /etc/ld.so.cache /etc/localtime /usr/share/zoneinfo /dev/random /dev/urandom "         \
    "/proc/sys/vm/overcommit_memory /sys/devices/system/cpu "
/* Sanitizers look at their process when they tell of a fault. */
#ifdef SANITIZED
#define DEBUG_FILES "/proc /proc/self/exe "
#else
#define DEBUG_FILES ""
#endif

static const SandboxProfile profiles[] = {
    [STENO_SANDBOX_RECORDER] = {.allowed = NETWORK_CALLS,
                                .refused = "",
                                .if_so = recorder_if_so,
                                /* Who is trusted, and OpenSSL's settings; not the private keys that lie beside them. */
                                .files = SYSTEM_FILES DEBUG_FILES
                                "/etc/ssl/certs /etc/ssl/openssl.cnf /etc/pki/tls/certs /etc/pki/tls/cert.pem "
                                "/etc/pki/tls/openssl.cnf /etc/pki/ca-trust/extracted /etc/crypto-policies "
                                "/usr/share/crypto-policies /usr/share/ca-certificates "
                                "/usr/local/share/ca-certificates /usr/share/pki ",
                                .variables = "SSL_CERT_FILE SSL_CERT_DIR OPENSSL_CONF OPENSSL_MODULES",
                                /* A file a track, twice while it rotates, and sockets. */
                                .descriptors = 4096},
    [STENO_SANDBOX_ASSEMBLER] = {.allowed = "",
                                 .refused = "accept accept4 bind connect recvfrom recvmmsg recvmsg sendmmsg sendmsg "
                                            "sendto socket socketpair",
                                 .if_so = NULL,
                                 .files = SYSTEM_FILES DEBUG_FILES,
                                 .variables = "",
                                 .descriptors = 4096},
    [STENO_SANDBOX_AGENT] = {.allowed = NETWORK_CALLS "inotify_add_watch inotify_init1 inotify_rm_watch ",
                             .refused = "",
                             .if_so = agent_if_so,
                             .files = "/",
                             .variables = "",
                             .descriptors = 256},
};

const SandboxProfile *sandbox_profile(StenoSandboxProfile profile)
{
    return &profiles[profile];
}
