"""A recorder over its socket: clients that come back, pauses, changed subscriptions; and what the capture says of it."""
import glob
import json
import os
import signal
import socket
import subprocess
import threading
import time

from steno_test import check, janus, media, procs, steno

LIGHT = 190
ID = "01TESTRECORDER0000000000"
# What a viewer does not notice (ITU-R BT.1359: 45 ms early).
OFFSET_MAX = 0.045


class Client:
    """A connection to a recorder's socket. events: its lines as they came, each with the time it was read."""

    def __init__(self, path, first):
        self.events = []
        self.closed = False
        self._lock = threading.Condition()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.send(first)
        threading.Thread(target=self._read, daemon=True).start()

    def send(self, message):
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def _read(self):
        with self.socket.makefile("rb") as lines:
            try:
                for line in lines:
                    with self._lock:
                        self.events.append((time.time(), json.loads(line)))
                        self._lock.notify_all()
            except (OSError, ValueError):
                pass  # we hung up
        with self._lock:
            self.closed = True
            self._lock.notify_all()

    def wait(self, wanted, seconds, what, after=0):
        """The first event from number `after` on for which wanted(event) is true: (number, event)."""
        def found():
            return next(((i, e) for i, (_, e) in enumerate(self.events) if i >= after and wanted(e)), None)
        with self._lock:
            self._lock.wait_for(lambda: found() or self.closed, seconds)
            event = found()
        if event is None:
            raise procs.Timeout(f"{what}: not within {seconds} s; last {[e for _, e in self.events[-5:]]}")
        return event

    def wait_event(self, kind, seconds=20, after=0, **members):
        return self.wait(lambda e: e.get("event") == kind and all(e.get(k) == v for k, v in members.items()), seconds,
                         f"{kind} {members}", after)

    def numbered(self):
        return [e for _, e in self.events if "seq" in e]

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Recorder:
    """A steno-recorder, of a Janus' room when there is a server."""

    def __init__(self, case, server, part=1, capture="capture", finish_when_alone=False, zero_wall_us=0, **job):
        self.path = case.path(f"{capture}-{part}.sock")
        self.capture = case.path(capture)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(self.path)
        listening.listen(4)
        os.set_inheritable(listening.fileno(), True)
        self.errors = case.path(f"recorder-{part}.stderr")
        with open(self.errors, "ab") as err:
            self.process = procs.start([os.path.join(steno.BUILD, "bin", "steno-recorder"), "--socket-fd",
                                        str(listening.fileno())], pass_fds=[listening.fileno()], stderr=err,
                                       stdin=subprocess.DEVNULL)
        case.on_exit(procs.stop, self.process)
        settings = {"id": ID, "platform": "janus", "channel": str(janus.ROOM), "loopback": True, **job}
        if server:
            settings.update(url=server.url, token_secret=server.token_secret)
        self.client = Client(self.path, {"command": "start", "job": settings, "capture": self.capture, "part": part,
                                         "zero_wall_us": zero_wall_us, "finish_when_alone": finish_when_alone})
        listening.close()

    def attach(self, part=0, seq=0):
        self.client = Client(self.path, {"command": "attach", "part": part, "seq": seq})
        return self.client

    def stop(self):
        self.client.send({"command": "stop", "end_reason": "stopped"})
        ended = self.client.wait_event("ended", 20)[1]
        assert self.process.wait(10) == 0, f"exit code {self.process.returncode}"
        return ended

    def lines(self):
        """{part: its lines}"""
        found = {}
        for path in sorted(glob.glob(os.path.join(self.capture, "part-*", "events.jsonl"))):
            with open(path) as f:
                found[int(os.path.dirname(path)[-4:])] = [json.loads(line) for line in f]
        return found

    def assemble(self, case):
        """The folder of the files, and the manifest."""
        done = steno.run("assemble", self.capture, "--output", case.path("files"))
        assert done.returncode == 0, f"steno assemble: exit {done.returncode}: {done.stderr[-800:]}"
        folder = next(at for at, _, names in os.walk(case.path("files")) if "manifest.json" in names)
        check.verified(folder)
        with open(os.path.join(folder, "manifest.json")) as f:
            return folder, json.load(f)


