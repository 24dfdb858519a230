"""What participants do in a room without the recording ending up in pieces: size, second picture, rejoin, layers, codecs."""
import json
import os
import time

from steno_test import check, janus, media

ID = 11


def lines(done):
    found = []
    for part in sorted(p for p in os.listdir(done["capture"]) if p.startswith("part-")):
        with open(os.path.join(done["capture"], part, "events.jsonl")) as f:
            found += [json.loads(line) for line in f]
    return found


def recorded(case, server, *arguments):
    recording = case.record(server, *arguments)
    recording.wait(lambda e: e.get("event") == "track_added", 20, "a track")
    return recording


def finished(recording):
    done = recording.finish()
    assert done["error"] is None and recording.code == 0, f"exit code {recording.code}, {done}"
    check.verified(done["folder"])
    return done


def whole(case, name, pictures, truth):
    last = [f.number for f in pictures if f.number is not None][-1]
    check.complete(case, name, [n for n in truth if n <= last], pictures)


def test_resize_and_rejoin(case):
    """A changed resolution, then away and back under the same id: one file, everything in it."""
    server = case.janus().start()
    browser = case.chromium()
    first, second = (os.path.join(server.recordings, n) for n in ("first", "second"))
    browser.page("a").join(server, janus.ROOM, id=ID, tag=1, record=first)
    recording = recorded(case, server)
    time.sleep(5)
    browser.page("a").call("resize", width=480, height=270)
    time.sleep(5)
    browser.page("a").leave()
    recording.wait(lambda e: e.get("event") == "participant_left", 10, "the participant's leaving")
    browser.page("b").join(server, janus.ROOM, id=ID, tag=1, record=second)
    recording.wait(lambda e: e.get("event") == "participant_joined" and e is not recording.wait(
        lambda f: f.get("event") == "participant_joined", 1, "joined")[1], 10, "the participant's return")
    time.sleep(5)
    done = finished(recording)
    found = check.files(done["folder"])
    assert len(found) == 1, f"one participant, files: {os.listdir(done['folder'])}"
    check.clean(found[0])
    pictures = media.frames(found[0])
    numbers = [f.number for f in pictures if f.number is not None]
    back = next(i for i in range(1, len(numbers)) if numbers[i] < numbers[i - 1])
    for name, mjr, part in (("before", first, numbers[:back]), ("after", second, numbers[back:])):
        truth = [n for n in media.mjr_numbers(mjr + "-video-1.mjr") if part[0] <= n <= part[-1]]
        missing = sorted(set(truth) - set(part))
        case.figure(f"{name}: {len(truth) - len(missing)} of {len(truth)} frames")
        assert not missing, f"{name}: missing {missing[:20]}"
    events = [e["event"] for e in lines(done)]
    assert events.count("participant_joined") == 2 and events.count("participant_left") >= 1, events


def test_second_picture(case):
    """A shared screen is added and taken away: it is in the participant's file, and the camera has no hole."""
    server = case.janus().start()
    page = case.chromium().page("a")
    mjr = os.path.join(server.recordings, "a")
    page.join(server, janus.ROOM, id=ID, tag=1, record=mjr)
    recording = recorded(case, server)
    time.sleep(3)
    stream = page.call("addStream", tag=5)
    recording.wait(lambda e: e.get("event") == "track_added" and len(
        [1 for _, x in recording.events if x.get("event") == "track_added" and x.get("kind") == "video"]) == 2, 15,
        "the second picture")
    time.sleep(6)
    page.call("removeStream", stream=stream)
    time.sleep(3)
    done = finished(recording)
    found = check.files(done["folder"])
    assert len(found) == 1, f"one participant, files: {os.listdir(done['folder'])}"
    check.clean(found[0])
    streams = [s for s in media.probe(found[0])["streams"] if s["codec_type"] == "video"]
    assert len(streams) == 2, f"{len(streams)} pictures in the file"
    by_tag = {}
    for i in range(2):
        pictures = media.frames(found[0], i)
        by_tag[next(f.tag for f in pictures if f.tag is not None)] = pictures
    assert sorted(by_tag) == [1, 5], sorted(by_tag)
    whole(case, "camera", by_tag[1], media.mjr_numbers(mjr + "-video-1.mjr"))
    # Janus closes its own recording of a stream that is taken away before it has passed on the last frames.
    screen = media.mjr_numbers(mjr + "-video-2.mjr")
    whole(case, "screen", [f for f in by_tag[5] if f.number is None or f.number <= screen[-1]], screen)
    events = [e["event"] for e in lines(done)]
    # Janus tells a subscriber nothing of a stream that is taken away: the silence does.
    assert events.count("track_added") == 3 and "muted" in events, events


