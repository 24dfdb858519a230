"""
A Debian 12 of its own with a real systemd: a root made by mmdebstrap, an overlay a machine, booted by systemd-nspawn. It
shares this machine's network, so that a Janus on loopback is seen by both. Nothing of the build is in it.
"""
import fcntl
import hashlib
import os
import shutil
import socket
import subprocess

from . import procs, steno
from .case import Skip

CACHE = os.path.join(steno.TOP, "build", "machines")
SUITE = "bookworm"
# What a server has beside Debian's minimum, and what README and docs/OPERATIONS.md use.
PACKAGES = ("systemd,systemd-sysv,dbus,ca-certificates,sudo,curl,jq,openssl,procps,cron,iproute2,python3-minimal,sqlite3,gpg")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BOOT_S = 60
# What nspawn takes from a machine and a server has: the calls of Landlock, and locking memory (CAP_IPC_LOCK).
LANDLOCK = "landlock_create_ruleset landlock_add_rule landlock_restrict_self"


def _mark(*parts):
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def base():
    """The folder of a fresh root, made once for all tests of this checkout; never written to afterwards."""
    if os.geteuid() != 0:
        raise Skip("making a machine needs root")
    for program in ("mmdebstrap", "systemd-nspawn"):
        if not shutil.which(program):
            raise Skip(f"there is no {program}")
    os.makedirs(CACHE, exist_ok=True)
    root = os.path.join(CACHE, f"{SUITE}-{_mark(SUITE, PACKAGES)}")
    with open(os.path.join(CACHE, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(root):
            made = root + ".new"
            shutil.rmtree(made, ignore_errors=True)
            done = subprocess.run(["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "--skip=cleanup/apt", SUITE, made],
                                  capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, f"mmdebstrap: {done.stderr[-2000:]}"
            with open(os.path.join(made, "etc/apt/apt.conf.d/80keep"), "w") as f:
                f.write('Binary::apt::APT::Keep-Downloaded-Packages "true";\nAPT::Install-Recommends "false";\n')
            with open(os.path.join(made, "etc/hosts"), "w") as f:
                f.write(f"127.0.0.1 localhost {socket.gethostname()}\n::1 localhost\n")
            os.rename(made, root)
    return root


class Machine:
    """One booted root. All that it writes is in the test's folder, and gone with it."""

    def __init__(self, case, name="machine"):
        self.name = name
        self.folder = case.path(name)
        self.root = os.path.join(self.folder, "root")
        self.log = os.path.join(self.folder, "console.log")
        self.process = self.turn = None
        self._mount(base())
        case.on_exit(self.close)

    def _mount(self, lower):
        upper, work = (os.path.join(self.folder, part) for part in ("upper", "work"))
        for path in (self.root, upper, work):
            os.makedirs(path)
        subprocess.run(["mount", "-t", "overlay", "steno-machine", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}",
                        self.root], check=True)

    def boot(self):
        """Starts it and waits until systemd says that it runs. One at a time: they share the ports of this machine."""
        self.turn = open(os.path.join(CACHE, "turn"), "w")
        fcntl.flock(self.turn, fcntl.LOCK_EX)
        archives = os.path.join(CACHE, "archives")  # what apt fetched once is not fetched again
        os.makedirs(os.path.join(archives, "partial"), exist_ok=True)
        log = open(self.log, "ab")
        self.process = procs.start(
            ["systemd-nspawn", "--quiet", "-D", self.root, "--boot", "--register=no", "--keep-unit", "--console=pipe",
             f"--system-call-filter={LANDLOCK}", "--resolv-conf=copy-host", "--link-journal=no",
             "--capability=CAP_IPC_LOCK", f"--machine=steno-{os.getpid()}-{self.name}",
             f"--bind={archives}:/var/cache/apt/archives"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        procs.await_true(self._answers, BOOT_S, "systemd of the machine answers")
        state = self.run("systemctl is-system-running --wait || true").strip()
        assert state == "running", f"{state}: {self.run('systemctl --failed --no-pager; journalctl -b -p err --no-pager | tail -20')}"
        return self

    def _answers(self):
        if self.process.poll() is not None:
            with open(self.log, errors="replace") as f:
                raise RuntimeError("the machine ended at once:\n" + f.read()[-2000:])
        return self.pid() and subprocess.run([*self.inside(), "test", "-S", "/run/systemd/private"]).returncode == 0

    def pid(self):
        """Its PID 1, as this machine sees it; None when there is none."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as f:
            found = f.read().split()
        return int(found[0]) if found else None

    def inside(self, user="root"):
        """The beginning of a command line that runs in it."""
        enter = ["nsenter", "-t", str(self.pid()), "-a", "--", "env", "-i", f"PATH={PATH}", "LANG=C.UTF-8"]
        if user != "root":
            return [*enter, "runuser", "-u", user, "--"]
        return [*enter, "HOME=/root"]

    def try_run(self, script, user="root", cwd="/root", seconds=300, stdin=None):
        """(exit status, standard output, standard error) of a script that bash reads."""
        done = subprocess.run([*self.inside(user), "bash", "-c", f"cd {cwd}; {script}"], capture_output=True, text=True,
                              errors="replace", timeout=seconds, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL)
        return done.returncode, done.stdout, done.stderr

    def run(self, script, **how):
        """Its standard output; anything but success is a failure of the test."""
        code, out, err = self.try_run("set -euo pipefail; " + script, **how)
        assert code == 0, f"exit {code}: {script[:300]}\n{out[-1500:]}{err[-2500:]}"
        return out

    def succeeds(self, script, **how):
        return self.try_run(script, **how)[0] == 0

    def path(self, inside):
        """Where a path of the machine is found by this one. Not for what is mounted in there (/run, /tmp)."""
        return os.path.join(self.root, inside.lstrip("/"))

    def put(self, source, inside):
        """Copies a file into it, also below /run and /tmp."""
        with open(source, "rb") as f:
            subprocess.run([*self.inside(), "sh", "-c", f"cat >'{inside}'"], stdin=f, check=True)

    def install(self, package):
        """apt install of a .deb of this machine, with what it depends on. Returns what apt told."""
        name = os.path.basename(package)
        self.put(package, f"/root/{name}")
        return self.run(f"export DEBIAN_FRONTEND=noninteractive; apt-get update -q >/dev/null; apt install -y ./{name} 2>&1")

    def close(self):
        if self.process and self.process.poll() is None:
            pid = self.pid()
            if pid:
                subprocess.run(["kill", "-RTMIN+4", str(pid)])  # poweroff
                try:
                    self.process.wait(30)
                except subprocess.TimeoutExpired:
                    pass
            procs.stop(self.process)
        subprocess.run(["umount", "--lazy", self.root], capture_output=True)
        if self.turn:
            self.turn.close()
