"""Journals of other versions: taken over from earlier builds, refused from later ones; and backups that are put back."""
import glob
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import threading
import time

from steno_test import check, clips, janus, procs, steno
from steno_test.stenod import STENOD, Stenod

LIGHT = 15
JOURNALS = os.path.join(steno.TOP, "tests", "vectors", "journals")
REFUSE = os.path.join(steno.TOP, "packaging", "refuse-downgrade")
KNOWN = int(subprocess.run(["sed", "-n", "s/^#define STENO_JOURNAL_VERSION //p",
                            os.path.join(steno.TOP, "include", "steno", "journal.h")], capture_output=True, text=True).stdout)
# What is not the journal's: the address of a webhook's receiver, when this stenod last reached it, and a time that the test
# has to move, so that it stays to come.
ELSEWHERE = {"url", "start_at", "last_delivered_at"}


def journal_of(daemon):
    return os.path.join(daemon.state, "journal.sqlite")


def plant(daemon, version):
    """The journal of a version, as the build that made it left it."""
    os.makedirs(daemon.state, 0o700)
    path = journal_of(daemon)
    with open(os.path.join(JOURNALS, f"v{version}.sql")) as f, sqlite3.connect(path) as journal:
        journal.executescript(f.read())
        assert journal.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
        journal.execute("UPDATE recording SET start_at_us = ? WHERE state = 'queued'", (int((time.time() + 86400) * 1e6),))
    journal.close()
    os.chmod(path, 0o600)
    with open(os.path.join(JOURNALS, f"v{version}.json")) as f:
        return json.load(f)


def configured(case, name="stenod"):
    daemon = Stenod(case, name)
    daemon.platforms = [{"name": "janus-1", "url": "http://127.0.0.1:9/janus"}]
    daemon.webhooks = [{"name": "hook", "url": "http://127.0.0.1:9/hook", "allow_http": True, "allow_private": True,
                        "secret_file": daemon.secret("hook", "whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cywgMzIgYnl0ZXMu")}]
    daemon.apps = [{"name": "clinic", "webhooks": ["hook"], "webhook": "hook"}, {"name": "court"}]
    return daemon


def dump(path):
    with sqlite3.connect(path) as journal:
        return [line for line in journal.iterdump() if "sqlite_sequence" not in line]


def files_of(folder):
    """{name: (SHA-256, mode)}"""
    found = {}
    for path in glob.glob(os.path.join(folder, "**"), recursive=True):
        if os.path.isfile(path):
            with open(path, "rb") as f:
                found[path] = (hashlib.sha256(f.read()).hexdigest(), os.stat(path).st_mode)
    return found


def same(told, now, where):
    """Everything that was told is told as it was; there may be more."""
    if isinstance(told, dict):
        for name, value in told.items():
            if name not in ELSEWHERE:
                assert name in now, f"{where}.{name} is gone"
                same(value, now[name], f"{where}.{name}")
    elif isinstance(told, list):
        assert len(told) == len(now), f"{where}: {len(now)} of {len(told)}"
        for i, (a, b) in enumerate(zip(told, now)):
            same(a, b, f"{where}[{i}]")
    elif where.endswith(".uri") and told:
        assert told.rstrip("/") == now.rstrip("/"), f"{where}: {now}, was {told}"
    else:
        assert told == now, f"{where}: {now}, was {told}"


def test_earlier_journals(case):
    """Each version that there was: started on, migrated, and everything is there as the earlier build told it."""
    versions = sorted(int(os.path.basename(p)[1:-4]) for p in glob.glob(os.path.join(JOURNALS, "v*.sql")))
    assert versions == list(range(1, KNOWN)), f"there are journals of versions {versions}, and {KNOWN} is known"
    for version in versions:
        daemon = configured(case, f"v{version}")
        told = plant(daemon, version)
        before = dump(journal_of(daemon))
        daemon.start()
        for path, answer in told["answers"].items():
            got = daemon.get(path)
            assert got.status == 200, f"{path}: {got}"
            if isinstance(answer, str):  # events as they are streamed
                assert got.body.decode() == answer, path
            else:
                same(answer, got.json, path)
        for key in told["keys"]:
            revoked = next(k for k in told["answers"]["/v1/keys"]["keys"] if k["id"] == key["id"])["revoked_at"]
            assert daemon.https("GET", "/v1/recordings", key=key).status == (401 if revoked else 200), key["role"]
        copy = f"{journal_of(daemon)}.v{version}"
        assert dump(copy) == before, "the copy beside it is not what was there"
        assert os.stat(copy).st_mode & 0o777 == 0o600
        # It is written to as ever, and the next start finds it as it is.
        added = daemon.key("viewer", "clinic")
        daemon.kill()
        daemon.launch()
        assert daemon.https("GET", "/v1/recordings", key=added).status == 200
        assert daemon.stop() == 0
        with sqlite3.connect(journal_of(daemon)) as journal:
            assert journal.execute("PRAGMA user_version").fetchone() == (KNOWN,)
        case.figure(f"version {version}: {len(told['answers'])} answers as they were")