def clip(case):
    """Black, white for 90 ms at each second; silence, a beep for 50 ms at each second."""
    video, audio = case.path("flash.webm"), case.path("beep.ogg")
    if not os.path.exists(video):
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i",
                        "color=black:s=320x180:r=30:d=10,drawbox=enable='lt(mod(t,1),0.09)':c=white:t=fill", "-c:v",
                        "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-g", "30", "-b:v", "300k", "-pix_fmt",
                        "yuv420p", video], check=True)
        subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i",
                        "aevalsrc='if(lt(mod(t,1),0.05),0.7*sin(2*PI*1000*t),0)':s=48000:d=10", "-c:a", "libopus",
                        "-b:a", "64k", audio], check=True)
    return video, audio


def publish(case, server, name):
    video, audio = clip(case)
    publisher = procs.start([os.path.join(steno.BUILD, "bin", "steno-publisher"), "--url", server.url, "--room",
                             str(janus.ROOM), "--token", janus.signed_token(server.token_secret), "--display", name,
                             "--video", video, "--audio", audio, "--loop"], stdout=subprocess.PIPE)
    case.on_exit(procs.stop, publisher)
    assert publisher.stdout.readline(), f"the publisher {name} did not start"
    return publisher


def leave(publisher):
    publisher.send_signal(signal.SIGTERM)
    publisher.wait(10)


def numbered(lines):
    return [line for line in lines if "seq" in line]


def whole(lines):
    """The numbers of a part's lines are 1, 2, 3 …"""
    for part, found in lines.items():
        numbers = [(e["part"], e["seq"]) for e in numbered(found)]
        assert numbers == [(part, i + 1) for i in range(len(numbers))], f"part {part}: {numbers}"
        assert not [e for e in found if "seq" not in e and e["event"] not in ("clock", "stats")], f"part {part}"


# ---- clients that come and go


def test_attach(case):
    """Who comes back is told exactly what was missed; strangers and garbage change nothing; the lock is held."""
    server = case.janus().start()
    recorder = Recorder(case, server)
    first = recorder.client
    hello = first.wait_event("hello")[1]
    assert (hello["pid"], hello["id"], hello["part"]) == (recorder.process.pid, ID, 1), hello
    assert hello["state"] == "joining" and hello["paused"] is False and hello["version"], hello
    assert hello["sandbox"]["seccomp"] is True and isinstance(hello["sandbox"]["landlock_abi"], int), hello
    ada = publish(case, server, "Ada")
    first.wait_event("track_started")
    known = first.numbered()[-1]
    first.close()
    # While nobody listens: strangers, garbage, half a message, a line too long, somebody silent; and a participant.
    for words in (b"", b"nonsense\n", b'{"command":"stop"}\n', b'{"command":"attach"', b"x" * 300000, b'{"command":"pause"}\n'):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(recorder.path)
            try:
                stranger.sendall(words)
            except OSError:
                pass  # sent away in the middle of it
    silent = socket.socket(socket.AF_UNIX)
    silent.connect(recorder.path)
    bob = publish(case, server, "Bob")
    leave(ada)
    time.sleep(2)  # nobody can be asked whether it was told
    # With the path gone, whoever is connected already is served all the same.
    second = recorder.attach(known["part"], known["seq"])
    hello = second.wait_event("hello", 5)
    silent.close()
    assert hello[0] == 0 and hello[1]["state"] == "recording" and hello[1]["pid"] == recorder.process.pid, hello
    os.unlink(recorder.path)
    second.wait_event("participant_joined", name="Bob")
    second.wait_event("stats", after=hello[0])
    refused = Recorder(case, server, part=2)
    answer = refused.client.wait_event("ended")[1]
    assert answer["error"]["code"] == "conflict" and str(recorder.process.pid) in answer["error"]["message"], answer
    assert refused.process.wait(10) == steno.exit_codes()["conflict"]
    assert answer["error"] and not os.path.exists(os.path.join(recorder.capture, "part-0002")), answer
    stats = [e for _, e in second.events if e.get("event") == "stats"][-1]
    assert stats["announced"] >= 1, stats
    leave(bob)
    ended = recorder.stop()
    assert ended["end_reason"] == "stopped" and ended["error"] is None, ended
    lines = recorder.lines()
    whole(lines)
    assert lines[1][0]["state"] == "joining" and lines[1][0]["early"] is True, lines[1][0]
    assert lines[1][-1] == ended, f"last line {lines[1][-1]}, told {ended}"
    assert first.numbered() + second.numbered() == numbered(lines[1]), "what was told is not what stands in the capture"
    assert {"participant_joined", "track_added", "track_removed"} <= {e["event"] for e in second.numbered()}
    case.figure(f"{len(first.numbered())} events before, {len(second.numbered())} after")


