#!/usr/bin/python3
"""
Makes the journal of a version by a build that has it, for tests/e2e/upgrade.py: vN.sql (the whole database as SQL) and
vN.json (what that build answers about it). By hand, once a version, with a build of the last commit that has it:

  STENO_BUILD=…/build/then PYTHONPATH=tests/lib python3 tests/vectors/journals/make.py
"""
import json
import os
import sqlite3
import sys
import time

from steno_test import clips, janus, procs
from steno_test.case import Case
from steno_test.receiver import SECRET, Receiver
from steno_test.stenod import Stenod

HERE = os.path.dirname(os.path.abspath(__file__))
# Paths of the machine that it was made on: as they would be on a server.
PLACES = {"root": "/srv/recordings", "spool": "/var/lib/steno/spool", "state": "/var/lib/steno", "run": "/run/steno"}
ASKED = ("/v1/recordings", "/v1/keys", "/v1/webhooks", "/v1/events?follow=false&after=0")


def fill(case, daemon):
    """Recordings that are completed, failed and to come; keys, one of them revoked; what webhooks were told."""
    def end(id_, state):
        return daemon.await_state(id_, state, 60)["id"]
    begin = {"app": "clinic", "platform": "janus-1"}
    one = daemon.begin(janus.ROOM, labels={"case": "17", "ward": "Süd"}, headers={"Idempotency-Key": "one"})["id"]
    procs.await_true(lambda: daemon.recording(one)["counts"]["frames"] > 30, 20, "frames")
    daemon.ask("POST", f"/v1/recordings/{one}/pause")
    daemon.ask("POST", f"/v1/recordings/{one}/resume")
    procs.await_true(lambda: daemon.recording(one)["counts"]["frames"] > 60, 20, "frames")
    daemon.ask("POST", f"/v1/recordings/{one}/stop")
    ids = [end(one, "completed")]
    ids.append(end(daemon.begin(janus.ROOM, app="court", labels={"legal_hold": "yes"}, max_duration_s=2)["id"], "completed"))
    lost = daemon.begin(4242, profile="nowhere")["id"]  # there is no such room
    procs.await_true(lambda: daemon.recording(lost)["state"] == "failed", 30, "it fails")
    ids.append(lost)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 300 * 86400))
    late = daemon.ask("POST", "/v1/recordings", {**begin, "channel": "1", "start_at": at})
    assert late.status == 201, late
    ids.append(late.json["id"])
    keys = [daemon.key(), daemon.key("operator", "clinic"), daemon.key("viewer", "court")]
    assert daemon.ask("DELETE", f"/v1/keys/{keys[2]['id']}").status == 200
    return ids, keys


def settle(value, daemon):
    """A text or JSON of it, with the paths of a server."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
    for name, place in PLACES.items():
        text = text.replace(getattr(daemon, name), place)
    assert "/tmp/" not in text, text[max(0, text.index("/tmp/") - 200):][:400]
    return text


def main():
    case = Case("journal")
    server = case.janus().start()
    clips.publish(case, server)
    receiver = Receiver()
    case.on_exit(receiver.close)
    daemon = Stenod(case)
    daemon.janus(server)
    daemon.webhooks = [{"name": "hook", "url": receiver.url, "secret_file": daemon.secret("hook", "whsec_" + SECRET),
                        "allow_http": True, "allow_private": True}]
    daemon.apps = [{"name": "clinic", "webhooks": ["hook"], "webhook": "hook"}, {"name": "court"}]
    daemon.start()
    ids, keys = fill(case, daemon)
    procs.await_true(lambda: all(w["waiting"] == 0 for w in daemon.get("/v1/webhooks").json["webhooks"]), 30, "webhooks are told")
    answers = {path: daemon.get(path).json if "events" not in path else daemon.get(path).body.decode() for path in ASKED}
    answers |= {f"/v1/recordings/{i}": daemon.recording(i) for i in ids}
    procs.stop(daemon.process, 9)
    with sqlite3.connect(os.path.join(daemon.state, "journal.sqlite")) as journal:
        version, = journal.execute("PRAGMA user_version").fetchone()
        mark, = journal.execute("PRAGMA application_id").fetchone()
        dump = "\n".join(journal.iterdump())
    with open(os.path.join(HERE, f"v{version}.sql"), "w") as f:
        f.write(settle(f"PRAGMA application_id = {mark};\nPRAGMA user_version = {version};\n{dump}\n", daemon))
    with open(os.path.join(HERE, f"v{version}.json"), "w") as f:
        f.write(settle({"answers": answers, "keys": keys}, daemon) + "\n")
    case.close(keep=False)
    print(f"v{version}: {len(dump)} characters", file=sys.stderr)


main()
