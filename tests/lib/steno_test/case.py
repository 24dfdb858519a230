"""What an end-to-end test is given, and what it may raise. A test is a function test_NAME(case) in tests/e2e/FILE.py."""
import contextlib
import os
import shutil
import tempfile

from . import chromium, janus, steno
from .janus import ROOM

SECRET = "token-secret-of-the-tests"


class Skip(Exception):
    """The test can't be run here; the reason. A failure where CI is set."""


class Unfit(Exception):
    """What the peers gave was spoiled before Steno had it (a starved browser on a busy machine): run it again."""


class Case:
    """Folder, servers and figures of one test; everything it opened is closed at its end."""

    def __init__(self, name):
        self.name = name
        self.folder = tempfile.mkdtemp(prefix=f"steno-{name}-")
        self.figures = []
        self.last_attempt = True
        self.at_sfu = {}  # name: how far picture and sound of it were apart when the SFU had them, s
        self._stack = contextlib.ExitStack()

    def figure(self, text):
        """A figure worth printing beside the result."""
        self.figures.append(text)

    def path(self, name):
        return os.path.join(self.folder, name)

    def janus(self, name="janus", **settings):
        """A Janus that is not started yet."""
        settings.setdefault("token_secret", SECRET)
        server = janus.Janus(self.path(name), **settings)
        self._stack.callback(server.stop)
        return server

    def chromium(self):
        return self._stack.enter_context(chromium.Chromium())

    def record(self, server, *arguments, room=ROOM, name="recording", shim=None, environment=None):
        """`steno record` of a room of a Janus, with what it needs to be let in, unless arguments say otherwise."""
        folder = self.path(name)
        os.makedirs(folder, exist_ok=True)
        given = [*arguments]
        for option, value in (("--platform", "janus"), ("--url", server.url), ("--channel", str(room))):
            if option not in given:
                given += [option, value]
        if server.token_secret and not {"--token", "--token-secret-file"} & set(given):
            given += ["--token-secret-file", steno.secret_file(folder, "token-secret", server.token_secret)]
        if server.api_secret and "--api-secret-file" not in given:
            given += ["--api-secret-file", steno.secret_file(folder, "api-secret", server.api_secret)]
        given.append("--loopback")
        recording = steno.Record(folder, given, shim=shim, environment=environment)
        self._stack.callback(steno.procs.stop, recording.process)
        return recording

    def on_exit(self, function, *arguments):
        self._stack.callback(function, *arguments)

    def close(self, keep):
        """keep: leave the folder for who looks for the fault."""
        self._stack.close()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
