"""A bucket of real S3 servers: any size, any name, encrypted, locked; whatever happens on the way, one right object."""
import base64
import datetime
import hashlib
import json
import os
import signal
import string
import threading

from steno_test import s3, s3proxy
from steno_test.store import Store, random_file, sha256

LIGHT = 230
MIB = 1 << 20
PART = 5 * MIB
ASCII = string.printable[:95].replace("/", "")


def put_and_read_back(case, server, bucket, store, path, key):
    """Stored, and read as others read it."""
    store.must("put", path, key, "--sha", sha256(path), "--memo", store.memo, seconds=1200)
    assert server.keys(bucket, key).get(key) == os.path.getsize(path), f"{server.name}: {key!r} is not there whole"
    copy = case.path("copy")
    server.aws("get-object", "--bucket", bucket, "--key", key, copy)
    assert sha256(copy) == sha256(path), f"{server.name}: {key!r} has other contents"
    os.unlink(copy)


def sizes(case, server, wanted):
    bucket = server.make_bucket(f"sizes-{server.name}")
    store = Store(case, server.storage(bucket), f"sizes-{server.name}")
    for size in wanted:
        path = random_file(case.path("file"), size)
        put_and_read_back(case, server, bucket, store, path, f"size/{size}")
        # A second time nothing is sent, and it is proven all the same.
        store.must("put", path, f"size/{size}", "--sha", sha256(path))
        store.must("verify", f"size/{size}", size, sha256(path), "--contents", seconds=600)
        os.unlink(path)
    assert server.uploads(bucket) == [] and os.listdir(store.memo) == []


def test_sizes(case):
    for server in s3.both(case):
        sizes(case, server, (0, 1, 16 * MIB - 1, 16 * MIB, 16 * MIB + 1, 100 * MIB))


def long_five_gib(case):
    for server in s3.both(case):
        sizes(case, server, (5 << 30,))


def test_keys(case):
    """Every printable character, UTF-8, spaces; seen under the same names by aws, rclone and us."""
    keys = ["a b", "plus+equals=sign", "per%20cent%2B", "käse/größe/日本語/😀.webm", "~tilde.-_dots..x", "q?a=b&c#d", ASCII,
            *(f"one/{c}" for c in ASCII if c not in "."), "deep/" * 20 + "file", "empty//name", "more///of//them", "//".join(ASCII[:40])]
    for server in s3.both(case):
        bucket = server.make_bucket(f"keys-{server.name}")
        store = Store(case, server.storage(bucket), f"keys-{server.name}")
        # versitygw keeps objects as files, to which "a//b" is "a/b".
        wanted = [k for k in keys if server.name != "versitygw" or ("\\" not in k and "//" not in k)]
        for key in wanted:
            path = case.path("small")
            with open(path, "w") as f:
                f.write(key)
            store.must("put", path, key)
        listed = server.keys(bucket)
        assert set(listed) == set(wanted), f"{server.name}: {sorted(set(listed) ^ set(wanted))}"
        assert {o["key"] for o in store.must("list", "")["objects"]} == set(wanted)
        for key in ("a b", "plus+equals=sign", "käse/größe/日本語/😀.webm"):
            assert server.rclone("cat", f"S3:{bucket}/{key}").decode() == key
        for key in wanted:
            assert base64.b64decode(store.must("read", key)["base64"]).decode() == key, f"{server.name}: {key!r}"
            store.must("remove", key)
        assert server.keys(bucket) == {}
    # What is no key is refused before it is sent.
    for key in ("/a", "a/", "a/../b", "./a", ""):
        store.refused("storage-failed", "put", path, key)


def test_customer_key(case):
    """SSE-C: only who has the key reads it."""
    server = s3.radosgw()
    bucket = server.make_bucket("customer-key")
    store = Store(case, server.storage(bucket, encryption="customer", customer_key_file="/"), "customer")
    key = os.urandom(32)
    store.configure(customer_key_file=store.config.secret("customer-key", base64.b64encode(key).decode() + "\n"),
                    part_bytes=PART)
    for name, size in (("small", 1000), ("large", 3 * PART + 17)):
        path = random_file(case.path(name), size)
        store.must("put", path, name, "--sha", sha256(path), "--memo", store.memo)
        store.must("verify", name, size, sha256(path), "--contents")
        assert server.aws("head-object", "--bucket", bucket, "--key", name, check=False) is None, "readable without the key"
        given = ["--sse-customer-algorithm", "AES256", "--sse-customer-key", base64.b64encode(key).decode(),
                 "--sse-customer-key-md5", base64.b64encode(hashlib.md5(key).digest()).decode()]
        copy = case.path("copy")
        server.aws("get-object", "--bucket", bucket, "--key", name, *given, copy)
        assert sha256(copy) == sha256(path)
    assert store.must("presign", "small")["url"] is None, "an address that nobody could use was given away"
    other = Store(case, {**store.entry, "customer_key_file": store.config.secret("other-key", base64.b64encode(os.urandom(32)).decode())},
                  "other")
    assert "small" in other.refused("storage-denied", "verify", "small", 1000, sha256(case.path("small")))


