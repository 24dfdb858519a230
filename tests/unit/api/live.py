#!/usr/bin/python3
"""The API with a daemon that records nothing, asked by real clients. Usage: live.py API_SERVER [name of a test …]"""
import base64
import hashlib
import http.client
import json
import os
import re
import resource
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../lib"))
from steno_test import openapi  # noqa: E402

ADMIN = ("key_00000000000000000000000001", "admin-secret")
OPERATOR = ("key_00000000000000000000000002", "operator-secret")  # of clinic
VIEWER = ("key_00000000000000000000000003", "viewer-secret")  # of court
REVOKED = ("key_00000000000000000000000004", "to-be-revoked")
LOUD = ("key_00000000000000000000000005", "loud-secret")
HEADERS = {"strict-transport-security": "max-age=31536000", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer",
           "content-security-policy": "default-src 'none'; frame-ancestors 'none'"}


def basic(key):
    return "Basic " + base64.b64encode(":".join(key).encode()).decode()


class Server:
    def __init__(self, rate=1000, burst=2000, settings="", files=None):
        self.folder = tempfile.mkdtemp(prefix="steno-api-")
        self.files = os.path.join(self.folder, "files")
        os.mkdir(self.files)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.socket = os.path.join(self.folder, "api.sock")
        self.config = os.path.join(self.folder, "steno.conf")
        self.certificate = os.path.join(self.folder, "state/tls/cert.pem")
        with open(self.config, "w") as f:
            f.write(f'state_dir = "{self.folder}/state"; spool_dir = "{self.folder}/spool"; runtime_dir = "{self.folder}/run";\n'
                    f'api = {{ listen = [ "127.0.0.1:{self.port}" ]; socket = "{self.socket}"; socket_group = "nogroup"; '
                    f'rate_per_s = {rate}; rate_burst = {burst}; {settings} }};\n'
                    f'storages = ( {{ name = "primary"; root = "{self.files}"; }} );\napps = ( {{ name = "clinic"; }} );\n')
        self.process = None
        self.start()

    def start(self):
        self.log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen([PROGRAM, self.config, self.files], stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        env={**os.environ, "STENO_LOG_LEVEL": "debug"})
        ready = self.process.stdout.readline()
        assert ready == "ready\n", f"it does not start: {self.read_log()}"

    def read_log(self):
        with open(os.path.join(self.folder, "log"), errors="replace") as f:
            return f.read()

    def stop(self):
        """Milliseconds that steno_api_stop() took."""
        self.process.send_signal(signal.SIGTERM)
        out = self.process.communicate(timeout=20)[0]
        assert self.process.returncode == 0, f"ended with {self.process.returncode}: {self.read_log()[-3000:]}"
        return int(re.search(r"stopped in (\d+) ms", out).group(1))

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()
        shutil.rmtree(self.folder)

    def tls(self):
        return ssl.create_default_context(cafile=self.certificate)

    def connect(self, timeout=10):
        plain = socket.create_connection(("127.0.0.1", self.port), timeout)
        return self.tls().wrap_socket(plain, server_hostname="127.0.0.1")

    def client(self):
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=15, context=self.tls())

    def ask(self, method, path, body=None, key=ADMIN, headers=None, client=None):
        connection = client or self.client()
        headers = dict(headers or {})
        if key:
            headers["Authorization"] = basic(key)
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.data = answer.read()
        answer.json = json.loads(answer.data) if "json" in (answer.getheader("content-type") or "") and answer.data else None
        for name, value in HEADERS.items():
            assert answer.getheader(name) == value, f"{method} {path}: {name} is {answer.getheader(name)}"
        assert answer.getheader("server") is None
        if answer.status >= 400 and method != "HEAD" and not (path == "/readyz" and answer.status == 503):
            assert answer.getheader("content-type") == "application/problem+json", answer.getheaders()
            CONTRACT.check({"$ref": "#/components/schemas/Problem"}, answer.json, path)
        if not client:
            connection.close()
        return answer

    def raw(self, data, key=None, wait=1.0):
        """What comes back for these bytes, until the end or silence."""
        if key:
            line, rest = data.split(b"\r\n", 1)
            data = line + b"\r\nAuthorization: " + basic(key).encode() + b"\r\n" + rest
        with self.connect() as connection:
            connection.sendall(data)
            connection.settimeout(wait)
            got = b""
            try:
                while piece := connection.recv(65536):
                    got += piece
            except TimeoutError:
                pass
            return got


def status(answer):
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer.split(b" ", 2)[1])


# ---- tests ----------------------------------------------------------------------------------------------------------

