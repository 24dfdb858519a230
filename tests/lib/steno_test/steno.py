"""The command under test: `steno record` and its recorder, assembler and files."""
import json
import os
import signal
import subprocess
import threading
import time

from . import procs

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))
BUILD = os.environ.get("STENO_BUILD", os.path.join(TOP, "build", "release"))
STENO = os.path.join(BUILD, "bin", "steno")
SHIM = os.path.join(BUILD, "bin", "loss_shim.so")


def exit_codes():
    """{slug: exit code} of include/steno/base/errors.def, so that the tests hold the program against its own table."""
    import re
    with open(os.path.join(TOP, "include/steno/base/errors.def")) as f:
        rows = re.findall(r'^STENO_ERROR_ROW\(\w+, "([^"]+)", (\d+),', f.read(), re.M)
    return {slug: int(code) for slug, code in rows}


def run(*argv, **kwargs):
    """A short command of steno; CompletedProcess with text."""
    return subprocess.run([STENO, *argv], capture_output=True, text=True, timeout=kwargs.pop("timeout", 120), **kwargs)


def secret_file(folder, name, text):
    path = os.path.join(folder, name)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as f:
        f.write(text + "\n")
    return path


class Record:
    """A running `steno record --json`. events: its lines as they came, each with the time it was read."""

    def __init__(self, folder, arguments, shim=None, environment=None):
        self.folder = folder
        self.root = os.path.join(folder, "root")
        self.spool = os.path.join(folder, "spool")
        os.makedirs(self.root, exist_ok=True)
        env = {**os.environ, **(environment or {})}
        if shim is not None:
            env.update(LD_PRELOAD=SHIM, STENO_SHIM_REPORT=os.path.join(folder, "shim.json"),
                       STENO_SHIM_LOG=os.path.join(folder, "shim.log"), **{f"STENO_SHIM_{k}": str(v) for k, v in shim.items()})
        self.events = []
        self._lock = threading.Condition()
        self._ended = False
        self.errors = os.path.join(folder, "steno.stderr")
        argv = [STENO, "record", "--json", "--keep-capture", "--spool", self.spool]
        if "--output" not in arguments:
            argv += ["--output", self.root]
        self.started = time.time()
        with open(self.errors, "ab") as err:
            self.process = procs.start(argv + list(arguments), stdout=subprocess.PIPE, stderr=err,
                                       stdin=subprocess.DEVNULL, env=env, cwd=folder)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                event = {"event": "garbage", "line": line.decode(errors="replace")}
            with self._lock:
                self.events.append((time.time(), event))
                self._lock.notify_all()
        with self._lock:
            self._ended = True
            self._lock.notify_all()

    def tail(self):
        with open(self.errors, errors="replace") as f:
            return f.read()[-1500:]

    def wait(self, wanted, seconds, what):
        """The first event for which wanted(event) is true: (time it came, event)."""
        def found():
            return next(((t, e) for t, e in self.events if wanted(e)), None)
        with self._lock:
            self._lock.wait_for(lambda: found() or self._ended, seconds)
            event = found()
        if event is None:
            raise procs.Timeout(f"{what}: not within {seconds} s; last events "
                                f"{[e for _, e in self.events[-4:]]}; {self.tail()}")
        return event

    def wait_state(self, state, seconds=20):
        return self.wait(lambda e: e.get("event") == "state" and e.get("state") == state, seconds, f"state {state}")

    def recorder(self, seconds=10):
        """The pid of the recorder process."""
        return procs.await_true(lambda: procs.children(self.process.pid, "steno-recorder"), seconds, "a recorder process")[0]

    def finish(self, seconds=120, interrupt=True):
        """Ends it as Ctrl-C does and returns its last line ("done")."""
        if interrupt and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise procs.Timeout(f"steno record does not end within {seconds} s; {self.tail()}")
        with self._lock:
            self._lock.wait_for(lambda: self._ended, 5)
        done = [e for _, e in self.events if e.get("event") == "done"]
        if len(done) != 1:
            raise AssertionError(f"{len(done)} \"done\" lines, exit code {self.code}; {self.tail()}")
        return done[0]

    def manifest(self, done):
        with open(os.path.join(done["folder"], "manifest.json")) as f:
            return json.load(f)