def test_nobody_listens(case):
    """The session ends while no client is there: the truth is on disk."""
    clip(case)  # its making is not to take of the recording's few seconds
    server = case.janus().start()
    recorder = Recorder(case, server, max_duration_s=4)
    publish(case, server, "Ada")
    recorder.client.wait_event("track_started")
    recorder.client.close()
    assert recorder.process.wait(20) == 0
    lines = recorder.lines()
    whole(lines)
    last = lines[1][-1]
    assert (last["event"], last["end_reason"], last["error"]) == ("ended", "max-duration", None), last
    assert not os.path.exists(recorder.path), "the socket is left"
    _, manifest = recorder.assemble(case)
    assert manifest["recording"]["end_reason"] == "max-duration" and manifest["recording"]["parts"][0]["end"] == "clean"


def test_lost_for_good(case):
    """Janus goes and does not come back: a part of its own tells when and why it ended."""
    server = case.janus().start()
    recorder = Recorder(case, server, reconnect_s=2)
    publish(case, server, "Ada")
    recorder.client.wait_event("track_started")
    time.sleep(1)
    server.kill()
    ended = recorder.client.wait_event("ended", 60)[1]
    assert ended["end_reason"] == "connection-lost" and ended["error"]["code"] == "connection-lost", ended
    recorder.process.wait(10)
    lines = recorder.lines()
    whole(lines)
    assert sorted(lines) == [1, 2] and lines[2][-1] == ended, lines
    _, manifest = recorder.assemble(case)
    assert manifest["recording"]["end_reason"] == "connection-lost", manifest["recording"]
    gap = [g for g in manifest["gaps"] if g["cause"] == "disconnected" and g["track"] is None]
    assert len(gap) == 1 and gap[0]["until_us"] - gap[0]["from_us"] > 1.5e6, gap


def test_sigterm(case):
    """A recorder that is told to end by a signal ends in order."""
    server = case.janus().start()
    recorder = Recorder(case, server)
    publish(case, server, "Ada")
    recorder.client.wait_event("track_started")
    recorder.process.send_signal(signal.SIGTERM)
    ended = recorder.client.wait_event("ended")[1]
    assert ended["end_reason"] == "stopped" and recorder.process.wait(10) == 0, ended
    assert recorder.lines()[1][-1] == ended


# ---- pauses


def pause(recorder, paused=True):
    """Says it, and returns the wall time at which it was told."""
    after = len(recorder.client.events)
    recorder.client.send({"command": "pause" if paused else "resume"})
    state = "paused" if paused else "recording"
    return recorder.client.wait_event("state", 5, after, state=state)[1]["t"] / 1e6


def gaps(manifest, cause):
    return [(g["from_us"] / 1e6, g["until_us"] / 1e6) for g in manifest["gaps"]
            if g["cause"] == cause and (g["track"] is None) == (cause in ("paused", "disconnected", "recorder"))]


def packets(path):
    """[(time, keyframe)] of the picture."""
    done = subprocess.run(["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "packet=pts_time,flags",
                           "-of", "json", path], capture_output=True, text=True, check=True)
    return [(float(p["pts_time"]), "K" in p["flags"]) for p in json.loads(done.stdout)["packets"]]


def near(name, found, wanted, limit=0.3):
    assert len(found) == len(wanted), f"{name}: {found}, wanted {wanted}"
    for (a, b), (c, d) in zip(found, wanted):
        assert abs(a - c) < limit and abs(b - d) < limit, f"{name}: {found}, wanted {wanted}"


def judge(case, folder, manifest, pauses):
    """Each file: in step before and after each pause, and nothing of the pauses."""
    zero = manifest["recording"]["zero_us"] / 1e6
    for path in check.files(folder):
        name = os.path.basename(path)
        check.clean(path)
        flashes, beeps = media.flashes(path), media.Audio(path).beeps()
        late = [min((f - b for f in flashes), key=abs) for b in beeps if b >= flashes[0] - 0.5]
        late = [x for x in late if abs(x) < 0.4]  # the picture of a beep may come just before its first key frame
        case.figure(f"{name}: picture after sound, ms: {1000 * min(late):.1f} to {1000 * max(late):.1f} in {len(late)}")
        assert max(map(abs, late)) <= OFFSET_MAX, f"{name}: {late}"
        pictures = packets(path)
        for start, end in pauses:
            inside = [t for t in flashes + beeps + [t for t, _ in pictures] if start - zero + 0.15 < t < end - zero - 0.05]
            assert not inside, f"{name}: {inside} in the pause {start - zero:.2f} to {end - zero:.2f}"
            behind = [(t, key) for t, key in pictures if t > end - zero - 0.05]
            assert not behind or behind[0][1], f"{name}: {behind[:3]} behind a pause"
        yield name, zero, flashes, beeps


