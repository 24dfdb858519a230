"""A stenod that only talks: the API's shapes over a Unix socket, and the faults that a client meets."""
import base64
import hashlib
import http.server
import json
import re
import socketserver
import threading
import urllib.parse

MEMBERS = {"app", "platform", "channel", "profile", "token", "subscribe", "outputs", "storages", "store", "rotate_s",
           "rotate_join", "max_duration_s", "max_idle_s", "start_at", "labels", "webhook", "content"}
MEDIA = bytes(range(256)) * 8192  # 2 MiB


def recording(ident, **more):
    """One, as the API tells it."""
    whole = {
        "id": ident, "app": "clinic", "platform": "janus-1", "channel": "1234", "profile": "default",
        "state": "recording", "created_at": "2026-11-21T19:55:40.123Z", "updated_at": "2026-11-21T19:55:40.123Z",
        "start_at": None, "started_at": "2026-11-21T19:55:41.000Z", "ended_at": None, "request": {}, "labels": {},
        "webhook": None, "content": None, "participants": [], "tracks": [],
        "counts": {"duration_ms": 3723000, "participants": 1, "tracks": 2, "frames": 1, "bytes": 1000, "packets": 99,
                   "lost": 1, "recovered": 0, "sealed": 0},
        "parts": 1, "progress": None, "files": [], "storages": [], "end_reason": None, "error": None}
    whole.update(more)
    return whole


