"""stenod under test: its configuration, its life and death, its API over the Unix socket and HTTPS, its command."""
import base64
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.parse

from . import procs, steno

STENOD = os.path.join(steno.BUILD, "bin", "stenod")
ENDED = ("completed", "failed")


class Answer:
    """Of one request: status, headers (lower case), body bytes, json (when it is JSON)."""

    def __init__(self, status, headers, body):
        self.status, self.body = status, body
        self.headers = {}
        for name, value in headers:
            name = name.lower()
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
        self.json = json.loads(body) if "json" in self.headers.get("content-type", "") and body else None

    def __repr__(self):
        return f"{self.status} {self.body[:600]!r}"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Stenod:
    """
    One stenod with a folder of its own. `settings` are lines of steno.conf in addition; apps, platforms, webhooks are lists of
    dicts as in the configuration.
    """

    def __init__(self, case, name="stenod", program=STENOD, environment=None):
        self.folder = case.path(name)
        self.program = program
        self.environment = environment or {}
        self.state, self.spool, self.root = (os.path.join(self.folder, n) for n in ("state", "spool", "root"))
        # Paths of Unix sockets are short.
        self.run = tempfile.mkdtemp(prefix="steno-run-")
        for path in (self.folder, self.root):
            os.makedirs(path, 0o700, exist_ok=True)
        self.config = os.path.join(self.folder, "steno.conf")
        self.socket = os.path.join(self.run, "api.sock")
        self.log = os.path.join(self.folder, "stenod.log")
        self.port = procs.free_ports(1)[0]
        self.top = {"instance": "test", "state_dir": self.state, "spool_dir": self.spool, "runtime_dir": self.run,
                    "log_level": "info"}
        self.api = {"listen": [f"127.0.0.1:{self.port}"], "socket": self.socket}
        # The disk of a test machine is as full as it is.
        self.limits = {"refuse_below_percent": 0, "finish_below_percent": 0}
        self.apps = [{"name": "clinic"}]
        self.platforms, self.webhooks, self.key_sources = [], [], []
        self.storages = [{"name": "primary", "type": "local", "root": self.root}]
        self.process = None
        case.on_exit(self.destroy)

    # ---- configuration ----------------------------------------------------------------------------------------------

    def secret(self, name, text):
        """A secret file beside the configuration; its path."""
        return steno.secret_file(self.folder, name, text)

    def janus(self, server, name="janus-1", **settings):
        """A platform of the configuration: this Janus."""
        platform = {"name": name, "connector": "janus", "url": server.url, "loopback": True, **settings}
        if server.token_secret:
            platform["token_secret_file"] = self.secret(f"{name}.token-secret", server.token_secret)
        if server.api_secret:
            platform["api_secret_file"] = self.secret(f"{name}.api-secret", server.api_secret)
        self.platforms.append(platform)

    def configure(self):
        def value(v):
            if isinstance(v, bool):
                return "true" if v else "false"
            if isinstance(v, int):
                return f"{v}L" if abs(v) >= 1 << 31 else str(v)
            if isinstance(v, (list, tuple)):
                return "[ " + ", ".join(json.dumps(x) for x in v) + " ]"
            return json.dumps(v)

        def group(members):
            return "{ " + " ".join(f"{k} = {value(v)};" for k, v in members.items()) + " }"
        text = "".join(f"{k} = {value(v)};\n" for k, v in self.top.items())
        text += f"api = {group(self.api)};\nlimits = {group(self.limits)};\n"
        for name in ("platforms", "storages", "webhooks", "key_sources", "apps"):
            entries = getattr(self, name)
            if entries:
                text += f"{name} = (\n  " + ",\n  ".join(map(group, entries)) + "\n);\n"
        with open(self.config, "w") as f:
            f.write(text)

    # ---- life and death ---------------------------------------------------------------------------------------------

    def start(self, ready=True):
        self.configure()
        return self.launch(ready)

    def launch(self, ready=True):
        """Starts it with the configuration as it lies there."""
        assert self.process is None or self.process.poll() is not None, "it runs already"
        with open(self.log, "ab") as log:
            self.process = procs.start([self.program, "--config", self.config], stdout=log, stderr=log,
                                       stdin=subprocess.DEVNULL, env={**os.environ, **self.environment})
        if ready:
            self.await_ready()
        return self

    def await_ready(self, seconds=20):
        def probe():
            assert self.process.poll() is None, f"stenod ended with {self.process.returncode}: {self.tail()}"
            try:
                return self.get("/livez", timeout=2).status == 200
            except OSError:
                return False
            except http.client.HTTPException:
                return False
        procs.await_true(probe, seconds, f"stenod answers ({self.tail()})", interval=0.02)

    def kill(self):
        """kill -9 of stenod alone: its recorders go on."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def reload(self, seconds=20):
        """As `systemctl reload` does; returns when the new image answers on a new socket."""
        before = os.stat(self.socket).st_ino, os.stat(self.socket).st_ctime_ns
        self.process.send_signal(signal.SIGHUP)

        def changed():
            assert self.process.poll() is None, f"stenod ended with {self.process.returncode}: {self.tail()}"
            try:
                status = os.stat(self.socket)
            except OSError:
                return False
            return (status.st_ino, status.st_ctime_ns) != before
        procs.await_true(changed, seconds, f"stenod reloads ({self.tail()})", interval=0.01)
        self.await_ready(seconds)

    def stop(self, seconds=60):
        """As `systemctl stop`: finishes what runs. Returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise procs.Timeout(f"stenod does not end within {seconds} s; {self.tail()}")

    def destroy(self):
        """The end of the test: nothing of it is left running, and no socket lies about."""
        if self.process is not None:
            procs.stop(self.process, signal.SIGKILL)
        for pid in self.recorders().values():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(self.run, ignore_errors=True)

    def recorders(self):
        """{recording id: pid} of the recorders that hold the lock of a capture below the spool."""
        found = {}
        locks = held_locks()
        for name in os.listdir(self.spool) if os.path.isdir(self.spool) else []:
            path = os.path.join(self.spool, name, "recorder.lock")
            try:
                pid = locks.get(os.stat(path).st_ino)
            except OSError:
                continue
            if pid:
                found[name] = pid
        return found

    def tail(self, bytes_=2500):
        try:
            with open(self.log, errors="replace") as f:
                return f.read()[-bytes_:]
        except OSError:
            return ""

    # ---- talking ----------------------------------------------------------------------------------------------------

    def _ask(self, connection, method, path, body, headers):
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = dict(headers or {})
        if data is not None:
            headers.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            connection.close()

    def ask(self, method, path, body=None, headers=None, timeout=30):
        """Over the Unix socket."""
        return self._ask(_UnixConnection(self.socket, timeout), method, path, body, headers)

    def get(self, path, **kwargs):
        return self.ask("GET", path, **kwargs)

    def tls(self):
        """A client's TLS settings that trust this stenod's certificate and nothing else."""
        context = ssl.create_default_context(cafile=os.path.join(self.state, "tls", "cert.pem"))
        return context

    def https(self, method, path, body=None, key=None, headers=None, timeout=30):
        """Over HTTPS with an API key (the answer of POST /v1/keys)."""
        headers = dict(headers or {})
        if key:
            headers["Authorization"] = "Basic " + base64.b64encode(f"{key['id']}:{key['secret']}".encode()).decode()
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=self.tls())
        return self._ask(connection, method, path, body, headers)

    def key(self, role="admin", app=None):
        answer = self.ask("POST", "/v1/keys", {"role": role, **({"app": app} if app else {})})
        assert answer.status == 201, answer
        return answer.json

    def begin(self, channel, app="clinic", platform="janus-1", headers=None, **more):
        """Starts a recording; its JSON."""
        answer = self.ask("POST", "/v1/recordings", {"app": app, "platform": platform, "channel": str(channel), **more},
                          headers=headers)
        assert answer.status in (200, 201), answer
        return answer.json

    def recording(self, id_):
        answer = self.get(f"/v1/recordings/{id_}")
        assert answer.status == 200, answer
        return answer.json

    def await_state(self, id_, states, seconds=30):
        """The recording, as soon as its state is one of these. Ends early, loudly, when it can't come any more."""
        states = (states,) if isinstance(states, str) else states
        last = {}

        def probe():
            last.update(self.recording(id_))
            if last["state"] in states:
                return dict(last)
            assert last["state"] not in ENDED, f"{id_} is {last['state']}: {last['end_reason']} {last['error']}"
            return None
        try:
            return procs.await_true(probe, seconds, f"{id_} is one of {states}")
        except procs.Timeout as late:
            raise procs.Timeout(f"{late}; it is {last.get('state')} {last.get('error')}; {self.tail()}")

    def recordings(self, **query):
        """All pages."""
        found, token = [], None
        while True:
            asked = {**query, **({"page_token": token} if token else {})}
            answer = self.get("/v1/recordings?" + urllib.parse.urlencode(asked))
            assert answer.status == 200, answer
            found += answer.json["recordings"]
            token = answer.json["next_page_token"]
            if not token:
                return found

    def cli(self, *argv, **kwargs):
        """`steno COMMAND …` over this stenod's socket."""
        return steno.run(*argv, env={**os.environ, "STENO_SOCKET": self.socket, **kwargs.pop("environment", {})}, **kwargs)

    def folder_of(self, recording):
        """Where its files are, by the first storage's uri."""
        uri = recording["storages"][0]["uri"]
        assert uri and uri.startswith("file://"), recording["storages"]
        return urllib.parse.unquote(uri[len("file://"):])

    def admin_key(self):
        """The first key, made by `steno key init`: what `Authorization` needs, as POST /v1/keys answers."""
        done = self.cli("key", "init")
        assert done.returncode == 0, done.stderr
        id_, secret = done.stdout.strip().split(":")
        return {"id": id_, "secret": secret}


def held_locks():
    """{inode: pid} of every flock held on this machine (/proc/locks)."""
    found = {}
    with open("/proc/locks") as f:
        for line in f:
            words = line.split()
            if "->" not in words[1:2] and words[1] == "FLOCK":
                found[int(words[5].split(":")[2])] = int(words[4])
    return found


def await_ended(daemon, ids, seconds):
    """Waits until all these recordings have ended; {id: recording}."""
    end = time.monotonic() + seconds
    return {i: daemon.await_state(i, ENDED, max(1, end - time.monotonic())) for i in ids}