def test_pause(case):
    """5 s of pause, longer than max_idle: a gap of all, sync kept, pictures go on with a key frame, joins are told."""
    server = case.janus().start()
    ada = publish(case, server, "Ada")
    recorder = Recorder(case, server, max_idle_s=4)
    recorder.client.wait_event("track_started")
    time.sleep(4)
    start = pause(recorder)
    publish(case, server, "Bob")
    recorder.client.wait_event("participant_joined", name="Bob")
    time.sleep(5)
    stats = [e for _, e in recorder.client.events if e.get("event") == "stats"]
    assert stats[-1]["announced"] == 0 and stats[-1]["frames"] == stats[-3]["frames"], stats[-3:]
    assert stats[-1]["packets"] > stats[-3]["packets"], "Janus sends no more"
    end = pause(recorder, False)
    time.sleep(5)
    recorder.stop()
    assert ada.poll() is None
    lines = recorder.lines()
    whole(lines)
    told = [e for e in lines[1] if e["event"] == "gap" and e["cause"] == "paused"]
    assert len(told) == 1 and told[0]["track"] is None, told
    folder, manifest = recorder.assemble(case)
    near("pause", gaps(manifest, "paused"), [(start, end)])
    found = list(judge(case, folder, manifest, [(start, end)]))
    assert len(found) == 2, found
    _, zero, flashes, beeps = found[0] if len(found[0][2]) > len(found[1][2]) else found[1]
    for name, times in (("flashes", flashes), ("beeps", beeps)):
        before, after = len([t for t in times if t < start - zero]), len([t for t in times if t > end - zero])
        assert before >= 3 and after >= 3, f"{name}: {before} before, {after} after"


def test_paused_at_start(case):
    """Paused before anybody came, resumed, and stopped while paused."""
    server = case.janus().start()
    recorder = Recorder(case, server, paused=True, max_idle_s=3)
    hello = recorder.client.wait_event("hello")[1]
    assert hello["paused"] is True, hello
    began = recorder.client.wait_event("state", state="paused")[1]
    assert began["zero_wall_us"] > 0, began
    publish(case, server, "Ada")
    recorder.client.wait_event("track_started")
    time.sleep(4)
    end = pause(recorder, False)
    time.sleep(4)
    again = pause(recorder)
    time.sleep(1)
    ended = recorder.stop()
    folder, manifest = recorder.assemble(case)
    wanted = [(began["t"] / 1e6, end), (again, ended["t"] / 1e6)]
    near("pauses", gaps(manifest, "paused"), wanted)
    assert len(list(judge(case, folder, manifest, wanted))) == 1


def test_paused_and_killed(case):
    """Killed while paused; the next part starts paused, and goes on."""
    server = case.janus().start()
    recorder = Recorder(case, server)
    publish(case, server, "Ada")
    recorder.client.wait_event("track_started")
    time.sleep(3)
    start = pause(recorder)
    time.sleep(2)
    killed = time.time()
    os.kill(recorder.process.pid, signal.SIGKILL)
    recorder.process.wait()
    zero = json.load(open(os.path.join(recorder.capture, "recording.json")))["zero"]
    recorder = Recorder(case, server, part=2, zero_wall_us=zero, paused=True)
    back = recorder.client.wait_event("state", state="paused")[1]["t"] / 1e6
    time.sleep(2)
    end = pause(recorder, False)
    time.sleep(4)
    recorder.stop()
    whole(recorder.lines())
    folder, manifest = recorder.assemble(case)
    assert [p["end"] for p in manifest["recording"]["parts"]] == ["torn", "clean"], manifest["recording"]
    near("pauses", gaps(manifest, "paused"), [(start, killed), (back, end)], 1.5)
    near("recorder", gaps(manifest, "recorder"), [(killed, back)], 1.5)
    assert len(list(judge(case, folder, manifest, [(start, end)]))) == 1


