"""Child processes that never outlive the test run, and waiting for events with a deadline."""
import atexit
import os
import signal
import socket
import subprocess
import time

_LIVE = []


class Timeout(Exception):
    """Something awaited did not come."""


def await_true(probe, seconds, what, interval=0.05):
    """Calls probe until it returns something true; that is returned. Timeout otherwise."""
    end = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise Timeout(f"{what}: not within {seconds} s")
        time.sleep(interval)


def free_ports(count):
    """TCP and UDP ports on loopback nobody has at the moment, all different."""
    sockets = []
    for _ in range(count):
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        sockets.append(s)
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def start(argv, **kwargs):
    """Popen in its own process group, killed at the end of the run whatever happens."""
    process = subprocess.Popen(argv, start_new_session=True, **kwargs)
    _LIVE.append(process)
    return process


def stop(process, sig=signal.SIGTERM, seconds=5):
    """Ends a process, its group and its descendants: asks first, then kills. Returns the exit status."""
    family = children(process.pid) if process.poll() is None else []
    if process.poll() is None:
        process.send_signal(sig)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
    for kill, victims in ((os.killpg, [process.pid]), (os.kill, family)):
        for victim in victims:
            try:
                kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                pass
    process.wait()
    if process in _LIVE:
        _LIVE.remove(process)
    return process.returncode


@atexit.register
def _stop_all():
    for process in list(_LIVE):
        stop(process, signal.SIGKILL)


def comm(pid):
    """The kernel's name of a process, or None when it is gone."""
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()
    except OSError:
        return None


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def children(pid, name=None):
    """The living descendants of a process, optionally those with this (possibly cut) name."""
    found = []
    todo = [pid]
    while todo:
        parent = todo.pop()
        try:
            tasks = os.listdir(f"/proc/{parent}/task")
        except OSError:
            continue
        for task in tasks:
            try:
                with open(f"/proc/{parent}/task/{task}/children") as f:
                    kids = [int(k) for k in f.read().split()]
            except OSError:
                continue
            todo += kids
            found += kids
    return [p for p in found if _alive(p) and (name is None or comm(p) == name[:15])]