def test_clients(server):
    """curl, keep-alive, pipelining, HEAD, chunked bodies, 100-continue."""
    url = f"https://localhost:{server.port}"
    curl = ["curl", "-sS", "--cacert", server.certificate]
    done = subprocess.run([*curl, "-u", ":".join(ADMIN), "-H", "Content-Type: application/json", "-d", '{"channel": "1"}', "-i",
                           f"{url}/v1/recordings"], capture_output=True, text=True, check=True).stdout
    assert "HTTP/1.1 201" in done and "Location: /v1/recordings/01ARZ3NDEKTSV4RRFFQ69G5FAV" in done, done
    done = subprocess.run([*curl, "-H", f"Authorization: Bearer {'.'.join(ADMIN)}", "-H", "Content-Type: application/json", "-H",
                           "Transfer-Encoding: chunked", "-H", "Expect: 100-continue", "-d", '{"channel": "1"}', "-v",
                           f"{url}/v1/recordings"], capture_output=True, text=True, check=True)
    assert '"channel":"1"' in done.stdout and "100 Continue" in done.stderr, done.stderr
    done = subprocess.run([*curl[:2], "--unix-socket", server.socket, "http://x/version"], capture_output=True, text=True, check=True)
    assert '"action":"version"' in done.stdout, done.stdout
    client = server.client()
    for _ in range(50):
        assert server.ask("GET", "/v1/recordings", client=client).status == 200
        assert server.ask("HEAD", "/v1/recordings", client=client).data == b""
    client.close()
    # Five at once: five answers, in order.
    one = b"GET /v1/recordings/%d HTTP/1.1\r\nHost: x\r\nAuthorization: " + basic(ADMIN).encode() + b"\r\n\r\n"
    got = server.raw(b"".join(one % i for i in range(5)))
    assert re.findall(rb'"id":"(\d)"', got) == [b"0", b"1", b"2", b"3", b"4"], got
    chunked = b"POST /v1/recordings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" \
              b'5;x=1\r\n{"cha\r\n9\r\nnnel":"1"\r\n1\r\n}\r\n0\r\nTrailer: x\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n'
    got = server.raw(chunked, ADMIN)
    assert got.count(b"HTTP/1.1 ") == 2 and b"201 Created" in got and b'"channel":"1"' in got, got
    assert server.raw(b"GET /livez HTTP/1.0\r\n\r\n").endswith(b'{"live":true}\n')
    openapi_json = server.ask("GET", "/openapi.json", key=None)
    assert openapi_json.json["openapi"] == "3.1.0" and openapi_json.json["paths"].keys() == CONTRACT.document["paths"].keys()


def test_who(server):
    for key, expected in ((ADMIN, 200), (OPERATOR, 403), (None, 401), ((ADMIN[0], "x"), 401), (("", ""), 401), (("key_x", "x"), 401)):
        answer = server.ask("GET", "/v1/keys", key=key)
        assert answer.status == expected, (key, answer.status)
        if expected == 401:
            assert "Basic" in answer.getheader("www-authenticate") and "Bearer" in answer.getheader("www-authenticate")
    actor = server.ask("POST", "/v1/recordings", {"channel": "1"}, key=OPERATOR).json["actor"]
    assert actor == {"id": OPERATOR[0], "app": "clinic", "role": 2, "address": "127.0.0.1"}, actor
    for header in ("Basic", "Basic !!!", "Basic " + "A" * 4000, "Basic a2V5", "Bearer", "Bearer x", "Bearer .x", "Digest x",
                   "Basic " + base64.b64encode(b"a\0b:c").decode()):
        got = server.raw(f"GET /v1/keys HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {header}\r\n\r\n".encode(), wait=3)
        assert status(got) in (401, 429), (header, got)
    assert server.ask("GET", "/v1/keys", key=REVOKED).status == 200
    assert server.ask("DELETE", f"/v1/keys/{REVOKED[0]}").status == 204
    assert server.ask("GET", "/v1/keys", key=REVOKED).status in (401, 429)
    assert "fake_logins_refused 0" not in server.ask("GET", "/metrics").data.decode()
    for secret in ("admin-secret", "operator-secret"):
        assert secret not in server.read_log() and basic(ADMIN) not in server.read_log()