def test_paused_and_reconnected(case):
    """Janus restarts while it is paused: the next part is paused as well."""
    server = case.janus().start()
    recorder = Recorder(case, server)
    publish(case, server, "Ada")
    recorder.client.wait_event("track_started")
    time.sleep(3)
    start = pause(recorder)
    time.sleep(1)
    server.kill()
    recorder.client.wait_event("state", 40, state="reconnecting")
    early = update(recorder, max_idle_s=100)[1]  # no part is open: it is the next one's first line
    assert early["early"] is True and (early["part"], early["seq"]) == (2, 1), early
    server.start()
    publish(case, server, "Ada")
    after = recorder.client.wait_event("state", 40, state="reconnecting")[0]
    recorder.client.wait_event("state", 40, after, state="paused")
    recorder.client.wait_event("track_started", 20, after)
    end = pause(recorder, False)
    time.sleep(4)
    recorder.stop()
    whole(recorder.lines())
    assert recorder.lines()[2][0] == early, recorder.lines()[2][0]
    folder, manifest = recorder.assemble(case)
    found = gaps(manifest, "paused") + gaps(manifest, "disconnected")
    found.sort()
    assert len(found) == 3 and abs(found[0][0] - start) < 0.3 and abs(found[-1][1] - end) < 0.3, found
    assert all(abs(a[1] - b[0]) < 0.5 for a, b in zip(found, found[1:])), found
    list(judge(case, folder, manifest, [(start, end)]))


# ---- subscriptions


def tracks(recorder):
    """{(participant's name, kind): [(added, removed or None)]}, by the events."""
    names, open_, found = {}, {}, {}
    for _, e in list(recorder.client.events):
        if e["event"] == "participant_joined":
            names[e["participant"]] = e["name"]
        elif e["event"] == "track_added":
            key = (names[e["participant"]], e["kind"])
            found.setdefault(key, []).append([e["t"] / 1e6, None])
            open_[e["track"]] = found[key][-1]
        elif e["event"] == "track_removed":
            open_.pop(e["track"])[1] = e["t"] / 1e6
    return found


def update(recorder, **job):
    after = len(recorder.client.events)
    recorder.client.send({"command": "update", "job": job})
    return recorder.client.wait_event("updated", 5, after)


def flowing(recorder, count, what):
    """Waits until these tracks are there, and so many are announced."""
    def there():
        return {key for key, rows in tracks(recorder).items() if rows[-1][1] is None} == set(what)
    procs.await_true(there, 15, f"the tracks {sorted(what)}")
    recorder.client.wait_event("stats", 15, len(recorder.client.events), announced=count)
    assert there(), f"there are other tracks than {sorted(what)}"


def test_subscriptions(case):
    """Only who is wanted is subscribed to; changed while it runs; nothing that was not wanted is in the files."""
    server = case.janus().start()
    recorder = Recorder(case, server, subscribe_video=["Ada"], max_idle_s=0)
    publish(case, server, "Ada")
    publish(case, server, "Bob")
    ada, bob, cee = [(n, k) for n in ("Ada", "Bob", "Cee") for k in ("audio", "video")], ("Bob", "video"), ("Cee", "audio")
    flowing(recorder, 3, ada[:3])
    assert bob not in tracks(recorder), "Bob's picture was subscribed to"
    # Somebody who is not wanted is told of all the same.
    update(recorder, subscribe_audio=["Ada", "Bob"])
    publish(case, server, "Cee")
    recorder.client.wait_event("participant_joined", name="Cee")
    update(recorder, subscribe_video=["none"])
    flowing(recorder, 2, [ada[0], ada[2]])
    update(recorder, subscribe_video=[])
    flowing(recorder, 5, ada[:4] + [("Cee", "video")])
    time.sleep(3)
    update(recorder, subscribe_audio=["none"], subscribe_video=["none"])
    flowing(recorder, 0, [])
    update(recorder, subscribe_audio=["Bob"])
    flowing(recorder, 1, [ada[2]])
    # What cannot be changed changes nothing, nor does nonsense.
    for job in ({"channel": "1"}, {"max_height": "x"}, {"nonsense": 1}, {"max_duration_s": -1}, {"subscribe_audio": [],
                                                                                             "url": "x"}):
        recorder.client.send({"command": "update", "job": job})
    update(recorder, max_duration_s=3600)
    flowing(recorder, 1, [ada[2]])
    recorder.stop()
    found = tracks(recorder)
    assert cee not in found, "Cee's sound was subscribed to"
    folder, manifest = recorder.assemble(case)
    assert {p["name"] for p in manifest["participants"]} == {"Ada", "Bob", "Cee"}
    assert not [g for g in manifest["gaps"] if g["cause"] == "disconnected"], manifest["gaps"]
    streams = {}
    for path in check.files(folder):
        check.clean(path)
        streams[os.path.basename(path)] = sorted(s["codec_type"] for s in media.probe(path)["streams"])
    assert streams == {"Ada.webm": ["audio", "video"], "Bob.webm": ["audio", "video"], "Cee.webm": ["video"]}, streams


