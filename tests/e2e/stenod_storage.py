"""Recordings of a stenod on their way to real S3 servers: nothing lost, nothing left behind, and the truth told meanwhile."""
import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time

from steno_test import captures, procs, s3, s3proxy, steno
from steno_test.stenod import Stenod, await_ended
from steno_test.store import sha256

LIGHT = 270
MIB = 1 << 20
PART = 5 * MIB
TOLD_WITHIN = 10  # s: what somebody must do is told


def stenod(case, server, bucket, name="stenod", environment=None, **settings):
    """One that stores into a bucket."""
    daemon = Stenod(case, name, environment=environment)
    key = daemon.secret("s3-key", f"{s3.ACCESS}\n{s3.SECRET}\n")
    daemon.storages = [server.storage(bucket, access_key_file=key, **{"part_bytes": PART, **settings})]
    daemon.platforms = [{"name": "janus-1", "url": "http://127.0.0.1:9/janus"}]
    return daemon


def place(recording, storage=0):
    """(bucket, prefix) of a stored recording."""
    uri = recording["storages"][storage]["uri"]
    assert uri.startswith("s3://"), uri
    bucket, _, prefix = uri[5:].partition("/")
    return bucket, prefix


def rightly_stored(case, server, recording, storage=0):
    """Every file of the manifest is there, is what the manifest says, and nothing else is."""
    assert recording["state"] == "completed", recording
    bucket, prefix = place(recording, storage)
    there = server.keys(bucket, prefix)
    manifest = server.get(bucket, prefix + "manifest.json", case.path("manifest.json"))
    with open(manifest) as f:
        outputs = json.load(f)["outputs"]
    wanted = {prefix + name for name in ["manifest.json", "manifest.json.sig", *(o["file"] for o in outputs)]}
    assert set(there) == wanted, f"{sorted(there)}, not {sorted(wanted)}"
    for output in outputs:
        copy = server.get(bucket, prefix + output["file"], case.path("copy"))
        assert sha256(copy) == output["sha256"] and os.path.getsize(copy) == output["size_bytes"], output["file"]
    return outputs


def state_of(daemon, id_, storage=0):
    return daemon.recording(id_)["storages"][storage]


def await_storage(daemon, id_, states, seconds=30, storage=0):
    return procs.await_true(lambda: (lambda s: s if s["state"] in states else None)(state_of(daemon, id_, storage)), seconds,
                            f"{id_}: the storage is one of {states}: {state_of(daemon, id_, storage)}")


# ---- killed at every boundary ---------------------------------------------------------------------------------------


def is_completed(daemon, id_):
    try:
        return daemon.recording(id_)["state"] == "completed"
    except (OSError, http.client.HTTPException):
        return False  # killed just now


def killed_everywhere(case, server, answered, step=1):
    """stenod killed at each request of a delivery, one recording each; then started again."""
    bucket = server.make_bucket(f"boundaries-{server.name}-{'after' if answered else 'before'}")
    capture = captures.make(case, large=True)
    proxy = s3proxy.Proxy(case, server)
    daemon = stenod(case, server, bucket, f"stenod-{server.name}-{answered}", endpoint=proxy.url, parallel=2)
    at, killed = 1, True
    while killed:
        done = threading.Lock()
        proxy.requests.clear()
        id_ = captures.plant(daemon, capture)

        def kill(request, *_, done=done, at=at):
            # Before anything of the delivery, stenod looks at its storage: not what is meant.
            mine = [r for r in proxy.requests if id_ in r.target]
            if id_ not in request.target or len(mine) < at or not done.acquire(blocking=False):
                return None
            daemon.process.send_signal(signal.SIGKILL)
            daemon.process.wait()
            return s3proxy.Proxy.RESET
        proxy.before, proxy.after = (None, kill) if answered else (kill, None)
        daemon.start()
        procs.await_true(lambda: done.locked() or is_completed(daemon, id_), 60, "killed, or stored")
        killed = done.locked()
        proxy.before = proxy.after = None
        if killed:
            daemon.process.wait(10)
            if not os.path.exists(os.path.join(daemon.spool, id_)):
                assert any(k.endswith("/manifest.json") and id_ in k for k in server.keys(bucket)), \
                    f"killed at {at}: the capture went before all was proven"
            daemon.launch()
        rightly_stored(case, server, daemon.await_state(id_, "completed", 60))
        assert os.listdir(daemon.spool) == [], f"killed at {at}: {os.listdir(daemon.spool)} is left"
        daemon.kill()
        at += step if killed else 0
    assert server.uploads(bucket) == [], "orphan uploads are left"
    assert at > 10, f"only {at} requests"
    return at


