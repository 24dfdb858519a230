"""Planted secrets appear nowhere: no log, no file, no command line, no environment of any process."""
import os
import re
import time
import urllib.parse

from steno_test import clips, janus, procs, s3, steno
from steno_test.planted import files, key_spellings, processes, search, spellings
from steno_test.receiver import SECRET, Receiver
from steno_test.stenod import Stenod

LIGHT = 20
TOKEN_SECRET = "planted-token-secret-5f1c9e"
API_SECRET = "planted-api-secret-77ab03"
DESCRIPTION = "planted-descriptor-31d2"


def planted(case, arguments, wanted, server, room):
    page = case.chromium().page("p")
    extra = {}
    if room == janus.ROOM_SIGNED:
        extra["roomToken"] = server.room_token(room)
    if room == janus.ROOM_PIN:
        extra["pin"] = janus.PIN
    page.join(server, room, tag=1, **extra)
    secrets_folder = case.path("given")
    temporary = case.path("tmp")
    os.makedirs(temporary)
    recording = case.record(server, *arguments, "--log-level", "trace", room=room, environment={"TMPDIR": temporary})
    recording.wait_state("recording")
    found = []
    for _ in range(20):
        found += search(processes({os.getpid()}), wanted)
        time.sleep(0.15)
    done = recording.finish()
    assert done["error"] is None, done
    with open(os.path.join(recording.folder, "stdout"), "wb") as f:
        f.write("\n".join(str(e) for _, e in recording.events).encode())
    given = {os.path.join(recording.folder, n) for n in ("token-secret", "api-secret")}
    found += search(((p, d) for p, d in files(recording.folder, temporary) if p not in given
                     and not p.startswith(secrets_folder)), wanted)
    logged = os.path.getsize(recording.errors)
    case.figure(f"{logged} bytes of trace log searched")
    assert logged > 0, "nothing was logged at trace level, so nothing was proven"
    assert not found, "; ".join(sorted(set(found))[:5])


def test_minted(case):
    """The secret that mints, the server's API secret, and any token minted with it."""
    server = case.janus(token_secret=TOKEN_SECRET, api_secret=API_SECRET).start()
    wanted = {"token secret": spellings(TOKEN_SECRET), "API secret": spellings(API_SECRET)}
    planted(case, [], wanted, server, janus.ROOM)


def test_given_token(case):
    """A token and a pin that were given."""
    server = case.janus(token_secret=TOKEN_SECRET).start()
    token = janus.signed_token(TOKEN_SECRET, descriptors=(janus.VIDEOROOM, DESCRIPTION))
    os.makedirs(case.path("given"))
    token_file = steno.secret_file(case.path("given"), "token", token)
    pin_file = steno.secret_file(case.path("given"), "pin", janus.PIN)
    mac = token.split(":")[1]
    wanted = {"token": spellings(token) | spellings(DESCRIPTION) | {mac.encode(), urllib.parse.quote(mac, safe="").encode()},
              "pin": {janus.PIN.encode()}}
    planted(case, ["--token", "@" + token_file, "--pin-file", pin_file], wanted, server, janus.ROOM_PIN)


def test_bare_token_is_refused(case):
    """A token on the command line: refused before anything is done with it, and not repeated."""
    token = janus.signed_token(TOKEN_SECRET, descriptors=(janus.VIDEOROOM, DESCRIPTION))
    done = steno.run("record", "--platform", "janus", "--url", "http://127.0.0.1:9/janus", "--channel", "1", "--token", token,
                     "--output", case.path("root"))
    assert done.returncode == steno.exit_codes()["usage"], f"exit {done.returncode}: {done.stderr}"
    assert re.search(r"@FILE|@file", done.stderr), f"no hint at @FILE: {done.stderr}"
    assert DESCRIPTION not in done.stderr + done.stdout, "the token is repeated"