def codec(case, name, extension, **join):
    server = case.janus().start()
    page = case.chromium().page("a")
    mjr = os.path.join(server.recordings, "a")
    page.join(server, janus.ROOM, codec=name, tag=1, record=mjr, **join)
    recording = recorded(case, server)
    time.sleep(8)
    done = finished(recording)
    found = check.files(done["folder"])
    assert [os.path.splitext(p)[1] for p in found] == [extension], found
    check.clean(found[0])
    pictures = media.frames(found[0])
    check.in_sync(case, name, found[0], pictures, count_min=5)
    return done, mjr, found[0], pictures


def test_av1(case):
    _, mjr, _, pictures = codec(case, "av1", ".mp4")
    whole(case, "av1", pictures, media.mjr_numbers(mjr + "-video-1.mjr"))


def test_audio_only(case):
    server = case.janus().start()
    case.chromium().page("a").join(server, janus.ROOM, tag=1, video=False)
    recording = recorded(case, server)
    time.sleep(5)
    done = finished(recording)
    found = check.files(done["folder"])
    assert len(found) == 1, os.listdir(done["folder"])
    check.clean(found[0])
    beeps = media.Audio(found[0]).beeps()
    assert 4 <= len(beeps) <= 7, f"{len(beeps)} beeps in about 5 s"
    steps = [b - a for a, b in zip(beeps, beeps[1:])]
    assert all(abs(s - 1) < 0.02 for s in steps), f"seconds between beeps: {steps}"


def test_simulcast(case):
    """The highest layer is what is kept, and no frame number goes backwards where layers change."""
    server = case.janus().start()
    page = case.chromium().page("a")
    page.join(server, janus.ROOM, tag=1, simulcast=True, width=640, height=360, bitrate=600000)
    recording = recorded(case, server)
    time.sleep(12)
    done = finished(recording)
    sent = [s for s in page.call("stats") if s["kind"] == "video"]
    assert len(sent) == 3, f"Chromium sends {len(sent)} layers"
    found = check.files(done["folder"])
    assert len(found) == 1, os.listdir(done["folder"])
    check.clean(found[0])
    numbers = [f.number for f in media.frames(found[0]) if f.number is not None]
    assert all(b >= a for a, b in zip(numbers, numbers[1:])), "frames out of order"
    share = len(set(numbers)) / (numbers[-1] - numbers[0] + 1)
    case.figure(f"{100 * share:.1f} % of the frames between the first and the last; layers sent: "
                + ", ".join(f"{s['rid']} {s.get('width')}x{s.get('height')} {s.get('framesSent')}" for s in sent))
    assert share > 0.9, f"{100 * share:.1f} % of the frames"


def test_track_outputs(case):
    """--outputs track: a file a track."""
    server = case.janus().start()
    case.chromium().page("a").join(server, janus.ROOM, tag=1)
    recording = recorded(case, server, "--outputs", "track", "--audio", "copy")
    time.sleep(4)
    done = finished(recording)
    found = check.files(done["folder"])
    kinds = sorted(s["codec_type"] for p in found for s in media.probe(p)["streams"])
    assert len(found) == 2 and kinds == ["audio", "video"], f"{found}: {kinds}"
    for path in found:
        check.clean(path)


def test_same_bytes_again(case):
    """Assembling the capture again makes the same files, byte by byte; with AAC it makes files that decode."""
    from steno_test import steno
    server = case.janus().start()
    case.chromium().page("a").join(server, janus.ROOM, codec="h264", tag=1)
    recording = recorded(case, server)
    time.sleep(5)
    done = finished(recording)

    def hashes(folder):
        manifest = json.load(open(os.path.join(folder, "manifest.json")))
        return sorted((f["file"], f["sha256"]) for f in manifest["outputs"])
    folders = []
    for name, arguments in (("again", []), ("aac", ["--audio", "aac"])):
        again = steno.run("assemble", done["capture"], "--output", case.path(name), *arguments)
        assert again.returncode == 0, again.stderr
        folders.append(next(at for at, _, names in os.walk(case.path(name)) if "manifest.json" in names))
        check.verified(folders[-1])
    assert hashes(folders[0]) == hashes(done["folder"]), "the same capture made other bytes"
    path = check.files(folders[1])[0]
    check.clean(path)
    assert "aac" in [s["codec_name"] for s in media.probe(path)["streams"]], "no AAC"
    check.in_sync(case, "aac", path, media.frames(path), count_min=3)