def test_killed_at_boundaries(case):
    server = s3.versitygw(case)
    for answered in (False, True):
        at = killed_everywhere(case, server, answered, step=3)
        case.figure(f"{server.name}: stenod killed {'after' if answered else 'before'} every third of {at} requests")


def long_killed_at_every_boundary(case):
    for server in s3.both(case):
        for answered in (False, True):
            at = killed_everywhere(case, server, answered)
            case.figure(f"{server.name}: stenod killed {'after' if answered else 'before'} each of {at} requests")


# ---- a server that is away ------------------------------------------------------------------------------------------


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def outage(case, seconds, recordings):
    """The server is down, then answers 503 half of the time."""
    server = s3.VersityGw()
    case.on_exit(server.close)
    bucket = server.start().make_bucket("outage")
    proxy = s3proxy.Proxy(case, server)
    daemon = stenod(case, server, bucket, endpoint=proxy.url)
    capture = captures.make(case)
    server.stop()
    ids = [captures.plant(daemon, capture) for _ in range(recordings)]
    daemon.start()
    for id_ in ids:
        daemon.await_state(id_, "storing", 60 + recordings)
    procs.await_true(lambda: any(state_of(daemon, i)["state"] == "retrying" for i in ids), 60, "somebody is told that it is tried again")
    early = rss_kib(daemon.process.pid)
    told = next(s for s in (state_of(daemon, i) for i in ids) if s["state"] == "retrying")
    assert told["since"] and told["error"]["code"] == "storage-unreachable", told
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(min(5, max(0, end - time.monotonic())))  # how long it is down is what the test is about
        kept = os.listdir(daemon.spool)
        assert sorted(kept) == sorted(ids), f"not proven, and gone: {set(ids) - set(kept)}"
    late = rss_kib(daemon.process.pid)
    server.start()
    chance = random.Random(4)
    proxy.before = lambda request: s3proxy.s3_error(503, "ServiceUnavailable") if chance.random() < 0.5 else None
    assert daemon.ask("POST", "/v1/storages/primary/retry").status == 200
    for id_, recording in await_ended(daemon, ids, 120 + 10 * recordings).items():
        rightly_stored(case, server, recording)
    assert os.listdir(daemon.spool) == [] and server.uploads(bucket) == []
    last = rss_kib(daemon.process.pid)
    assert max(late, last) < early + 32 * 1024, f"stenod grew from {early} to {late} and {last} KiB"
    case.figure(f"{recordings} recordings, down for {seconds} s, then every second answer 503: all completed; stenod "
                f"{early // 1024}, {late // 1024}, {last // 1024} MiB")


def test_outage(case):
    outage(case, 20, 8)


def long_ten_minutes_down(case):
    outage(case, 600, 40)


# ---- what somebody must mend ----------------------------------------------------------------------------------------


