"""The commands of `steno` against a stenod that only talks: what is sent, printed and returned, also when it goes wrong."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fake import MEDIA, Fake, file_of, recording  # noqa: E402

STENO = os.path.abspath(sys.argv.pop(1))
START = ["start", "--app", "clinic", "--platform", "janus-1", "--channel", "1234"]


class Commands(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="steno-cli-")
        self.at = self.folder.name
        self.fake = Fake(os.path.join(self.at, "api.sock"))

    def tearDown(self):
        self.fake.down()
        self.folder.cleanup()

    def environment(self):
        own = {k: v for k, v in os.environ.items() if not k.startswith("STENO_")}
        return {**own, "STENO_SOCKET": self.fake.path, "TZ": "Europe/Berlin", "LC_ALL": "C.UTF-8"}

    def popen(self, *words, **more):
        process = subprocess.Popen([STENO, *words], cwd=self.at, env=self.environment(), text=True, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, **more)
        late = threading.Timer(60, process.kill)  # so that a fault is a failure, not a test that hangs
        late.start()
        self.addCleanup(late.cancel)
        return process

    def steno(self, *words, code=0, **more):
        """(stdout, stderr)"""
        done = subprocess.run([STENO, *words], cwd=self.at, env=self.environment(), text=True, capture_output=True,
                              timeout=60, stdin=more.pop("stdin", subprocess.DEVNULL), **more)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        if code == 0:
            self.assertEqual(done.stderr, "")
        return done.stdout, done.stderr

    def last(self):
        request = self.fake.requests[-1]
        return request, json.loads(request["body"]) if request["body"] else None

    def add(self, ident="01A", **more):
        self.fake.recordings[ident] = recording(ident, **more)
        return ident

    # ---- start ----
    def test_start_prints_the_id_alone(self):
        out, _ = self.steno(*START)
        self.assertIn(out.strip(), self.fake.recordings)
        request, body = self.last()
        self.assertEqual(body, {"app": "clinic", "platform": "janus-1", "channel": "1234"})
        self.assertTrue(request["headers"]["Idempotency-Key"])

    def test_start_sends_what_was_asked(self):
        token = os.path.join(self.at, "token")
        with open(os.open(token, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write("a-join-token\n")
        self.steno(*START, "--profile", "low", "--token", "@" + token, "--audio-of", "none", "--video-of", "alice",
                   "--video-of", "bob", "--max-height", "720", "--outputs", "track", "--audio", "aac", "--storage", "primary",
                   "--storage", "archive", "--store", "first", "--rotate", "30m", "--rotate-join", "--for", "1h30m", "--max-idle", "5m", "--label", "case=17", "--label", "ward=7=b", "--webhook", "ward-7",
                   "--at", "2099-06-01 08:30")
        _, body = self.last()
        self.assertEqual(body, {
            "app": "clinic", "platform": "janus-1", "channel": "1234", "profile": "low",
            "token": {"source": "given", "value": "a-join-token"},
            "subscribe": {"audio": "none", "video": ["alice", "bob"], "max_height": 720},
            "outputs": [{"type": "track", "audio": "aac"}], "storages": ["primary", "archive"], "store": "first",
            "rotate_s": 1800, "rotate_join": True, "max_duration_s": 5400,
            "max_idle_s": 300, "labels": {"case": "17", "ward": "7=b"}, "webhook": "ward-7",
            "start_at": "2099-06-01T06:30:00Z"})

    def test_a_secret_in_argv_is_refused_and_not_repeated(self):
        for words in (["--token", "a-join-token"], ["--keys", "a passphrase"], ["--keys", '{"keys": [{"passphrase": "a passphrase"}]}'],
                      ["--keys", ""]):
            out, err = self.steno(*START, *words, code=2)
            self.assertNotIn("a-join-token", out + err)
            self.assertNotIn("a passphrase", out + err)
        self.assertEqual(self.fake.requests, [])

    def key_file(self, text, mode=0o600):
        path = os.path.join(self.at, "channel.json")
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def test_start_with_content_keys(self):
        for words, content in ((["--content", "livekit", "--keys", "later"], {"format": "livekit", "keys": "later"}),
                               (["--keys", "vault-1", "--fail-on-undecryptable", "30s"], {"keys": "vault-1", "fail_on_undecryptable_s": 30}),
                               (["--content", "none"], {"format": "none"})):
            self.steno(*START, *words, "--unless-running")
            self.assertEqual([r for r in map(json.loads, (r["body"] for r in self.fake.requests if r["body"]))][-1]["content"], content)
        key_set = {"keys": [{"kid": "18446744073709551615", "passphrase": "a passphrase"}]}
        path = self.key_file(json.dumps(key_set))
        self.steno(*START[:-1], "2", "--content", "sframe", "--keys", "@" + path)
        self.assertEqual(self.last()[1]["content"], {"format": "sframe", "keys": key_set})
        with open(path) as given:
            self.steno(*START[:-1], "3", "--keys", "-", stdin=given)
        self.assertEqual(self.last()[1]["content"], {"keys": key_set})

    def test_key_files_that_are_none(self):
        for text, mode, code, words in (('{"keys": [', 0o600, 29, "no JSON"), ("[]", 0o600, 29, "no JSON object"),
                                        ('{"keys": "a passphrase" x}', 0o600, 29, "no JSON"), ("{}", 0o644, 2, "chmod 0600")):
            out, err = self.steno(*START, "--keys", "@" + self.key_file(text, mode), code=code)
            self.assertIn(words, err)
            self.assertNotIn("a passphrase", out + err)
        self.steno(*START, "--keys", "@" + os.path.join(self.at, "gone"), code=2)
        self.assertEqual(self.fake.requests, [])

    def test_a_channel_off_the_record(self):
        self.fake.faults = [(403, "off-the-record", "app 'clinic' never records channel '1234'")]
        _, err = self.steno(*START, code=28)
        self.assertIn("never records", err)

    def test_start_of_a_running_channel(self):
        ident = self.add(channel="1234")
        _, err = self.steno(*START, code=4)
        self.assertIn("channel 1234 on janus-1 is not being recorded once more: ", err)
        self.assertEqual(err.count("\n"), 1)
        out, _ = self.steno(*START, "--unless-running")
        self.assertEqual(out, ident + "\n")

    def test_two_starts_at_the_same_moment_are_one(self):
        both = [self.popen(*START, "--unless-running") for _ in range(8)]
        ids = {one.communicate(timeout=60)[0] for one in both}
        self.assertEqual([one.returncode for one in both], [0] * 8)
        self.assertEqual(len(ids), 1)
        self.assertEqual(len(self.fake.recordings), 1)

    def test_start_is_sent_again_when_the_answer_is_lost(self):
        self.fake.faults = ["cut", "cut"]
        self.steno(*START)
        keys = {r["headers"]["Idempotency-Key"] for r in self.fake.requests}
        self.assertEqual((len(self.fake.requests), len(keys)), (3, 1))

    def test_start_waits_for_a_stenod_that_is_being_replaced(self):
        self.fake.faults = [(503, "shutting-down", "stenod is being stopped")]
        self.steno(*START)
        self.fake.down()  # the socket stays, and refuses
        threading.Timer(0.5, lambda: (os.unlink(self.fake.path), self.fake.up())).start()
        self.steno(*START[:-1], "5678")
        self.assertEqual(len(self.fake.recordings), 2)

    def test_start_tells_why_not(self):
        self.fake.faults = [(503, "limit-reached", "50 recordings run, and no more are allowed")]
        out, err = self.steno(*START, "--json", code=50)
        self.assertEqual(err, "steno: channel 1234 on janus-1 is not being recorded: 50 recordings run, and no more are allowed\n")
        self.assertEqual(json.loads(out)["error"]["code"], "limit-reached")
        self.fake.faults = [(400, "usage", "the request is wrong",
                             {"errors": [{"pointer": "/outputs/0/type", "detail": "is 'mp3'"}]})]
        _, err = self.steno(*START, code=2)
        self.assertIn("/outputs/0/type: is 'mp3'", err)

    def test_start_refuses_what_makes_no_sense(self):
        for words in (["--for", "1h30"], ["--at", "25:00"], ["--at", "2001-01-01 10:00"], ["--label", "x"],
                      ["--max-height", "x"], ["--token", "-", "--no-token"], ["stray"], ["--frobnicate"]):
            self.steno(*START, *words, code=2)
        self.assertEqual(self.fake.requests, [])

    def test_start_wait_ends_with_the_result(self):
        run = self.popen(*START, "--wait")
        ident = run.stdout.readline().strip()
        self.fake.await_stream(1)
        self.fake.end(ident, "failed", "join-failed", {"code": "token-refused", "message": "the platform said 403"})
        out, err = run.communicate(timeout=60)
        self.assertEqual((run.returncode, out), (12, ""))
        self.assertIn("channel 1234 on janus-1 failed, join-failed: the platform said 403", err)

    # ---- list, show ----
    def test_list(self):
        for i in range(7):
            self.add(f"01A{i}", state="completed" if i % 2 else "recording", channel="Zürich\x1b[31m")
        out, _ = self.steno("list")
        lines = out.splitlines()
        self.assertEqual(len(lines), 8)
        self.assertEqual(lines[0].split()[:3], ["ID", "STATE", "APP"])
        self.assertIn("2026-11-21 20:55:41", lines[1])
        self.assertNotIn("\x1b", out)
        out, _ = self.steno("list", "--plain", "--state", "recording", "--state", "paused")
        self.assertEqual([line.split("\t")[0] for line in out.splitlines()], ["01A0", "01A2", "01A4", "01A6"])
        self.assertEqual(self.last()[0]["query"]["state"], "recording,paused")
        out, _ = self.steno("list", "--all", "--limit", "3", "--json")
        self.assertEqual(len(json.loads(out)["recordings"]), 7)
        self.steno("list", "--label", "case=17", "--from", "2026-11-21 00:00", "--order", "oldest")
        self.assertEqual(self.last()[0]["query"], {"label": "case:17", "created_from": "2026-11-20T23:00:00Z", "order": "oldest"})

    def test_show(self):
        self.add(files=[file_of("alice.mkv", b"x")], labels={"case": "17"}, end_reason="stopped",
                 participants=[{"id": "7", "name": "alice\x07", "joined_at": None, "left_at": None}])
        out, _ = self.steno("show", "01A")
        for words in ("recording", "case=17", "alice.mkv", "1:02:03", "1.00 %"):
            self.assertIn(words, out)
        self.assertNotIn("\x07", out)
        out, _ = self.steno("show", "01A", "--json")
        self.assertEqual(json.loads(out), self.fake.recordings["01A"])
        _, err = self.steno("show", "01B", code=3)
        self.assertEqual(err, "steno: there is no recording 01B\n")
        self.steno("show", "../keys", code=3)
        self.assertEqual(self.last()[0]["path"], "/v1/recordings/..%2Fkeys")

    # ---- stop, pause, update, delete ----
    def test_stop_wait(self):
        self.add()
        self.add("01B")
        out, _ = self.steno("stop", "--wait", "01A", "01B", "--json")
        self.assertEqual([json.loads(line)["state"] for line in out.splitlines()], ["completed", "completed"])

    def test_pause_and_resume(self):
        self.add()
        self.steno("pause", "01A")
        self.assertEqual(self.fake.recordings["01A"]["state"], "paused")
        _, err = self.steno("pause", "01A", code=5)
        self.assertEqual(err, "steno: recording 01A: it is paused\n")
        self.steno("resume", "01A")

    def test_update(self):
        self.add()
        self.steno("update", "01A", "--for", "2h", "--label", "case=18")
        request, body = self.last()
        self.assertEqual((request["method"], body), ("PATCH", {"max_duration_s": 7200, "labels": {"case": "18"}}))
        self.steno("update", "01A", code=2)

    def test_delete_asks(self):
        self.add()
        self.steno("delete", "01A", code=2)
        self.assertIn("01A", self.fake.recordings)
        self.steno("delete", "--files", "--yes", "01A")
        self.assertEqual(self.last()[0]["query"], {"files": "true"})

    # ---- watch ----
    def test_watch_goes_on_after_a_restart(self):
        self.add()
        run = self.popen("watch", "01A")
        self.fake.await_stream(1)
        self.fake.event("started", "01A", started_at="2026-11-21T19:55:41Z")
        self.assertIn(" 01A started channel 1234 started_at=", run.stdout.readline())
        self.fake.cut_streams()
        self.fake.event("paused", "01A")
        self.assertIn(" 01A paused ", run.stdout.readline())
        self.fake.await_stream(2)
        self.assertEqual(self.fake.requests[-2]["headers"].get("Last-Event-ID"), "1")
        self.fake.end("01A")
        out, err = run.communicate(timeout=60)
        self.assertEqual((run.returncode, err), (0, ""))
        self.assertTrue(out.endswith("01A completed: stopped\n"), out)

    def test_watch_of_an_end_that_nobody_heard(self):
        self.add(state="failed", end_reason="storage", error={"code": "storage-full", "message": "the disk is full"})
        _, err = self.steno("watch", "01A", code=41)
        self.assertIn("the disk is full", err)

    def test_watch_json(self):
        self.add()
        self.fake.event("started", "01A")
        self.fake.end("01A")
        out, _ = self.steno("watch", "--json", "--after", "0", "01A")
        self.assertEqual([json.loads(line)["seq"] for line in out.splitlines()], [1, 2])

    # ---- files, get ----
    def put(self, *names):
        self.fake.media = {name: MEDIA for name in names}
        self.add(files=[file_of(name, MEDIA) for name in names], state="completed")

    def read(self, path):
        with open(os.path.join(self.at, path), "rb") as f:
            return f.read()

    def test_get(self):
        self.put("alice.mkv", "bob.mkv")
        out, _ = self.steno("get", "01A")
        self.assertEqual(out.split(), ["01A/alice.mkv", "01A/bob.mkv", "01A/manifest.json"])
        self.assertEqual(self.read("01A/alice.mkv"), MEDIA)
        self.assertEqual(os.stat(os.path.join(self.at, "01A/alice.mkv")).st_mode & 0o777, 0o600)
        count = len(self.fake.requests)
        self.steno("get", "01A", "alice.mkv", "bob.mkv")
        self.assertEqual(len(self.fake.requests), count + 1, "what was there was fetched again")
        out, _ = self.steno("files", "01A", "--plain")
        self.assertEqual(out.splitlines()[0].split("\t")[:2], ["alice.mkv", str(len(MEDIA))])

    def test_get_goes_on(self):
        self.put("alice.mkv")
        os.mkdir(os.path.join(self.at, "to"))
        with open(os.path.join(self.at, "to/alice.mkv.part"), "wb") as f:
            f.write(MEDIA[:1000])
        self.fake.cuts = [500000, 700000]
        self.steno("get", "01A", "alice.mkv", "-o", "to")
        self.assertEqual(self.read("to/alice.mkv"), MEDIA)
        ranges = [(r["headers"].get("Range"), "If-Range" in r["headers"]) for r in self.fake.requests[1:]]
        self.assertEqual(ranges, [("bytes=1000-", True), ("bytes=501000-", True), ("bytes=1201000-", True)])

    def test_get_begins_anew_after_what_was_wrong(self):
        self.put("alice.mkv")
        os.mkdir(os.path.join(self.at, "01A"))
        with open(os.path.join(self.at, "01A/alice.mkv.part"), "wb") as f:
            f.write(b"something else")
        self.steno("get", "01A", "alice.mkv")
        self.assertEqual(self.read("01A/alice.mkv"), MEDIA)

    def test_get_gives_no_name_to_what_is_wrong(self):
        self.put("alice.mkv")
        self.fake.media["alice.mkv"] = MEDIA[:-1] + b"x"
        _, err = self.steno("get", "01A", "alice.mkv", code=44)
        self.assertIn("SHA-256", err)
        self.assertEqual(os.listdir(os.path.join(self.at, "01A")), [])
        self.fake.media["alice.mkv"] = MEDIA + b"x"
        self.steno("get", "01A", "alice.mkv", code=44)

    def test_get_what_proves_the_manifest(self):
        self.put("alice.mkv")
        self.fake.media.update({"manifest.json.sig": b"s" * 64, "manifest.json.tsr": b"t"})
        out, _ = self.steno("get", "01A")
        self.assertEqual(out.split(), ["01A/alice.mkv", "01A/manifest.json.tsr", "01A/manifest.json.sig", "01A/manifest.json"])
        self.assertEqual(self.read("01A/manifest.json.sig"), b"s" * 64)

    def test_get_through_stenod_or_direct(self):
        self.put("alice mkv.mkv")
        self.fake.up_bucket()
        self.steno("get", "01A", "alice mkv.mkv", "-o", "through")
        self.assertEqual((self.last()[0]["query"], self.fake.direct), ({"via": "stream"}, []))
        os.mkdir(os.path.join(self.at, "to"))
        with open(os.path.join(self.at, "to/alice mkv.mkv.part"), "wb") as f:
            f.write(MEDIA[:1000])
        self.fake.cuts = [5000]
        self.steno("get", "01A", "alice mkv.mkv", "-o", "to", "--direct")
        self.assertEqual(self.read("to/alice mkv.mkv"), MEDIA)
        # stenod is asked for an address each time; the storage is told nothing of us.
        self.assertEqual([one["headers"].get("Range") for one in self.fake.direct], ["bytes=1000-", "bytes=6000-"])
        for one in self.fake.direct:
            self.assertEqual(one["query"], "signature=secret")
            self.assertLessEqual(set(one["headers"]), {"Host", "Accept", "Range"}, one["headers"])

    def test_get_direct_that_is_refused(self):
        self.put("alice.mkv")
        self.fake.up_bucket()
        for status, code in ((403, 45), (404, 3), (400, 42)):
            self.fake.refusals = [status]
            out, err = self.steno("get", "01A", "alice.mkv", "--direct", code=code)
            self.assertIn(f"HTTP {status}", err)
            self.assertNotIn("signature=secret", out + err)
        self.assertEqual(os.listdir(os.path.join(self.at, "01A")), [])
        # Another machine, in clear.
        self.fake.elsewhere = "http://192.0.2.1"
        _, err = self.steno("get", "01A", "alice.mkv", "--direct", code=23)
        self.assertIn("in clear", err)
        # Without --direct nobody follows anywhere, whatever stenod says.
        count = len(self.fake.direct)
        self.fake.faults = [(302, "x", "x")]
        self.steno("get", "01A", "alice.mkv", code=23)
        self.assertEqual(len(self.fake.direct), count)

    def test_get_of_changed_contents_leaves_nothing(self):
        self.put("alice.mkv")
        self.fake.up_bucket()
        self.fake.media["alice.mkv"] = b"x" + MEDIA[1:]
        for more in ([], ["--direct"]):
            _, err = self.steno("get", "01A", "alice.mkv", *more, code=44)
            self.assertIn("thrown away", err)
            self.assertEqual(os.listdir(os.path.join(self.at, "01A")), [])

    def test_get_spares_other_files(self):
        self.put("alice.mkv")
        os.mkdir(os.path.join(self.at, "01A"))
        with open(os.path.join(self.at, "01A/alice.mkv"), "wb") as f:
            f.write(b"mine")
        self.steno("get", "01A", "alice.mkv", code=40)
        self.assertEqual(self.read("01A/alice.mkv"), b"mine")
        self.steno("get", "01A", "alice.mkv", "--force")
        self.assertEqual(self.read("01A/alice.mkv"), MEDIA)

    def test_get_refuses_names_that_lead_elsewhere(self):
        self.put("alice.mkv")
        self.fake.recordings["01A"]["files"] = [file_of("../../evil", b"x")]
        self.steno("get", "01A", code=23)
        self.assertFalse(os.path.exists(os.path.join(self.at, "../evil")))

    def test_get_of_nothing(self):
        self.add()
        _, err = self.steno("get", "01A", code=3)
        self.assertEqual(err, "steno: recording 01A has no files yet: it is recording\n")
        self.put("alice.mkv")
        self.steno("get", "01A", "carol.mkv", code=3)

    # ---- keys ----
    def test_first_key(self):
        out, _ = self.steno("key", "init")
        self.assertEqual(out, "key_01JD8Z:c2VjcmV0LXNlY3JldA\n")
        out, _ = self.steno("key", "init", "--json")
        self.assertEqual(json.loads(out)["secret"], "c2VjcmV0LXNlY3JldA")
        self.fake.fixed["/v1/keys"] = {"keys": []}
        out, err = self.steno("key", "init", code=5)
        self.assertEqual(out, "")
        self.assertIn("there is an admin key already", err)

    def test_keys(self):
        out, _ = self.steno("key", "add", "--role", "operator", "--app", "clinic")
        self.assertEqual(out, "key_01JD8Z:c2VjcmV0LXNlY3JldA\n")
        self.assertEqual(self.last()[1], {"role": "operator", "app": "clinic"})
        self.fake.fixed["/v1/keys"] = {"keys": [{"id": "key_1", "role": "admin", "app": None, "label": "first",
                                                 "created_at": "2026-11-21T19:55:40Z", "revoked_at": None}]}
        out, _ = self.steno("key", "list")
        self.assertIn("key_1  admin", out)
        self.steno("key", "revoke", "key_1", "key_2")
        self.assertEqual(self.last()[0]["path"], "/v1/keys/key_2")

    def test_webhooks(self):
        self.fake.fixed["/v1/webhooks"] = {"webhooks": [{"name": "ward-7", "state": "failing", "waiting": 3,
                                                         "url": "https://x.example/", "last_error": "HTTP 500"}]}
        out, _ = self.steno("webhook", "list", "--plain")
        self.assertEqual(out, "ward-7\tfailing\t3\thttps://x.example/\tHTTP 500\n")

    # ---- storages ----
    def test_storages(self):
        uploads = {"waiting": 0, "storing": 1, "retrying": 0, "blocked": 0}
        why = {"since": "2026-11-21T19:55:40Z", "error": {"code": "storage-denied", "message": "AccessDenied\x1b[31m"}}
        self.fake.fixed["/v1/storages"] = {"storages": [
            {"name": "primary", "type": "local", "uri": "file:///srv", "free_bytes": 5, "total_bytes": 9, "blocked": None, "uploads": uploads},
            {"name": "archive", "type": "s3", "uri": "s3://b/", "free_bytes": None, "total_bytes": None, "blocked": why,
             "uploads": {**uploads, "blocked": 2}}]}
        out, _ = self.steno("storage", "list", "--plain")
        self.assertEqual(out.splitlines()[0], "primary\tok\tlocal\tfile:///srv\t5\t1 storing\t\t")
        self.assertTrue(out.splitlines()[1].startswith("archive\tblocked\ts3\ts3://b/\t\t2 blocked, 1 storing\t2026-11-21T19:55:40Z\tAccessDenied"))
        out, _ = self.steno("storage", "list")
        self.assertIn("2026-11-21 20:55:40", out)
        self.assertNotIn("\x1b", out)
        self.fake.checks = {"archive": {}}
        out, _ = self.steno("storage", "retry", "archive")
        self.assertEqual(out, "archive: 2 recordings are tried again\n")
        self.assertEqual(json.loads(self.steno("storage", "retry", "archive", "--json")[0]), {"retried": 2})
        _, err = self.steno("storage", "retry", "none", code=3)
        self.assertEqual(err, "steno: storage none: there is no storage none\n")

    def test_show_of_what_is_blocked(self):
        self.add(state="storing", storages=[
            {"name": "primary", "state": "stored", "uri": "file:///srv/1", "since": None, "error": None, "bytes": 9, "bytes_total": 9},
            {"name": "archive", "state": "blocked", "uri": "s3://b/1", "since": "2026-11-21T19:55:40Z", "bytes": 1000, "bytes_total": 2000,
             "error": {"code": "storage-denied", "message": "AccessDenied on s3://b/1"}}])
        out, _ = self.steno("show", "01A")
        self.assertIn("primary: stored file:///srv/1\n", out)
        self.assertIn("archive: blocked since 2026-11-21 20:55:40, 1.0 kB of 2.0 kB: AccessDenied on s3://b/1\n", out.replace("\xa0", " "))
        self.assertIn("storing (blocked)", self.steno("list")[0])
        self.assertIn("\tstoring\t", self.steno("list", "--plain")[0])

    def test_show_of_an_encrypted_channel(self):
        self.add(participants=[{"id": "7", "name": "alice", "joined_at": None, "left_at": None}],
                 files=[file_of("a.mkv", b"x", sealed=True), file_of("b.mkv.cms", b"x", encryption="cms"), file_of("c.mkv", b"x")],
                 content={"format": "livekit", "keys": "vault-1", "sealed": True, "undecryptable": [
                     {"participant": "7", "track": 2, "kid": "3", "cause": "no-key", "since": "2026-11-21T19:55:40Z"},
                     {"participant": "8", "track": 4, "kid": None, "cause": "bad-key", "since": "2026-11-21T19:55:40Z"}]})
        out, _ = self.steno("show", "01A")
        for words in ("livekit, keys: vault-1; some frames are sealed\n", "alice, track 2, key id 3: no-key since 2026-11-21 20:55:40\n",
                      "8, track 4, key id unknown: bad-key since 2026-11-21 20:55:40\n", "ENCRYPTED"):
            self.assertIn(words, out)
        self.assertIn("recording (undecryptable)", self.steno("list")[0])
        self.assertIn("\trecording\t", self.steno("list", "--plain")[0])
        out, _ = self.steno("files", "01A", "--plain")
        self.assertEqual([line.split("\t")[-1] for line in out.splitlines()], ["sealed", "cms", ""])

    # ---- reaching stenod ----
    def test_nobody_there(self):
        self.fake.down()
        begun = time.monotonic()
        _, err = self.steno("list", code=52)
        self.assertIn("systemctl status stenod", err)
        self.assertLess(time.monotonic() - begun, 30)
        os.unlink(self.fake.path)
        _, err = self.steno("list", code=52)
        self.assertIn("there is no socket", err)
        self.fake.up()

    def test_server_needs_https_and_a_key(self):
        key = os.path.join(self.at, "key")
        for text, mode, words in ((b"key_1:dGhlIGtleQ", 0o644, "0600"), (b"dGhlIGtleQ", 0o600, "key_id:secret")):
            with open(key, "wb") as f:
                f.write(text)
            os.chmod(key, mode)
            _, err = self.steno("list", "--server", "127.0.0.1:1", "--key-file", key, code=2)
            self.assertIn(words, err)
        self.steno("list", "--server", "http://127.0.0.1:1", "--key-file", key, code=2)
        self.steno("list", "--server", "https://127.0.0.1:1", code=2)
        with open(key, "wb") as f:
            f.write(b"key_1:dGhlIGtleQ\n")
        _, err = self.steno("list", "--server", "127.0.0.1:1", "--key-file", key, code=52)
        self.assertNotIn("dGhlIGtleQ", err)

    def test_what_is_no_stenod(self):
        self.fake.faults = ["cut"]
        self.steno("webhook", "enable", "x", code=52)
        self.assertEqual(len(self.fake.requests), 1, "what does harm twice was sent twice")
        self.fake.faults = [(404, "what-is-this", "x")]
        _, err = self.steno("list", code=3)
        self.assertIn("is this stenod", err)

    # ---- check, doctor, audit ----
    def well(self):
        good = {"name": "janus-1", "ok": True, "checks": [{"name": "reachable", "ok": True, "detail": "Janus 1.1"}]}
        self.fake.fixed.update({
            "/livez": {"live": True}, "/version": {"name": "stenod", "version": "0.0.1"},
            "/readyz": {"ready": True, "checks": [{"name": "journal", "ok": True, "detail": "12 recordings"}]},
            "/v1/platforms": {"platforms": [{"name": "janus-1"}]}, "/v1/storages": {"storages": [{"name": "primary"}]},
            "/v1/webhooks": {"webhooks": [{"name": "ward-7", "state": "ok", "waiting": 0}]}})
        self.fake.checks = {"janus-1": good, "primary": {"ok": True, "checks": [{"name": "put", "ok": True, "detail": "3 ms"}]}}
        config = os.path.join(self.at, "steno.conf")
        root = os.path.join(self.at, "root")
        os.makedirs(root, exist_ok=True)
        with open(config, "w") as f:
            f.write(f'state_dir = "{root}";\nspool_dir = "{root}";\nruntime_dir = "{root}";\n'
                    f'limits = {{ refuse_below_percent = 0; finish_below_percent = 0; }};\n'
                    f'api = {{ listen = []; socket = "{self.fake.path}"; }};\n'
                    'platforms = ({ name = "janus-1"; url = "http://127.0.0.1:8088/janus"; });\n'
                    f'storages = ({{ name = "primary"; root = "{root}"; }});\n')
        return config

    def doctor(self, config, code):
        out, _ = self.steno("doctor", "--config", config, "--json", code=code)
        told = json.loads(out)
        self.assertEqual(told["ok"], code == 0)
        return {c["name"]: c for c in told["checks"]}

    def test_doctor_of_what_is_well(self):
        told = self.doctor(self.well(), 0)
        for name in ("configuration", "clock", "disk of the spool", "disk of primary", "open files", "locked memory", "sandbox",
                     "DNS of janus-1", "stenod", "ready: journal", "platform janus-1 reachable", "storage primary put",
                     "webhook ward-7"):
            self.assertIn(name, told)
        self.assertEqual(told["version"]["result"], "warning")
        self.assertNotIn("this shell", told["open files"]["detail"])

    def test_doctor_finds(self):
        config = self.well()
        self.fake.checks["janus-1"]["checks"] = [{"name": "token", "ok": False, "detail": "403 unauthorized"}]
        self.fake.fixed["/v1/webhooks"]["webhooks"][0].update(state="disabled", last_error="410 Gone")
        told = self.doctor(config, 1)
        self.assertEqual(told["platform janus-1 token"]["detail"], "403 unauthorized")
        self.assertIn("steno webhook enable", told["webhook ward-7"]["advice"])
        out, _ = self.steno("doctor", "--config", config, code=1)
        self.assertIn("✗ platform janus-1 token", out)
        self.assertNotIn("\x1b", out)

    def test_doctor_finds_what_is_not_ready(self):
        config = self.well()
        with open(config, "a") as f:
            f.write('frobnicate = 1;\n')
        self.fake.fixed["/readyz"] = None  # 503, below
        told = self.doctor(config, 1)
        self.assertIn("frobnicate", told["configuration"]["detail"])
        self.assertEqual(told["ready: disk"]["detail"], "2 % free")

    def test_doctor_without_stenod(self):
        config = self.well()
        self.fake.down()
        begun = time.monotonic()
        told = self.doctor(config, 1)
        self.assertLess(time.monotonic() - begun, 5, "it waited for what is not there")
        os.unlink(self.fake.path)
        self.fake.up()
        self.assertEqual((told["stenod"]["ok"], told["configuration"]["ok"]), (False, True))
        self.assertNotIn("webhook ward-7", told)

    def test_doctor_of_key_sources(self):
        config = self.well()
        keys = os.path.join(self.at, "keys")
        os.makedirs(os.path.join(keys, "clinic"), 0o700)
        program = os.path.join(self.at, "give-key")
        with open(os.path.join(keys, "clinic", "1234.json"), "w"), open(program, "w"):
            pass
        os.chmod(os.path.join(keys, "clinic", "1234.json"), 0o400)
        os.chmod(program, 0o700)
        for name, mode in (("token", 0o600), ("service", 0o600)):
            with open(os.open(os.path.join(self.at, name), os.O_WRONLY | os.O_CREAT, mode), "w") as f:
                f.write("x\n")
        with socket.create_server(("127.0.0.1", 0)) as there, open(config, "a") as f:
            f.write('key_sources = (\n'
                    f'{{ name = "files"; path = "{keys}"; }}, {{ name = "program"; type = "command"; path = "{program}"; }},\n'
                    f'{{ name = "vault"; type = "vault"; url = "http://127.0.0.1:{there.getsockname()[1]}"; secret_file = "{self.at}/token"; }},\n'
                    f'{{ name = "gone"; type = "service"; url = "https://127.0.0.1:1/keys"; secret_file = "{self.at}/service"; }});\n')
            f.flush()
            told = self.doctor(config, 1)
        self.assertEqual([told[f"key source {name}"]["ok"] for name in ("files", "program", "vault", "gone")], [True, True, True, False])
        self.assertIn("1 channels' keys", told["key source files"]["detail"])
        self.assertIn("DNS of vault", told)
        os.chmod(os.path.join(keys, "clinic", "1234.json"), 0o640)
        os.chmod(program, 0o722)
        told = self.doctor(config, 1)
        self.assertIn("can be read by others (mode 0640)", told["key source files"]["detail"])
        self.assertIn("chmod 0400", told["key source files"]["advice"])
        self.assertIn("can be changed by others", told["key source program"]["detail"])

    def test_doctor_fips(self):
        """The recorder is asked: here one that only talks, beside a copy of the command."""
        folder = os.path.join(self.at, "bin")
        os.mkdir(folder)
        steno = shutil.copy(STENO, os.path.join(folder, "steno"))
        good = {"use": "content", "algorithm": "AES-128-GCM", "module": "OpenSSL FIPS Provider", "version": "3.0.9", "fips": True}
        off = {"use": "content", "algorithm": "SM4-128-ECB", "module": None, "version": None, "fips": False}
        other = {"use": "SRTP", "algorithm": "AES-CM", "module": "NSS", "version": None, "fips": False}
        recorder = os.path.join(folder, "steno-recorder")

        def doctor(rows, code, *words):
            with open(recorder, "w") as f:
                f.write(f"#!/bin/sh\n[ \"$*\" = --modules ] || exit 9\necho '{rows if isinstance(rows, str) else json.dumps(rows)}'\n")
            os.chmod(recorder, 0o700)
            done = subprocess.run([steno, "doctor", "--fips", *words], env=self.environment(), capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
            return done.stdout
        out = doctor([good, off], 0)
        self.assertIn("✓ AES-128-GCM (content)  OpenSSL FIPS Provider 3.0.9\n", out)
        self.assertIn("! SM4-128-ECB (content)  off: ", out)
        out = doctor([good, other], 1)
        self.assertRegex(out, r"✗ AES-CM \(SRTP\) +NSS is no FIPS module\n")
        self.assertEqual(json.loads(doctor([good, off], 0, "--json")), {"ok": True, "modules": [good, off]})
        self.assertFalse(json.loads(doctor([good, other], 1, "--json"))["ok"])
        doctor("nonsense", 1)
        self.assertEqual(self.fake.requests, [])

    def test_check(self):
        config = self.well()
        out, _ = self.steno("check", config)
        self.assertEqual(out, f"{config} is good: 0 apps, 1 platforms, 1 storages, 0 webhooks, 0 key sources\n")
        with open(config, "a") as f:
            f.write("frobnicate = 1;\nhocus = 2;\n")
        _, err = self.steno("check", config, code=54)
        self.assertEqual(len([line for line in err.splitlines() if "steno.conf:" in line]), 2, err)
        self.steno("check", "--platform", "janus-1", "--channel", "1234")
        self.assertEqual(self.last()[1], {"channel": "1234"})
        self.fake.checks["primary"]["checks"][0]["ok"] = False
        self.steno("check", "--storage", "primary", code=1)

    def test_audit_verify(self):
        path = os.path.join(self.at, "audit.jsonl")
        with open(path, "w") as f:
            f.write('{"n":1}\n')
        self.steno("audit", "verify", path, code=58)

    # ---- the command itself ----
    def test_unknown_commands(self):
        _, err = self.steno("lsit", code=2)
        self.assertIn("did you mean `steno list`?", err)
        _, err = self.steno("key", "ad", code=2)
        self.assertIn("key add", err)
        self.steno("key", "--help")
        self.assertEqual(self.steno("help", "key", "add"), self.steno("key", "add", "--help"))
        self.steno(code=2)

    def test_every_command_has_help(self):
        out, _ = self.steno("--help")
        names = [line[2:18].strip() for line in out.splitlines() if line.startswith("  ") and not line.startswith("   ")
                 and not line.startswith("  steno")]
        self.assertGreater(len(names), 19)
        for name in names:
            out, _ = self.steno(*name.split(), "--help")
            for words in (f"Usage: steno {name} ", "Example:\n  ", "Exit codes:\n   0  ", "--json"):
                self.assertIn(words, out)

    def test_ctrl_c_ends_a_watch(self):
        self.add()
        run = self.popen("watch")
        self.fake.await_stream(1)
        run.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(timeout=60), -signal.SIGINT)
        run.communicate()


if __name__ == "__main__":
    unittest.main(verbosity=1)