def test_object_lock(case):
    for server in s3.both(case):
        bucket = server.make_bucket(f"lock-{server.name}", "--object-lock-enabled-for-bucket")
        store = Store(case, server.storage(bucket, lock_mode="governance", lock_days=3, lock_legal_hold=True, part_bytes=PART),
                      f"lock-{server.name}")
        store.must("check")
        assert server.keys(bucket) == {}, "the check left something that nobody can remove"
        for name, size in (("small", 1000), ("large", 2 * PART + 1)):
            path = random_file(case.path(name), size)
            store.must("put", path, name, "--sha", sha256(path), "--memo", store.memo)
            kept = server.aws("get-object-retention", "--bucket", bucket, "--key", name)["Retention"]
            until = datetime.datetime.fromisoformat(kept["RetainUntilDate"].replace("Z", "+00:00"))
            days = (until - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 86400
            assert kept["Mode"] == "GOVERNANCE" and 2.9 < days <= 3.01, kept
            held = server.aws("get-object-legal-hold", "--bucket", bucket, "--key", name)["LegalHold"]
            assert held["Status"] == "ON", held
            # The version is locked (versitygw has none here): what a delete without a version leaves can be had back.
            version = server.aws("head-object", "--bucket", bucket, "--key", name).get("VersionId")
            which = ["--version-id", version] if version else []
            assert server.aws("delete-object", "--bucket", bucket, "--key", name, *which, check=False) is None


class Killer:
    """kill -9 of the process that sends, at the Nth request: before the server has it, or after it has answered."""

    def __init__(self, at, answered):
        self.at, self.answered = at, answered
        self.process, self.done = None, False
        self._lock = threading.Lock()

    def _kill(self, request):
        with self._lock:
            if self.done or request.number < self.at:
                return None
            self.done = True
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        return s3proxy.Proxy.RESET

    def before(self, request):
        return None if self.answered else self._kill(request)

    def after(self, request, head, body):
        return self._kill(request) if self.answered else None


def kill_boundaries(case, server, size, checksum):
    """Each N, until a run ends without being killed. Returns how many there were."""
    bucket = server.make_bucket(f"kills-{server.name}-{checksum}")
    path = random_file(case.path("file"), size)
    digest = sha256(path)
    store = Store(case, server.storage(bucket, part_bytes=PART, parallel=2, checksum=checksum), f"kills-{server.name}-{checksum}")
    sent = 0
    for answered in (False, True):
        at, killed = 1, True
        while killed:
            key = f"{'after' if answered else 'before'}/{at}"
            killer = Killer(at, answered)
            proxy = s3proxy.Proxy(case, server, killer.before, killer.after)
            store.configure(endpoint=proxy.url)
            killer.process = process = store.start("put", path, key, "--sha", digest, "--memo", store.memo)
            process.communicate(timeout=120)
            killed = killer.done
            assert process.returncode == (-signal.SIGKILL if killed else 0), f"{key}: ended with {process.returncode}"
            if killed and server.keys(bucket, key):
                # Said to be there before it was proven: only a whole one may be.
                assert server.keys(bucket, key) == {key: size}
            proxy.before = proxy.after = None
            before = len(proxy.requests)
            store.must("put", path, key, "--sha", digest, "--memo", store.memo)
            sent += proxy.operations()[before:].count("UploadPart")
            assert server.keys(bucket, key) == {key: size}, f"{server.name} {key}: not one right object"
            assert sha256(server.get(bucket, key, case.path("copy"))) == digest
            assert server.uploads(bucket) == [], f"{server.name} {key}: an orphan upload is left"
            assert os.listdir(store.memo) == [], f"{server.name} {key}: {os.listdir(store.memo)} is left"
            proxy.close()
            at += killed
        parts = -(-size // PART)
        assert at > parts + 2, f"only {at} requests for {parts} parts"
    case.figure(f"{server.name}, checksum {checksum}: killed at {2 * (at - 1)} boundaries; {sent} parts sent again by those that went on")


def test_kill_boundaries(case):
    for server in s3.both(case):
        kill_boundaries(case, server, 4 * PART + 12345, "auto")


def test_lost_memo(case):
    """What is remembered is lost with the disk: the upload is found at the server, and taken up or aborted."""
    for server in s3.both(case):
        bucket = server.make_bucket(f"memo-{server.name}")
        path = random_file(case.path("file"), 4 * PART)
        proxy = s3proxy.Proxy(case, server)
        store = Store(case, server.storage(bucket, url=proxy.url, part_bytes=PART, parallel=1), f"memo-{server.name}")
        killer = Killer(len(proxy.requests) + 5, True)
        proxy.before, proxy.after = killer.before, killer.after
        killer.process = store.start("put", path, "file", "--sha", sha256(path), "--memo", store.memo)
        killer.process.communicate(timeout=60)
        assert killer.done and server.uploads(bucket) == ["file"], server.uploads(bucket)
        for name in os.listdir(store.memo):
            os.unlink(os.path.join(store.memo, name))
        proxy.before = proxy.after = None
        store.must("put", path, "file", "--sha", sha256(path), "--memo", store.memo)
        assert server.keys(bucket) == {"file": 4 * PART} and server.uploads(bucket) == []


def fault_cases():
    """(name, before, after) of what a server or a network does to one request."""
    error, reset = s3proxy.s3_error, s3proxy.Proxy.RESET
    return [
        ("reset before", lambda r: reset, None),
        ("reset after", None, lambda r, h, b: reset),
        ("half of the answer", None, lambda r, h, b: s3proxy.Proxy.HALF),
        ("500", lambda r: error(500, "InternalError"), None),
        ("503 SlowDown", lambda r: error(503, "SlowDown", headers=[("Retry-After", "1")]), None),
        ("429", lambda r: error(429, "TooManyRequests"), None),
        ("502 of a balancer", lambda r: s3proxy.answer(502, "<html>bad gateway</html>"), None),
        ("400 RequestTimeout", lambda r: error(400, "RequestTimeout"), None),
        ("200 with an error", lambda r: error(200, "InternalError") if r.method in ("POST", "PUT") else None, None),
        ("BadDigest", lambda r: error(400, "BadDigest") if r.operation in ("UploadPart", "Put") else None, None),
        ("409 OperationAborted", lambda r: error(409, "OperationAborted"), None),
        ("ExpiredToken", lambda r: error(400, "ExpiredToken"), None),
        ("RequestTimeTooSkewed", lambda r: error(403, "RequestTimeTooSkewed"), None),
        ("no upload of that name", lambda r: error(404, "NoSuchUpload") if "uploadId" in r.query else None, None),
    ]


def test_faults(case):
    """Each fault, once, at each request of an upload: it is stored all the same, once, and nothing is left behind."""
    server = s3.versitygw(case)
    bucket = server.make_bucket("faults")
    path = random_file(case.path("file"), 2 * PART + 99)
    digest = sha256(path)
    plain = s3proxy.Proxy(case, server)
    store = Store(case, server.storage(bucket, url=plain.url, part_bytes=PART), "faults")
    store.must("put", path, "plain", "--sha", digest, "--memo", store.memo)
    requests = len(plain.requests)
    done = 0
    for name, before, after in fault_cases():
        for at in range(1, requests + 1):
            once = threading.Lock()

            def strike(request, function, *more, once=once, at=at):
                return function(request, *more) if request.number >= at and once.acquire(blocking=False) else None
            proxy = s3proxy.Proxy(case, server, before and (lambda r, b=before: strike(r, b)),
                                  after and (lambda r, h, body, a=after: strike(r, a, h, body)))
            store.configure(endpoint=proxy.url)
            key = f"{name}/{at}".replace(" ", "-")
            said = store.run("put", path, key, "--sha", digest, "--memo", store.memo, seconds=60)
            if not said["ok"]:
                # A HEAD cannot tell its code, so a refusal may be final there; the next attempt goes on.
                assert said["error"]["code"].startswith("storage-"), f"{name} at {proxy.requests[at - 1]}: {said}"
                store.must("put", path, key, "--sha", digest, "--memo", store.memo)
            assert sha256(server.get(bucket, key, case.path("copy"))) == digest, f"{name} at {at}"
            assert server.uploads(bucket) == [], f"{name} at {at}: {proxy.requests}"
            proxy.close()
            done += 1
    case.figure(f"{done} faults at {requests} requests")


def test_corrupted_on_the_way(case):
    """The source is not what it was: nothing is stored under its name, and it is told."""
    server = s3.versitygw(case)
    bucket = server.make_bucket("damaged")
    store = Store(case, server.storage(bucket, part_bytes=PART), "damaged")
    for size in (1000, 3 * PART):
        path = random_file(case.path("file"), size)
        digest = sha256(path)
        with open(path, "r+b") as f:
            f.seek(size // 2)
            byte = f.read(1)[0]
            f.seek(size // 2)
            f.write(bytes([byte ^ 0x10]))
        store.refused("source-damaged", "put", path, f"file-{size}", "--sha", digest, "--memo", store.memo)
        assert server.keys(bucket) == {} and server.uploads(bucket) == []


def test_other_contents(case):
    """An object that is there already is never overwritten unasked; a flipped bit in it is found."""
    server = s3.versitygw(case)
    bucket = server.make_bucket("others")
    store = Store(case, server.storage(bucket), "others")
    one, two = random_file(case.path("one"), 5000), random_file(case.path("two"), 5000)
    store.must("put", one, "key", "--sha", sha256(one))
    store.refused("storage-failed", "put", two, "key", "--sha", sha256(two))
    store.must("verify", "key", 5000, sha256(one), "--contents")
    store.refused("verify-failed", "verify", "key", 5000, sha256(two))
    stored = os.path.join(server.folder, bucket, "key")
    with open(stored, "r+b") as f:
        f.seek(77)
        byte = f.read(1)[0]
        f.seek(77)
        f.write(bytes([byte ^ 1]))
    store.refused("verify-failed", "verify", "key", 5000, sha256(one), "--contents")
    store.must("put", two, "key", "--sha", sha256(two), "--replace")
    store.must("verify", "key", 5000, sha256(two), "--contents")


def test_orphans(case):
    """Uploads that were begun below a prefix and never ended are aborted; those of others stay."""
    for server in s3.both(case):
        bucket = server.make_bucket(f"orphans-{server.name}")
        store = Store(case, server.storage(bucket), f"orphans-{server.name}")
        for key in ("ours/a", "ours/b", "theirs/c"):
            server.aws("create-multipart-upload", "--bucket", bucket, "--key", key)
        assert store.must("orphans", "ours/")["aborted"] == 2
        assert server.uploads(bucket) == ["theirs/c"]


def test_presigned(case):
    """Anybody may fetch it for a while, under its name; nobody else anything."""
    import urllib.error
    import urllib.request
    for server in s3.both(case):
        bucket = server.make_bucket(f"presigned-{server.name}")
        store = Store(case, server.storage(bucket, presign_s=60), f"presigned-{server.name}")
        path = random_file(case.path("file"), 100000)
        store.must("put", path, "dir/größe +x.webm", "--sha", sha256(path))
        url = store.must("presign", "dir/größe +x.webm")["url"]
        with urllib.request.urlopen(url) as reply, open(path, "rb") as f:
            assert reply.read() == f.read()
        try:
            urllib.request.urlopen(url.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"))
            raise AssertionError("a changed address was taken")
        except urllib.error.HTTPError as refused:
            assert refused.code == 403, refused


def test_slow_server(case):
    """A request that nothing comes of is given up and made again."""
    server = s3.versitygw(case)
    bucket = server.make_bucket("slow")
    once = threading.Lock()
    proxy = s3proxy.Proxy(case, server, after=lambda r, h, b: s3proxy.Proxy.STALL if once.acquire(blocking=False) else None)
    store = Store(case, server.storage(bucket, url=proxy.url, timeout_s=5), "slow")
    path = random_file(case.path("file"), 1000)
    store.must("put", path, "key", "--sha", sha256(path), seconds=30)
    assert server.keys(bucket) == {"key": 1000}


def test_bandwidth(case):
    """max_bytes_per_s is kept by all parts together; judged with much room, by the bytes and the monotonic clock."""
    import time
    server = s3.versitygw(case)
    bucket = server.make_bucket("bandwidth")
    store = Store(case, server.storage(bucket, part_bytes=PART, max_bytes_per_s=8 * MIB), "bandwidth")
    path = random_file(case.path("file"), 32 * MIB)
    begun = time.monotonic()
    store.must("put", path, "key", "--sha", sha256(path))
    took = time.monotonic() - begun
    assert 3 < took < 8, f"32 MiB in {took:.1f} s at 8 MiB/s"
    case.figure(f"32 MiB at 8 MiB/s in {took:.1f} s")