def blocked(case, daemon, words, codes=("storage-denied",)):
    """Starts it with a recording to store; that is blocked soon, and says why. Returns the recording's id."""
    id_ = captures.plant(daemon, captures.make(case))
    daemon.start()
    daemon.await_state(id_, "storing", 30)
    begun = time.monotonic()
    told = await_storage(daemon, id_, ("blocked",), TOLD_WITHIN)
    took = time.monotonic() - begun
    assert told["error"]["code"] in codes, told
    message = told["error"]["message"]
    assert any(w.lower() in message.lower() for w in words), f"no plain reason: {message}"
    assert s3.SECRET not in message
    recording = daemon.recording(id_)
    assert recording["state"] == "storing" and recording["error"] == told["error"], recording
    ready = daemon.get("/readyz")
    assert ready.status == 503 and any(c["name"] == "uploads" and not c["ok"] for c in ready.json["checks"]), ready
    metrics = daemon.get("/metrics").body.decode()
    assert 'steno_uploads{state="blocked"} 1' in metrics, [x for x in metrics.splitlines() if "upload" in x]
    listed = daemon.get("/v1/storages").json["storages"][0]
    assert listed["uploads"]["blocked"] == 1 and listed["blocked"]["error"]["code"] in codes, listed
    case.figure(f"told within {took:.1f} s: {message[:150]}")
    assert os.path.isdir(os.path.join(daemon.spool, id_)), "deleted, and stored nowhere"
    return id_


def mended(case, server, daemon, id_, **settings):
    """The configuration is corrected and read again."""
    daemon.storages[0] = {k: v for k, v in {**daemon.storages[0], **settings}.items() if v is not None}
    daemon.configure()
    daemon.reload()
    rightly_stored(case, server, daemon.await_state(id_, "completed", 30))
    assert procs.await_true(lambda: daemon.get("/readyz").status == 200, 20, "ready again")
    daemon.kill()


def test_blocked_by_settings(case):
    """Wrong key, wrong secret, wrong bucket, wrong region: told, corrected, completed."""
    server = s3.radosgw()
    bucket = server.make_bucket("blocked")
    right = f"{s3.ACCESS}\n{s3.SECRET}\n"
    for name, wrong, words in (("key", "AKWRONG\nsecret\n", ("InvalidAccessKeyId", "access key")),
                               ("secret", f"{s3.ACCESS}\nwrong-secret\n", ("SignatureDoesNotMatch", "secret"))):
        daemon = stenod(case, server, bucket, f"stenod-{name}")
        daemon.storages[0]["access_key_file"] = daemon.secret("wrong-key", wrong)
        id_ = blocked(case, daemon, words)
        mended(case, server, daemon, id_, access_key_file=daemon.secret("s3-key", right))
    daemon = stenod(case, server, "no-such-bucket", "stenod-bucket")
    mended(case, server, daemon, blocked(case, daemon, ("NoSuchBucket", "no bucket")), bucket=bucket)


def test_blocked_by_region(case):
    server = s3.versitygw(case)
    bucket = server.make_bucket("region")
    daemon = stenod(case, server, bucket, region="mars-north-1")
    mended(case, server, daemon, blocked(case, daemon, ("region",), ("storage-denied", "geofence")), region=server.region)


def test_blocked_by_read_only(case):
    server = s3.VersityGw()
    case.on_exit(server.close)
    bucket = server.start().make_bucket("readonly")
    server.stop()
    server.start("--readonly")
    daemon = stenod(case, server, bucket)
    id_ = blocked(case, daemon, ("AccessDenied", "read-only", "readonly"))
    server.stop()
    server.start()
    # Nothing was wrong with the configuration: somebody says that it may be tried again.
    done = daemon.cli("storage", "retry", "primary")
    assert done.returncode == 0, done.stdout + done.stderr
    rightly_stored(case, server, daemon.await_state(id_, "completed", 30))


def test_blocked_by_quota(case):
    server = s3.radosgw()
    bucket = server.make_bucket("quota")
    daemon = stenod(case, server, bucket)

    def quota(size):
        server.admin("quota", "set", "--quota-scope=user", "--uid=steno", f"--max-size={size}")
        server.admin("quota", "enable" if size >= 0 else "disable", "--quota-scope=user", "--uid=steno")
    quota(1024)
    try:
        id_ = blocked(case, daemon, ("quota", "space"), ("storage-full",))
    finally:
        quota(-1)
    assert daemon.ask("POST", "/v1/storages/primary/retry").json["retried"] == 1
    rightly_stored(case, server, daemon.await_state(id_, "completed", 60))


