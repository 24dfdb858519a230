"""Chromium participants: tests/chromium/publish.mjs driven from Python."""
import json
import os
import queue
import subprocess
import threading

from . import procs

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "chromium")


class PageError(Exception):
    pass


class Chromium:
    """One browser. page(name) is a participant; its methods are the calls of page.js."""

    def __init__(self):
        self.events = []
        self._answers = {}
        self._count = 0
        self._lock = threading.Condition()
        # Where it is allowed, the browser goes first: a starved browser stutters, and is not what is tested.
        first = ["nice", "-n", "-10"] if os.geteuid() == 0 else []
        self.process = procs.start([*first, "node", os.path.join(FOLDER, "publish.mjs")], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        threading.Thread(target=self._read, daemon=True).start()
        self.wait_event(lambda e: e["event"] == "started", 40, "Chromium starts")

    def _read(self):
        for line in self.process.stdout:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            with self._lock:
                if "id" in message:
                    self._answers[message["id"]] = message
                else:
                    self.events.append(message)
                self._lock.notify_all()

    def wait_event(self, wanted, seconds, what):
        def found():
            return next((e for e in self.events if wanted(e)), None)
        with self._lock:
            if not self._lock.wait_for(found, seconds):
                raise procs.Timeout(f"{what}: not within {seconds} s; events: {self.events[-5:]}")
            return found()

    def begin(self, page, call, args=None):
        """Sends a call; end() waits for what it answers."""
        with self._lock:
            self._count += 1
            number = self._count
        line = json.dumps({"id": number, "page": page, "call": call, "args": args or {}}) + "\n"
        self.process.stdin.write(line.encode())
        self.process.stdin.flush()
        return number

    def end(self, number, seconds=40):
        with self._lock:
            if not self._lock.wait_for(lambda: number in self._answers, seconds):
                raise procs.Timeout(f"Chromium's answer: not within {seconds} s; events: {self.events[-5:]}")
            answer = self._answers.pop(number)
        if not answer["ok"]:
            raise PageError(f"{answer['error']}; events: {self.events[-5:]}")
        return answer["result"]

    def page(self, name):
        return Page(self, name)

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                pass
        procs.stop(self.process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Page:
    def __init__(self, browser, name):
        self.browser = browser
        self.name = name

    def call(self, name, **args):
        return self.browser.end(self.browser.begin(self.name, name, args))

    def join(self, janus, room, **args):
        """Publishes to a room of a Janus; returns {id, origin}."""
        return self.call("join", server=janus.url, token=janus.token(), apiSecret=janus.api_secret, room=room,
                         display=args.pop("display", self.name), **args)

    def leave(self):
        return self.call("leave")
