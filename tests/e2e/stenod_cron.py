"""Debian's cron starts a recording of a real Janus room each minute; the files are fetched by the command and by HTTPS."""
import hashlib
import json
import os
import pwd
import subprocess
import time

from steno_test import check, clips, janus, procs, steno
from steno_test.case import Skip
from steno_test.stenod import Stenod

LIGHT = 210
MINUTES = 3


def crontab(case, text):
    """Runs Debian's cron in the foreground with a crontab of our own, in a mount namespace where that is all it sees."""
    if os.geteuid() != 0:
        raise Skip("cron needs root to run jobs")
    folder = case.path("cron")
    for name in ("crontabs", "empty"):
        os.makedirs(os.path.join(folder, name))
    os.chmod(os.path.join(folder, "crontabs"), 0o730)
    path = os.path.join(folder, "crontabs", pwd.getpwuid(0).pw_name)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o600)
    for name in ("crontab", "run"):
        with open(os.path.join(folder, name), "w"):
            pass
    script = (f"mount --bind {folder}/crontabs /var/spool/cron/crontabs && mount --bind {folder}/empty /etc/cron.d && "
              f"mount --bind {folder}/crontab /etc/crontab && touch /run/crond.pid && mount --bind {folder}/run /run/crond.pid && "
              "exec cron -f -L 7")
    log = open(os.path.join(folder, "cron.log"), "ab")
    process = procs.start(["unshare", "--mount", "sh", "-c", script], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    case.on_exit(procs.stop, process)
    return process


def fetched(case, daemon, recording, viewer):
    """The files by `steno get` and by a plain HTTPS client are the files of the manifest."""
    target = case.path("get-" + recording["id"])
    done = daemon.cli("get", recording["id"], "-o", target)
    assert done.returncode == 0, f"steno get: exit {done.returncode}: {done.stderr}"
    names = [f["name"] for f in recording["files"]]
    assert names, f"{recording['id']} has no files"
    for file in recording["files"]:
        found = [os.path.join(at, file["name"]) for at, _, ns in os.walk(target) if file["name"] in ns]
        assert len(found) == 1, f"steno get left {file['name']} {len(found)} times"
        with open(found[0], "rb") as f:
            assert hashlib.sha256(f.read()).hexdigest() == file["sha256"], f"{file['name']} is not what the manifest says"
        body = os.path.join(case.folder, "curl.out")
        done = subprocess.run(["curl", "--silent", "--show-error", "--fail", "--cacert",
                               os.path.join(daemon.state, "tls", "cert.pem"), "--user", f"{viewer['id']}:{viewer['secret']}",
                               "--output", body, f"https://127.0.0.1:{daemon.port}{file['url']}"],
                              capture_output=True, text=True)
        assert done.returncode == 0, f"curl: {done.stderr}"
        with open(body, "rb") as f:
            assert hashlib.sha256(f.read()).hexdigest() == file["sha256"], f"{file['url']} is not what the manifest says"
    return names


def test_cron(case):
    server = case.janus().start()
    clips.publish(case, server)
    daemon = Stenod(case)
    daemon.janus(server)
    daemon.start()
    viewer = daemon.key("viewer", "clinic")
    out, err = case.path("cron.stdout"), case.path("cron.stderr")
    # The first job of the next minute on; two jobs at the same moment, as when two machines' crontabs were copied.
    command = (f"{steno.STENO} start --app clinic --platform janus-1 --channel {janus.ROOM} --for 30s --unless-running "
               f">>{out} 2>>{err}")
    crontab(case, f"STENO_SOCKET={daemon.socket}\nSHELL=/bin/sh\nPATH=/usr/bin:/bin\n* * * * * {command}\n* * * * * {command}\n")
    start = time.time()

    def begun():
        return len(daemon.recordings(channel=str(janus.ROOM))) >= MINUTES
    procs.await_true(begun, 60 * (MINUTES + 1), f"{MINUTES} recordings", interval=1)
    ids = [r["id"] for r in daemon.recordings(channel=str(janus.ROOM), order="oldest")]
    ended = [daemon.await_state(i, "completed", 120) for i in ids]
    case.figure(f"{len(ids)} recordings after {time.time() - start:.0f} s")
    # The third of them ended before the fourth minute began, or cron has begun a fourth: none may be double.
    zeros = sorted(r["started_at"] for r in ended)
    assert len({z[:16] for z in zeros}) == len(zeros), f"two recordings in one minute: {zeros}"
    with open(out) as f:
        printed = f.read().split()
    with open(err) as f:
        complaints = f.read()
    assert complaints == "", f"cron would have mailed: {complaints}"
    assert set(ids) <= set(printed), f"printed {printed}, recorded {ids}"
    assert all(printed.count(i) >= 1 for i in ids) and len(printed) >= 2 * len(ids) - 1, f"printed: {printed}"
    for recording in ended[:MINUTES]:
        assert recording["end_reason"] == "max-duration", recording
        duration = recording["counts"]["duration_ms"] / 1000
        assert 29 <= duration <= 33, f"--for 30s recorded {duration} s"
        fetched(case, daemon, recording, viewer)
        folder = daemon.folder_of(recording)
        check.verified(folder)
        for path in check.files(folder):
            check.clean(path)
            assert not clips.repeated(path), f"{path}: pictures come twice"
    case.figure(json.dumps([{"started_at": r["started_at"], "duration_ms": r["counts"]["duration_ms"],
                             "files": [f["name"] for f in r["files"]]} for r in ended]))