def test_unix_socket(server):
    assert os.stat(server.socket).st_mode & 0o777 == 0o660
    assert os.stat(os.path.join(server.folder, "state/tls/key.pem")).st_mode & 0o777 == 0o600
    if os.geteuid() != 0:
        return
    os.chmod(server.folder, 0o755)
    os.chmod(server.socket, 0o666)
    program = ("import os, socket, sys; os.setgroups([int(g) for g in sys.argv[3].split()]); os.setgid(65533); os.setuid(65533); "
               "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
               "s.sendall(b'GET /v1/keys HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n'); print(s.recv(100).split()[1].decode())")
    nogroup = str(os.stat(server.socket).st_gid)
    for groups, expected in (("", "403"), (nogroup, "200"), ("1 2 3", "403"), (f"7 {nogroup}", "200")):
        done = subprocess.run([sys.executable, "-c", program, server.socket, "", groups], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == expected, (groups, done.stdout)


def test_bodies(server):
    def post(body, headers=None):
        return server.ask("POST", "/v1/recordings", body, headers=headers)
    for body, expected in ((b"{", 400), (b"", 400), (b"[" * 17 + b"]" * 17, 400), (b'{"a":' * 100000 + b"1" + b"}" * 100000, 413),
                           (b'{"a":1,"a":2}', 400), (b'{"a":"\xff"}', 400), (b'"x"', 400), (b'{"a":"\\u0000"}', 400), (b"{} {}", 400),
                           (b'{"a":"' + b"x" * (256 * 1024) + b'"}', 413), (b'{"a":1e999}', 400), (b'{"a":99999999999999999999}', 400)):
        assert post(body).status == expected, (body[:40], expected)
    assert post(b"[" * 15 + b"{}" + b"]" * 15).status == 201
    assert post(b'{"channel":"' + b"x" * (256 * 1024 - 14) + b'"}').status == 201
    assert post(b"{}", {"Content-Type": "text/plain"}).status == 415
    assert post(b"{}", {"Content-Type": "application/jsonx"}).status == 415
    assert post(b"{}", {"Content-Type": "application/json; charset=utf-8"}).status == 201
    problem = post({"channel": "wrong"}).json
    assert problem["errors"] == [{"pointer": "/outputs/0/type", "detail": "is 'mp3', but must be one of: participant, track"}], problem
    taken = post({"channel": "taken"})
    assert taken.status == 409 and taken.json["recording"] == "01X" and taken.json["type"].endswith("already-recording"), taken.json
    key = post({}, {"Idempotency-Key": "cron 1"}).json["arguments"]
    assert key["idempotency_key"] == "cron 1", key
    for bad in ("x" * 256, "a\x01", "\xfc"):
        got = server.raw(f"POST /v1/recordings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: {bad}\r\n"
                         f"Content-Length: 2\r\n\r\n{{}}".encode("latin-1"), ADMIN)
        assert status(got) == 400, got
    assert server.ask("GET", "/v1/recordings", b"{}").status == 400
    # Refused by its head alone, and the connection is closed; the answer is not lost by what is still on its way.
    head = b"POST /v1/recordings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    begun = time.monotonic()
    got = server.raw(head % 10 ** 12, ADMIN, 5)
    assert status(got) == 413 and b"Connection: close" in got and time.monotonic() - begun < 4, got
    assert status(server.raw(head % 500000 + b"x" * 500000, ADMIN)) == 413
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    got = server.raw(head.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked") + chunk * 8, ADMIN)
    assert status(got) == 413, got


def test_paths_and_heads(server):
    listing = b'"recordings":[]'
    for path in ("/v1/recordings/", "//v1/recordings", "/v1//recordings", "/v1/./recordings", "/v1/x/../recordings", "/v1/recordings/..",
                 "/v1/%2e%2e/v1/recordings", "/v1%2frecordings", "/v1/recordings/%00", "/v1/recordings/a%2fb", "/v1/recordings/%zz",
                 "/v1/recordings/%", "/v1/recordings/%c0%ae", "/v1/recordings/a%0d%0ab", "/v1/recordings\\", "/", "*", "/v1/recordings/" + "a" * 300,
                 "/a/b/c/d/e/f/g/h/i/j", "/v1/recordings?a=1&a=2", "/v1/recordings?a=%", "/v1/recordings?=1", "/v1/recordings?a=%00",
                 "/v1/recordings/1?id=2", "/v1/recordings?body=1"):
        got = server.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode(), ADMIN)
        assert status(got) in (400, 404) and listing not in got, (path, got)
    got = server.raw(b"GET https://elsewhere/v1/recordings?state=a%20b+c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", ADMIN)
    assert status(got) == 200 and b'"state":"a b c"' in got and b"state=a%20b%20c&page_token=a%2Bb%2Fc%3D" in got, got
    get = b"GET /livez HTTP/1.1\r\n"
    for data, expected in ((get + b"\r\n", 400), (get + b"Host: x\r\nHost: y\r\n\r\n", 400), (b"GET /livez HTTP/1.2\r\n\r\n", 505),
                           (b"GET /livez HTTP/2.0\r\n\r\n", 505), (b"GET  /livez HTTP/1.1\r\n\r\n", 400), (b"GET /livez\r\n\r\n", 400),
                           (get + b"Host : x\r\n\r\n", 400), (get + b"Host: x\r\n folded\r\n\r\n", 400), (get + b"Host: x\n\r\n\r\n", 400),
                           (get + b"Host: x\r\nX: a\0b\r\n\r\n", 400), (get + b"Host: x\r\nX: " + b"a" * 20000 + b"\r\n\r\n", 431),
                           (get + b"Host: x\r\n" + b"X: y\r\n" * 150 + b"\r\n", 431), (b"G(T /livez HTTP/1.1\r\n\r\n", 400),
                           (b"\x16\x03\x01\x02\x00", 400), (b"TRACE /livez HTTP/1.1\r\nHost: x\r\n\r\n", 405),
                           (b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 400), (get + b"Host: x\r\nExpect: 200-ok\r\n\r\n", 417),
                           (get + b"Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 400),
                           (get + b"Host: x\r\nContent-Length: 1x\r\n\r\n", 400), (get + b"Host: x\r\nContent-Length: -1\r\n\r\n", 400),
                           (get + b"Host: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
                           (get + b"Host: x\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
                           (b"POST /v1/recordings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: " + basic(ADMIN).encode()
                            + b"\r\nContent-Length: 12\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 400),
                           (get + b"Host: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
                           (get + b"Host: x\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n", 400)):
        got = server.raw(data + b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n" * (expected == 400))
        assert status(got) == expected, (data[:80], expected, got[:200])
        assert len(re.findall(rb"HTTP/1\.1 \d", got)) == 1, ("smuggled", data, got)
    # A value from the daemon that would end its line is not sent.
    answer = server.ask("POST", "/v1/recordings", {"channel": "inject"})
    assert answer.status == 201 and answer.getheader("set-cookie") is None and answer.getheader("location") is None
    for method, path, expected in (("PUT", "/v1/recordings", 405), ("DELETE", "/livez", 405), ("HEAD", "/v1/events", 405),
                                   ("OPTIONS", "/v1/recordings", 204)):
        answer = server.ask(method, path)
        assert answer.status == expected and "OPTIONS" in answer.getheader("allow"), (method, path, answer.status)


def test_files(server):
    data = os.urandom(3_000_001)
    with open(os.path.join(server.files, "a b.mkv"), "wb") as f:
        f.write(data)
    with open(os.path.join(server.files, "a b.mkv.sha256"), "w") as f:
        f.write(hashlib.sha256(data).hexdigest())
    with open(os.path.join(server.files, "plain"), "wb") as f:
        f.write(b"")
    url = "/v1/recordings/1/files/a%20b.mkv"
    whole = server.ask("GET", url)
    etag = whole.getheader("etag")
    digest = "sha-256=:" + base64.b64encode(hashlib.sha256(data).digest()).decode() + ":"
    assert whole.status == 200 and whole.data == data and whole.getheader("repr-digest") == digest and "private" in whole.getheader("cache-control")
    assert whole.getheader("content-disposition") == "attachment; filename=\"a b.mkv\"; filename*=UTF-8''a%20b.mkv"
    size = len(data)
    for range_, expected in (("bytes=0-0", data[:1]), ("bytes=100-199", data[100:200]), ("bytes=-7", data[-7:]), ("bytes=3000000-", data[-1:]),
                             ("bytes=2999990-99999999", data[2999990:]), ("bytes=-9999999999", data)):
        part = server.ask("GET", url, headers={"Range": range_})
        first = size - len(expected) if range_.startswith("bytes=-") else int(range_[6:].split("-")[0])
        assert part.status == 206 and part.data == expected, range_
        assert part.getheader("content-range") == f"bytes {first}-{first + len(expected) - 1}/{size}" and part.getheader("repr-digest") == digest
    for range_ in ("bytes=1-2,4-5", "bytes=5-4", "lines=1-2", "bytes=a-b", "bytes=--5", "bytes=1-2x", "bytes=99999999999999999999-"):
        assert server.ask("GET", url, headers={"Range": range_}).status == 200, range_
    for range_ in (f"bytes={size}-", "bytes=-0"):
        answer = server.ask("GET", url, headers={"Range": range_})
        assert answer.status == 416 and answer.getheader("content-range") == f"bytes */{size}", range_
    assert server.ask("GET", url, headers={"Range": "bytes=0-9", "If-Range": etag}).status == 206
    assert server.ask("GET", url, headers={"Range": "bytes=0-9", "If-Range": '"other"'}).status == 200
    for tags, expected in ((etag, 304), (f'"x", W/{etag}', 304), ("*", 304), ('"x"', 200), ("junk", 200)):
        answer = server.ask("GET", url, headers={"If-None-Match": tags})
        assert answer.status == expected and (expected == 200 or answer.data == b""), tags
    head = server.ask("HEAD", url)
    assert head.status == 200 and int(head.getheader("content-length")) == size and head.data == b""
    assert server.ask("GET", "/v1/recordings/1/files/plain").data == b""
    assert server.ask("GET", "/v1/recordings/1/files/none").status == 404
    elsewhere = server.ask("GET", "/v1/recordings/1/manifest")
    assert elsewhere.status == 302 and elsewhere.getheader("location").startswith("https://storage.example/"), elsewhere.getheaders()
    assert elsewhere.getheader("cache-control") == "no-store" and elsewhere.data == b""
    # It is signed for GET: HEAD is answered from here. What the client asks for itself is passed on.
    assert server.ask("HEAD", "/v1/recordings/1/manifest").status == 200
    assert server.ask("GET", "/v1/recordings/1/manifest?via=elsewhere").json["arguments"] == {"id": "1", "via": "elsewhere"}
    assert "signature=x" not in server.read_log()
    # Many at once, and one that is cut short while it is read.
    results = []
    threads = [threading.Thread(target=lambda: results.append(server.ask("GET", url).data == data)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 10
    with open(os.path.join(server.files, "big"), "wb") as f:
        f.truncate(64 << 20)
    client = server.client()
    client.request("GET", "/v1/recordings/1/files/big", headers={"Authorization": basic(ADMIN)})
    answer = client.getresponse()
    answer.read(1000)
    os.truncate(os.path.join(server.files, "big"), 0)
    try:
        answer.read()
        raise AssertionError("a file that was cut was sent whole")
    except (http.client.IncompleteRead, ConnectionError, ssl.SSLError):
        pass
    client.close()


def metric(server, name):
    return int(re.search(rf"^{name} (\d+)$", server.ask("GET", "/metrics").data.decode(), re.M).group(1))


def until(words, question, seconds=10):
    """Asks again until it is so."""
    end = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < end, f"not within {seconds} s: {words}"
        time.sleep(0.01)


def test_streams(server):
    """Files that come from a storage through the daemon."""
    data = os.urandom(3_000_001)
    size = len(data)
    with open(os.path.join(server.files, "far.mkv"), "wb") as f:
        f.write(data)
    with open(os.path.join(server.files, "far.mkv.sha256"), "w") as f:
        f.write(hashlib.sha256(data).hexdigest())
    with open(os.path.join(server.files, "empty"), "wb") as f:
        f.write(b"")
    url = "/v1/recordings/%s/files/far.mkv?via=stream"
    client = server.client()
    for recording in ("1", "trickle", "1"):  # on one connection
        whole = server.ask("GET", url % recording, client=client)
        assert whole.status == 200 and whole.data == data, (recording, len(whole.data))
    etag = whole.getheader("etag")
    assert whole.getheader("repr-digest") and whole.getheader("accept-ranges") == "bytes" and "private" in whole.getheader("cache-control")
    for range_, expected in (("bytes=0-0", data[:1]), ("bytes=100-199", data[100:200]), ("bytes=-7", data[-7:]), ("bytes=3000000-", data[-1:]),
                             ("bytes=1000000-", data[1000000:]), ("bytes=-9999999999", data)):
        part = server.ask("GET", url % "1", headers={"Range": range_, "If-Range": etag}, client=client)
        first = size - len(expected) if range_.startswith("bytes=-") else int(range_[6:].split("-")[0])
        assert part.status == 206 and part.data == expected, range_
        assert part.getheader("content-range") == f"bytes {first}-{first + len(expected) - 1}/{size}"
    # What has no body asks the storage for nothing.
    begun = metric(server, "fake_streams_begun")
    assert int(server.ask("HEAD", url % "1", client=client).getheader("content-length")) == size
    assert server.ask("GET", url % "1", headers={"If-None-Match": etag}, client=client).status == 304
    assert server.ask("GET", url % "1", headers={"Range": f"bytes={size}-"}, client=client).status == 416
    assert server.ask("GET", "/v1/recordings/1/files/empty?via=stream", client=client).data == b""
    assert metric(server, "fake_streams_begun") == begun
    assert server.ask("GET", url % "refused", client=client).status == 500
    assert server.ask("GET", url % "1", client=client).data == data
    client.close()
    results = []
    threads = [threading.Thread(target=lambda: results.append(server.ask("GET", url % r).data == data)) for r in ["1", "trickle"] * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 10
    # The storage stops in the middle: so does the answer.
    client = server.client()
    client.request("GET", url % "cut", headers={"Authorization": basic(ADMIN)})
    answer = client.getresponse()
    try:
        answer.read()
        raise AssertionError("half a file was sent as a whole one")
    except http.client.IncompleteRead as incomplete:
        assert incomplete.partial == data[:len(incomplete.partial)] and len(incomplete.partial) <= size // 2 + 1
    except (ConnectionError, ssl.SSLError):
        pass
    client.close()
    # A client that reads nothing holds the storage up; one that goes away ends it.
    with open(os.path.join(server.files, "huge"), "wb") as f:
        f.truncate(256 << 20)
    before = metric(server, "fake_streamed_bytes")
    lazy = server.connect()
    lazy.sendall(b"GET /v1/recordings/1/files/huge?via=stream HTTP/1.1\r\nHost: x\r\nAuthorization: " + basic(ADMIN).encode() + b"\r\n\r\n")
    first = lazy.recv(1000)
    assert first.startswith(b"HTTP/1.1 200"), first
    time.sleep(0.5)  # whatever it could send in between
    assert metric(server, "fake_streamed_bytes") - before < 32 << 20
    assert metric(server, "fake_streams_open") == 1
    busy = usage_of(server)
    time.sleep(0.5)
    assert usage_of(server) - busy < 0.1, "it spins while nobody reads"
    got = len(first)
    while got < 64 << 20:
        got += len(lazy.recv(1 << 20))
    lazy.close()
    until("the stream ends with its reader", lambda: metric(server, "fake_streams_open") == 0)
    assert metric(server, "fake_streamed_bytes") - before < 128 << 20


def usage_of(server):
    """CPU seconds of the server."""
    with open(f"/proc/{server.process.pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Events:
    def __init__(self, server, path="/v1/events", key=ADMIN, last=None):
        self.connection = server.connect()
        lines = [f"GET {path} HTTP/1.1", "Host: x", f"Authorization: {basic(key)}", *([f"Last-Event-ID: {last}"] if last is not None else [])]
        self.connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        self.data = b""
        self.read(b"retry: 2000\n\n")

    def read(self, until, seconds=10):
        self.connection.settimeout(seconds)
        while until not in self.data:
            piece = self.connection.recv(65536)
            assert piece, f"ended without {until}: {self.data[-300:]}"
            self.data += piece
        return self

    def ids(self):
        return [int(n) for n in re.findall(rb"^id: (\d+)$", self.data, re.M)]


def test_events(server):
    for i in range(3):
        server.ask("POST", f"/v1/recordings/r{i}/pause")
    live, behind, bound, one = Events(server), Events(server, last=1), Events(server, "/v1/events?after=0", OPERATOR), \
        Events(server, "/v1/events?recording=r9&after=0")
    server.ask("POST", "/v1/recordings/other/pause")  # another app's
    server.ask("POST", "/v1/recordings/r9/pause")
    assert live.read(b'"r9"').ids() == [4, 5] and behind.read(b'"r9"').ids() == [2, 3, 4, 5], (live.data, behind.data)
    assert bound.read(b'"r9"').ids() == [1, 2, 3, 5] and one.read(b'"r9"').ids() == [5]
    block = one.data.split(b"\n\n")[1].decode()
    assert re.fullmatch(r'id: 5\nevent: recording\.paused\ndata: {.*"seq":5,.*}', block), block
    for bad in ("?after=x", "?after=-1", "?follow=perhaps", "?count=5", "?after=9999999999999999999"):
        assert server.ask("GET", "/v1/events" + bad).status == 400, bad
    ended = server.ask("GET", "/v1/events?follow=false&after=2")
    assert re.findall(rb"^id: (\d+)$", ended.data, re.M) == [b"3", b"4", b"5"], ended.data
    # The seam: followers that begin while a thousand events are told miss none and get none twice.
    writers = [threading.Thread(target=server.ask, args=("POST", "/v1/recordings/r1/resume")) for _ in range(3)]
    followers = []
    for writer in writers:
        writer.start()
        followers += [Events(server, last=0), Events(server, last=5)]
    for writer in writers:
        writer.join()
    server.ask("POST", "/v1/recordings/last/pause")
    for follower, first in zip(followers, (1, 6) * 3):
        assert follower.read(b'"recording":"last"').ids() == list(range(first, 3007)), follower.ids()[:5]
    race = Events(server, "/v1/events?recording=race&after=0").read(b'"race"')
    server.ask("POST", "/v1/recordings/race/pause")
    assert race.read(b"id: 3008").ids() == [3007, 3008], race.ids()
    with Server() as other:
        twice = Events(other, "/v1/events?recording=twice&after=0")
        twice.read(b"id: 1\n")
        other.ask("GET", "/v1/recordings/slow")  # answered when that has been told
        other.ask("POST", "/v1/recordings/twice/pause")
        assert twice.read(b"id: 2\n").ids() == [1, 2], twice.ids()
    # A key that is revoked sees nothing more.
    revoked = Events(server, key=REVOKED)
    server.ask("DELETE", f"/v1/keys/{REVOKED[0]}")
    revoked.connection.settimeout(5)
    assert revoked.connection.recv(100) == b""


def test_slow_reader_of_events(server):
    """It gets all from the journal when it reads; when it never does, it is cut off. Others are not held up."""
    slow, never, quick = Events(server), Events(server), Events(server)
    reader = threading.Thread(target=quick.read, args=(b'"recording":"end"', 60))
    reader.start()
    for _ in range(12):
        server.ask("POST", "/v1/recordings/r/resume")
    server.ask("POST", "/v1/recordings/end/pause")
    reader.join()
    assert quick.ids() == list(range(1, 12002)), len(quick.ids())
    with open(f"/proc/{server.process.pid}/status") as f:
        memory = int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1))
    with open(f"/proc/{server.process.pid}/exe", "rb") as f:
        sanitized = b"__asan_init" in f.read()
    assert slow.read(b'"recording":"end"', 60).ids() == list(range(1, 12002)), len(slow.ids())
    end = time.monotonic() + 40
    while b"steno_sse_cut_off_total 1" not in server.ask("GET", "/metrics").data:
        assert time.monotonic() < end, "who never reads is not cut off"
        time.sleep(0.5)
    assert sanitized or memory < 80_000, f"{memory} kB"
    try:
        never.read(b'"recording":"end"')
        raise SystemExit("it got all events")
    except (AssertionError, ConnectionError, ssl.SSLError):
        pass
    last = never.ids()[-1]
    assert Events(server, last=last).read(b'"recording":"end"', 60).ids() == list(range(last + 1, 12002))


def test_heartbeat(server):
    Events(server).read(b"\n: \n\n", 20)


def test_limits():
    with Server(rate=5, burst=10) as server:
        client = server.client()
        begun = time.monotonic()
        answers = [server.ask("GET", "/v1/recordings", key=LOUD, client=client) for _ in range(30)]
        refilled = 5 * (time.monotonic() - begun) + 1
        good = [a for a in answers if a.status == 200]
        limited = [a for a in answers if a.status == 429]
        assert 10 <= len(good) <= 10 + refilled and limited and len(good) + len(limited) == 30, [a.status for a in answers]
        assert good[0].getheader("ratelimit-policy") == '"key";q=10;w=2' and good[0].getheader("ratelimit") == '"key";r=9;t=1'
        assert limited[0].getheader("retry-after") == "1" and limited[0].getheader("ratelimit") == '"key";r=0;t=2'
        # Nobody else pays for it.
        assert server.ask("GET", "/v1/recordings", key=VIEWER).status == 200
        begun = time.monotonic()
        without = [server.ask("GET", "/livez", key=None).status for _ in range(40)]
        assert 10 <= without.count(200) <= 11 + 5 * (time.monotonic() - begun) and set(without) == {200, 429}, without
        assert server.ask("GET", "/v1/recordings", key=VIEWER).status == 200
        begun = time.monotonic()
        wrong = [server.ask("GET", "/v1/recordings", key=(ADMIN[0], "wrong")).status for _ in range(24)]
        assert wrong[:20] == [401] * 20 and 429 in wrong[20:] and time.monotonic() - begun > 1, wrong
        assert server.ask("GET", "/v1/recordings", key=ADMIN).status == 200, "the right secret is locked out"
        unix = subprocess.run(["curl", "-sS", "--unix-socket", server.socket, "-o", "/dev/null", "-w", "%{http_code} ",
                               "http://x/livez?[1-40]"], capture_output=True, text=True, check=True).stdout.split()
        assert unix == ["200"] * 40, unix
        text = server.ask("GET", "/metrics", key=ADMIN).data.decode()
        assert 'steno_http_requests_total{command="recording.list",code="4xx"}' in text, text


def test_tls(server):
    def handshake(*arguments):
        return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-CAfile", server.certificate, *arguments],
                              input="", capture_output=True, text=True)
    for old in ("-tls1", "-tls1_1"):
        assert "Cipher is (NONE)" in handshake(old, "-cipher", "ALL:@SECLEVEL=0").stdout, old
    for weak in ("AES128-SHA", "AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "DHE-RSA-AES128-GCM-SHA256", "aNULL",
                 "eNULL", "PSK", "CAMELLIA", "ECDHE-ECDSA-AES128-CCM"):
        done = handshake("-tls1_2", "-cipher", weak + ":@SECLEVEL=0")
        assert done.returncode != 0 or "Cipher is (NONE)" in done.stdout, weak
    for good in ("-tls1_2", "-tls1_3"):
        done = handshake(good)
        assert "Verify return code: 0" in done.stdout and "Compression: NONE" in done.stdout, done.stdout[-800:]
        assert "Reused" not in done.stdout and "No ALPN negotiated" in done.stdout
        assert "Session-ID: \n" in done.stdout.replace("    ", "") or good == "-tls1_3"
    # Renegotiation is refused: the client asks for it by a line "R".
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2"], input="R\n", capture_output=True, text=True)
    assert "no renegotiation" in done.stderr.lower() or "handshake failure" in done.stderr.lower(), done.stderr[-500:]
    context = server.tls()
    context.set_alpn_protocols(["h2", "http/1.1"])
    for name in ("localhost", "127.0.0.1"):
        with context.wrap_socket(socket.create_connection(("127.0.0.1", server.port), 5), server_hostname=name) as connection:
            assert connection.selected_alpn_protocol() is None
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            got = b""
            while piece := connection.recv(1000):  # a missing close_notify would raise
                got += piece
            assert got.endswith(b'{"live":true}\n')
    with socket.create_connection(("127.0.0.1", server.port), 5) as plain:
        plain.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        plain.settimeout(5)
        try:
            assert b"live" not in plain.recv(1000)
        except ConnectionError:
            pass
    days = subprocess.run(["openssl", "x509", "-in", server.certificate, "-noout", "-text"], capture_output=True, text=True, check=True).stdout
    assert "prime256v1" in days and "IP Address:127.0.0.1" in days and "DNS:localhost" in days
    # It stays at the next start, and is made anew when it is no pair any more.
    with open(server.certificate) as f:
        before = f.read()
    server.stop()
    server.start()
    with open(server.certificate) as f:
        assert f.read() == before
    server.stop()
    os.unlink(os.path.join(server.folder, "state/tls/key.pem"))
    server.start()
    with open(server.certificate) as f:
        assert f.read() != before
    assert server.ask("GET", "/livez").status == 200


def test_client_certificates():
    folder = tempfile.mkdtemp(prefix="steno-api-ca-")
    try:
        def openssl(*arguments):
            subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "me.key", "-out", "me.csr", "-subj", "/CN=me")
        openssl("x509", "-req", "-in", "me.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-out", "me.pem", "-set_serial", "1")
        with Server(settings=f'client_ca_file = "{folder}/ca.pem";') as server:
            curl = ["curl", "-sS", "--cacert", server.certificate, f"https://localhost:{server.port}/livez"]
            assert subprocess.run(curl, capture_output=True).returncode != 0
            done = subprocess.run([*curl, "--cert", f"{folder}/me.pem", "--key", f"{folder}/me.key"], capture_output=True, text=True)
            assert done.stdout == '{"live":true}\n', done.stderr
    finally:
        shutil.rmtree(folder)


def test_idle_connections():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(10_000, hard - 1000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted + 1000, hard))
    with Server() as server:
        idle = []
        for i in range(wanted):
            connection = socket.create_connection(("127.0.0.1", server.port), 5)
            if i % 3 == 1:
                connection.send(b"\x16\x03\x01\x02\x00\x01")
            idle.append(connection)
        for _ in range(50):
            connection = server.connect()
            connection.send(b"POST /v1/recordings HTTP/1.1\r\nHost: x\r\nContent-")
            idle.append(connection)
        begun = time.monotonic()
        assert server.ask("POST", "/v1/recordings", {"channel": "1"}).status == 201
        took = time.monotonic() - begun
        text = server.ask("GET", "/metrics").data.decode()
        number = int(re.search(r"^steno_http_connections (\d+)$", text, re.M).group(1))
        assert number <= 1024 and took < 10, (number, took)
        for connection in idle:
            connection.close()
        print(f"    {wanted} idle connections: a start request took {1000 * took:.0f} ms")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_slow_clients(server):
    """A head that takes too long, a body that takes too long; who is quick is served meanwhile."""
    head, body, early = server.connect(), server.connect(), server.connect()
    body.sendall(b"POST /v1/recordings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\nAuthorization: "
                 + basic(ADMIN).encode() + b"\r\n\r\n{")
    begun = time.monotonic()
    ended = {}
    while len(ended) < 2 and time.monotonic() - begun < 20:
        for name, connection, data in (("head", head, b"G" if time.monotonic() - begun < 0.2 else b"E"), ("body", body, b" ")):
            if name in ended:
                continue
            try:
                connection.sendall(data)
                if select.select([connection], [], [], 0)[0]:
                    ended[name] = time.monotonic() - begun
            except OSError:
                ended[name] = time.monotonic() - begun
        assert server.ask("GET", "/livez").status == 200
        time.sleep(0.2)
    assert all(9 < took < 19 for took in ended.values()) and len(ended) == 2, ended
    # One that has shaken hands and said nothing is only idle.
    early.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in early.recv(1000)


def test_stop(server):
    """With everything open: streams, downloads, unanswered asks, half-done handshakes and heads."""
    with open(os.path.join(server.files, "big"), "wb") as f:
        f.truncate(256 << 20)
    events = Events(server)
    downloads = [server.connect(), server.connect()]
    for download, query in zip(downloads, (b"", b"?via=stream")):
        download.sendall(b"GET /v1/recordings/1/files/big" + query + b" HTTP/1.1\r\nHost: x\r\nAuthorization: " + basic(ADMIN).encode() + b"\r\n\r\n")
        assert download.recv(100)
    never = server.connect()
    never.sendall(b"GET /v1/recordings/never HTTP/1.1\r\nHost: x\r\nAuthorization: " + basic(ADMIN).encode() + b"\r\n\r\n")
    slow = server.connect()
    slow.sendall(b"GET /v1/recordings/slow HTTP/1.1\r\nHost: x\r\nAuthorization: " + basic(ADMIN).encode() + b"\r\n\r\n")
    half = socket.create_connection(("127.0.0.1", server.port))
    partial = server.connect()
    partial.sendall(b"GET /li")
    assert server.ask("GET", "/livez").status == 200
    took = server.stop()
    assert took < 2000, f"stopping took {took} ms"
    got = b""
    while piece := never.recv(4000):
        got += piece
    assert b"503 Service Unavailable" in got and b"shutting-down" in got, got
    assert not os.path.exists(server.socket)
    for connection in (events.connection, *downloads, slow, half, partial):
        connection.close()
    print(f"    stopped in {took} ms")


def test_addresses():
    for listen, words in (("127.0.0.1", "HOST:PORT"), ("256.1.1.1:8443", "cannot listen"), ("192.0.2.1:8443", "cannot listen")):
        with Server() as server:
            server.stop()
            with open(server.config) as f:
                text = f.read()
            with open(server.config, "w") as f:
                f.write(re.sub(r'"127\.0\.0\.1:\d+"', f'"{listen}"', text))
            done = subprocess.run([PROGRAM, server.config, server.files], capture_output=True, text=True, timeout=20)
            assert done.returncode == 1 and "listen" in done.stderr, done.stderr


def main():
    tests = {name[5:]: test for name, test in globals().items() if name.startswith("test_")}
    for name, test in tests.items():
        if sys.argv[2:] and name not in sys.argv[2:]:
            continue
        begun = time.monotonic()
        if test.__code__.co_argcount:
            with Server() as server:
                try:
                    test(server)
                    if server.process.poll() is None:
                        server.stop()
                except BaseException:
                    print(f"{name} failed; the log's end:\n{server.read_log()[-2000:]}")
                    raise
        else:
            test()
        print(f"ok {name} ({time.monotonic() - begun:.1f} s)", flush=True)


PROGRAM = os.path.abspath(sys.argv[1])
CONTRACT = openapi.Contract()
main()
