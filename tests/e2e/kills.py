"""kill -9 at random moments: of the recorder alone, which is started again, and of everything, as when the power goes."""
import os
import random
import signal
import time

from steno_test import check, janus, media, procs, steno

LOST_MAX = 2.0


def lost_before(drawn, numbers, joined, killed):
    """Seconds of what was drawn from joining to the kill that are in no file. drawn: [[number, wall µs]…]."""
    shown = [n for n, wall in drawn if joined <= wall / 1e6 <= killed]
    kept = [n for n in numbers if n <= shown[-1]]
    return (shown[-1] - (kept[-1] if kept else shown[0])) / check.FPS


def kills(case, count, seed):
    server = case.janus().start()
    page = case.chromium().page("p")
    page.join(server, janus.ROOM, tag=1)
    rng = random.Random(seed)
    worst, round_ = 0.0, 0
    while count > 0:
        round_ += 1
        recording = case.record(server, "--max-idle", "0", name=f"round-{round_}")
        recording.wait(lambda e: e.get("event") == "track_added", 20, "a track")
        joined, moments = time.time(), []
        # Some kills of the recorder alone, then one of everything.
        for last in [False] * min(count - 1, 3) + [True]:
            pid = recording.recorder()
            time.sleep(rng.uniform(0.5, 4.0))
            moments.append(time.time())
            if last:
                os.kill(recording.process.pid, signal.SIGKILL)
            os.kill(pid, signal.SIGKILL)
            count -= 1
            if not last:
                procs.await_true(lambda old=pid: [p for p in procs.children(recording.process.pid, "steno-recorder")
                                                  if p != old], 20, "the next recorder")
        recording.process.wait(10)
        drawn = page.call("drawn")[0]["drawn"]
        captures = [os.path.join(recording.spool, c) for c in os.listdir(recording.spool)]
        captures = [c for c in captures if os.path.exists(os.path.join(c, "recording.json"))]
        assert len(captures) == 1, f"one recording, captures: {captures}"
        done = steno.run("assemble", captures[0], "--output", recording.root)
        assert done.returncode == 0, f"steno assemble: exit {done.returncode}: {done.stderr[-800:]}"
        folder = newest(recording.root)
        check.verified(folder)
        found = check.files(folder)
        assert len(found) == 1, f"one participant, files: {os.listdir(folder)}"
        check.clean(found[0])
        numbers = [f.number for f in media.frames(found[0]) if f.number is not None]
        assert numbers == sorted(numbers), "frames out of order"
        lost = [lost_before(drawn, numbers, joined, moment) for moment in moments]
        worst = max(worst, *lost)
        assert max(lost) <= LOST_MAX, f"round {round_}: {max(lost):.2f} s lost before a kill"
    case.figure(f"at most {worst:.2f} s lost before a kill")


def newest(root):
    """The folder of the finished recording: the one with a manifest."""
    found = [at for at, _, names in os.walk(root) if "manifest.json" in names]
    assert len(found) == 1, f"recordings in {root}: {found}"
    return found[0]


def test_kills(case):
    kills(case, 8, 1)


def long_two_hundred(case):
    kills(case, 200, int(os.environ.get("STENO_SEED", "2")))
