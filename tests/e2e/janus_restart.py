"""Janus is killed and started again while recording: two parts, one recording, nobody's help."""
import os
import time

from steno_test import check, janus, media

ID = 777


def test_restart(case):
    server = case.janus().start()
    browser = case.chromium()
    first, second = os.path.join(server.recordings, "first"), os.path.join(server.recordings, "second")
    browser.page("before").join(server, janus.ROOM, id=ID, tag=1, record=first)
    recording = case.record(server)
    recording.wait_state("recording")
    time.sleep(8)
    server.kill()
    recording.wait_state("reconnecting", 60)
    browser.page("before").call("close")
    server.start()
    browser.page("after").join(server, janus.ROOM, id=ID, tag=1, record=second)
    joined = time.time()
    back, _ = recording.wait(lambda e: e.get("event") == "state" and e.get("state") == "recording"
                             and any(t > joined - 30 and s.get("state") == "reconnecting" for t, s in recording.events
                                     if t < time.time()), 60, "recording again")
    time.sleep(8)
    done = recording.finish()
    assert done["error"] is None and recording.code == 0, f"exit code {recording.code}, {done}"
    check.verified(done["folder"])
    parts = sorted(p for p in os.listdir(done["capture"]) if p.startswith("part-"))
    assert len(parts) == 2, f"parts: {parts}"
    found = check.files(done["folder"])
    assert len(found) == 1, f"one participant, files: {os.listdir(done['folder'])}"
    check.clean(found[0])
    numbers = [f.number for f in media.frames(found[0]) if f.number is not None]
    again = next(i for i in range(1, len(numbers)) if numbers[i] < numbers[i - 1])
    for name, path, part in (("before", first, numbers[:again]), ("after", second, numbers[again:])):
        truth = [n for n in media.mjr_numbers(path + "-video-1.mjr") if part[0] <= n <= part[-1]]
        missing = set(truth) - set(part)
        case.figure(f"{name}: {len(truth) - len(missing)} of {len(truth)} frames")
        assert len(truth) > 5 * check.FPS and not missing, f"{name}: missing {sorted(missing)[:20]} of {len(truth)}"
