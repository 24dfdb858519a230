"""
kill -9 of stenod, of a recorder, or of both at random moments, again and again: every recording goes on, ends in a true
state, loses at most 2 s a track, runs once, and every webhook arrives in its order at a receiver that fails half of the time.
"""
import json
import os
import random
import signal
import time

from steno_test import check, clips, janus, procs
from steno_test.receiver import SECRET, Receiver
from steno_test.stenod import ENDED, Stenod

ALIVE = 3          # recordings at a time
LOST_MAX = 2.0     # s of a track before a kill
RESUME_MAX = 5.0   # s until its next picture
TELLING_MAX = 1800 # s until the last webhook came, after the last recording has ended
LATE = 0.25        # s a picture may be on its way from the publisher through the SFU and the recorder


class Life:
    """One recording and what was done to it."""

    def __init__(self, id_):
        self.id = id_
        self.cuts = []  # [(killed, stenod is back)] that took its recorder away
        self.part = 1   # of which pictures were seen


class Rounds:
    def __init__(self, case, seed):
        self.case, self.rng = case, random.Random(seed)
        self.server = case.janus().start()
        self.receiver = Receiver(failing=0.5, seed=seed)
        case.on_exit(self.receiver.close)
        clips.publish(case, self.server)
        self.daemon = Stenod(case)
        self.daemon.janus(self.server)
        self.daemon.webhooks = [{"name": "hook", "url": self.receiver.url, "allow_http": True, "allow_private": True,
                                 "secret_file": self.daemon.secret("hook.secret", "whsec_" + SECRET), "retry_first_ms": 100}]
        self.daemon.apps = [{"name": "clinic", "webhooks": ["hook"], "webhook": "hook"}]
        self.daemon.start()
        self.alive, self.ended, self.begun = [], [], 0
        self.worst_lost, self.worst_resume, self.kills = 0.0, 0.0, {"stenod": 0, "recorder": 0, "both": 0}

    def fill(self):
        while len(self.alive) < ALIVE:
            self.begun += 1
            life = Life(self.daemon.begin(janus.ROOM, profile=f"p{self.begun}")["id"])
            self.alive.append(life)

    def flows(self, life):
        """Pictures of this recording arrive, in the part that must be there by now."""
        def probe():
            recording = self.daemon.recording(life.id)
            assert recording["state"] not in ENDED, f"{life.id} ended by itself: {recording['end_reason']} {recording['error']}"
            return recording["state"] == "recording" and recording["parts"] >= life.part and recording["counts"]["frames"] > 0
        procs.await_true(probe, 20, f"{life.id} records part {life.part}")

    def round(self):
        self.fill()
        for life in self.alive:
            self.flows(life)
        time.sleep(self.rng.uniform(0.0, 2.0))
        what = self.rng.choice(("stenod", "recorder", "both"))
        self.kills[what] += 1
        victim = self.rng.choice(self.alive)
        pid = self.daemon.recorders().get(victim.id)
        moment = time.time()
        if what != "recorder":
            self.daemon.kill()
        if what != "stenod":
            assert pid, f"{victim.id} has no recorder"
            os.kill(pid, signal.SIGKILL)
        if what != "recorder":
            # systemd's RestartSec=1 may be shorter or longer.
            time.sleep(self.rng.uniform(0.0, 0.5))
            self.daemon.launch()
        if what != "stenod":
            victim.cuts.append((moment, time.time()))
            victim.part += 1
        running = list(self.daemon.recorders())
        assert len(running) == len(set(running)), f"a recording runs twice: {running}"
        # One of them ends in the middle of the trouble now and then.
        if self.rng.random() < 0.25:
            self.end(self.rng.choice(self.alive))

    def end(self, life):
        answer = self.daemon.ask("POST", f"/v1/recordings/{life.id}/stop")
        assert answer.status in (200, 202), answer
        self.alive.remove(life)
        recording = self.daemon.await_state(life.id, "completed", 60)
        self.judge(life, recording)

    def judge(self, life, recording):
        folder = self.daemon.folder_of(recording)
        check.verified(folder)
        manifest = clips.manifest(folder)
        assert not os.path.exists(os.path.join(self.daemon.spool, life.id)), f"{life.id}: its capture was left behind"
        found = check.files(folder)
        assert len(found) == 1, f"one participant, files: {os.listdir(folder)}"
        check.clean(found[0])
        times = clips.walls(found[0], clips.zero(manifest))
        assert not clips.repeated(found[0]), f"{life.id}: pictures come twice"
        told = [g for g in manifest["gaps"] if g["cause"] in ("recorder", "disconnected")]
        for killed, back in life.cuts:
            if killed < times[0] or killed > times[-1]:
                continue  # before its first picture was written, or as it was stopped
            lost = killed - max(t for t in times if t <= killed)
            resumed = min(t for t in times if t > killed) - back
            self.worst_lost, self.worst_resume = max(self.worst_lost, lost), max(self.worst_resume, resumed)
            assert lost <= LOST_MAX + LATE, f"{life.id}: {lost:.2f} s lost before a kill"
            assert resumed <= RESUME_MAX, f"{life.id}: resumed after {resumed:.2f} s"
            assert told, f"{life.id}: the manifest tells no gap"
        self.ended.append(life)

    def judge_webhooks(self, life, seconds):
        """A delay doubles with each failure, so that the last of thousands of events may take minutes."""
        assert self.receiver.wait(life.id, ["recording.completed"], seconds), f"{life.id}: its end was not told"
        got = [e["seq"] for e in self.receiver.of(life.id)]
        sent = [e["seq"] for e in self.events(life.id)]
        assert got == sent, f"{life.id}: sent {sent}, came {got}"
        types = [e["type"].split(".", 1)[1] for e in self.receiver.of(life.id)]
        assert types.count("started") == 1 and types.count("completed") == 1 and types[-1] == "completed", types
        assert types.count("participant_joined") >= 1, types

    def events(self, id_):
        """All that the journal holds of a recording, by the API: the SSE backlog."""
        answer = self.daemon.ask("GET", f"/v1/events?recording={id_}&follow=false", headers={"Last-Event-ID": "0"})
        assert answer.status == 200, answer
        return [json.loads(line[len("data:"):]) for line in answer.body.decode().splitlines() if line.startswith("data:")]

    def finish(self):
        for life in list(self.alive):
            self.flows(life)
            self.end(life)
        begun = time.monotonic()
        for life in self.ended:
            self.judge_webhooks(life, max(1, TELLING_MAX - (time.monotonic() - begun)))
        assert not self.receiver.faults, self.receiver.faults
        states = {}
        for recording in self.daemon.recordings():
            states[recording["state"]] = states.get(recording["state"], 0) + 1
        assert set(states) == {"completed"}, states
        self.case.figure(f"{sum(self.kills.values())} rounds {self.kills}, {states['completed']} recordings; at most "
                         f"{self.worst_lost:.2f} s lost, resumed after at most {self.worst_resume:.2f} s; "
                         f"{len(self.receiver.got)} webhooks, {self.receiver.refused} refused, {len(self.receiver.doubles)} twice")


def rounds(case, count, seed):
    run = Rounds(case, seed)
    for _ in range(count):
        run.round()
    run.finish()


def test_crashes(case):
    rounds(case, 15, 1)


def long_thousand(case):
    rounds(case, int(os.environ.get("STENO_ROUNDS", "1000")), int(os.environ.get("STENO_SEED", "2")))