def test_full_disk_while_migrating(case):
    """No room for the copy, or for a table: the journal is what it was, and words tell why; with room it goes on."""
    daemon = configured(case)
    told = plant(daemon, 1)
    daemon.configure()
    size = os.path.getsize(journal_of(daemon))
    before = dump(journal_of(daemon))
    for limit in (size // 2, size - 4096):
        done = subprocess.run(["prlimit", f"--fsize={limit}", STENOD, "--config", daemon.config], capture_output=True, text=True,
                              timeout=30)
        assert done.returncode == steno.exit_codes()["journal"], done
        assert "before it is migrated" in done.stderr and "make room on its disk" in done.stderr or "disk" in done.stderr, done.stderr
        assert dump(journal_of(daemon)) == before
        left = [n for n in os.listdir(daemon.state) if n.startswith("journal.sqlite.v") or "damaged" in n]
        assert not left, left
    daemon.start()
    same(told["answers"]["/v1/recordings"], daemon.get("/v1/recordings").json, "recordings")


def refuse(path, known=KNOWN):
    """What a package that knows this version says of a journal: (exit status, words)."""
    script = subprocess.run([REFUSE], capture_output=True, text=True, check=True).stdout
    lines = script.replace(f"known={KNOWN}", f"known={known}").splitlines()
    lines[-1] = f"steno_refuse_downgrade '{path}' || exit 1"
    done = subprocess.run(["sh", "-e"], input="\n".join(lines), capture_output=True, text=True, timeout=10)
    return done.returncode, done.stderr


def test_later_journal(case):
    """Of a later build: refused by stenod and by the package, in words, and not a byte is changed."""
    daemon = configured(case)
    daemon.start()
    path = journal_of(daemon)
    # While it is written to, and before SQLite has put everything into the file.
    assert os.path.getsize(path + "-wal") > 0
    code, words = refuse(path, KNOWN - 1)
    assert code == 1 and f"is of version {KNOWN}" in words and f"journal.sqlite.v{KNOWN - 1}" in words, words
    assert refuse(path) == (0, "")
    assert daemon.stop() == 0
    assert refuse(path) == (0, "")
    with sqlite3.connect(path) as journal:
        journal.executescript(f"CREATE TABLE later (x); PRAGMA user_version = {KNOWN + 1}")
    journal.close()
    before = files_of(daemon.state)
    done = subprocess.run([STENOD, "--config", daemon.config], capture_output=True, text=True, timeout=30)
    assert done.returncode == steno.exit_codes()["journal"], done
    for words in (f"version {KNOWN + 1}", "made by a later Steno", f"journal.sqlite.v{KNOWN}"):
        assert words in done.stderr, done.stderr
    code, words = refuse(path)
    assert code == 1 and f"is of version {KNOWN + 1}" in words, words
    after = files_of(daemon.state)
    # Who tried to start has said so in the lock, and nowhere else.
    changed = {os.path.basename(p) for p in before.keys() | after.keys() if before.get(p) != after.get(p)}
    assert changed <= {"journal.sqlite.lock"}, changed
    done = daemon.cli("backup", case.path("backup"), "--config", daemon.config)
    assert done.returncode == steno.exit_codes()["journal"] and f"version {KNOWN + 1}" in done.stderr, done
    assert not glob.glob(case.path("backup*"))


def test_package_looks_at_journals(case):
    """What is no journal of ours is no reason to refuse: stenod sets it aside."""
    folder = case.path("journals")
    os.makedirs(folder)
    assert refuse(os.path.join(folder, "missing")) == (0, "")
    assert refuse(folder) == (0, "")
    for name, data in (("empty", b""), ("short", b"SQLite format 3\0"), ("garbage", os.urandom(5000)), ("zeros", bytes(5000))):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)
        assert refuse(os.path.join(folder, name)) == (0, ""), name
    path = os.path.join(folder, "theirs")
    with sqlite3.connect(path) as other:
        other.executescript("CREATE TABLE x (y); PRAGMA application_id = 17; PRAGMA user_version = 99")
    assert refuse(path) == (0, "")
    for mode in ("WAL", "DELETE"):
        with sqlite3.connect(path) as ours:
            ours.executescript(f"PRAGMA journal_mode = {mode}; PRAGMA application_id = {0x53746e6f}; PRAGMA user_version = {1 << 30}")
        ours.close()
        code, words = refuse(path)
        assert code == 1 and f"is of version {1 << 30}" in words, (mode, words)


