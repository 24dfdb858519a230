"""Every answer of a real stenod is as docs/openapi.yaml says; and everything that it promises has been seen."""
import json
import re
import urllib.parse

from steno_test import clips, janus, openapi, procs
from steno_test.stenod import Stenod

LIGHT = 10


class Checked:
    """A stenod's API, each answer held against the description."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.contract = openapi.Contract()
        self.key = daemon.key("admin")

    def __call__(self, method, path, body=None, status=None, headers=None, key=True):
        answer = self.daemon.https(method, path, body, key=self.key if key is True else key, headers=headers)
        assert status in (None, answer.status), f"{method} {path}: wanted {status}, got {answer}"
        self.contract.validate(method, path, answer.status, answer.body, answer.headers.get("content-type"))
        if body is not None and not isinstance(body, bytes) and answer.status < 300:
            self.contract.check_request(method, path, body)
        return answer


def test_answers(case):
    server = case.janus().start()
    clips.publish(case, server)
    daemon = Stenod(case)
    daemon.janus(server)
    daemon.apps = [{"name": "clinic"}, {"name": "court"}]
    daemon.webhooks = [{"name": "ward-7", "url": "https://127.0.0.1:9/hook", "allow_private": True}]
    daemon.api.update(rate_per_s=1000, rate_burst=2000)
    daemon.start()
    first = daemon.ask("POST", "/v1/keys/init")  # over the socket, which alone has it
    ask = Checked(daemon)
    ask.contract.validate("POST", "/v1/keys/init", first.status, first.body, first.headers.get("content-type"))
    ask("POST", "/v1/keys/init", status=403)
    for path in ("/livez", "/readyz", "/version", "/openapi.json"):
        ask("GET", path, status=200, key=None)
    assert ask("GET", "/openapi.json").json == {**openapi.load(), "info": ask("GET", "/openapi.json").json["info"]}
    for path in ("/readyz", "/metrics", "/v1/platforms", "/v1/storages", "/v1/webhooks", "/v1/keys", "/v1/recordings"):
        ask("GET", path, status=200)
    ask("POST", "/v1/platforms/janus-1/check", {"channel": str(janus.ROOM)}, 200)
    ask("POST", "/v1/platforms/janus-1/check", None, 200)
    ask("POST", "/v1/storages/primary/check", None, 200)
    assert ask("POST", "/v1/storages/primary/retry", None, 200).json == {"retried": 0}
    ask("POST", "/v1/storages/none/retry", None, 404)
    ask("POST", "/v1/webhooks/ward-7/enable", None, 200)
    made = ask("POST", "/v1/keys", {"app": "clinic", "role": "viewer", "label": "ward 7"}, 201).json
    ask("DELETE", f"/v1/keys/{made['id']}", None, 200)

    wanted = {"app": "clinic", "platform": "janus-1", "channel": str(janus.ROOM), "labels": {"case": "17"}, "max_duration_s": 600}
    once = {"Idempotency-Key": "once"}
    recording = ask("POST", "/v1/recordings", wanted, 201, once).json
    path = f"/v1/recordings/{recording['id']}"
    again = ask("POST", "/v1/recordings", wanted, 201, once)
    assert again.json["id"] == recording["id"] and again.headers["idempotency-replayed"] == "true", again.headers
    ask("POST", "/v1/recordings", {**wanted, "max_duration_s": 5}, 422, once)
    assert ask("POST", "/v1/recordings", wanted, 409).json["recording"] == recording["id"]
    daemon.await_state(recording["id"], "recording")
    procs.await_true(lambda: ask("GET", path, status=200).json["counts"]["frames"], 20, "frames")
    ask("PATCH", path, {"labels": {"case": "18"}, "subscribe": {"audio": "all", "video": "all", "max_height": 720}}, 200)
    ask("POST", path + "/pause", None, 202)
    daemon.await_state(recording["id"], "paused")
    ask("GET", path, status=200)
    ask("POST", path + "/resume", None, 202)
    daemon.await_state(recording["id"], "recording")
    ask("GET", path + "/files", status=200)
    ask("GET", path + "/manifest", status=404)
    ask("DELETE", path, None, 409)
    ask("POST", path + "/stop", None, 202)
    daemon.await_state(recording["id"], "completed", 60)
    ask("POST", path + "/stop", None, 200)
    ask("POST", path + "/pause", None, 409)
    assert ask("GET", path, status=200).json["files"]
    for file in ask("GET", path + "/files", status=200).json["files"]:
        ask("GET", file["url"], status=200)
        etag = ask("GET", file["url"], status=206, headers={"Range": "bytes=0-99"}).headers["etag"]
        ask("GET", file["url"], status=304, headers={"If-None-Match": etag})
        ask("GET", file["url"], status=416, headers={"Range": f"bytes={file['bytes']}-"})
        ask("HEAD", file["url"], status=200)
        for via in ("stream", "redirect"):  # a local storage's files come from its disk
            ask("GET", f"{file['url']}?via={via}", status=200)
        ask("GET", file["url"] + "?via=elsewhere", status=400)
    ask("GET", path + "/manifest", status=200)
    ask("GET", path + "/manifest", status=206, headers={"Range": "bytes=0-"})
    page = ask("GET", "/v1/recordings?" + urllib.parse.urlencode({"label": "case:18", "state": "completed", "order": "oldest", "page_size": 1}),
               status=200)
    assert [r["id"] for r in page.json["recordings"]] == [recording["id"]], page.json

    events = ask("GET", "/v1/events?follow=false&after=0&recording=" + recording["id"], status=200).body.decode()
    lines = re.findall(r"^id: (\d+)\nevent: (\S+)\ndata: (.*)$", events, re.M)
    for seq, type_, line in lines:
        ask.contract.validate_event(line)
        assert json.loads(line)["seq"] == int(seq) and json.loads(line)["type"] == type_, line
    types = {type_ for _, type_, _ in lines}
    assert {"recording.started", "recording.participant_joined", "recording.paused", "recording.resumed", "recording.completed"} <= types, types

    failed = ask("POST", "/v1/recordings", {**wanted, "channel": "987654"}, 201).json
    daemon.await_state(failed["id"], "failed")
    assert ask("GET", f"/v1/recordings/{failed['id']}", status=200).json["error"]["code"] == "no-such-channel"
    later = ask("POST", "/v1/recordings", {**wanted, "start_at": "2027-01-01T08:00:00Z"}, None)
    assert later.status in (201, 400), later
    for method, bad, status in (("GET", "/v1/recordings/01ARZ3NDEKTSV4RRFFQ69G5FAV", 404), ("GET", "/v1/recordings?order=up", 400),
                                ("GET", "/v1/events?after=x", 400), ("POST", "/v1/platforms/none/check", 404)):
        ask(method, bad, status=status)
    ask("GET", "/v1/recordings", status=401, key=None)
    ask("GET", "/v1/keys", status=403, key=daemon.key("viewer"))
    ask("POST", "/v1/recordings", b"x", 400)
    ask("POST", "/v1/recordings", b"{}", 415, {"Content-Type": "text/plain"})
    ask("DELETE", path + "?files=true", None, 204)
    ask("GET", path, status=404)
    missing = ask.contract.untried()
    assert not missing, f"never seen: {missing}"
    case.figure(f"{len(ask.contract.tried)} combinations of route and status, {len(lines)} events")
