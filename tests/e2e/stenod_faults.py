"""
Each write, sync, rename, open and SQLite call of each program fails once, or from then on: no crash, no hang, no recording
that is called completed and is not, and nothing lost once the disk is well again.
"""
import concurrent.futures
import errno
import http.client
import os
import shutil

from steno_test import check, clips, janus, procs, steno
from steno_test.stenod import ENDED, STENOD, Stenod

SHIM = os.path.join(steno.BUILD, "bin", "fault_shim.so")
PROGRAMS = ("stenod", "steno-recorder", "steno-assemble")
HANG = 10  # s that nothing may take longer than
WORKERS = 8


class Run:
    """One stenod that records a room for a moment, while operation `at` of a program fails."""

    def __init__(self, case, program, at, count=1, error=errno.ENOSPC):
        self.words = f"{program}: {errno.errorcode[error]} at operation {at}" + ("" if count else " and all later ones")
        self.count_log = case.path(f"{program}-{at}-{count}-{error}.log")
        self.daemon = Stenod(case, f"{program[6:] or 'd'}-{at}-{count}-{error}", environment={
            "LD_PRELOAD": SHIM, "STENO_FAULT_PROGRAM": program, "STENO_FAULT_AT": str(at), "STENO_FAULT_COUNT": str(count),
            "STENO_FAULT_ERRNO": str(error), "STENO_FAULT_LOG": self.count_log})
        self.daemon.environment["STENO_FAULT_BELOW"] = self.daemon.folder
        self.daemon.api["listen"] = []  # so many at a time would take each other's ports
        if count:
            self.daemon.environment["STENO_FAULT_ONCE"] = self.count_log + ".once"
        self.lasting = count == 0

    def heal(self):
        self.daemon.environment.clear()

    def ended_well(self, process):
        assert process.returncode is not None and process.returncode >= 0, \
            f"{self.words}: stenod died by signal {-process.returncode}: {self.daemon.tail()}"

    def begin(self):
        """stenod, up: with the fault, or (when that kept it from starting, with words) without."""
        self.daemon.configure()
        self.daemon.launch(ready=False)

        def up():
            if self.daemon.process.poll() is not None:
                return True
            try:
                return self.daemon.get("/livez", timeout=HANG).status == 200
            except (OSError, http.client.HTTPException):
                return False
        procs.await_true(up, HANG, f"{self.words}: stenod answers or ends: {self.daemon.tail()}", interval=0.02)
        if self.daemon.process.poll() is not None:
            self.ended_well(self.daemon.process)
            assert self.daemon.process.returncode != 0 and self.daemon.tail().strip(), f"{self.words}: it ended without a word"
            self.heal()
            self.daemon.launch()

    def start(self):
        """The id of a recording: refused with words is allowed while the fault lasts."""
        for attempt in (1, 2, 3):
            answer = self.daemon.ask("POST", "/v1/recordings", {"app": "clinic", "platform": "janus-1",
                                                                "channel": str(janus.ROOM)}, timeout=HANG)
            if answer.status == 201:
                return answer.json["id"]
            if answer.status == 409 and attempt > 1:
                # A sync that failed may have written all the same: the first answer said that it could not be known.
                return answer.json["recording"]
            assert answer.status >= 500 and answer.json.get("detail"), f"{self.words}: {answer}"
            if self.lasting:
                self.again()
        raise AssertionError(f"{self.words}: refused three times: {answer}")

    def again(self):
        """The disk is well again: a new stenod, without the fault."""
        procs.stop(self.daemon.process, seconds=HANG)
        self.ended_well_or_killed()
        self.heal()
        self.daemon.launch()

    def ended_well_or_killed(self):
        code = self.daemon.process.returncode
        assert code >= 0 or code == -9, f"{self.words}: stenod died by signal {-code}: {self.daemon.tail()}"

    def show(self, id_):
        """The recording; what can't be read may be said so, once."""
        for _ in range(2):
            answer = self.daemon.get(f"/v1/recordings/{id_}", timeout=HANG)
            if answer.status == 200:
                return answer.json
            assert answer.status >= 500 and answer.json.get("detail"), f"{self.words}: {answer}"
        raise AssertionError(f"{self.words}: {answer}")

    def record(self):
        self.begin()
        id_ = self.start()
        # A second of it, or what the fault makes of it.
        procs.await_true(lambda: (r := self.show(id_))["state"] in ENDED or r["counts"]["frames"] >= 15
                         or (self.lasting and r["error"]) , 30, f"{self.words}: frames", interval=0.05)
        answer = self.daemon.ask("POST", f"/v1/recordings/{id_}/stop", timeout=HANG)
        assert answer.status in (200, 202, 409) or (answer.status >= 500 and answer.json["detail"]), f"{self.words}: {answer}"
        if self.lasting:
            # Nothing that can't be true: with a broken disk it waits, or has failed with its reason.
            self.truth(self.show(id_))
            self.again()
            self.daemon.ask("POST", f"/v1/recordings/{id_}/stop", timeout=HANG)
        try:
            procs.await_true(lambda: self.show(id_)["state"] in ENDED, 60, f"{self.words}: an end")
        except procs.Timeout as late:
            raise procs.Timeout(f"{late}: {self.show(id_)}; {self.daemon.tail()}")
        told = self.show(id_)
        self.truth(told)
        # What fails once ends nothing.
        assert self.lasting or told["state"] == "completed", f"{self.words}: {told['state']}: {told['error']}"
        code = self.daemon.stop(seconds=HANG)
        assert code == 0, f"{self.words}: stenod ended with {code}: {self.daemon.tail()}"
        # What was told is what the next one finds.
        self.heal()
        self.daemon.launch()
        found = self.show(id_)
        assert found["state"] == told["state"], f"{self.words}: it was {told['state']}, now it is {found['state']}"
        self.truth(found)
        with open(self.daemon.log) as f:
            log = f.read()
        assert "(signal" not in log and "AddressSanitizer" not in log, f"{self.words}: a program crashed: {log[-1500:]}"
        self.daemon.destroy()
        shutil.rmtree(self.daemon.folder)
        return told["state"]

    def truth(self, recording):
        if recording["state"] == "completed":
            folder = self.daemon.folder_of(recording)
            check.verified(folder)
            assert check.files(folder), f"{self.words}: completed without files"
            for file in recording["files"]:
                assert os.path.getsize(os.path.join(folder, file["name"])) == file["bytes"], f"{self.words}: {file}"
        if recording["state"] == "failed":
            assert recording["error"] and recording["error"]["message"], f"{self.words}: failed without a reason: {recording}"
            kept = os.path.join(self.daemon.spool, recording["id"])
            assert recording["counts"]["frames"] == 0 or os.path.isdir(kept), f"{self.words}: failed, and its capture is gone"

    def operations(self):
        """How many there were, the most of any process."""
        with open(self.count_log) as f:
            return max(int(line.split()[2]) for line in f if " total " in line)


def faults(case, step_of):
    """step_of(program, operations): every how manyeth operation fails."""
    server = case.janus().start()
    clips.publish(case, server)

    def run(program, at, count, error):
        one = Run(case, program, at, count, error)
        one.daemon.janus(server)
        return one.record(), one

    assert os.path.exists(STENOD), STENOD
    for program in PROGRAMS:
        _, probe = run(program, 0, 1, errno.ENOSPC)
        total = probe.operations()
        first = int(os.environ.get("STENO_FAULT_FROM", "1")) if program == PROGRAMS[0] else 1
        jobs = [(program, at, count, error) for at in range(first, total + 1, step_of(program, total))
                for count, error in ((1, errno.ENOSPC), (1, errno.EIO), (0, errno.ENOSPC))]
        ends = {}
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            for state, _ in pool.map(lambda job: run(*job), jobs):
                ends[state] = ends.get(state, 0) + 1
        case.figure(f"{program}: {total} operations, {len(jobs)} failed ones: {ends}")


def test_faults(case):
    faults(case, lambda program, total: max(1, total // 6))


def long_every_fault(case):
    """STENO_FAULT_FROM=N begins with stenod's Nth operation."""
    faults(case, lambda program, total: 1)
