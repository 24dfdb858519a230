"""Channels under their own AES, recorded by stenod: where keys come from, what is told, and where a key must not be."""
import json
import os
import subprocess
import time

from steno_test import aes, check, keyserver, procs, steno
from steno_test.planted import files, processes, search, spellings
from steno_test.receiver import SECRET, Receiver
from steno_test.stenod import Stenod

LIGHT = 80
SECONDS = 10
SERVICE_SECRET = "whsec_" + aes.b64(b"planted service secret, 32 bytes")
VAULT_TOKEN = "planted-vault-token-0be2"
PASSPHRASE = "planted passphrase of a channel 93f0"


def begin(case, server, **app):
    """A stenod that tells a receiver everything."""
    receiver = Receiver()
    case.on_exit(receiver.close)
    daemon = Stenod(case)
    daemon.janus(server)
    daemon.webhooks = [{"name": "hook", "url": receiver.url, "secret_file": daemon.secret("hook.secret", "whsec_" + SECRET),
                        "allow_http": True, "allow_private": True}]
    daemon.apps = [{"name": "clinic", "webhooks": ["hook"], "webhook": "hook", **app}]
    return daemon, receiver


def told(receiver, id_, type_):
    return [e for e in receiver.of(id_) if e["type"] == type_]


def finish(case, daemon, id_, channel, tag=1, seconds=SECONDS):
    """Stops it and judges its file."""
    daemon.ask("POST", f"/v1/recordings/{id_}/stop")
    recording = daemon.await_state(id_, "completed", 60)
    folder = daemon.folder_of(recording)
    check.verified(folder)
    assert not aes.gaps(folder, "no-key", "bad-key"), aes.gaps(folder, "no-key", "bad-key")
    aes.whole(case, channel.name, aes.only_file(folder), tag, seconds)
    return recording


def sources(case, daemon):
    """One of each kind, all with the same passphrases, by channel: {name: entry}; what the servers were asked."""
    folder = case.path("keys")
    os.makedirs(os.path.join(folder, "clinic"), 0o700)
    sets = {}

    def service(method, path, headers, body):
        if not keyserver.signed(SERVICE_SECRET, headers, body):
            return 401, None
        asked = json.loads(body)
        return (200, sets[asked["channel"]]) if asked["channel"] in sets else (404, None)

    def vault(method, path, headers, body):
        # As Vault's API documents KV v2: wrong tokens are 403, what is not there 404 with an empty list of errors.
        if headers.get("X-Vault-Token") != VAULT_TOKEN:
            return 403, {"errors": ["permission denied"]}
        channel = path.rsplit("/", 1)[-1]
        if path != f"/v1/kv/data/steno/clinic/{channel}" or channel not in sets:
            return 404, {"errors": []}
        return 200, {"request_id": "1", "lease_id": "", "renewable": False, "lease_duration": 0, "data": {
            "data": sets[channel], "metadata": {"created_time": "2026-01-01T00:00:00Z", "deletion_time": "", "destroyed": False,
                                                "version": 1}}, "wrap_info": None, "warnings": None, "auth": None}
    servers = {"service": keyserver.KeyServer(case.path("tls"), service), "vault": keyserver.KeyServer(case.path("tls"), vault)}
    for server in servers.values():
        case.on_exit(server.close)
    tls = {"ca_file": case.path("tls/ca.pem"), "client_certificate_file": case.path("tls/client.pem"),
           "client_key_file": case.path("tls/client.key")}
    program = case.path("give-key")
    with open(program, "w") as f:
        f.write(f"#!/bin/sh\nread -r asked\nc=$(printf %s \"$asked\" | sed 's/.*\"channel\": *\"\\([0-9]*\\)\".*/\\1/')\n"
                f"[ -e '{folder}/command-'$c ] || exit 3\ncat '{folder}/command-'$c\n")
    os.chmod(program, 0o700)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:3072", "-nodes", "-days", "2", "-keyout", case.path("token.key"), "-out",
                    case.path("token.pem"), "-subj", "/CN=token"], check=True, capture_output=True)
    entries = {
        "folder": {"type": "folder", "path": folder},
        "service": {"type": "service", "url": servers["service"].url + "/keys", **tls,
                    "secret_file": daemon.secret("service.secret", SERVICE_SECRET)},
        "vault": {"type": "vault", "url": servers["vault"].url, "mount": "kv", **tls, "secret_file": daemon.secret("vault.token", VAULT_TOKEN)},
        "pkcs11": {"type": "pkcs11", "path": folder, "url": "file:" + case.path("token.key")},
        "command": {"type": "command", "path": program},
    }

    def give(kind, room, key_set):
        sets[str(room)] = key_set
        if kind == "folder":
            aes.write_json(os.path.join(folder, "clinic", f"{room}.json"), key_set)
        if kind == "command":
            aes.write_json(os.path.join(folder, f"command-{room}"), key_set)
        if kind == "pkcs11":
            plain = aes.write_json(case.path(f"plain-{room}"), key_set)
            subprocess.run(["openssl", "cms", "-encrypt", "-binary", "-aes256", "-outform", "DER", "-in", plain, "-out",
                            os.path.join(folder, "clinic", f"{room}.json.cms"), case.path("token.pem")], check=True, capture_output=True)
            os.chmod(os.path.join(folder, "clinic", f"{room}.json.cms"), 0o600)
            os.unlink(plain)
    daemon.key_sources = [{"name": name, **entry} for name, entry in entries.items()]
    return entries, give, servers


