"""
The AppArmor profile against what stenod really does: a recording from start to end is traced, and each access is asked of the
compiled profile under the name that it has on an installed system. What nobody may is asked, too.
"""
import fnmatch
import json
import os
import re
import socket
import subprocess
from pathlib import Path

from steno_test import apparmor, check, clips, janus, procs, steno
from steno_test.case import Skip
from steno_test.stenod import STENOD, Stenod

LIGHT = 15
PROFILE = os.path.join(steno.TOP, "conf", "apparmor.d", "usr.sbin.stenod")
CALLS = ("execve,open,openat,openat2,creat,mkdir,mkdirat,rmdir,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,"
         "symlinkat,mknod,mknodat,truncate,ftruncate,chmod,fchmod,fchmodat,chown,fchown,fchownat,lchown,utimensat,socket,bind,"
         "connect,sendto,sendmsg,sendmmsg,flock,fcntl,mmap")
INSTALLED = {"stenod": "/usr/sbin/stenod", "steno-recorder": "/usr/libexec/steno/steno-recorder",
             "steno-assemble": "/usr/libexec/steno/steno-assemble"}
# Never, whatever the abstractions let in.
FORBIDDEN = {
    "r": ("/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/root/x", "/root/.ssh/id_ed25519", "/home/alice/x",
          "/home/alice/.ssh/id_ed25519", "/home/alice/.aws/credentials", "/var/lib/postgresql/base", "/var/log/syslog",
          "/var/spool/cron/crontabs/root", "/etc/ssl/private/a.key", "/proc/kcore", "/proc/1/environ", "/proc/1/mem", "/dev/mem",
          "/dev/sda", "/boot/vmlinuz", "/tmp/x", "/run/systemd/private", "/run/credentials/other.service/key",
          "/var/lib/stenod-other/x"),
    "w": ("/etc/steno/steno.conf", "/etc/steno/secrets/janus", "/etc/passwd", "/etc/cron.d/x", "/etc/systemd/system/x.service",
          "/etc/ld.so.preload", "/usr/sbin/stenod", "/usr/libexec/steno/steno-recorder", "/usr/lib/x86_64-linux-gnu/libc.so.6",
          "/usr/local/bin/x", "/usr/lib/systemd/system/stenod.service", "/proc/sys/kernel/core_pattern", "/sys/kernel/x", "/tmp/x",
          "/home/alice/x", "/root/x", "/var/log/x", "/dev/sda", "/dev/shm/x", "/etc/apparmor.d/usr.sbin.stenod"),
    "x": ("/bin/sh", "/usr/bin/dash", "/usr/bin/bash", "/usr/bin/curl", "/usr/bin/python3.11", "/usr/bin/steno", "/usr/bin/sudo",
          "/var/lib/steno/spool/x", "/srv/recordings/x", "/tmp/x", "/usr/local/bin/fetch-key"),
    "m": ("/var/lib/steno/x.so", "/srv/recordings/x.so", "/tmp/x.so", "/run/steno/x.so"),
}


def profile(**settings):
    if subprocess.run(["sh", "-c", "command -v apparmor_parser"], capture_output=True).returncode != 0:
        raise Skip("apparmor_parser is missing")
    return apparmor.Profile(PROFILE, **settings)


# ---- the trace -------------------------------------------------------------------------------------------------------

class Access:
    """One thing that was done: path as on this machine, letters of a file rule; from: the call."""

    def __init__(self, path, letters, call, folder=False):
        self.path, self.letters, self.call, self.folder = path, letters, call, folder


def opened(flags):
    mode = "rw" if "O_RDWR" in flags else "w" if "O_WRONLY" in flags else "r"
    return mode + ("w" if "w" not in mode and ("O_CREAT" in flags or "O_TRUNC" in flags) else "")


def argument_paths(text):
    """The files that a call's arguments name; links on the way are followed, one in the last place is not."""
    found = []
    for folder, name in re.findall(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"', text):
        path = os.path.join(folder, name)
        found.append(os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)))
    return found


