"""Debian's Janus on loopback with a configuration of our own, and a small client of its HTTP API."""
import base64
import hashlib
import hmac
import http.client
import json
import os
import signal
import ssl
import subprocess
import threading
import time
import urllib.parse

from . import procs

# The rooms every test Janus has. ROOM is the plain one.
ROOM = 1234
ROOM_PIN = 1001
ROOM_SIGNED = 1002
ROOM_PVTID = 1003
ROOM_NOTIFY = 1004
ROOM_E2EE = 1005
PIN = "pin-7391"

VIDEOROOM = "janus.plugin.videoroom"


def signed_token(secret, realm="janus", descriptors=(VIDEOROOM,), lifetime=3600):
    """Janus' signed token: expiry, realm, descriptors and their HMAC-SHA1."""
    text = ",".join([str(int(time.time()) + lifetime), realm, *descriptors])
    mac = hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()
    return text + ":" + base64.b64encode(mac).decode()


def _room(number, **settings):
    lines = {"description": f'"room {number}"', "publishers": "50", "bitrate": "0", "fir_freq": "10",
             "audiocodec": '"opus,pcmu,pcma"', "videocodec": '"vp8,h264,vp9,av1"', "vp9_svc": "false",
             "audiolevel_ext": "true", "transport_wide_cc_ext": "true", "record": "false",
             "notify_joining": "false", "is_private": "false"}
    lines.update({name: str(value).lower() if isinstance(value, bool) else value for name, value in settings.items()})
    return f"room-{number}: {{\n" + "".join(f"\t{name} = {value}\n" for name, value in lines.items()) + "}\n"