def test_sources(case):
    """Each kind of source: the key is there before, or comes 6 s late; every frame is in the file."""
    server = case.janus().start()
    daemon, receiver = begin(case, server, content="livekit", keys="folder")
    entries, give, servers = sources(case, daemon)
    daemon.start()
    running = {}
    for number, kind in enumerate(entries):
        channel = aes.Channel(case, "livekit", [{"kid": 1, "passphrase": f"{PASSPHRASE} {kind}"}], name=f"-{kind}")
        room = aes.make_room(server, 4000 + number)
        late = number % 2 == 1
        if not late:
            give(kind, room, channel.key_set())
        content = {} if kind == "folder" else {"content": {"keys": kind}}
        running[kind] = [daemon.begin(room, **content)["id"], channel, room, late]
    for id_, channel, room, _ in running.values():
        daemon.await_state(id_, "recording")
    for entry in running.values():
        entry.append(entry[1].publish(server, entry[2], seconds=20))
    begun = time.monotonic()
    waiting = [r for r in running.values() if r[3]]
    procs.await_true(lambda: all(daemon.recording(r[0])["content"]["undecryptable"] for r in waiting), 10, "who has no key is told")
    time.sleep(max(0.0, begun + 6 - time.monotonic()))
    for kind, (_, channel, room, late, _) in running.items():
        if late:
            give(kind, room, channel.key_set())
    procs.await_true(lambda: not any(daemon.recording(r[0])["content"]["undecryptable"] for r in waiting), 25, "the keys are found")
    for kind, (id_, channel, _, late, publisher) in running.items():
        aes.ended(publisher, 40)
        finish(case, daemon, id_, channel, seconds=20)
        assert receiver.wait(id_, ["recording.completed"], 30), f"{kind}: no webhook"
        assert bool(told(receiver, id_, "recording.undecryptable")) == late, f"{kind}: {told(receiver, id_, 'recording.undecryptable')}"
        assert bool(told(receiver, id_, "recording.decryptable")) == late, kind
    assert servers["service"].asked and servers["vault"].asked