def accesses(line):
    """Accesses of one line of strace. What failed has not been done, except that connecting may still be going on."""
    call = re.match(r"(\w+)\((.*)\)\s+= (-?\d+|\?)(?:<([^>]*)>)?( E\w+)?", line)
    if not call:
        return
    name, text, value, result, error = call.groups()
    if value.startswith("-") and error not in (" EINPROGRESS", " EAGAIN"):
        return
    if name in ("open", "openat", "openat2", "creat"):
        if "O_PATH" not in text and result and result.startswith("/"):
            yield Access(result.removesuffix(" (deleted)"), opened(text), name, "O_DIRECTORY" in text)
    elif name == "execve":
        yield Access(os.path.realpath(argument_paths(text)[0]), "x", name)
    elif name in ("mkdir", "mkdirat", "rmdir") or "AT_REMOVEDIR" in text:
        yield Access(argument_paths(text)[0], "w", name, True)
    elif name.startswith("rename"):
        old, new = argument_paths(text)
        folder = os.path.isdir(new)
        yield Access(old, "rw", name, folder)
        yield Access(new, "w", name, folder)
    elif name in ("link", "linkat"):
        yield Access(argument_paths(text)[1], "l", name)
    elif name in ("unlink", "unlinkat", "symlink", "symlinkat", "mknod", "mknodat", "truncate", "chmod", "fchmodat", "chown",
                  "lchown", "fchownat", "utimensat"):
        paths = argument_paths(text)
        yield Access(paths[-1], "w", name, os.path.isdir(paths[-1]))
    elif name in ("fchmod", "fchown", "ftruncate") and re.match(r"\d+</", text):
        path = re.match(r"\d+<([^>]*)>", text).group(1)
        yield Access(path, "w", name, os.path.isdir(path))
    elif name == "flock" or name == "fcntl" and re.search(r"F_(OFD_)?SETLK", text):
        path = re.match(r"\d+<([^>]*)>", text).group(1)
        yield Access(path, "kw" if "LOCK_EX" in text or "F_WRLCK" in text else "k", name)
    elif name == "mmap" and "PROT_EXEC" in text:
        file = re.search(r", \d+<(/[^>]*)>", text)
        if file:
            yield Access(file.group(1), "m", name)
    elif name in ("bind", "connect", "sendto", "sendmsg", "sendmmsg"):
        for path in re.findall(r'sun_path="(/[^"]*)"', text):
            yield Access(os.path.realpath(path), "w", name)


def sockets(line):
    """(family, kind) of socket(2)."""
    call = re.match(r"socket\((AF_\w+), (SOCK_\w+)", line)
    if call:
        yield getattr(socket, call.group(1)), getattr(socket, call.group(2))


class Traced(Stenod):
    """A stenod under strace, and what it has done."""

    def __init__(self, case):
        self.traces = case.path("traces")
        os.makedirs(self.traces)
        wrapper = case.path("stenod-traced")
        # Detached, the tracer is nobody's parent: signals and exit status are stenod's own.
        with open(wrapper, "w") as file:
            file.write("#!/bin/sh\nexec strace -D -ff -y -s 4096 --signal=none --quiet=all "
                       f"-e trace={CALLS} -o {self.traces}/of {STENOD} \"$@\"\n")
        os.chmod(wrapper, 0o755)
        self.notify = case.path("notify")
        self._systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._systemd.bind(self.notify)
        super().__init__(case, program=wrapper, environment={"NOTIFY_SOCKET": self.notify})

    def lines(self):
        for path in sorted(Path(self.traces).iterdir()):
            yield from path.read_text(errors="replace").splitlines()

    def installed(self, path):
        """The name that this file has where stenod is installed."""
        folders = {self.state: "/var/lib/steno", self.spool: "/var/lib/steno/spool", self.root: "/srv/recordings",
                   self.run: "/run/steno", self.folder: "/etc/steno", self.notify: "/run/systemd/notify", self.log: "/dev/null"}
        for name, to in INSTALLED.items():
            folders[os.path.join(os.path.dirname(STENOD), name)] = to
        for folder in sorted(folders, key=len, reverse=True):
            if path == folder or path.startswith(folder + "/"):
                return folders[folder] + path[len(folder):]
        return path