def test_blocked_by_certificate(case):
    """The server's certificate is of another name."""
    certificates = {}
    for name in ("storage.elsewhere", "127.0.0.1"):
        alt = "IP:127.0.0.1" if name[0].isdigit() else f"DNS:{name}"
        certificates[name] = (case.path(f"{name}.pem"), case.path(f"{name}.key"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-addext",
                        f"subjectAltName={alt}", "-out", certificates[name][0], "-keyout", certificates[name][1]], check=True,
                       capture_output=True)
    wrong = s3.VersityGw(certificate=certificates["storage.elsewhere"])
    right = s3.VersityGw(certificate=certificates["127.0.0.1"])
    for server in (wrong, right):
        case.on_exit(server.close)
    bucket = right.start().make_bucket("certificate")
    wrong.start()
    daemon = stenod(case, wrong, bucket)
    id_ = blocked(case, daemon, ("certificate",))
    mended(case, right, daemon, id_, endpoint=right.url, ca_file=right.ca_file)


# ---- bits that flip -------------------------------------------------------------------------------------------------


def flip(path):
    with open(path, "r+b") as f:
        f.seek(os.path.getsize(path) // 2)
        byte = f.read(1)[0]
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte ^ 4]))


def verify(daemon, uri, *options):
    """`steno verify` of a recording where it lies; (exit code, output)."""
    done = daemon.cli("verify", uri, "--config", daemon.config, *options, environment={"STENO_CONFIG": daemon.config})
    return done.returncode, done.stdout + done.stderr


def test_flipped_bits(case):
    """…between assembly and upload, in the capture, and in the stored object."""
    codes = steno.exit_codes()
    server = s3.VersityGw()
    case.on_exit(server.close)
    bucket = server.start().make_bucket("flipped")
    server.stop()
    daemon = stenod(case, server, bucket)
    good = captures.plant(daemon, captures.make(case))
    bad = captures.plant(daemon, captures.make(case))
    tracks = [os.path.join(folder, name) for folder, _, names in os.walk(os.path.join(daemon.spool, bad)) for name in names
              if name.endswith(".mkv")]
    flip(max(tracks, key=os.path.getsize))
    daemon.start()
    for id_ in (good, bad):
        daemon.await_state(id_, "storing", 60)
        await_storage(daemon, id_, ("retrying", "waiting"), 60)
    out = os.path.join(daemon.spool, good, "out")
    flip(max((os.path.join(out, n) for n in os.listdir(out) if n.endswith(".webm")), key=os.path.getsize))
    server.start()
    daemon.ask("POST", "/v1/storages/primary/retry")
    done = await_ended(daemon, [good, bad], 90)
    outputs = rightly_stored(case, server, done[good])
    code, said = verify(daemon, done[good]["storages"][0]["uri"])
    assert code == 0, said
    assert "source-damaged" in daemon.tail(20000) or "not what it was" in daemon.tail(20000), "nobody was told of the flipped bit"
    # What was damaged in the capture can't be had back: it is told.
    code, said = verify(daemon, done[bad]["storages"][0]["uri"])
    assert code == 0 and "problem" in said, f"a bit that flipped in the capture is told nowhere: {said}"
    _, prefix = place(done[good])
    flip(os.path.join(server.folder, bucket, prefix, outputs[0]["file"]))
    code, said = verify(daemon, done[good]["storages"][0]["uri"])
    assert code == codes["verify-failed"] and outputs[0]["file"] in said, (code, said)


# ---- nowhere else ---------------------------------------------------------------------------------------------------


def spoken_to(log):
    with open(log) as f:
        lines = [line.split() for line in f]
    return {(w[1], int(w[2])) for w in lines if w[0] != "lookup"}, {w[1] for w in lines if w[0] == "lookup"}


