"""The command `steno` against a real stenod that records a real Janus room, from key to file."""
import hashlib
import json
import os
import subprocess
import time

from steno_test import clips, janus, procs, steno
from steno_test.stenod import Stenod

LIGHT = 25
START = ["start", "--app", "clinic", "--platform", "janus-1", "--channel", str(janus.ROOM)]


def steno_of(daemon):
    """steno(…) runs a command over the daemon's socket; it must end with `code`, and be silent on stderr when all is well."""
    def run(*argv, code=0):
        done = daemon.cli(*argv)
        assert done.returncode == code, f"steno {' '.join(argv)}: exit {done.returncode}, not {code}: {done.stdout}{done.stderr}"
        assert code or not done.stderr, f"steno {' '.join(argv)} said: {done.stderr}"
        return done.stdout if code == 0 else done.stderr
    return run


def appliance(case):
    server = case.janus().start()
    clips.publish(case, server)
    daemon = Stenod(case)
    daemon.janus(server)
    daemon.start()
    return server, daemon, steno_of(daemon)


def watcher(case, daemon, *argv):
    process = procs.start([steno.STENO, "watch", *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "STENO_SOCKET": daemon.socket})
    case.on_exit(procs.stop, process)
    return process


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def test_commands(case):
    """start, list, show, watch, pause, resume, update, stop, files, get, delete."""
    _, daemon, run = appliance(case)
    ident = run(*START, "--label", "case=17", "--for", "1h").strip()
    daemon.await_state(ident, "recording")
    assert run(*START, "--unless-running").strip() == ident
    assert "is not being recorded once more" in run(*START, code=4)
    assert run("list", "--plain", "--state", "recording", "--label", "case=17").split("\t")[0] == ident
    assert "case=17" in run("show", ident)
    events = watcher(case, daemon, "--json", "--after", "0", ident)
    run("pause", ident)
    daemon.await_state(ident, "paused")
    run("resume", ident)
    daemon.await_state(ident, "recording")
    run("update", ident, "--label", "case=18", "--for", "2h")
    changed = daemon.recording(ident)
    assert changed["labels"] == {"case": "18"} and changed["request"]["max_duration_s"] == 7200, changed
    begun = time.time()
    run("stop", "--wait", ident)
    case.figure(f"stop --wait took {time.time() - begun:.1f} s")
    out, err = events.communicate(timeout=30)
    assert events.returncode == 0 and not err, err
    types = [json.loads(line)["type"].split(".")[1] for line in out.splitlines()]
    assert [t for t in types if t in ("started", "paused", "resumed", "completed")] == \
        ["started", "paused", "resumed", "completed"], types
    ended = daemon.recording(ident)
    target = case.path("files")
    paths = run("get", ident, "-o", target).split()
    assert {os.path.basename(p) for p in paths} == {f["name"] for f in ended["files"]} | {"manifest.json", "manifest.json.sig"}, paths
    for file in ended["files"]:
        assert sha256(os.path.join(target, file["name"])) == file["sha256"], file
    # The rest of a file that was begun.
    name = max(ended["files"], key=lambda f: f["bytes"])["name"]
    whole = os.path.join(target, name)
    with open(whole, "rb") as f:
        half = f.read()[:os.path.getsize(whole) // 2]
    os.unlink(whole)
    with open(whole + ".part", "wb") as f:
        f.write(half)
    run("get", ident, name, "-o", target)
    assert sha256(whole) == next(f["sha256"] for f in ended["files"] if f["name"] == name)
    assert name in run("files", ident)
    run("delete", "--files", "--yes", ident)
    run("show", ident, code=3)


def test_start_wait(case):
    """The exit code of `start --wait` is the recording's result, also when stenod is replaced meanwhile."""
    _, daemon, run = appliance(case)
    begun = time.time()
    process = procs.start([steno.STENO, *START, "--wait", "--for", "6s"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, env={**os.environ, "STENO_SOCKET": daemon.socket})
    ident = process.stdout.readline().strip()
    daemon.await_state(ident, "recording")
    daemon.reload()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", ""), (process.returncode, out, err)
    case.figure(f"start --wait --for 6s took {time.time() - begun:.1f} s")
    words = run("start", "--app", "clinic", "--platform", "janus-1", "--channel", "999999", "--wait",
                code=steno.exit_codes()["no-such-channel"])
    assert "channel 999999 on janus-1 failed" in words, words
    run("start", "--app", "nobody", "--platform", "janus-1", "--channel", "1", code=3)


def test_one_of_many_starts(case):
    """Ten commands at the same moment make one recording, and all print its id."""
    _, daemon, run = appliance(case)
    many = [procs.start([steno.STENO, *START, "--unless-running", "--for", "1h"], stdout=subprocess.PIPE,
                        stderr=subprocess.PIPE, text=True, env={**os.environ, "STENO_SOCKET": daemon.socket})
            for _ in range(10)]
    told = [p.communicate(timeout=60) for p in many]
    assert [p.returncode for p in many] == [0] * 10, told
    assert len({out for out, _ in told}) == 1 and not any(err for _, err in told), told
    assert len(daemon.recordings()) == 1
    run("stop", told[0][0].strip())


def test_keys_and_https(case):
    """A key over HTTPS may what its role may, and nothing once it is revoked."""
    _, daemon, run = appliance(case)
    address = f"https://127.0.0.1:{daemon.port}"
    certificate = os.path.join(daemon.state, "tls", "cert.pem")

    def key(*argv):
        line = run("key", "add", *argv).strip()
        return line.split(":")[0], daemon.secret("key-" + line.split(":")[0], line)

    def remote(file, *argv, code=0):
        return run(*argv, "--server", address, "--key-file", file, "--ca-file", certificate, code=code)

    viewer, viewer_file = key("--role", "viewer", "--app", "clinic", "--label", "ward-7")
    operator, operator_file = key("--role", "operator")
    assert viewer in run("key", "list") and "ward-7" in run("key", "list")
    ident = remote(operator_file, *START).strip()
    daemon.await_state(ident, "recording")
    assert json.loads(remote(viewer_file, "show", ident, "--json"))["id"] == ident
    remote(viewer_file, "stop", ident, code=8)
    remote(viewer_file, "key", "list", code=8)
    remote(operator_file, "stop", "--wait", ident)
    remote(viewer_file, "get", ident, "-o", case.path("remote"))
    run("list", "--server", address, "--key-file", viewer_file, code=steno.exit_codes()["tls"])
    run("key", "revoke", viewer)
    remote(viewer_file, "list", code=6)


def test_faults_found(case):
    """check, doctor and audit verify: good when all is well, and telling what is not."""
    server, daemon, run = appliance(case)
    assert "is good" in run("check", daemon.config)
    assert "✓ platform janus-1" in run("check", "--platform", "janus-1", "--storage", "primary")
    told = json.loads(run("doctor", "--config", daemon.config, "--json"))
    names = [c["name"] for c in told["checks"]]
    for name in ("configuration", "clock", "open files", "stenod", f"HTTPS on 127.0.0.1:{daemon.port}"):
        assert name in names, names
    for kind in ("platform janus-1", "storage primary"):
        assert any(n.startswith(kind) for n in names), names
    audit = os.path.join(daemon.state, "audit.jsonl")
    assert "entries, unchanged" in run("audit", "verify", audit)
    server.stop()
    run("check", "--platform", "janus-1", code=1)
    assert daemon.cli("doctor", "--config", daemon.config).returncode == 1
    daemon.stop()
    done = daemon.cli("doctor", "--config", daemon.config)
    assert done.returncode == 1 and "✗ stenod" in done.stdout and "✓ configuration" in done.stdout, done.stdout + done.stderr
    with open(audit) as f:
        lines = f.readlines()
    with open(audit, "w") as f:
        f.writelines(lines[:1] + lines[2:])
    run("audit", "verify", audit, code=steno.exit_codes()["audit-damaged"])
    with open(daemon.config, "a") as f:
        f.write("frobnicate = 1;\n")
    assert "frobnicate" in run("check", daemon.config, code=54)