def test_recording(case):
    """All that stenod, recorder and assembler do is allowed; what they load is in the bill of materials."""
    asked = profile()
    if subprocess.run(["sh", "-c", "command -v strace"], capture_output=True).returncode != 0:
        raise Skip("strace is missing")
    server = case.janus().start()
    clips.publish(case, server)
    daemon = Traced(case)
    daemon.janus(server)
    daemon.start()
    id_ = daemon.begin(janus.ROOM, max_duration_s=4)["id"]
    procs.await_true(lambda: daemon.recording(id_)["counts"]["frames"] > 0, 30, "frames")
    daemon.reload(40)
    check.verified(daemon.folder_of(daemon.await_state(id_, "completed", 60)))
    assert daemon.stop() == 0
    refused, seen, done, libraries = set(), set(), 0, set()
    for line in daemon.lines():
        for access in accesses(line):
            path = daemon.installed(access.path)
            name = path + "/" if access.folder or os.path.isdir(access.path) else path
            done += 1
            seen.add((access.call, path if access.call == "execve" else ""))
            if access.letters == "m" and ".so" in path:
                libraries.add(path)
            if access.letters == "x":
                ok = asked.inherits(path) and asked.allows(path, "mr")
            else:
                ok = asked.allows(name, access.letters)
            if not ok:
                refused.add(f"{access.call} {name} {access.letters}")
        for family, kind in sockets(line):
            done += 1
            if not asked.allows_socket(family, kind):
                refused.add(f"socket {family} {kind}")
    assert not refused, "the profile refuses: " + "; ".join(sorted(refused))
    for call in [("execve", p) for p in INSTALLED.values()] + [(c, "") for c in ("openat", "unlink", "rename", "mkdir", "bind")]:
        assert call in seen, f"no {call} in the trace: {sorted(seen)}"
    case.figure(f"{done} accesses, all allowed")
    files, patterns = known_libraries()
    unknown = {path for path in libraries - files if not any(fnmatch.fnmatch(path, "*/" + pattern) for pattern in patterns)}
    assert not unknown, f"loaded, and not in the bill of materials: {sorted(unknown)}"
    case.figure(f"{len(libraries)} libraries loaded, all in the bill of materials")


def known_libraries():
    """The files in the bill of materials, and the patterns of modules that it tells of in words."""
    programs = [os.path.join(os.path.dirname(STENOD), name) for name in (*INSTALLED, "steno")]
    made = subprocess.run([os.path.join(steno.TOP, "packaging", "sbom"), "deb", *programs], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    bom = json.loads(made.stdout)
    words = " ".join(told["value"] for told in bom["metadata"]["properties"] if told["name"] == "steno:loaded-at-run-time")
    return ({file["name"] for component in bom["components"] for file in component["components"]},
            re.findall(r"\(([\w/]+\*\.so[.*]*)\)", words))


# ---- the profile alone -----------------------------------------------------------------------------------------------

def test_profile(case):
    """Whom it is for, what is forbidden whatever the abstractions let in, and what an administrator may add."""
    asked = profile()
    assert asked.attaches_to("/usr/sbin/stenod") and not asked.attaches_to("/usr/bin/steno")
    assert asked.complain, "no kernel of ours has enforced it: it must not be shipped as if one had"
    count = 0
    for letter, paths in FORBIDDEN.items():
        for path in paths:
            count += 1
            assert not asked.allows(path, letter, owner=True) and not asked.allows(path, letter), f"{path} {letter} is allowed"
    for name in ("dac_override", "kill", "setuid", "net_admin", "net_raw", "sys_ptrace", "sys_admin"):
        assert not asked.allows_capability(name), f"capability {name} is allowed"
    for family, kind in ((socket.AF_INET, socket.SOCK_RAW), (socket.AF_PACKET, socket.SOCK_RAW),
                         (socket.AF_ALG, socket.SOCK_SEQPACKET)):
        assert not asked.allows_socket(family, kind), f"{family} {kind} is allowed"
    for path, letters in (("/etc/steno/keys/clinic/1.json", "r"), ("/run/credentials/stenod.service/janus", "r"),
                          ("/etc/ssl/certs/ca.pem", "r"), ("/mnt/nas/a/b.webm", "rwkl"), ("/etc/resolv.conf", "r"),
                          ("/usr/share/zoneinfo/Europe/Vienna", "r"), ("/proc/locks", "r")):
        assert asked.allows(path, letters), f"{path} {letters} is refused"
    case.figure(f"{count} accesses refused")
    # As the comments of the profile say.
    with open(PROFILE) as file:
        examples = re.findall(r"^#   (/\S+ \w+,|include <\S+>)", file.read(), re.M)
    assert len(examples) >= 5, examples
    wider = profile(local="\n".join(examples))
    assert wider.allows("/data/recordings/", "r") and wider.allows("/data/recordings/a", "rwkl")
    assert wider.inherits("/usr/local/bin/fetch-key") and not wider.inherits("/usr/local/bin/other")
