"""stenod is reloaded again and again, and upgraded to another build, while ten recordings run: no gap in any file."""
import os
import re
import shutil
import time

from steno_test import check, clips, janus, procs, steno
from steno_test.receiver import SECRET, Receiver
from steno_test.stenod import Stenod, await_ended

RECORDINGS = 10
RELOADS = 20


def build_folder(case):
    """A copy of the programs that can be replaced, as a package's upgrade does."""
    folder = case.path("bin")
    os.makedirs(folder)
    for name in ("stenod", "steno", "steno-recorder", "steno-assemble"):
        shutil.copy2(os.path.join(steno.BUILD, "bin", name), folder)
    return folder


def upgrade(folder):
    """Another build: the same with another version in it, put in place by rename as dpkg does (packages.py upgrades for real)."""
    with open(os.path.join(steno.TOP, "CMakeLists.txt")) as f:
        version = re.search(r"VERSION (\d+\.\d+\.\d+) LANGUAGES", f.read()).group(1)
    other = re.sub(r"\d", "9", version)
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        with open(path, "rb") as f:
            program = f.read()
        assert version.encode() in program, f"{name} does not know its version"
        shutil.copy2(path, path + ".dpkg-new")
        with open(path + ".dpkg-new", "wb") as f:
            f.write(program.replace(version.encode(), other.encode()))
        os.rename(path + ".dpkg-new", path)
    return other


def test_reload(case):
    server = case.janus().start()
    receiver = Receiver()
    case.on_exit(receiver.close)
    folder = build_folder(case)
    daemon = Stenod(case, program=os.path.join(folder, "stenod"))
    daemon.janus(server)
    daemon.webhooks = [{"name": "hook", "url": receiver.url, "secret_file": daemon.secret("hook.secret", "whsec_" + SECRET),
                        "allow_http": True, "allow_private": True, "retry_first_ms": 200}]
    daemon.apps = [{"name": "clinic", "webhooks": ["hook"], "webhook": "hook"}]
    daemon.start()
    clips.publish(case, server)
    ids = [daemon.begin(janus.ROOM, profile=f"p{i}")["id"] for i in range(RECORDINGS)]
    for id_ in ids:
        daemon.await_state(id_, "recording")
    procs.await_true(lambda: all(daemon.recording(i)["counts"]["frames"] > 30 for i in ids), 30, "frames in each")
    before = daemon.recorders()
    assert len(before) == RECORDINGS, f"recorders: {before}"
    begun = time.time()
    for _ in range(RELOADS):
        daemon.reload()
        assert [daemon.recording(i)["state"] for i in ids] == ["recording"] * RECORDINGS
    case.figure(f"{RELOADS} reloads in {time.time() - begun:.1f} s")
    version = upgrade(folder)
    daemon.reload()
    assert daemon.get("/version").json["version"] == version
    assert daemon.recorders() == before, "recorders were replaced"
    # Somebody who joins after the upgrade is told by the new build.
    clips.publish(case, server, name="bob", tag=2)

    def seen(recording):
        pictures = [t["participant"] for t in recording["tracks"] if t["kind"] == "video" and t["width"]]
        return len(recording["participants"]) == 2 and len(set(pictures)) == 2
    procs.await_true(lambda: all(seen(daemon.recording(i)) for i in ids), 30, "bob's picture in each recording")
    frames = {i: daemon.recording(i)["counts"]["frames"] for i in ids}
    procs.await_true(lambda: all(daemon.recording(i)["counts"]["frames"] > frames[i] + 150 for i in ids), 30, "more of both")
    for id_ in ids:
        answer = daemon.ask("POST", f"/v1/recordings/{id_}/stop")
        assert answer.status in (200, 202), answer
    for id_, recording in await_ended(daemon, ids, 120).items():
        assert recording["state"] == "completed" and recording["parts"] == 1, recording
        check.verified(daemon.folder_of(recording))
        found = clips.manifest(daemon.folder_of(recording))
        # What a track sent before its first key frame is no hole.
        gaps = [g for g in found["gaps"] if g["cause"] != "no-keyframe" or g.get("first_seq", 0) > 1]
        assert not gaps, f"{id_}: gaps {gaps}"
        for path in check.files(daemon.folder_of(recording)):
            check.clean(path)
            holes = clips.holes(clips.walls(path, clips.zero(found)), 0.3)
            assert not holes, f"{os.path.basename(path)}: holes {holes}"
            assert not clips.repeated(path), f"{path}: pictures come twice"
        assert receiver.wait(id_, ["recording.completed"], 20), f"{id_}: no webhook tells its end"
        types = [e["type"].split(".", 1)[1] for e in receiver.of(id_)]
        assert types.count("started") == 1 and types[-1] == "completed", types
        assert types.count("participant_joined") == 2, types
        seqs = [e["seq"] for e in receiver.of(id_)]
        assert seqs == sorted(seqs), f"{id_}: webhooks out of order: {seqs}"
    assert not receiver.faults, receiver.faults
