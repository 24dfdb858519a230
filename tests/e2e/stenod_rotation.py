"""Rotation: new files begin while the recording goes on, the finished ones are stored meanwhile, and nothing is lost at a seam."""
import json
import os
import signal
import time

from steno_test import check, clips, janus, media, procs, s3
from steno_test.stenod import Stenod

ROTATE = 5        # s: as often as is lawful
SEAM_MAX = 0.010  # s by which sound may seem to jump from one file to the next
LOST_MAX = 2.25   # s, at a kill


def begin(case, seconds_between=ROTATE, **more):
    server = case.janus().start()
    publisher = clips.publish(case, server)
    daemon = Stenod(case)
    daemon.janus(server)
    daemon.start()
    id_ = daemon.begin(janus.ROOM, rotate_s=seconds_between, **more)["id"]
    return daemon, id_, publisher


def await_sections(daemon, id_, count, seconds=60):
    """…that are stored while the recording goes on."""
    def stored():
        recording = daemon.recording(id_)
        assert recording["state"] in ("joining", "recording", "reconnecting"), recording
        return len({f["section"] for f in recording["files"]}) >= count and recording
    return procs.await_true(stored, seconds, f"{count} sections are stored while it goes on")


def stop(daemon, id_):
    answer = daemon.ask("POST", f"/v1/recordings/{id_}/stop")
    assert answer.status in (200, 202), answer
    return daemon.await_state(id_, "completed", 60)


def outputs(folder):
    """The files in the order of their sections."""
    found = clips.manifest(folder)["outputs"]
    assert [o["section"] for o in found] == list(range(1, len(found) + 1)), [o["section"] for o in found]
    return found


def pictures(folder, found):
    """(number, wall time) of every picture of these files, in order."""
    return [(f.number, o["zero_us"] / 1e6 + f.time) for o in found for f in media.frames(os.path.join(folder, o["file"]))]


def later_gaps(folder):
    """Gaps that are not the wait for the first key frame."""
    found = clips.manifest(folder)
    return [g for g in found["gaps"] if g["cause"] != "no-keyframe" or g["from_us"] > found["recording"]["zero_us"] + 2e6]


def sound(folder, output):
    """(begin, end) of a file's sound, wall time s."""
    audio = media.Audio(os.path.join(folder, output["file"]))
    return output["zero_us"] / 1e6 + float(audio.time[0]), output["zero_us"] / 1e6 + audio.end()


def test_seams(case):
    daemon, id_, _ = begin(case)
    spool = os.path.join(daemon.spool, id_)
    recording = await_sections(daemon, id_, 2)
    for file in recording["files"]:
        reply = daemon.get(f"/v1/recordings/{id_}/files/{file['name']}")
        assert reply.status == 200 and len(reply.body) == file["bytes"], "a stored section can't be fetched"
    procs.await_true(lambda: not os.path.exists(os.path.join(spool, "part-0001")), 10, "what is stored is let go")
    await_sections(daemon, id_, 3)
    folder = daemon.folder_of(stop(daemon, id_))
    check.verified(folder)
    found = outputs(folder)
    assert len(found) >= 4 and len({o["file"] for o in found}) == len(found), [o["file"] for o in found]
    for output in found:
        check.clean(os.path.join(folder, output["file"]))
    numbers = [n for n, _ in pictures(folder, found)]
    assert None not in numbers
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), \
        f"lost or doubled: {[(a, b) for a, b in zip(numbers, numbers[1:]) if b != a + 1]}"
    first = [media.frames(os.path.join(folder, o["file"]))[0].number for o in found]
    assert all(n % clips.FPS == 0 for n in first[1:]), f"begins without a key frame: {first}"
    jumps = []
    for before, after in zip(found, found[1:]):
        jumps.append(sound(folder, after)[0] - sound(folder, before)[1])
    assert max(map(abs, jumps)) <= SEAM_MAX, f"sound jumps at the seams by {jumps}"
    assert not later_gaps(folder), later_gaps(folder)
    events = daemon.get(f"/v1/events?recording={id_}&follow=false", headers={"Last-Event-ID": "0"}).body.decode()
    stored = [json.loads(x[5:]) for x in events.splitlines() if x.startswith("data:") and '"recording.part_stored"' in x]
    assert [e["data"]["section"] for e in stored][:3] == [1, 2, 3], stored
    case.figure(f"{len(found)} files, {len(numbers)} pictures, none lost, none twice; sound jumps by at most "
                f"{1000 * max(map(abs, jumps)):.1f} ms")


def test_killed_between_seams(case):
    """Recorder and stenod are killed: a section of several parts is still one file, and nothing comes twice."""
    daemon, id_, _ = begin(case, 8)
    kills = []
    for victim in ("recorder", "stenod", "both"):
        procs.await_true(lambda: daemon.recording(id_)["state"] == "recording" and daemon.recording(id_)["counts"]["frames"] > 0, 20,
                         "it records")
        time.sleep(3)  # where between two seams is what the test is about
        pid = daemon.recorders()[id_]
        kills.append(time.time())
        if victim != "recorder":
            daemon.kill()
        if victim != "stenod":
            os.kill(pid, signal.SIGKILL)
        if victim != "recorder":
            daemon.launch()
    await_sections(daemon, id_, 2)
    folder = daemon.folder_of(stop(daemon, id_))
    check.verified(folder)
    found = outputs(folder)
    seen = pictures(folder, found)
    numbers = [n for n, _ in seen]
    assert len(numbers) == len(set(numbers)) and numbers == sorted(numbers), "pictures come twice, or out of order"
    lost = [b - a for (_, a), (_, b) in zip(seen, seen[1:]) if b - a > 0.5]
    assert len(lost) <= 2, f"holes besides those of the two killed recorders: {lost}"
    for kill in kills:
        before = [t for _, t in seen if t <= kill]
        assert kill - before[-1] <= LOST_MAX, f"{kill - before[-1]:.2f} s lost before a kill"
    assert os.listdir(daemon.spool) == []
    case.figure(f"{len(found)} files, holes {[round(x, 2) for x in lost]} s")


def test_join(case):
    """One option joins what was rotated: one file, as if nothing had happened, and nothing else stays."""
    server = s3.versitygw(case)
    bucket = server.make_bucket("joined")
    room = case.janus().start()
    clips.publish(case, room)
    daemon = Stenod(case)
    daemon.janus(room)
    daemon.storages = [server.storage(bucket, access_key_file=daemon.secret("s3-key", f"{s3.ACCESS}\n{s3.SECRET}\n"))]
    daemon.apps = [{"name": "clinic", "rotate": f"{ROTATE}s", "rotate_join": True}]
    daemon.start()
    id_ = daemon.begin(janus.ROOM)["id"]
    await_sections(daemon, id_, 2)
    assert any(".001." in k for k in server.keys(bucket)), server.keys(bucket)
    recording = stop(daemon, id_)
    names = sorted(k.rsplit("/", 1)[1] for k in server.keys(bucket))
    assert names == sorted([f["name"] for f in recording["files"]] + ["manifest.json", "manifest.json.sig"]), names
    assert len(recording["files"]) == 1 and recording["files"][0]["section"] is None, recording["files"]
    folder = case.path("joined")
    os.makedirs(folder)
    for key in server.keys(bucket):
        server.get(bucket, key, os.path.join(folder, key.rsplit("/", 1)[1]))
    check.verified(folder)
    path = check.files(folder)[0]
    check.clean(path)
    numbers = [f.number for f in media.frames(path)]
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), "lost or doubled at a seam"
    assert not later_gaps(folder), later_gaps(folder)
    case.figure(f"one file of {len(numbers)} pictures")
