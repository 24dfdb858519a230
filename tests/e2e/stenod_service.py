"""What stenod owes the machine it runs on: systemd's words, limits, a recorder that hangs, a journal that is broken."""
import json
import os
import signal
import socket
import time

from steno_test import check, clips, janus, procs
from steno_test.stenod import Stenod

LIGHT = 100


class NotifySocket:
    """systemd's side of sd_notify(3)."""

    def __init__(self, path):
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self.said = []

    def wait(self, line, seconds=15):
        """Reads until this line was said; it and what came before is then forgotten."""
        end = time.monotonic() + seconds
        while not any(said.startswith(line) for said in self.said):
            self._socket.settimeout(max(0.01, end - time.monotonic()))
            try:
                self.said += self._socket.recv(4096).decode().splitlines()
            except TimeoutError:
                raise procs.Timeout(f"systemd was not told {line}: not within {seconds} s")
        found = next(i for i, said in enumerate(self.said) if said.startswith(line))
        self.said = self.said[found + 1:]


def test_notify(case):
    systemd = NotifySocket(os.path.join(case.folder, "notify"))
    daemon = Stenod(case, environment={"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "2000000"})
    daemon.platforms = [{"name": "janus-1", "url": "http://127.0.0.1:9/janus"}]
    daemon.start()
    systemd.wait("READY=1")
    systemd.wait("STATUS=")
    for _ in range(3):
        systemd.wait("WATCHDOG=1", 2)
    daemon.reload()
    systemd.wait("RELOADING=1")
    systemd.wait("MONOTONIC_USEC=")
    systemd.wait("READY=1")
    systemd.wait("WATCHDOG=1", 0.3)  # at once: systemd does not count anew for a reload
    # A configuration that is wrong changes nothing.
    with open(daemon.config, "a") as f:
        f.write("colour = \"blue\";\n")
    daemon.process.send_signal(signal.SIGHUP)
    systemd.wait("RELOADING=1")
    systemd.wait("READY=1")
    assert daemon.get("/livez").status == 200
    assert "colour" in daemon.tail(), "nobody was told what is wrong"
    daemon.process.send_signal(signal.SIGTERM)
    systemd.wait("STOPPING=1")
    assert daemon.process.wait(10) == 0


def test_hanging_recorder(case):
    """A recorder that tells nothing any more is replaced, and the manifest tells the hole."""
    server = case.janus().start()
    clips.publish(case, server)
    daemon = Stenod(case)
    daemon.janus(server)
    daemon.start()
    id_ = daemon.begin(janus.ROOM)["id"]
    procs.await_true(lambda: daemon.recording(id_)["counts"]["frames"] > 30, 20, "frames")
    pid = daemon.recorders()[id_]
    stopped = time.time()
    os.kill(pid, signal.SIGSTOP)
    procs.await_true(lambda: daemon.recording(id_)["parts"] == 2 and daemon.recording(id_)["state"] == "recording", 30, "the next part")
    resumed = time.time() - stopped
    assert daemon.recorders()[id_] != pid and not os.path.exists(f"/proc/{pid}"), "the hanging one lives"
    procs.await_true(lambda: daemon.recording(id_)["counts"]["frames"] > 30, 20, "frames of the next part")
    daemon.ask("POST", f"/v1/recordings/{id_}/stop")
    recording = daemon.await_state(id_, "completed")
    check.verified(daemon.folder_of(recording))
    gaps = [g for g in clips.manifest(daemon.folder_of(recording))["gaps"] if g["cause"] == "recorder"]
    assert len(gaps) == 1, gaps
    events = daemon.get(f"/v1/events?recording={id_}&follow=false&after=0").body.decode()
    assert '"stalled"' in events, events
    case.figure(f"{resumed:.1f} s after it hung, the next part was recorded")
    assert resumed < 16, f"after {resumed:.1f} s"


def test_limits(case):
    server = case.janus().start()
    daemon = Stenod(case)
    daemon.janus(server)
    daemon.limits["max_recordings"] = 2
    daemon.apps = [{"name": "clinic"}, {"name": "court", "max_recordings": 1}]
    daemon.start()

    def start(channel, app="clinic", **more):
        return daemon.ask("POST", "/v1/recordings", {"app": app, "platform": "janus-1", "channel": channel, **more})
    assert start("1", "court").status == 201
    answer = start("2", "court")
    assert (answer.status, answer.json["type"]) == (503, "urn:steno:problem:limit-reached"), answer
    answer = start("1", "court")
    assert answer.status == 409 and answer.json["recording"] == daemon.recordings(app="court")[0]["id"], answer
    assert start("1").status == 201
    assert start("3").status == 503
    # A full disk: nothing new, and what is recorded is finished.
    ids = [r["id"] for r in daemon.recordings()]
    daemon.limits.update(refuse_below_percent=99, finish_below_percent=99)
    daemon.configure()
    daemon.reload()
    answer = start("4")
    assert answer.status == 507, answer
    ready = daemon.get("/readyz")
    assert ready.status == 503 and not next(c for c in ready.json["checks"] if c["name"] == "disk")["ok"], ready
    procs.await_true(lambda: all(daemon.recording(i)["end_reason"] == "disk-low" for i in ids), 30, "recordings are finished")


def test_damaged_journal(case):
    """It is set aside, and what lies in storage and spool is known again; what was recorded goes on."""
    server = case.janus().start()
    clips.publish(case, server)
    daemon = Stenod(case)
    daemon.janus(server)
    daemon.start()
    done = daemon.begin(janus.ROOM, labels={"case": "17"}, max_duration_s=3)["id"]
    before = daemon.await_state(done, "completed")
    live = daemon.begin(janus.ROOM)["id"]
    procs.await_true(lambda: daemon.recording(live)["counts"]["frames"] > 0, 20, "frames")
    daemon.kill()
    path = os.path.join(daemon.state, "journal.sqlite")
    with open(path, "r+b") as f:
        f.write(os.urandom(4096))
    daemon.launch()
    assert any("damaged" in name for name in os.listdir(daemon.state)), os.listdir(daemon.state)
    # Behind everything else: the storage may be far away.
    procs.await_true(lambda: daemon.get(f"/v1/recordings/{done}").status == 200, 20, "it is known again")
    found = daemon.recording(done)
    for name in ("state", "channel", "app", "labels", "started_at"):
        assert found[name] == before[name], f"{name}: {found[name]}, was {before[name]}"
    assert [(f["name"], f["sha256"]) for f in found["files"]] == [(f["name"], f["sha256"]) for f in before["files"]]
    procs.await_true(lambda: daemon.recording(live)["state"] == "recording", 20, "the other one goes on")
    assert daemon.recording(live)["parts"] == 1, "it was cut"
    daemon.ask("POST", f"/v1/recordings/{live}/stop")
    check.verified(daemon.folder_of(daemon.await_state(live, "completed")))
    verified = daemon.cli("audit", "verify", os.path.join(daemon.state, "audit.jsonl"))
    assert verified.returncode == 0, verified.stderr


def test_lost_token(case):
    """A token that was given is lost with the processes that knew it: the recording waits for another, and goes on."""
    server = case.janus().start()
    clips.publish(case, server)
    daemon = Stenod(case)
    daemon.janus(server)
    del daemon.platforms[0]["token_secret_file"]
    daemon.start()
    id_ = daemon.begin(janus.ROOM, token={"source": "given", "value": server.token()})["id"]
    procs.await_true(lambda: daemon.recording(id_)["counts"]["frames"] > 0, 20, "frames")
    pid = daemon.recorders()[id_]
    daemon.kill()
    os.kill(pid, signal.SIGKILL)
    daemon.launch()
    recording = procs.await_true(lambda: (r := daemon.recording(id_))["error"] and r, 20, "why it waits")
    assert (recording["state"], recording["error"]["code"]) == ("reconnecting", "token-needed"), recording
    answer = daemon.ask("PATCH", f"/v1/recordings/{id_}", {"token": {"source": "given", "value": server.token()}})
    assert answer.status == 200, answer
    procs.await_true(lambda: (r := daemon.recording(id_))["state"] == "recording" and r["counts"]["frames"] > 0, 20, "it goes on")
    daemon.ask("POST", f"/v1/recordings/{id_}/stop")
    recording = daemon.await_state(id_, "completed")
    assert recording["parts"] >= 2 and recording["error"] is None, recording
    check.verified(daemon.folder_of(recording))


def test_retention(case):
    """Files go when their time has come, unless they are on hold; the audit log tells."""
    server = case.janus().start()
    clips.publish(case, server)
    daemon = Stenod(case)
    daemon.janus(server)
    daemon.apps = [{"name": "clinic", "retention_bytes": 1}]
    daemon.start()
    kept = daemon.begin(janus.ROOM, labels={"legal_hold": "case 17"}, max_duration_s=3)["id"]
    gone = daemon.begin(janus.ROOM, profile="second", max_duration_s=3)["id"]
    files = {i: daemon.await_state(i, "completed") for i in (kept, gone)}
    folder = daemon.folder_of(files[gone])
    procs.await_true(lambda: daemon.recording(gone)["storages"][0]["state"] == "deleted", 90, "the files are deleted", interval=0.5)
    assert not check.files(folder), os.listdir(folder)
    assert daemon.recording(gone)["files"][0]["deleted_at"]
    assert daemon.get(files[gone]["files"][0]["url"]).status == 404
    assert check.files(daemon.folder_of(files[kept])), "what is on hold is gone"
    answer = daemon.ask("DELETE", f"/v1/recordings/{kept}?files=true")
    assert (answer.status, answer.json["type"]) == (409, "urn:steno:problem:legal-hold"), answer
    with open(os.path.join(daemon.state, "audit.jsonl")) as f:
        deletions = [json.loads(line) for line in f if "delete" in line]
    assert any(gone in json.dumps(d) and d["actor"] == "stenod" for d in deletions), deletions
    assert any(kept in json.dumps(d) for d in deletions) is False or all(
        d["result"] != "ok" for d in deletions if kept in json.dumps(d)), deletions
