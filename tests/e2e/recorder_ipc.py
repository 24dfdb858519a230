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
    """A steno-recorder of a Janus' room."""

    def __init__(self, case, server, part=1, capture="capture", finish_when_alone=False, zero_wall_us=0, **job):
        self.path = case.path("r.sock")
        self.capture = case.path(capture)
        if os.path.exists(self.path):
            os.unlink(self.path)
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
        settings = {"id": ID, "platform": "janus", "url": server.url, "channel": str(janus.ROOM), "loopback": True,
                    "token_secret": server.token_secret, **job}
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
    assert lines[1][-1] == ended, f"last line {lines[1][-1]}, told {ended}"
    assert first.numbered() + second.numbered() == numbered(lines[1]), "what was told is not what stands in the capture"
    assert {"participant_joined", "track_added", "track_removed"} <= {e["event"] for e in second.numbered()}
    case.figure(f"{len(first.numbered())} events before, {len(second.numbered())} after")


def test_nobody_listens(case):
    """The session ends while no client is there: the truth is on disk."""
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
