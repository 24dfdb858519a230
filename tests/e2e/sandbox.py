"""
What the programs that read what others send are kept from: tried from inside of them, by a library that is loaded into a
recorder of a real room and into an assembler. What they could do before they entered their sandbox is tried as well.
"""
import ctypes
import errno
import os
import signal
import socket
import subprocess

from steno_test import check, clips, procs, steno

LIGHT = 10
SHIM = os.path.join(steno.BUILD, "bin", "probe_shim.so")
ACTS = ("read", "create", "system-file", "run", "internet-socket", "unix-socket")
FILES = {act: errno.EACCES for act in ("read", "create", "system-file")}
RECORDER = {**FILES, "run": errno.EPERM, "internet-socket": 0, "unix-socket": errno.ENOSYS}
ASSEMBLER = {**FILES, "run": errno.EPERM, "internet-socket": errno.EPERM, "unix-socket": errno.EPERM}


class Probe:
    """The library's environment for one program, and what it told."""

    def __init__(self, case, program):
        self.report = case.path(f"{program}.report")
        secret = steno.secret_file(case.folder, "somebody-elses.key", "x")
        address = case.path(f"{program}.sock")
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(address)
        listening.listen(64)
        case.on_exit(listening.close)
        self.environment = {"LD_PRELOAD": SHIM, "STENO_PROBE_PROGRAM": program, "STENO_PROBE_FILE": secret,
                            "STENO_PROBE_SOCKET": address, "STENO_PROBE_REPORT": self.report}

    def told(self, when):
        """{thread: {what: errno}}, of threads that told all."""
        found = {}
        with open(self.report) as f:
            for line in f:
                at, rest = line.split(" ", 1)
                name, thread, what, fault = rest.rsplit(" ", 3)
                if at == when:
                    found.setdefault((int(thread), name), {})[what] = int(fault)
        return {thread: acts for thread, acts in found.items() if len(acts) == len(ACTS)}

    def could_before(self):
        assert all(acts == dict.fromkeys(ACTS, 0) for acts in self.told("before").values()) and self.told("before"), self.told("before")


def status(pid, thread):
    with open(f"/proc/{pid}/task/{thread}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def threads(pid):
    return [int(thread) for thread in os.listdir(f"/proc/{pid}/task")]


def confined(pid):
    for thread in threads(pid):
        found = status(pid, thread)
        assert (found["Seccomp"], found["NoNewPrivs"]) == ("2", "1"), f"{pid}, thread {found['Name']}: {found}"


def start(case, server, **kwargs):
    """A recording of the room by a name, which the recorder's agent looks up; the pids of recorder and agent."""
    recording = case.record(server, "--url", server.url.replace("127.0.0.1", "localhost"), **kwargs)
    recording.wait(lambda e: e.get("event") == "track_started", 20, "media")
    pid = recording.recorder()
    agents = procs.children(pid, "steno-agent")
    assert len(agents) == 1, f"agents: {agents}"
    return recording, pid, agents[0]


def await_gone(agent, whose):
    procs.await_true(lambda: procs.comm(agent) != "steno-agent", 10, f"the end of the agent of a recorder that {whose}")


def recorder_is_confined(case, server):
    """In none of its threads can it read, make or run anything, and it records all the same. The capture, afterwards."""
    probe = Probe(case, "steno-recorder")
    recording, pid, agent = start(case, server, environment=probe.environment)
    confined(pid)
    confined(agent)
    libc = ctypes.CDLL(None, use_errno=True)
    mine = threads(pid)
    for thread in mine:
        assert libc.tgkill(pid, thread, signal.SIGRTMIN + 5) == 0, os.strerror(ctypes.get_errno())
    told = procs.await_true(lambda: len(probe.told("inside")) >= len(mine) and probe.told("inside"), 10, "each thread's word")
    probe.could_before()
    for thread, acts in told.items():
        assert acts == RECORDER, f"thread {thread}: {acts}"
    case.figure(f"{len(told)} threads: {sorted({name for _, name in told})}")
    os.kill(agent, signal.SIGKILL)  # what is known by now goes on
    done = recording.finish()
    assert done["error"] is None and done["end_reason"] == "stopped", done
    check.verified(done["folder"])
    assert "Landlock does not hold" not in recording.tail(), recording.tail()
    return done["capture"]


def no_agent_is_left(case, server):
    """However a recorder ends, its agent does, too."""
    recording, pid, agent = start(case, server, name="killed")
    os.kill(pid, signal.SIGKILL)
    await_gone(agent, "was killed")
    second = procs.await_true(lambda: [p for p in procs.children(recording.process.pid, "steno-agent") if p != agent], 20,
                              "the next recorder's agent")
    assert recording.finish()["error"] is None
    await_gone(second[0], "ended")


def assemble(*arguments, **kwargs):
    return subprocess.run([os.path.join(steno.BUILD, "bin", "steno-assemble"), *arguments], capture_output=True, text=True,
                          timeout=60, **kwargs)


def assembler_is_confined(case, capture):
    """At work, it reads, makes and runs nothing else, and has no socket."""
    probe = Probe(case, "steno-assemble")
    made = assemble("assemble", capture, "--output", case.path("files"), env={**os.environ, **probe.environment})
    assert made.returncode == 0, made.stderr
    probe.could_before()
    told = probe.told("inside")
    assert told and all(acts == ASSEMBLER for acts in told.values()), told


def folders_are_found(case, capture):
    """However people name them."""
    os.mkdir(case.path("real"))
    os.symlink(case.path("real"), case.path("link"))
    os.symlink(capture, case.path("capture"))
    for output in ("link", "link/below", "new/below", "../" + os.path.basename(case.folder) + "/other"):
        made = assemble("assemble", "capture", "--output", output, cwd=case.folder)
        assert made.returncode == 0, f"{output}: {made.stderr}"
        judged = assemble("verify", output, cwd=case.folder)
        assert judged.returncode == 0, f"{output}: {judged.stderr}{judged.stdout}"


def test_sandbox(case):
    """A recorder in a real room, its agent, and an assembler of what it captured."""
    server = case.janus().start()
    clips.publish(case, server, seconds=5)
    capture = recorder_is_confined(case, server)
    no_agent_is_left(case, server)
    assembler_is_confined(case, capture)
    folders_are_found(case, capture)