def test_pushed(case):
    """What is pushed comes in any case: what is not wanted of it is dropped, told, and taken up again."""
    video, audio = clip(case)
    sdp, port = case.path("all.sdp"), procs.free_ports(1)[0] & ~3
    publisher = procs.start([os.path.join(steno.BUILD, "bin", "steno-publisher"), "--sdp-out", sdp, "--to",
                             f"127.0.0.1:{port}", "--count", "1", "--video", video, "--audio", audio, "--loop"],
                            stdout=subprocess.PIPE)
    case.on_exit(procs.stop, publisher)
    procs.await_true(lambda: os.path.exists(sdp) and os.path.getsize(sdp) > 0, 10, "the session description")
    recorder = Recorder(case, None, platform="sdp", url=sdp, channel="pushed", loopback=False,
                        subscribe_video=["none"])
    recorder.client.wait_event("stats", 20, announced=1)
    time.sleep(2)
    start = recorder.client.events[0][0]
    wanted = update(recorder, subscribe_video=[])[1]["t"] / 1e6
    recorder.client.wait_event("stats", 20, len(recorder.client.events), announced=2)
    time.sleep(3)
    dropped = update(recorder, subscribe_video=["nobody"])[1]["t"] / 1e6
    time.sleep(2)
    recorder.stop()
    folder, manifest = recorder.assemble(case)
    path, zero = check.files(folder)[0], manifest["recording"]["zero_us"] / 1e6
    check.clean(path)
    pictures = packets(path)
    assert wanted - start > 1.5 and pictures[0][1] and pictures[0][0] > wanted - zero - 0.05, pictures[0]
    assert dropped - zero - 1.2 < pictures[-1][0] < dropped - zero + 0.15, f"{pictures[-1]}, dropped {dropped - zero}"


def test_wishes_that_change_while_it_asks(case):
    """Each change falls into some request of the recorder's: the last one counts."""
    server = case.janus().start()
    recorder = Recorder(case, server, max_idle_s=0)
    publish(case, server, "Ada")
    both = [("Ada", "audio"), ("Ada", "video")]
    flowing(recorder, 2, both)
    for wanted, there in ((["none"], both[:1]), ([], both)):
        end = time.monotonic() + 2.5  # it looks for new streams once a second
        while time.monotonic() < end:
            for subscribe_video in (["none"], [], wanted):
                update(recorder, subscribe_video=subscribe_video)
        flowing(recorder, len(there), there)
    recorder.stop()


def test_max_height(case):
    """Of simulcast the highest layer that is not above the ceiling; changed while it runs. At this size Chromium sends two
    layers of the three."""
    server = case.janus().start()
    recorder = Recorder(case, server, max_height=200)
    page = case.chromium().page("a")
    page.join(server, janus.ROOM, tag=1, simulcast=True, width=640, height=360, bitrate=600000)

    def settles(height, after=0):
        """The last size for 4 s is this one."""
        recorder.client.wait_event("format", 30, after, height=height)
        time.sleep(4)
        heights = [e["height"] for _, e in recorder.client.events[after:] if e.get("event") == "format" and e["height"]]
        assert heights[-1] == height, heights

    settles(180)
    settles(360, update(recorder, max_height=0)[0])
    settles(180, update(recorder, max_height=359)[0])
    recorder.stop()
    case.figure("heights: " + " ".join(str(e["height"]) for _, e in recorder.client.events
                                       if e.get("event") == "format" and e["height"]))


def test_limits(case):
    """max_duration and max_idle, changed while it runs."""
    server = case.janus().start()
    recorder = Recorder(case, server)
    ada = publish(case, server, "Ada")
    recorder.client.wait_event("track_started")
    update(recorder, max_idle_s=2)
    time.sleep(3)
    leave(ada)
    ended = recorder.client.wait_event("ended", 15)[1]
    assert ended["end_reason"] == "max-idle", ended
    recorder = Recorder(case, server, capture="second", max_idle_s=0)
    publish(case, server, "Ada")
    recorder.client.wait_event("track_started")
    update(recorder, max_duration_s=3)
    ended = recorder.client.wait_event("ended", 15)[1]
    assert ended["end_reason"] == "max-duration", ended
