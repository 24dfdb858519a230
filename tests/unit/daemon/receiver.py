#!/usr/bin/python3
"""
A receiver of webhooks that does what the path of its URL says. Says its port on standard output, writes each request as
a JSON line to a file before it answers, and ends with its standard input.

usage: receiver.py LOG [--tls CERTIFICATE KEY [--old]]
"""
import base64
import collections
import hashlib
import hmac
import json
import random
import select
import socket
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# What test_webhooks.c writes into the secret files.
SECRETS = {"new": b"n" * 32, "old": b"o" * 24}
APPLICATION = b"application secret"

lock = threading.Lock()
chance = random.Random(4711)
busy = set()
failures = collections.Counter()
first_times = set()


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, headers=(), body=b"ok"):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def wait_for_end(self):
        """Until the client hangs up."""
        while self.connection.recv(4096):
            pass
        self.close_connection = True

    def hang_up(self):
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def endless(self):
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"x" * 65536)
        except OSError:
            self.close_connection = True

    def signed(self, body):
        """By which of the secrets."""
        stamp = self.headers.get("webhook-timestamp", "")
        text = f'{self.headers.get("webhook-id")}.{stamp}.'.encode() + body
        given = self.headers.get("webhook-signature", "").split(" ")
        return [name for name, secret in SECRETS.items()
                if "v1," + base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode() in given]

    def note(self, body, outcome, overlaps):
        event = json.loads(body)
        application = base64.b64encode(hmac.new(APPLICATION, body, hashlib.sha256).digest()).decode()
        line = {"path": self.path, "outcome": outcome, "overlaps": overlaps, "recording": event["data"]["recording"],
                "id": event["id"], "seq": event["seq"], "type": event["type"], "at": time.monotonic(),
                "same_id": self.headers.get("webhook-id") == event["id"], "signed": self.signed(body),
                "application": self.headers.get("X-ApplicationSignature") == application,
                "signatures": len(self.headers.get("webhook-signature", "").split()),
                "fresh": abs(time.time() - int(self.headers.get("webhook-timestamp", "0"))) < 30,
                "agent": self.headers.get("User-Agent"), "content": self.headers.get("Content-Type"),
                "digest": hashlib.sha256(body).hexdigest()}
        with lock, open(sys.argv[1], "a") as f:
            f.write(json.dumps(line) + "\n")

    def half_of_the_time(self):
        """But not more than three times in a row: delays double."""
        event = self.headers.get("webhook-id")
        if failures[event] >= 3 or chance.random() < 0.5:
            return "ok"
        failures[event] += 1
        return chance.choice(["500", "close", "hang", "302", "half-answer"])

    def do_GET(self):
        self.do_POST()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        mode = self.path.strip("/").split("?")[0]
        recording = json.loads(body)["data"]["recording"] if body else ""
        with lock:
            overlaps = (mode, recording) in busy
            busy.add((mode, recording))
            first = mode not in first_times
            first_times.add(mode)
            if mode == "half":
                mode = self.half_of_the_time()
            elif mode in ("once-gone", "once-later", "once-hang"):
                mode = mode[5:] if first else "ok"
        self.note(body, mode, overlaps)
        time.sleep(0.003)  # two at a time would be seen to be
        with lock:
            busy.discard((self.path.strip("/").split("?")[0], recording))
        self.act(mode)

    def act(self, mode):
        if mode == "302":
            self.answer(302, [("Location", "/trap")])
        elif mode == "gone":
            self.answer(410)
        elif mode == "later":
            self.answer(503, [("Retry-After", "2")])
        elif mode == "much-later":
            self.answer(429, [("Retry-After", "99999999")])
        elif mode == "close":
            self.hang_up()
        elif mode == "half-answer":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")
            self.wfile.flush()
            self.hang_up()
        elif mode == "hang":
            self.wait_for_end()
        elif mode == "endless":
            self.endless()
        elif mode.isdigit():
            self.answer(int(mode))
        else:
            self.answer(204 if mode == "empty" else 200, body=b"" if mode == "empty" else b"ok")


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    server.daemon_threads = True
    if "--tls" in sys.argv:
        at = sys.argv.index("--tls")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[at + 1], sys.argv[at + 2])
        if "--old" in sys.argv:
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = ssl.TLSVersion.TLSv1_1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    select.select([sys.stdin], [], [])


main()