def test_no_other_host(case):
    """Redirected, and with a DNS that changes its mind: no request leaves for any host but the configured one."""
    server = s3.versitygw(case)
    bucket = server.make_bucket("nowhere-else")
    elsewhere = s3proxy.Proxy(case, server)
    redirecting = threading.Event()
    redirecting.set()

    def before(request):
        if redirecting.is_set():
            where = f"{elsewhere.url.replace('127.0.0.1', '127.0.0.3')}{request.target}"
            return s3proxy.answer(307, headers=[("Location", where), ("x-amz-bucket-region", "elsewhere-1")])
        return None
    proxy = s3proxy.Proxy(case, server, before)
    log, dns = case.path("net.log"), case.path("names")
    with open(dns, "w") as f:
        f.write("storage.test 127.0.0.1\n")
    shim = {"LD_PRELOAD": os.path.join(steno.BUILD, "bin", "net_shim.so"), "STENO_NET_LOG": log, "STENO_NET_NAMES": dns}
    daemon = stenod(case, server, bucket, environment=shim, endpoint=f"http://storage.test:{proxy.port}", addressing="path",
                    allow_endpoint_cidr=["127.0.0.1/32"])
    daemon.api["listen"] = []
    id_ = captures.plant(daemon, captures.make(case))
    daemon.start()
    daemon.await_state(id_, "storing", 30)
    told = await_storage(daemon, id_, ("blocked", "retrying"), 60)
    assert elsewhere.requests == [], "a redirect was followed"
    with open(dns, "w") as f:
        f.write("storage.test 127.0.0.2\n")
    redirecting.clear()
    daemon.reload()  # curl remembers a name for a minute
    told = procs.await_true(lambda: (lambda s: s if s["error"] and s["error"]["code"] == "geofence" else None)(state_of(daemon, id_)), 60,
                            f"the other address is refused (it was {told})")
    assert told["state"] == "blocked" and "127.0.0.2" in told["error"]["message"], told
    addresses, names = spoken_to(log)
    assert names == {"storage.test"}, names
    allowed = {("127.0.0.1", proxy.port)}
    assert addresses <= allowed, f"spoke to {addresses - allowed}"
    case.figure(f"names looked up: {sorted(names)}, addresses spoken to: {sorted(addresses)}; {told['error']['message'][:150]}")
    with open(dns, "w") as f:
        f.write("storage.test 127.0.0.1\n")
    daemon.reload()
    rightly_stored(case, server, daemon.await_state(id_, "completed", 60))
    assert spoken_to(log)[0] <= allowed and elsewhere.requests == []


# ---- several destinations -------------------------------------------------------------------------------------------


def two_storages(case, app_store):
    away = s3.VersityGw()
    case.on_exit(away.close)
    away.start().make_bucket("primary")
    away.stop()
    near = s3.versitygw(case)
    near.make_bucket("archive")
    daemon = stenod(case, away, "primary")
    daemon.storages.append(near.storage("archive", "archive", access_key_file=daemon.storages[0]["access_key_file"]))
    daemon.apps = [{"name": "clinic", "storages": ["primary", "archive"], "store": app_store}]
    return away, near, daemon


def test_all_destinations(case):
    """Each has its own state; it is completed when all have it."""
    away, near, daemon = two_storages(case, "all")
    id_ = captures.plant(daemon, captures.make(case))
    daemon.start()
    await_storage(daemon, id_, ("stored",), 60, storage=1)
    recording = daemon.recording(id_)
    assert recording["state"] == "storing" and recording["storages"][0]["state"] in ("retrying", "storing"), recording["storages"]
    assert os.path.isdir(os.path.join(daemon.spool, id_))
    away.start()
    daemon.ask("POST", "/v1/storages/primary/retry")
    recording = daemon.await_state(id_, "completed", 90)
    for i, server in enumerate((away, near)):
        rightly_stored(case, server, recording, i)
    assert os.listdir(daemon.spool) == []


def test_first_destination(case):
    """The first one that takes it is enough."""
    _, near, daemon = two_storages(case, "first")
    id_ = captures.plant(daemon, captures.make(case))
    daemon.start()
    recording = daemon.await_state(id_, "completed", 90)
    assert [s["state"] for s in recording["storages"]] == ["skipped", "stored"], recording["storages"]
    rightly_stored(case, near, recording, 1)


# ---- hours ----------------------------------------------------------------------------------------------------------


