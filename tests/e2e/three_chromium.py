"""Three Chromium participants: VP8, VP9 that leaves early, H.264 that comes late and is muted for 5 s. 60 s."""
import os
import time

from steno_test import check, janus, media

SECONDS = 60


def until(start, seconds):
    time.sleep(max(0.0, start + seconds - time.monotonic()))


def test_three(case):
    server = case.janus().start()
    observer = server.client()
    observer.request({"request": "join", "ptype": "publisher", "room": janus.ROOM, "display": "observer"})
    browser = case.chromium()
    pages = {name: browser.page(name) for name in ("vp8", "vp9", "h264")}
    mjr = {name: os.path.join(server.recordings, name) for name in pages}
    ids, drawn = {}, {}

    def join(name, tag):
        ids[name] = pages[name].join(server, janus.ROOM, codec=name, tag=tag, record=mjr[name])["id"]
    join("vp8", 1)
    join("vp9", 2)
    recording = case.record(server)
    recording.wait_state("recording")
    start = time.monotonic()
    until(start, 12)
    join("h264", 3)
    until(start, 25)
    for kind in ("video", "audio"):
        pages["h264"].call("mute", kind=kind)
    until(start, 30)
    for kind in ("video", "audio"):
        pages["h264"].call("unmute", kind=kind)
    until(start, 45)
    drawn["vp9"] = pages["vp9"].leave()[0]["drawn"]
    until(start, SECONDS)
    seen = {p["id"] for p in observer.participants()}
    stopped = time.time()
    done = recording.finish()
    for name in ("vp8", "h264"):
        drawn[name] = pages[name].leave()[0]["drawn"]
    seen |= {p["id"] for p in observer.participants()}
    told = [e["plugindata"]["data"] for _, e in observer.events if "plugindata" in e]
    observer.close()

    assert done["error"] is None and recording.code == 0, f"exit code {recording.code}, {done}"
    foreign = seen - set(ids.values()) - {e.get("id") for e in told if e.get("videoroom") == "joined"}
    assert not foreign, f"listparticipants shows {foreign}"
    check.verified(done["folder"])
    found = check.by_tag(done["folder"])
    assert sorted(found) == [1, 2, 3] and len(check.files(done["folder"])) == 3, f"files: {os.listdir(done['folder'])}"
    shifts = {}
    for name, tag in (("vp8", 1), ("vp9", 2), ("h264", 3)):
        path, pictures = found[tag]
        check.clean(path)
        truth = check.publisher_offset(case, name, mjr[name] + "-video-1.mjr", mjr[name] + "-audio-0.mjr")
        # What was drawn when the recording had ended was nobody's to keep.
        last = next(f.number for f in reversed(pictures) if f.number is not None)
        end = last if name != "vp9" else truth[-1]
        result, before = check.complete(case, name, [n for n in truth if n <= end], pictures)
        assert name != "h264" or before <= check.FIRST_FRAME_MAX * check.FPS, f"{name}: {before} frames before the first"
        # What is on its way when the recording ends is not lost: half a second.
        late = [n for n in truth if n > last and dict(drawn[name])[n] < (stopped - 0.5) * 1e6]
        assert not late, f"{name}: {len(late)} frames missing at the end"
        sound = check.in_sync(case, name, path, pictures, count_min=25)
        assert abs(sound.pitch() - (800 + 200 * tag)) < 20, f"{name}: the sound is another participant's"
        shifts[name], worst = check.paced(case, name, pictures)
        numbers = [f for f in pictures if f.number is not None]
        spans = (numbers[-1].time - numbers[0].time) - (numbers[-1].number - numbers[0].number) / check.FPS
        check.timely(case, name, abs(spans) <= 1 / check.FPS, f"{name}: {1000 * spans:.0f} ms more or less than published")
        # The container's word against the last frame, which is shown for one frame's time.
        ends = max(numbers[-1].time + 1 / check.FPS, sound.end())
        told_end = media.duration(path) + float(media.probe(path)["format"].get("start_time") or 0)
        check.timely(case, name, abs(told_end - ends) <= 1.5 / check.FPS,
                     f"{name}: lasts {told_end:.3f} s, its frames to {ends:.3f} s")
        # The wall clock: a frame's place in the file against when it was drawn, the same for every participant.
        wall = dict(drawn[name])
        shifts[name] = sum(wall[f.number] / 1e6 - f.time for f in numbers if f.number in wall) / len(numbers)
    spread = max(shifts.values()) - min(shifts.values())
    case.figure(f"participants against each other: {1000 * spread:.0f} ms")
    worst = max(shifts, key=lambda name: case.at_sfu.get(name, 0))
    check.timely(case, worst, spread <= 0.1, f"the files' clocks are {1000 * spread:.0f} ms apart")
    mute = [f for f in found[3][1] if f.number is not None]
    hole = max(b.number - a.number for a, b in zip(mute, mute[1:])) / check.FPS
    check.timely(case, "h264", 4 <= hole <= 6.5, f"h264 was muted for 5 s, the file has a hole of {hole:.1f} s")