# ---- the first key ------------------------------------------------------------------------------------------------------


def test_first_key(case):
    """Of two who ask at once one gets it; it is nowhere but with who asked, and opens everything."""
    daemon = configured(case)
    daemon.start()
    assert "key init" not in daemon.tail() and "key_" not in daemon.tail(), "a key is in the log"
    hints = json.loads(daemon.cli("doctor", "--config", daemon.config, "--json").stdout)["checks"]
    assert next(c for c in hints if c["name"] == "API keys")["result"] == "warning", hints
    done = []
    threads = [threading.Thread(target=lambda: done.append(daemon.cli("key", "init"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = [d for d in done if d.returncode == 0]
    refused = [d for d in done if d.returncode == steno.exit_codes()["conflict"]]
    assert len(made) == 1 and len(refused) == 3, done
    assert all("steno key add --role admin" in d.stderr and not d.stdout for d in refused), refused
    id_, secret = made[0].stdout.strip().split(":")
    answer = daemon.https("POST", "/v1/keys/init", key={"id": id_, "secret": secret})
    assert answer.status == 403 and "on the server itself" in answer.json["detail"], answer
    keys = daemon.https("GET", "/v1/keys", key={"id": id_, "secret": secret}).json["keys"]
    assert [(k["id"], k["role"], k["app"]) for k in keys] == [(id_, "admin", None)], keys
    assert not any(secret.encode() in open(p, "rb").read() for p in files_of(daemon.folder)), "the secret is on disk"
    with open(os.path.join(daemon.state, "audit.jsonl")) as f:
        entries = [json.loads(line) for line in f]
    assert sorted(e["result"] for e in entries if e["action"] == "key.init") == ["conflict"] * 3 + ["forbidden", "ok"], entries


# ---- backups ------------------------------------------------------------------------------------------------------------


def record(daemon, channel=janus.ROOM, **more):
    return daemon.await_state(daemon.begin(channel, max_duration_s=1, **more)["id"], "completed", 60)["id"]


def backup(daemon, to):
    done = daemon.cli("backup", to, "--config", daemon.config)
    assert (done.returncode, done.stdout, done.stderr) == (0, to + "\n", ""), done
    return to


def test_backup(case):
    """Made while it records, put back after the machine is gone: everything is known again, also what came after it."""
    server = case.janus().start()
    clips.publish(case, server)
    daemon = Stenod(case)
    daemon.janus(server)
    daemon.key_sources = [{"name": "files", "type": "folder", "path": os.path.join(daemon.folder, "keys")}]
    os.makedirs(os.path.join(daemon.folder, "keys", "clinic"), 0o700)
    daemon.secret("keys/clinic/1234.json", "{}")
    daemon.start()
    key = daemon.key()
    known, forgotten = record(daemon, labels={"case": "17"}), record(daemon)
    shown = daemon.recording(known)
    assert daemon.ask("DELETE", f"/v1/recordings/{forgotten}").status == 204
    procs.await_true(lambda: daemon.get(f"/v1/recordings/{forgotten}").status == 404, 20, "it is forgotten")
    during = daemon.begin(janus.ROOM)["id"]
    procs.await_true(lambda: daemon.recording(during)["counts"]["frames"] > 0, 20, "frames")
    tar, folder = backup(daemon, case.path("backup.tar")), backup(daemon, case.path("backup"))
    looks(daemon, tar, folder)
    daemon.ask("POST", f"/v1/recordings/{during}/stop")
    daemon.await_state(during, "completed")
    after = record(daemon)
    events = daemon.get("/v1/events?follow=false&after=0").body.decode()
    last = max(int(line[4:]) for line in events.splitlines() if line.startswith("id: "))
    assert daemon.stop() == 0
    fingerprint = files_of(os.path.join(daemon.state, "signing"))

    # The disk of the state is gone; that of the recordings is not.
    for path in (daemon.state, daemon.spool, os.path.join(daemon.folder, "keys")):
        shutil.rmtree(path)
    os.unlink(daemon.config)
    sticky = os.stat("/tmp").st_mode
    subprocess.run(["tar", "-C", "/", "--exclude", "SHA256SUMS", "-xpf", tar], check=True)
    assert os.stat("/tmp").st_mode == sticky
    # What was named within a minute before the copy might not have been in it yet, and is looked for as well.
    with sqlite3.connect(journal_of(daemon)) as journal:
        changed = journal.execute(f"UPDATE mark SET name = 'copied-' || (substr(name, 8) + {60 * 10**6}) WHERE name LIKE 'copied-%'")
        assert changed.rowcount == 1
    journal.close()
    daemon.launch()
    assert daemon.https("GET", "/v1/recordings", key=key).status == 200
    assert daemon.recording(known) == shown
    procs.await_true(lambda: daemon.get(f"/v1/recordings/{after}").status == 200, 30, "what came after the backup is found")
    daemon.await_state(during, "completed")
    assert daemon.get(f"/v1/recordings/{forgotten}").status == 404, "what was forgotten is back"
    assert files_of(os.path.join(daemon.state, "signing")) == fingerprint
    for id_ in (known, during, after):
        check.verified(daemon.folder_of(daemon.recording(id_)))
    assert daemon.cli("audit", "verify", os.path.join(daemon.state, "audit.jsonl")).returncode == 0
    later = record(daemon)
    events = daemon.get(f"/v1/events?follow=false&after={last}").body.decode()
    assert later in events, "an event has a number that was told before"


def looks(daemon, tar, folder):
    """What is in it, for whom; and what is refused."""
    subprocess.run(["sha256sum", "--quiet", "--check", "SHA256SUMS"], cwd=folder, check=True)
    assert os.stat(tar).st_mode & 0o777 == 0o600 and os.stat(folder).st_mode & 0o777 == 0o700
    inside = {os.path.relpath(p, folder) for p in files_of(folder)}
    wanted = {p.lstrip("/") for p in (
        daemon.config, *(os.path.join(daemon.state, n) for n in ("journal.sqlite", "audit.jsonl", "signing/key.pem", "tls/key.pem")),
        os.path.join(daemon.folder, "janus-1.token-secret"), os.path.join(daemon.folder, "keys/clinic/1234.json"))}
    assert wanted <= inside, wanted - inside
    assert not any(daemon.root.lstrip("/") in p or daemon.spool.lstrip("/") in p for p in inside), inside
    listed = subprocess.run(["tar", "-tf", tar], capture_output=True, text=True, check=True).stdout.split()
    assert {n for n in listed if not n.endswith("/")} == inside
    for taken in (tar, folder):
        before = files_of(os.path.dirname(tar))
        done = daemon.cli("backup", taken, "--config", daemon.config)
        assert done.returncode == steno.exit_codes()["usage"] and "not overwritten" in done.stderr, done
        assert files_of(folder).items() <= before.items()
    os.mkdir(folder + "-2.partial")
    done = daemon.cli("backup", folder + "-2", "--config", daemon.config)
    assert done.returncode and "another backup is being made" in done.stderr, done
    os.rmdir(folder + "-2.partial")
    # No room: nothing is left of it.
    for limit, name in ((50000, "full"), (160000, "full.tar")):
        done = subprocess.run(["prlimit", f"--fsize={limit}", steno.STENO, "backup", f"{folder}-{name}", "--config", daemon.config],
                              capture_output=True, text=True)
        assert done.returncode and not done.stdout and not glob.glob(f"{folder}-*"), (done, glob.glob(f"{folder}-*"))