def test_upload_window(case):
    """Outside of its hours nothing is stored; inside all is."""
    server = s3.versitygw(case)
    bucket = server.make_bucket("window")
    hour = time.localtime().tm_hour
    closed = f"{(hour + 2) % 24:02d}:00-{(hour + 3) % 24:02d}:00"
    daemon = stenod(case, server, bucket, upload_window=closed)
    id_ = captures.plant(daemon, captures.make(case))
    daemon.start()
    daemon.await_state(id_, "storing", 30)
    assert await_storage(daemon, id_, ("waiting",), 20)["error"] is None
    assert not any(id_ in k for k in server.keys(bucket)), "stored outside of its hours"
    mended(case, server, daemon, id_, upload_window=f"{hour:02d}:00-{(hour + 2) % 24:02d}:00")


# ---- fetching -------------------------------------------------------------------------------------------------------


def test_get(case):
    """From a bucket: through stenod, by a signed address, after a cut; a wrong byte is refused."""
    server = s3.versitygw(case)
    bucket = server.make_bucket("fetch")
    proxy = s3proxy.Proxy(case, server)
    daemon = stenod(case, server, bucket, endpoint=proxy.url)
    id_ = captures.plant(daemon, captures.make(case, large=True))
    daemon.start()
    recording = daemon.await_state(id_, "completed", 60)
    outputs = rightly_stored(case, server, recording)
    largest = max(recording["files"], key=lambda f: f["bytes"])
    by_stenod, direct, cut = case.path("by-stenod"), case.path("direct"), case.path("cut")
    for folder in (by_stenod, direct, cut):
        os.makedirs(folder)
    for folder, options in ((by_stenod, []), (direct, ["--direct"])):
        done = daemon.cli("get", id_, "--output", folder, *options)
        assert done.returncode == 0, done.stdout + done.stderr
        for output in outputs:
            assert sha256(os.path.join(folder, output["file"])) == output["sha256"]
    # Killed in the middle: what is there is gone on with.
    proxy.after = lambda r, h, b: s3proxy.Proxy.HALF if r.method == "GET" and len(b) > MIB else None
    proxy.before = lambda r: None if r.headers.get("range", "bytes=0-").startswith("bytes=0-") else s3proxy.Proxy.STALL
    process = procs.start([steno.STENO, "get", id_, largest["name"], "--output", cut], env={**os.environ, "STENO_SOCKET": daemon.socket},
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    procs.await_true(lambda: any(os.path.getsize(os.path.join(cut, n)) >= MIB for n in os.listdir(cut)), 30, "some of the file is there")
    process.kill()
    process.wait()
    assert not os.path.exists(os.path.join(cut, largest["name"])), "half of a file was taken for the whole"
    proxy.after = proxy.before = None
    before = len(proxy.requests)
    done = daemon.cli("get", id_, largest["name"], "--output", cut)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sha256(os.path.join(cut, largest["name"])) == largest["sha256"]
    asked = [r.headers["range"] for r in proxy.requests[before:] if r.method == "GET" and "range" in r.headers]
    assert any(not r.startswith("bytes=0-") for r in asked), f"began anew: {asked}"
    # A redirect is what a browser gets, and it holds no key of ours.
    answer = daemon.get(f"/v1/recordings/{id_}/files/{largest['name']}")
    assert answer.status == 302 and "X-Amz-Signature" in answer.headers["location"], answer
    with open(daemon.log) as f:
        assert "X-Amz-Signature" not in f.read(), "a signed address is in the log"
    stored = os.path.join(server.folder, bucket, place(recording)[1], largest["name"])
    flip(stored)
    shutil.rmtree(cut)
    os.makedirs(cut)
    done = daemon.cli("get", id_, largest["name"], "--output", cut)
    assert done.returncode != 0 and os.listdir(cut) == [], (done.returncode, os.listdir(cut))
    assert hashlib.sha256(daemon.get(f"/v1/recordings/{id_}/manifest?via=stream").body).hexdigest() == \
        sha256(server.get(bucket, place(recording)[1] + "manifest.json", case.path("manifest.json")))