def test_refused(case):
    """What must not be recorded, or not so, is refused at the start with words, and nothing is joined."""
    server = case.janus().start()
    daemon, _ = begin(case, server, never_record=["union-*", "5005"])
    daemon.start()
    aes.make_room(server, 5005)
    room = aes.make_room(server, 5006, require_e2ee=True)
    key_set = {"format": "livekit", "keys": [{"passphrase": PASSPHRASE}]}
    start = {"app": "clinic", "platform": "janus-1", "channel": str(room)}
    for body, status, slug in (
            ({**start, "channel": "5005"}, 403, "off-the-record"),
            ({**start, "channel": "5005", "content": {"format": "livekit", "keys": key_set}}, 403, "off-the-record"),
            ({**start, "content": {"format": "rot13", "keys": key_set}}, 400, "usage"),
            ({**start, "content": {"format": "livekit"}}, 400, "usage"),
            ({**start, "content": {"format": "livekit", "keys": {"keys": [{"passphrase": ""}]}}}, 400, "keys-invalid"),
            ({**start, "content": {"format": "livekit", "keys": "nowhere"}}, 400, "usage"),
            ({**start, "content": {"format": "aes-128-ecb", "secret": PASSPHRASE}}, 400, "usage")):
        answer = daemon.ask("POST", "/v1/recordings", body)
        assert answer.status == status and slug in answer.json["type"], f"{body}: {answer}"
        assert PASSPHRASE.encode() not in answer.body, answer
    audit = open(os.path.join(daemon.state, "audit.log")).read() if os.path.exists(os.path.join(daemon.state, "audit.log")) else ""
    assert not audit or "off-the-record" in audit or "5005" in audit
    # The platform marks it as end-to-end encrypted: nobody gave a key, so it is not joined.
    id_ = daemon.begin(room)["id"]
    ended = procs.await_true(lambda: (lambda r: r if r["state"] == "failed" else None)(daemon.recording(id_)), 20, "it is refused")
    assert ended["error"]["code"] == "end-to-end", ended["error"]
    channel = aes.Channel(case, "livekit", [{"kid": 0, "passphrase": PASSPHRASE}])
    id_ = daemon.begin(room, content={"format": "livekit", "keys": channel.key_set()})["id"]
    daemon.await_state(id_, "recording")


def test_wrong_key(case):
    """A wrong key is told by webhook within 5 s, and the recording does not claim to be complete."""
    server = case.janus().start()
    daemon, receiver = begin(case, server)
    daemon.start()
    channel = aes.Channel(case, "livekit", [{"kid": 0, "passphrase": PASSPHRASE}])
    wrong = channel.key_set([{"kid": 0, "passphrase": "another one"}])
    id_ = daemon.begin(aes.make_room(server, 4100), content={"format": "livekit", "keys": wrong})["id"]
    daemon.await_state(id_, "recording")
    publisher = channel.publish(server, 4100, seconds=SECONDS)
    begun = time.monotonic()
    procs.await_true(lambda: told(receiver, id_, "recording.undecryptable"), 10, "the webhook")
    took = time.monotonic() - begun
    case.figure(f"the webhook came {took:.1f} s after the first frame was sent")
    assert took <= 5, f"{took:.1f} s"
    (event, *_) = told(receiver, id_, "recording.undecryptable")
    assert event["data"]["cause"] == "bad-key" and event["data"]["kid"] == "0", event
    aes.ended(publisher, 30)
    daemon.ask("POST", f"/v1/recordings/{id_}/stop")
    recording = procs.await_true(lambda: (lambda r: r if r["state"] in ("failed", "completed") else None)(daemon.recording(id_)), 60, "the end")
    assert recording["state"] == "failed" and recording["error"]["code"] == "bad-key", recording
    # The sealed frames are in the customer's storage: with the right key nothing is lost.
    folder = daemon.folder_of(recording)
    again = steno.run("assemble", folder, "--keys", channel.key_file(), "--output", case.path("again"))
    assert again.returncode == 0, again.stderr
    made = [os.path.join(at, n) for at, _, names in os.walk(case.path("again")) for n in names if n.endswith(".webm")]
    aes.whole(case, "with the right key", made[0], 1, SECONDS)


def cores(pids):
    """Files that the kernel may have written as these processes' cores: where its pattern says, or beside where they worked."""
    with open("/proc/sys/kernel/core_pattern") as f:
        pattern = f.read().strip()
    if pattern.startswith("|"):
        return set()
    folder = os.path.dirname(pattern)
    folders = {folder} if folder else {os.readlink(f"/proc/{pid}/cwd") for pid in pids}
    return {os.path.join(d, n) for d in folders if os.path.isdir(d) for n in os.listdir(d) if n.startswith("core")}


def locked(pid):
    """A recorder's secrets are in locked memory, and nothing of it is in swap."""
    with open(f"/proc/{pid}/status") as f:
        status = dict(line.split(":", 1) for line in f)
    assert int(status["VmLck"].split()[0]) > 0, f"recorder {pid} has no locked memory"
    assert int(status.get("VmSwap", "0 kB").split()[0]) == 0, f"recorder {pid} is swapped: {status['VmSwap']}"