class Janus:
    """
    One server. `url` and `tls_url` are its addresses; kill() and start() again keep ports and log. Publishers that ask
    for it are recorded into `recordings` by Janus itself: what the SFU was given.
    """

    def __init__(self, folder, token_secret=None, api_secret=None, port=None):
        self.folder = os.path.abspath(folder)
        self.token_secret = token_secret
        self.api_secret = api_secret
        self.port, self.tls_port = procs.free_ports(2)
        self.port = port or self.port
        self.url = f"http://127.0.0.1:{self.port}/janus"
        self.tls_url = f"https://127.0.0.1:{self.tls_port}/janus"
        self.ca = os.path.join(self.folder, "ca.pem")
        self.log = os.path.join(self.folder, "janus.log")
        self.recordings = os.path.join(self.folder, "mjr")
        self.process = None
        os.makedirs(self.recordings, exist_ok=True)
        self._certificates()
        self._configure()

    def _openssl(self, *argv):
        subprocess.run(["openssl", *argv], check=True, cwd=self.folder, capture_output=True)

    def _certificates(self):
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self._openssl("req", "-x509", *key, "-days", "2", "-keyout", "ca.key", "-out", "ca.pem", "-subj",
                      "/CN=Test CA")
        self._openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1")
        with open(os.path.join(self.folder, "server.ext"), "w") as f:
            f.write("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        self._openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                      "-days", "2", "-extfile", "server.ext", "-out", "server.pem")

    def _write(self, name, text):
        with open(os.path.join(self.folder, name), "w") as f:
            f.write(text)

    def _configure(self):
        # Enforcing 127. leaves Janus no interface of its own choice (it skips lo), so that libnice gathers: all addresses are
        # this machine's own, and nothing leaves it.
        lib = next(d for d in ("/usr/lib/x86_64-linux-gnu/janus", "/usr/lib/aarch64-linux-gnu/janus", "/usr/lib64/janus")
                   if os.path.isdir(d))
        quote = json.dumps
        general = [f"configs_folder = {quote(self.folder)}", f"plugins_folder = {quote(lib + '/plugins')}",
                   f"transports_folder = {quote(lib + '/transports')}", "debug_level = 4", "debug_timestamps = true",
                   "admin_secret = \"unused\"", "session_timeout = 60", "reclaim_session_timeout = 0"]
        if self.token_secret:
            general += ["token_auth = true", f"token_auth_secret = {quote(self.token_secret)}"]
        if self.api_secret:
            general.append(f"api_secret = {quote(self.api_secret)}")
        others = [p for p in sorted(os.listdir(lib + "/plugins")) if p.endswith(".so") and "videoroom" not in p]
        transports = [t for t in sorted(os.listdir(lib + "/transports")) if t.endswith(".so") and "http" not in t]
        self._write("janus.jcfg", "general: {\n" + "".join(f"\t{g}\n" for g in general) + "}\n"
                    "media: {\n\trtp_port_range = \"20000-40000\"\n\tno_media_timer = 1\n\tmin_nack_queue = 1000\n}\n"
                    "nat: {\n\tice_enforce_list = \"127.\"\n\tignore_mdns = true\n}\n"
                    f"plugins: {{\n\tdisable = {quote(','.join(others))}\n}}\n"
                    f"transports: {{\n\tdisable = {quote(','.join(transports))}\n}}\n"
                    "events: {\n\tbroadcast = false\n}\n")
        self._write("janus.transport.http.jcfg",
                    f"general: {{\n\tjson = \"compact\"\n\tbase_path = \"/janus\"\n\thttp = true\n\tport = {self.port}\n"
                    f"\tip = \"127.0.0.1\"\n\thttps = true\n\tsecure_port = {self.tls_port}\n"
                    "\tsecure_ip = \"127.0.0.1\"\n}\nadmin: {\n\tadmin_http = false\n\tadmin_https = false\n}\n"
                    "cors: {\n\tallow_origin = \"*\"\n}\n"
                    f"certificates: {{\n\tcert_pem = {quote(self.folder + '/server.pem')}\n"
                    f"\tcert_key = {quote(self.folder + '/server.key')}\n}}\n")
        self._write("janus.plugin.videoroom.jcfg",
                    _room(ROOM) + _room(ROOM_PIN, pin=quote(PIN))
                    + (_room(ROOM_SIGNED, signed_tokens=True) if self.token_secret else "")
                    + _room(ROOM_PVTID, require_pvtid=True) + _room(ROOM_NOTIFY, notify_joining=True)
                    + _room(ROOM_E2EE, require_e2ee=True))

    def start(self):
        """Starts it and waits until it answers."""
        assert self.process is None, "it runs already"
        out = open(self.log, "ab")
        self.process = procs.start(["janus", "--configs-folder=" + self.folder, "--config=" + self.folder + "/janus.jcfg",
                                    "--disable-colors"], stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=self.folder)
        out.close()
        procs.await_true(self._ready, 20, "Janus answers on " + self.url)
        return self

    def _ready(self):
        if self.process.poll() is not None:
            with open(self.log, errors="replace") as f:
                raise RuntimeError("Janus ended at once:\n" + f.read()[-2000:])
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
            connection.request("GET", "/janus/info")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def kill(self):
        """As if the power went: SIGKILL."""
        procs.stop(self.process, signal.SIGKILL)
        self.process = None

    def stop(self):
        if self.process is not None:
            procs.stop(self.process, signal.SIGINT)
            self.process = None

    def token(self, **kwargs):
        return signed_token(self.token_secret, **kwargs) if self.token_secret else None

    def room_token(self, room, lifetime=3600):
        return signed_token(self.token_secret, realm=VIDEOROOM, descriptors=(f"room={room}",), lifetime=lifetime)

    def client(self):
        return Client(self)


class JanusError(Exception):
    pass


class Client:
    """A session with one VideoRoom handle, its long poll in a thread. events: everything it was told, with arrival time."""

    def __init__(self, server):
        self.server = server
        self.events = []
        self._count = 0
        self._lock = threading.Condition()
        self._closing = False
        self.session = self._post("", {"janus": "create"})["data"]["id"]
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()
        self.handle = self.attach()

    def attach(self):
        return self._post(f"/{self.session}", {"janus": "attach", "plugin": VIDEOROOM})["data"]["id"]

    def _secrets(self):
        secrets = {}
        if self.server.token_secret:
            secrets["token"] = self.server.token()
        if self.server.api_secret:
            secrets["apisecret"] = self.server.api_secret
        return secrets

    def _post(self, path, message):
        self._count += 1
        message = {"transaction": f"t{self._count}", **self._secrets(), **message}
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=15)
        connection.request("POST", "/janus" + path, json.dumps(message), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        if answer.get("janus") == "error":
            raise JanusError(f"{answer['error'].get('code')}: {answer['error'].get('reason')}")
        return answer

    def _poll(self):
        while not self._closing:
            query = urllib.parse.urlencode({"maxev": 10, **self._secrets()})
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
                connection.request("GET", f"/janus/{self.session}?{query}")
                answer = json.loads(connection.getresponse().read())
            except (OSError, http.client.HTTPException, ValueError):
                return
            with self._lock:
                for event in answer if isinstance(answer, list) else [answer]:
                    if event.get("janus") == "error":
                        self._closing = True
                    elif event.get("janus") != "keepalive":
                        self.events.append((time.time(), event))
                self._lock.notify_all()

    def request(self, body, handle=None, jsep=None):
        """A plugin message; what it answers, for an asynchronous one once its event came."""
        message = {"janus": "message", "body": body, "transaction": f"r{self._count}-{time.monotonic_ns()}"}
        if jsep:
            message["jsep"] = jsep
        answer = self._post(f"/{self.session}/{handle or self.handle}", message)
        if answer["janus"] == "ack":
            def mine():
                return next((e for _, e in self.events if e.get("transaction") == message["transaction"]), None)
            with self._lock:
                if not self._lock.wait_for(mine, 15):
                    raise procs.Timeout(f"no event for {body['request']}")
                answer = mine()
        data = answer["plugindata"]["data"]
        if "error_code" in data:
            raise JanusError(f"{data['error_code']}: {data['error']}")
        return data

    def participants(self, room=ROOM):
        return self.request({"request": "listparticipants", "room": room})["participants"]

    def wait_event(self, wanted, seconds, what):
        """Waits for an event for which wanted(event) is true; returns it."""
        def found():
            return next((e for _, e in self.events if wanted(e)), None)
        with self._lock:
            if not self._lock.wait_for(found, seconds):
                raise procs.Timeout(f"{what}: not within {seconds} s")
            return found()

    def close(self):
        self._closing = True
        try:
            self._post(f"/{self.session}", {"janus": "destroy"})
        except (OSError, http.client.HTTPException, JanusError, ValueError):
            pass
        self._thread.join(2)