def file_of(name, data, **more):
    whole = {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "media_type": "video/x-matroska",
             "participant": "alice", "url": "", "storage": "primary", "section": None, "sealed": False,
             "encryption": None, "deleted_at": None}
    whole.update(more)
    return whole


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def address_string(self):
        return "unix"

    def answer(self, status, body, headers=(), kind="application/json"):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if data:
            self.wfile.write(data)

    def problem(self, status, slug, detail, **more):
        self.answer(status, {"type": "urn:steno:problem:" + slug, "title": slug, "status": status, "detail": detail, **more},
                    kind="application/problem+json")

    def handle_any(self):
        fake = self.server.fake
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        with fake.lock:
            fake.requests.append({"method": self.command, "path": url.path, "query": query,
                                  "headers": dict(self.headers.items()), "body": body})
            queued = fake.faults.pop(0) if fake.faults else None
        if queued == "cut":
            self.close_connection = True
            return
        if queued:
            self.problem(*queued[:3], **(queued[3] if len(queued) > 3 else {}))
            return
        if self.headers.get("Authorization") and fake.key and \
                base64.b64decode(self.headers["Authorization"].split()[1]).decode() != fake.key:
            self.problem(401, "unauthenticated", "the API key is unknown")
            return
        self.route(fake, url.path, query, json.loads(body) if body else None)

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any

    def route(self, fake, path, query, body):
        for method, pattern, call in self.ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method == self.command:
                call(self, fake, query, body, *[urllib.parse.unquote(g) for g in match.groups()])
                return
        self.problem(404, "not-found", f"there is no {path}")

    # ---- recordings ----
    def start(self, fake, _query, body):
        unknown = set(body) - MEMBERS
        if unknown:
            pointer = "/" + unknown.pop()
            self.problem(400, "usage", f"{pointer}: is unknown", errors=[{"pointer": pointer, "detail": "is unknown"}])
            return
        with fake.lock:
            key = self.headers.get("Idempotency-Key")
            if key in fake.keys:
                self.answer(200, fake.recordings[fake.keys[key]])
                return
            for one in fake.recordings.values():
                if one["channel"] == body["channel"] and one["state"] not in ("completed", "failed"):
                    self.problem(409, "already-recording", "the channel is being recorded already", recording=one["id"])
                    return
            ident = f"01JD8Z{len(fake.recordings):020d}"
            fake.recordings[ident] = recording(ident, state="joining", **{k: body[k] for k in ("app", "platform", "channel")})
            fake.keys[key] = ident
        self.answer(201, fake.recordings[ident], [("Location", "/v1/recordings/" + ident)])

    def list(self, fake, query, _body):
        everything = [r for r in fake.recordings.values()
                      if "state" not in query or r["state"] in query["state"].split(",")]
        size = int(query.get("page_size", 50))
        at = int(query.get("page_token", 0))
        more = at + size < len(everything)
        self.answer(200, {"recordings": everything[at:at + size], "next_page_token": str(at + size) if more else None})

    def find(self, fake, ident):
        if ident not in fake.recordings:
            self.problem(404, "not-found", f"there is no recording {ident}")
            return None
        return fake.recordings[ident]

    def show(self, fake, _query, _body, ident):
        one = self.find(fake, ident)
        if one:
            self.answer(200, one)

    def update(self, fake, _query, body, ident):
        if self.find(fake, ident):
            fake.recordings[ident]["labels"].update(body.get("labels", {}))
            self.answer(200, fake.recordings[ident])

    def delete(self, fake, _query, _body, ident):
        if self.find(fake, ident):
            del fake.recordings[ident]
            self.send_response(204)
            self.end_headers()

    def tell(self, fake, _query, _body, ident, what):
        one = self.find(fake, ident)
        if not one:
            return
        if what == "pause" and one["state"] != "recording":
            self.problem(409, "conflict", f"it is {one['state']}")
            return
        one["state"] = {"pause": "paused", "resume": "recording", "stop": "assembling"}[what]
        self.answer(202 if what == "stop" else 200, one)
        if what == "stop":
            fake.end(ident)

    def files(self, fake, _query, _body, ident):
        one = self.find(fake, ident)
        if one:
            self.answer(200, {"files": one["files"]})

    def file(self, fake, query, _body, _ident, name):
        if name not in fake.media:
            self.problem(404, "not-found", "the recording has no file of this name")
            return
        if query.get("via") == "redirect" and fake.elsewhere:
            self.answer(302, b"", [("Location", f"{fake.elsewhere}/{urllib.parse.quote(name)}?signature=secret")])
            return
        self.send_file(fake, fake.media[name])

    def send_file(self, fake, data):
        tag = '"' + hashlib.sha256(data).hexdigest() + '"'
        start, status, headers = 0, 200, [("ETag", tag)]
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if wanted and self.headers.get("If-Range", tag) == tag:
            start, status = int(wanted.group(1)), 206
            headers.append(("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}"))
        data = data[start:]
        with fake.lock:
            cut = fake.cuts.pop(0) if fake.cuts else None
        if cut is None:
            self.answer(status, data, headers, "video/x-matroska")
            return
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        for header in headers:
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(data[:cut])
        self.close_connection = True

    def manifest(self, _fake, _query, _body, ident):
        self.answer(200, {"id": ident, "manifest": True})

    # ---- events ----
    def events(self, fake, query, _body):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        after = self.headers.get("Last-Event-ID")
        with fake.lock:
            seq = int(after) if after else len(fake.events)
            fake.streams += 1
            mine = fake.streams
            fake.changed.notify_all()
        self.wfile.write(b": hello\n\n")
        while True:
            with fake.lock:
                fake.changed.wait_for(lambda: len(fake.events) > seq or fake.cut_stream >= mine, 20)
                if fake.cut_stream >= mine:
                    break
                events = fake.events[seq:]
            for event in events:
                seq = event["seq"]
                if query.get("recording") in (None, event["data"]["recording"]):
                    self.wfile.write(f"id: {seq}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        self.close_connection = True

    # ---- the rest ----
    def fixed(self, fake, _query, _body):
        if fake.fixed[self.path] is None:
            self.problem(503, "disk-low", "not ready", checks=[{"name": "disk", "ok": False, "detail": "2 % free"}])
        else:
            self.answer(200, fake.fixed[self.path])

    def key_add(self, _fake, _query, body):
        self.answer(201, {"id": "key_01JD8Z", "app": body.get("app"), "role": body["role"], "label": body.get("label"),
                          "created_at": "2026-11-21T19:55:40.123Z", "revoked_at": None, "secret": "c2VjcmV0LXNlY3JldA"})

    def key_init(self, fake, _query, _body):
        if fake.fixed.get("/v1/keys"):
            self.problem(409, "conflict", "there is an admin key already")
        else:
            self.key_add(fake, _query, {"role": "admin"})

    def key_revoke(self, _fake, _query, _body, ident):
        self.answer(200, {"id": ident, "revoked_at": "2026-11-21T19:55:40.123Z"})

    def check(self, fake, _query, _body, name):
        self.answer(200, fake.checks[name])

    def retry(self, fake, _query, _body, name):
        if name in fake.checks:
            self.answer(200, {"retried": 2})
        else:
            self.problem(404, "not-found", f"there is no storage {name}")

    ROUTES = [
        ("POST", "/v1/recordings", start), ("GET", "/v1/recordings", list), ("GET", "/v1/recordings/([^/]+)", show),
        ("PATCH", "/v1/recordings/([^/]+)", update), ("DELETE", "/v1/recordings/([^/]+)", delete),
        ("POST", "/v1/recordings/([^/]+)/(pause|resume|stop)", tell), ("GET", "/v1/recordings/([^/]+)/files", files),
        ("GET", "/v1/recordings/([^/]+)/files/([^/]+)", file), ("GET", "/v1/recordings/([^/]+)/manifest", manifest),
        ("GET", "/v1/events", events), ("POST", "/v1/keys", key_add), ("POST", "/v1/keys/init", key_init),
        ("DELETE", "/v1/keys/([^/]+)", key_revoke),
        ("POST", "/v1/(?:platforms|storages)/([^/]+)/check", check), ("POST", "/v1/webhooks/([^/]+)/enable", check),
        ("POST", "/v1/storages/([^/]+)/retry", retry),
        ("GET", "/v1/(?:keys|webhooks|platforms|storages)|/readyz|/livez|/version", fixed),
    ]


class Bucket(Handler):
    """A storage that a signed address leads to."""

    def handle_any(self):
        fake = self.server.fake
        url = urllib.parse.urlsplit(self.path)
        with fake.lock:
            fake.direct.append({"path": url.path, "query": url.query, "headers": dict(self.headers.items())})
            refused = fake.refusals.pop(0) if fake.refusals else None
        if refused:
            self.answer(refused, b"<Error><Code>AccessDenied</Code></Error>", kind="application/xml")
            return
        self.send_file(fake, fake.media[urllib.parse.unquote(url.path[1:])])

    do_GET = handle_any


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def get_request(self):
        request, _ = super().get_request()
        return request, ("unix", 0)


class Fake:
    def __init__(self, path):
        self.path = path
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.requests, self.faults, self.cuts, self.events = [], [], [], []
        self.recordings, self.keys, self.media, self.fixed, self.checks = {}, {}, {}, {}, {}
        self.key = self.elsewhere = None
        self.streams = self.cut_stream = 0
        self.direct, self.refusals = [], []
        self.server = self.bucket = None
        self.up()

    def up_bucket(self):
        self.bucket = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
        self.bucket.fake = self
        self.elsewhere = f"http://127.0.0.1:{self.bucket.server_port}"
        threading.Thread(target=self.bucket.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def up(self):
        self.server = UnixServer(self.path, Handler)
        self.server.fake = self
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def down(self):
        for server in (self.server, self.bucket):
            if server:
                server.shutdown()
                server.server_close()
        self.bucket = None

    def event(self, kind, ident, **data):
        with self.lock:
            one = self.recordings[ident]
            seq = len(self.events) + 1
            self.events.append({"type": "recording." + kind, "timestamp": "2026-11-21T19:55:40.123Z", "id": f"msg_{seq}",
                                "seq": seq, "data": {"recording": ident, "app": one["app"], "platform": one["platform"],
                                                     "channel": one["channel"], "labels": {}, **data}})
            self.changed.notify_all()

    def end(self, ident, state="completed", reason="stopped", error=None):
        with self.lock:
            self.recordings[ident].update(state=state, end_reason=reason, error=error)
            self.event(state, ident, end_reason=reason, error=error)

    def await_stream(self, count):
        with self.lock:
            assert self.changed.wait_for(lambda: self.streams >= count, 20), "nobody follows the events"

    def cut_streams(self):
        with self.lock:
            self.cut_stream = self.streams
            self.changed.notify_all()
