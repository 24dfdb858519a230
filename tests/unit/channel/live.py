#!/usr/bin/env python3
"""The Janus connector against Debian's Janus: live.py CHANNEL_PROBE [test …]. Prints a line a test."""
import http.client
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "lib"))
from steno_test import chromium, janus, procs  # noqa: E402

PROBE = None
SECRET = "a-secret-for-tests"
LOCAL = {"ufrag": "mine", "password": "p" * 24, "fingerprint": "sha-256 " + ":".join(["AB"] * 32),
         "candidates": ["candidate:1 1 UDP 2130706431 127.0.0.1 9 typ host"]}


class Channel:
    """One channel in a channel_probe; events in the order in which they came."""

    def __init__(self, answers=True, **message):
        self.events = []
        self.output = ""
        self._condition = threading.Condition()
        self._answers = answers
        self.process = procs.start([PROBE, "debug"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.send(message)
        self._threads = [threading.Thread(target=self._read, daemon=True),
                         threading.Thread(target=self._read_log, daemon=True)]
        for thread in self._threads:
            thread.start()

    def send(self, message):
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def _read(self):
        for line in self.process.stdout:
            event = json.loads(line)
            with self._condition:
                self.output += line
                self.events.append(event)
                self._condition.notify_all()
            if event["event"] == "peer_offer" and self._answers:
                self.send({"answer": event["peer"], "local": LOCAL})

    def _read_log(self):
        for line in self.process.stderr:
            self.output += line

    def wait(self, what, seconds=15, after=0, **members):
        """The first event of that kind and with these members, at or behind events[after]."""
        def found():
            return next((e for e in self.events[after:] if e["event"] == what
                         and all(e.get(name) == value for name, value in members.items())), None)
        with self._condition:
            if not self._condition.wait_for(found, seconds):
                raise procs.Timeout(f"{what} {members}: not within {seconds} s: {self.output[-3000:]}")
            return found()

    def state(self, state, seconds=15, after=0):
        return self.wait("state", seconds, after, state=state)

    def close(self):
        self.send({"close": True})
        code = self.process.wait(10)
        for thread in self._threads:
            thread.join(5)
        self.process.stdin.close()
        if "Sanitizer" in self.output or "runtime error:" in self.output:
            raise AssertionError(self.output[-6000:])
        return code


class MarkingProxy:
    """In front of a Janus: marks the offers that it makes as end-to-end encrypted, while `marks` is true."""

    def __init__(self, server):
        proxy = self
        self.marks = True

        class Handler(http.server.BaseHTTPRequestHandler):
            def forward(self, body=None):
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
                try:
                    connection.request(self.command, self.path, body, {"Content-Type": "application/json"})
                    answer = connection.getresponse()
                    text = proxy.marked(answer.read())
                    self.send_response(answer.status)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)
                except (OSError, ValueError, http.client.HTTPException):  # one of both is gone
                    self.close_connection = True

            def do_GET(self):
                self.forward()

            def do_POST(self):
                self.forward(self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/janus"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def marked(self, text):
        answer = json.loads(text)
        for event in answer if isinstance(answer, list) else [answer]:
            if self.marks and event.get("jsep", {}).get("type") == "offer":
                event["jsep"]["e2ee"] = True
        return json.dumps(answer).encode()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Live(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="steno-channel-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def server(self, start=True, **settings):
        server = janus.Janus(self.folder, **settings)
        self.addCleanup(server.stop)
        return server.start() if start else server

    def open(self, server, room=janus.ROOM, message=None, answers=True, **job):
        job = {"platform": "janus", "url": server.url if server else None, "channel": str(room), **job}
        channel = Channel(job=job, answers=answers, **(message or {}))
        self.addCleanup(procs.stop, channel.process)
        return channel

    def ends(self, channel, slug, *words):
        """It ends with this error, says these words, and shows no secret."""
        end = channel.state("ended", 20)
        self.assertEqual(end["error"], slug, end)
        for word in words:
            self.assertIn(word, end["message"])
        channel.close()
        for secret in (SECRET, janus.PIN, "pin-wrong"):
            self.assertNotIn(secret, channel.output)

    # ---- joining ---------------------------------------------------------------------------------------------------

    def test_joins_and_leaves_unseen(self):
        server = self.server(token_secret=SECRET)
        witness = server.client()
        witness.request({"request": "join", "ptype": "publisher", "room": janus.ROOM_NOTIFY, "display": "witness"})
        channel = self.open(server, janus.ROOM_NOTIFY, token_secret=SECRET)
        channel.state("joined")
        channel.wait("participant_joined", name="witness")
        self.assertEqual([p["display"] for p in witness.participants(janus.ROOM_NOTIFY)], ["witness"])
        seen = len(witness.events)
        channel.close()
        closed = channel.wait("closed")
        self.assertLess(closed["took_us"], 2000000)
        # Another participant's coming is the fence: whatever our leaving had caused would have come before it.
        other = server.client()
        other.request({"request": "join", "ptype": "publisher", "room": janus.ROOM_NOTIFY, "display": "other"})
        witness.wait_event(lambda e: "joining" in json.dumps(e), 10, "the other's coming")
        told = [e["plugindata"]["data"] for _, e in witness.events if "plugindata" in e]
        self.assertEqual([d for d in told[1:] if d.get("joining", {}).get("display") != "other"], [], told)
        self.assertLessEqual(seen, 1)
        for client in (witness, other):
            client.close()
        self.assertNotIn(SECRET, channel.output)

    def test_errors_name_what_is_wrong(self):
        server = self.server(token_secret=SECRET)
        token = server.token()
        self.ends(self.open(server, token_secret="another"), "token-refused", "403")
        self.ends(self.open(server), "token-refused", "--token")
        self.ends(self.open(server, token=server.token(descriptors=("janus.plugin.echotest",))), "token-refused",
                  "janus.plugin.videoroom")
        self.ends(self.open(server, token=server.token(lifetime=-5)), "token-expired", "--token-secret-file")
        self.ends(self.open(server, 99, token=token), "no-such-channel", "'99'")
        self.ends(self.open(server, "lobby", token=token), "no-such-channel", "numbers")
        self.ends(self.open(server, janus.ROOM_PIN, token=token), "pin-refused", "--pin-file")
        self.ends(self.open(server, janus.ROOM_PIN, token=token, pin="pin-wrong"), "pin-refused")
        self.ends(self.open(server, janus.ROOM_SIGNED, token=token), "token-refused", "--room-token")
        self.ends(self.open(server, janus.ROOM_SIGNED, token=token, room_token=server.room_token(janus.ROOM)),
                  "token-refused")
        self.ends(self.open(server, janus.ROOM_SIGNED, token=token,
                            room_token=server.room_token(janus.ROOM_SIGNED, lifetime=-5)), "token-expired")
        self.ends(self.open(server, janus.ROOM_PVTID, token=token), "not-silent", "--allow-visible")

    def test_rooms_let_in_who_shows_the_right_thing(self):
        server = self.server(token_secret=SECRET)
        for room, shown in ((janus.ROOM_PIN, {"pin": janus.PIN}), (janus.ROOM_SIGNED, {}),
                            (janus.ROOM_PVTID, {"allow_visible": True})):
            channel = self.open(server, room, token_secret=SECRET, **shown)
            channel.state("joined")
            channel.close()
            self.assertNotIn(SECRET, channel.output)

    def test_api_secret(self):
        server = self.server(api_secret=SECRET)
        channel = self.open(server, api_secret=SECRET)
        channel.state("joined")
        channel.close()
        self.assertNotIn(SECRET, channel.output)
        self.ends(self.open(server, api_secret="pin-wrong"), "token-refused")

    def test_rooms_with_names(self):
        server = self.server(start=False)
        path = os.path.join(self.folder, "janus.plugin.videoroom.jcfg")
        with open(path) as f:
            rooms = f.read()
        with open(path, "w") as f:
            f.write("general: {\n\tstring_ids = true\n}\n" + rooms.replace("room-1004", "room-lobby"))
        server.start()
        for room in ("lobby", janus.ROOM):
            channel = self.open(server, room)
            channel.state("joined")
            channel.close()
        self.ends(self.open(server, "99"), "no-such-channel", "'99'")

    # ---- the way there ---------------------------------------------------------------------------------------------

    def test_unreachable(self):
        port = procs.free_ports(1)[0]
        self.ends(self.open(None, url=f"http://127.0.0.1:{port}/janus"), "unreachable", "127.0.0.1")
        self.ends(self.open(None, url="http://nosuch.invalid/janus"), "unreachable", "nosuch.invalid")

    def test_geofence(self):
        server = self.server()
        self.ends(self.open(server, allow_media_cidr=["10.0.0.0/8"]), "geofence", "--allow-media-cidr")
        channel = self.open(server, allow_media_cidr=["127.0.0.0/8"])
        channel.state("joined")
        channel.close()

    def test_tls(self):
        server = self.server()
        self.ends(self.open(server, url=server.tls_url), "tls", "--ca-file")
        channel = self.open(server, url=server.tls_url, ca_file=server.ca)
        channel.state("joined")
        channel.close()
        self.ends(self.open(server, url=server.url.replace("http:", "https:")), "tls")

    def test_not_a_janus(self):
        answers = {"/a": (404, b"nothing here"), "/b": (200, b"<html>hello</html>"), "/c": (200, b'{"hello": 1}'),
                   "/d": (200, b"x" * (2 << 20)), "/e": (302, b""), "/f": (200, b'[1, {"janus": 3}]'), "/g": (200, b"")}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                status, body = answers[self.path]
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/c")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=other.serve_forever, daemon=True).start()
        self.addCleanup(other.server_close)
        self.addCleanup(other.shutdown)
        for path in answers:
            with self.subTest(path):
                self.ends(self.open(None, url=f"http://127.0.0.1:{other.server_port}{path}"), "protocol")

    def test_end_to_end_encrypted_rooms(self):
        """Without a key, and without wanting it sealed, nobody records noise."""
        server = self.server()
        self.ends(self.open(server, janus.ROOM_E2EE), "end-to-end", str(janus.ROOM_E2EE), "--content", "--content-keys later")
        for job in ({"content": "livekit", "content_keys": "later"}, {"content": "sframe", "content_keys": "folder"}):
            channel = self.open(server, janus.ROOM_E2EE, **job)
            channel.state("joined")
            channel.close()
        channel = self.open(server, janus.ROOM)
        channel.state("joined")
        channel.close()

    def test_end_to_end_encrypted_participants(self):
        """Janus 1.1 does not tell subscribers of the mark; others do, in their offers."""
        if not os.path.isdir(os.path.join(chromium.FOLDER, "node_modules")):
            self.skipTest("tests/chromium has no node_modules")
        server = self.server()
        proxy = MarkingProxy(server)
        self.addCleanup(proxy.close)
        with chromium.Chromium() as browser:
            alice = str(browser.page("alice").join(server, janus.ROOM)["id"])
            with self.subTest("the first of a channel"):
                self.ends(self.open(None, url=proxy.url, channel=str(janus.ROOM)), "end-to-end", alice, "--content")
            with self.subTest("to be recorded sealed"):
                channel = self.open(None, url=proxy.url, channel=str(janus.ROOM), content="livekit", content_keys="later")
                channel.wait("peer_offer", participant=alice)
                channel.close()
            with self.subTest("while others are recorded"):
                proxy.marks = False
                channel = self.open(None, url=proxy.url, channel=str(janus.ROOM))
                channel.wait("peer_offer", participant=alice)
                proxy.marks = True
                bob = str(browser.page("bob").join(server, janus.ROOM)["id"])
                failed = channel.wait("participant_failed", id=bob)
                self.assertIn("end-to-end", json.dumps(failed["error"]))
                self.assertEqual([e for e in channel.events if e["event"] in ("peer_closed", "state")][1:], [])
                channel.close()

    def test_impossible_urls(self):
        for url in ("ftp://x/janus", "http://user:word@x/janus", "http://x/janus?token=1", "x"):
            self.ends(self.open(None, url=url), "usage", "--url")

    def test_close_waits_no_longer_than_2_s(self):
        """Janus is stopped (SIGSTOP), and so does not answer our leaving."""
        server = self.server()
        channel = self.open(server)
        channel.state("joined")
        os.kill(server.process.pid, 19)
        try:
            channel.close()
        finally:
            os.kill(server.process.pid, 18)
        self.assertLess(channel.wait("closed")["took_us"], 2500000)

    def test_close_inside_of_an_event(self):
        server = self.server()
        channel = self.open(server, message={"close_when_joined": True})
        channel.state("joined")
        channel.wait("closed")
        self.assertEqual(channel.close(), 0, channel.output[-2000:])

    # ---- going and coming back -------------------------------------------------------------------------------------

    def test_janus_is_killed_and_started_again(self):
        server = self.server(token_secret=SECRET)
        channel = self.open(server, token_secret=SECRET)
        channel.state("joined")
        server.kill()
        server.start()
        channel.state("reconnecting", 20)
        channel.state("joined", 20, after=2)
        channel.close()
        self.assertNotIn(SECRET, channel.output)

    def test_janus_does_not_come_back(self):
        server = self.server()
        channel = self.open(server, reconnect_s=2)
        channel.state("joined")
        server.kill()
        channel.state("reconnecting", 20)
        self.ends(channel, "connection-lost", "--reconnect-seconds")

    def test_session_is_lost(self):
        """Somebody destroys our session: a new one, without an end."""
        server = self.server(api_secret=SECRET)
        channel = self.open(server, api_secret=SECRET)
        channel.state("joined")
        with open(server.log) as log:
            session = re.findall(r"Creating new session: (\d+)", log.read())[-1]
        client = server.client()
        client._post("/" + session, {"janus": "destroy"})
        client.close()
        channel.state("reconnecting")
        channel.state("joined", after=2)
        channel.close()

    def test_room_is_destroyed(self):
        server = self.server()
        client = server.client()
        client.request({"request": "create", "room": 77})
        channel = self.open(server, 77)
        channel.state("joined")
        client.request({"request": "destroy", "room": 77})
        end = channel.state("ended")
        self.assertIsNone(end["error"])
        client.close()

    def test_minted_tokens_are_renewed(self):
        """A token of 10 s: after 13 s a list still comes, or else the channel would have ended."""
        server = self.server(token_secret=SECRET)
        channel = self.open(server, janus.ROOM, token_secret=SECRET, token_ttl_s=10)
        joined = channel.state("joined")
        time.sleep(max(0, 13 - (time.monotonic() * 1e6 - joined["at_us"]) / 1e6))
        client = server.client()
        client.request({"request": "join", "ptype": "publisher", "room": janus.ROOM, "display": "late"})
        channel.wait("participant_joined", name="late")
        channel.close()
        client.close()

    # ---- media -----------------------------------------------------------------------------------------------------

    def test_follows_a_browser(self):
        if not os.path.isdir(os.path.join(chromium.FOLDER, "node_modules")):
            self.skipTest("tests/chromium has no node_modules")
        server = self.server(token_secret=SECRET)
        channel = self.open(server, token_secret=SECRET)
        channel.state("joined")
        with chromium.Chromium() as browser:
            page = browser.page("alice")
            identity = str(page.join(server, janus.ROOM)["id"])
            channel.wait("participant_joined", id=identity, name="alice")
            offer = channel.wait("peer_offer", participant=identity)
            self.assertEqual([m["codec"] for m in offer["media"]], ["opus", "vp8"])
            self.assertTrue(all(m["msid"] == identity for m in offer["media"]))
            with self.subTest("a new stream"):
                mark = len(channel.events)
                stream = page.call("addStream", tag=1)
                added = channel.wait("peer_offer", after=mark, peer=offer["peer"])
                self.assertEqual([m["codec"] for m in added["media"]], ["opus", "vp8", "vp8"])
            with self.subTest("it goes"):
                page.call("removeStream", stream=stream)
            with self.subTest("the media path fails"):
                mark = len(channel.events)
                channel.send({"fail": offer["peer"]})
                channel.wait("peer_closed", after=mark, peer=offer["peer"])
                again = channel.wait("peer_offer", after=mark, participant=identity)
                self.assertNotEqual(again["peer"], offer["peer"])
            with self.subTest("Janus restarts"):
                mark = len(channel.events)
                server.kill()
                server.start()
                channel.state("reconnecting", 20, after=mark)
                closed = channel.wait("peer_closed", after=mark)
                order = [e["event"] for e in channel.events[mark:]]
                self.assertLess(order.index("peer_closed"), order.index("state"))
                self.assertEqual(closed["peer"], again["peer"])
                channel.state("joined", 20, after=mark)
                channel.wait("participant_left", after=mark, id=identity)
            page = browser.page("bob")
            identity = str(page.join(server, janus.ROOM, codec="h264")["id"])
            offer = channel.wait("peer_offer", participant=identity)
            page.leave()
            channel.wait("peer_closed", peer=offer["peer"])
            channel.wait("participant_left", id=identity)
        channel.close()
        self.assertNotIn(SECRET, channel.output)

    def test_closes_on_an_offer(self):
        if not os.path.isdir(os.path.join(chromium.FOLDER, "node_modules")):
            self.skipTest("tests/chromium has no node_modules")
        server = self.server()
        with chromium.Chromium() as browser:
            browser.page("alice").join(server, janus.ROOM)
            channel = self.open(server, message={"close_on_offer": True}, answers=False)
            channel.wait("peer_offer")
            channel.wait("closed")
            self.assertEqual(channel.close(), 0, channel.output[-2000:])
            self.assertEqual([e["event"] for e in channel.events][-1], "closed")


if __name__ == "__main__":
    PROBE = sys.argv.pop(1)
    socket.setdefaulttimeout(30)
    unittest.main(verbosity=2, warnings="ignore")