def test_stenod(case):
    """What stenod is given by files, by REST and by keys, through a reload and a crash; nothing of it dumps core."""
    server = case.janus(token_secret=TOKEN_SECRET, api_secret=API_SECRET).start()
    receiver = Receiver()
    case.on_exit(receiver.close)
    clips.publish(case, server)
    daemon = Stenod(case)
    daemon.top["log_level"] = "trace"
    daemon.janus(server)
    given = {os.path.join(daemon.folder, n) for n in ("janus-1.token-secret", "janus-1.api-secret", "hook.secret", "hook.app")}
    application = "planted-application-secret-0c2"
    daemon.webhooks = [{"name": "hook", "url": receiver.url, "secret_file": daemon.secret("hook.secret", "whsec_" + SECRET),
                        "application_secret_file": daemon.secret("hook.app", application), "allow_http": True, "allow_private": True}]
    bucket = s3.VersityGw()
    case.on_exit(bucket.close)
    bucket.secret = "planted-s3-secret-4b77"  # not that of tests beside this one, whose clients have it in their environment
    bucket.start()
    given.add(daemon.secret("s3-key", f"{bucket.access}\n{bucket.secret}\n"))
    daemon.storages.append(bucket.storage(bucket.make_bucket("secrets"), "bucket", access_key_file=os.path.join(daemon.folder, "s3-key")))
    daemon.apps = [{"name": "clinic", "webhooks": ["hook"], "webhook": "hook", "store": "all"}]
    daemon.start()
    signing_key = os.path.join(daemon.state, "signing", "key.pem")
    given.add(signing_key)
    first = daemon.admin_key()
    key = daemon.key("operator")
    token = janus.signed_token(TOKEN_SECRET, descriptors=(janus.VIDEOROOM, DESCRIPTION))
    wanted = {"token secret": spellings(TOKEN_SECRET), "API secret": spellings(API_SECRET), "webhook secret": spellings(SECRET),
              "application secret": spellings(application), "API key": spellings(key["secret"]), "first key": spellings(first["secret"]),
              "token": spellings(token) | spellings(DESCRIPTION), "S3 secret": spellings(bucket.secret),
              "signing key": key_spellings(signing_key), "signed address": {b"X-Amz-Signature="}}
    ids = [daemon.begin(janus.ROOM)["id"]]
    body = {"app": "clinic", "platform": "janus-1", "channel": str(janus.ROOM), "profile": "given",
            "token": {"source": "given", "value": token}}
    answer = daemon.https("POST", "/v1/recordings", body, key=key)
    assert answer.status == 201 and token.encode() not in answer.body, answer
    ids.append(answer.json["id"])
    # Where it does not belong, and where it is wrong, it is not repeated either.
    wrong = [daemon.https("POST", "/v1/recordings", {**body, "token": {"source": "given", "value": [token]}}, key=key),
             daemon.https("POST", "/v1/recordings", {**body, "channel": f"pin={token}", "colour": token}, key=key),
             daemon.https("GET", "/v1/recordings", key={"id": key["id"], "secret": token})]
    assert [a.status for a in wrong] == [400, 400, 401] and not any(token.encode() in a.body for a in wrong), wrong
    found = []

    def look():
        found.extend(search(processes({os.getpid(), bucket.process.pid}), wanted))
        for pid in (daemon.process.pid, *daemon.recorders().values()):
            with open(f"/proc/{pid}/limits") as f:
                assert re.search(r"Max core file size +0 +0", f.read()), f"process {pid} may dump core"
    for id_ in ids:
        daemon.await_state(id_, "recording")
    look()
    daemon.reload()
    look()
    daemon.kill()
    daemon.launch()
    look()
    fresh = janus.signed_token(TOKEN_SECRET, descriptors=(janus.VIDEOROOM, DESCRIPTION), lifetime=7200)
    answer = daemon.https("PATCH", f"/v1/recordings/{ids[1]}", {"token": {"source": "given", "value": fresh}}, key=key)
    assert answer.status == 200 and fresh.encode() not in answer.body, answer
    wanted["fresh token"] = spellings(fresh)
    procs.await_true(lambda: all(daemon.recording(i)["counts"]["frames"] for i in ids), 20, "frames")
    for id_ in ids:
        daemon.ask("POST", f"/v1/recordings/{id_}/stop")
    for id_ in ids:
        daemon.await_state(id_, "completed")
        assert receiver.wait(id_, ["recording.completed"], 30), "no webhook"
    look()
    for id_ in ids:
        (file,) = [f for f in daemon.recording(id_)["files"]][:1]
        assert daemon.get(f"/v1/recordings/{id_}/files/{file['name']}?via=redirect").status in (200, 302)
    look()
    assert daemon.stop() == 0
    found += search(((p, d) for p, d in files(daemon.folder, daemon.run) if p not in given), wanted)
    found += search([("a webhook", str(receiver.got).encode())], wanted)
    with open(daemon.log) as f:
        log = f.read()
    case.figure(f"{len(log)} bytes of trace log searched, and the journal, the audit log, captures, files, webhooks")
    assert not found, "; ".join(sorted(set(found))[:5])
