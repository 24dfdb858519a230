"""Steno's packages, as packaging/build makes them: each version once for all tests, as long as the source is the same."""
import fcntl
import hashlib
import os
import shutil
import subprocess
import time

from . import steno

CACHE = os.path.join(steno.TOP, "build", "packages-test")
KEPT = 4  # folders of packages, the last used
BUILD_S = 1800


def source_mark():
    """What the packages are made from, and of when, as a short name."""
    listed = subprocess.run(["bash", "-c", ". packaging/source.sh && source_epoch && source_list"], cwd=steno.TOP,
                            capture_output=True, check=True).stdout
    epoch, _, files = listed.partition(b"\n")
    digest = hashlib.sha256(epoch)
    for name in files.rstrip(b"\0").split(b"\0"):
        path = os.path.join(os.fsencode(steno.TOP), name)
        digest.update(b"%s\0%o\0" % (name, os.lstat(path).st_mode))
        with open(path, "rb") as f:
            digest.update(hashlib.file_digest(f, "sha256").digest())
    return digest.hexdigest()[:16]


def _give_way():
    """Compilers leave the cores to tests that run beside them: nice within a session, and among sessions."""
    os.setsid()
    os.nice(19)
    try:
        with open("/proc/self/autogroup", "w") as f:
            f.write("19")
    except OSError:
        pass  # this kernel does not group


def build(kind, output, *options, source=steno.TOP, **how):
    """Runs packaging/build (how: as subprocess.run says); the paths of what it made. What it told is in OUTPUT/build.log."""
    os.makedirs(output, exist_ok=True)
    log = os.path.join(output, "build.log")
    with open(log, "w") as f:
        done = subprocess.run([os.path.join(source, "packaging/build"), kind, "--output", output, *options], text=True,
                              stdout=subprocess.PIPE, stderr=f, timeout=BUILD_S, preexec_fn=_give_way, **how)
    if done.returncode:
        with open(log, errors="replace") as f:
            said = f.read()[-3000:]
        raise AssertionError(f"packaging/build {kind} ended with {done.returncode}; {log}:\n{said}")
    return done.stdout.split()


def made(kind, version=None):
    """{file name: path} of the packages of a version (default: the source's own), built when they are not there yet."""
    os.makedirs(CACHE, exist_ok=True)
    with open(os.path.join(CACHE, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = os.path.join(CACHE, f"{kind}-{version or 'own'}-{source_mark()}")
        if not os.path.isdir(folder):
            new = folder + ".new"
            shutil.rmtree(new, ignore_errors=True)
            # One tree for all versions: the second one compiles little.
            build(kind, new, "--tree", os.path.join(CACHE, "tree"), *(["--version", version] if version else []))
            os.rename(new, folder)
        os.utime(folder, (time.time(), time.time()))
        _forget_old()
    return {name: os.path.join(folder, name) for name in sorted(os.listdir(folder))}


def _forget_old():
    folders = [entry for entry in os.scandir(CACHE) if entry.is_dir() and entry.name != "tree"]
    for entry in sorted(folders, key=lambda entry: entry.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(entry.path, ignore_errors=True)


def deb(version=None):
    """The path of steno_VERSION_ARCHITECTURE.deb."""
    return next(path for name, path in made("deb", version).items() if name.startswith("steno_") and name.endswith(".deb"))
