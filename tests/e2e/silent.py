"""Others in the room see no trace of the recorder: not when it comes, while it is there, when it goes or dies."""
import os
import signal
import threading
import time

from steno_test import janus

LIGHT = 40


class Watch:
    """Polls the participants' list as fast as it can."""

    def __init__(self, server, room):
        self.client = server.client()
        self.room = room
        self.seen = {}
        self.polls = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(0.02):
            self.polls += 1
            for participant in self.client.participants(self.room):
                self.seen[participant["id"]] = participant

    def end(self):
        self._stop.set()
        self._thread.join()
        self.client.close()
        return self.seen


def unseen(case, room, die):
    server = case.janus().start()
    observer = server.client()
    mine = observer.request({"request": "join", "ptype": "publisher", "room": room, "display": "observer"})["id"]
    browser = case.chromium()
    published = browser.page("p").join(server, room, tag=1)["id"]
    observer.wait_event(lambda e: e.get("plugindata", {}).get("data", {}).get("publishers"), 10, "the publisher is told")
    observer.request({"request": "listparticipants", "room": room})
    told_before = len(observer.events)
    watch = Watch(server, room)
    recording = case.record(server, room=room)
    recording.wait(lambda e: e.get("event") == "participant_joined", 20, "the recorder finds the participant")
    recording.wait_state("recording")
    time.sleep(3)
    if die:
        os.kill(recording.recorder(), signal.SIGKILL)
        os.kill(recording.process.pid, signal.SIGKILL)
        recording.process.wait()
        # Janus ends the session of the dead when it polls no more: the time for which something could still be told.
        time.sleep(3)
    else:
        done = recording.finish()
        assert done["error"] is None, done
    time.sleep(1)
    seen = watch.end()
    told = [e for _, e in observer.events[told_before:] if e.get("janus") == "event"]
    told = [e["plugindata"]["data"] for e in told if not ("talking" in str(e) or "participants" in e["plugindata"]["data"])]
    case.figure(f"{watch.polls} lists, {len(told)} events")
    observer.close()
    assert set(seen) <= {mine, published}, f"listed: {[p for i, p in seen.items() if i not in (mine, published)]}"
    assert not told, f"told: {told}"


def test_plain_room(case):
    unseen(case, janus.ROOM, False)


def test_room_that_tells_who_joins(case):
    unseen(case, janus.ROOM_NOTIFY, False)


def test_killed(case):
    unseen(case, janus.ROOM_NOTIFY, True)