def test_planted(case):
    """
    An inline passphrase and what is derived of it, a service's secret and a vault's token, through a crash of the recorder,
    a reload and a crash of stenod: in no journal, log, capture, core, command line, environment, answer or webhook.
    """
    server = case.janus().start()
    daemon, receiver = begin(case, server)
    daemon.top["log_level"] = "trace"
    entries, give, _ = sources(case, daemon)
    daemon.start()
    inline = aes.Channel(case, "livekit", [{"kid": 0, "passphrase": PASSPHRASE}], name="-inline")
    derived = subprocess.run(["openssl", "kdf", "-keylen", "16", "-kdfopt", "digest:SHA256", "-kdfopt", f"pass:{PASSPHRASE}", "-kdfopt",
                              "salt:LKFrameEncryptionKey", "-kdfopt", "iter:100000", "-binary", "PBKDF2"], capture_output=True, check=True).stdout
    wanted = {"passphrase": spellings(PASSPHRASE), "derived key": {derived, derived.hex().encode(), aes.b64(derived).rstrip("=").encode()},
              "service secret": spellings(SERVICE_SECRET), "vault token": spellings(VAULT_TOKEN)}
    given = {os.path.join(daemon.folder, n) for n in ("service.secret", "vault.token")}
    found, answers, ids = [], [], []

    def look():
        found.extend(search(processes({os.getpid()}), wanted))
        answers.extend(daemon.get(f"/v1/recordings/{i}").body for i in ids)
    for number, (name, content) in enumerate((("inline", {"format": "livekit", "keys": inline.key_set()}),
                                              ("service", {"format": "livekit", "keys": "service"}),
                                              ("vault", {"format": "livekit", "keys": "vault"}))):
        room = aes.make_room(server, 4200 + number)
        channel = aes.Channel(case, "livekit", [{"kid": 0, "passphrase": PASSPHRASE}], name=f"-{name}")
        give(name, room, channel.key_set())
        answer = daemon.ask("POST", "/v1/recordings", {"app": "clinic", "platform": "janus-1", "channel": str(room), "content": content})
        assert answer.status == 201, answer
        answers.append(answer.body)
        ids.append(answer.json["id"])
        daemon.await_state(ids[-1], "recording")
        channel.publish(server, room, seconds=60, loop=True)
    procs.await_true(lambda: all(daemon.recording(i)["counts"]["frames"] for i in ids), 20, "frames")
    look()
    pids = set(daemon.recorders().values())
    before = cores(pids)
    for pid in pids:
        locked(pid)
        os.kill(pid, 11)  # as a fault would end it, with a core where cores are allowed
    procs.await_true(lambda: len(daemon.recorders()) == 3 and not pids & set(daemon.recorders().values()), 30, "new recorders")
    fresh = set(daemon.recorders().values())
    assert cores(fresh) == before, f"a core was written: {cores(fresh) - before}"
    procs.await_true(lambda: all(daemon.recording(i)["counts"]["frames"] for i in ids), 20, "frames again")
    look()
    daemon.reload()
    look()
    daemon.kill()
    daemon.launch()
    counted = {i: daemon.recording(i)["counts"]["frames"] for i in ids}
    procs.await_true(lambda: all(daemon.recording(i)["counts"]["frames"] > counted[i] for i in ids), 20, "they go on")
    look()
    for id_ in ids:
        daemon.ask("POST", f"/v1/recordings/{id_}/stop")
    for id_ in ids:
        recording = daemon.await_state(id_, "completed", 60)
        assert not aes.gaps(daemon.folder_of(recording), "no-key", "bad-key"), "the next recorder did not have the key"
        assert receiver.wait(id_, ["recording.completed"], 30), "no webhook"
    look()
    assert daemon.stop() == 0
    found += search(((p, d) for p, d in files(daemon.folder, daemon.run) if p not in given), wanted)
    found += search([("a webhook", str(receiver.got).encode()), ("an answer", b"\n".join(answers))], wanted)
    with open(daemon.log) as f:
        case.figure(f"{len(f.read())} bytes of trace log searched, journal, captures, manifests, webhooks, {len(answers)} answers")
    assert not found, "; ".join(sorted(set(found))[:8])
