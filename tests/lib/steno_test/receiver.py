"""A webhook receiver that fails as often as it is told, and keeps what it answered 2xx to."""
import base64
import hashlib
import hmac
import http.server
import json
import random
import threading

SECRET = base64.b64encode(b"a webhook secret of 32 bytes....").decode()


class Receiver:
    """Listens on loopback. `got`: [(webhook-id, event)] that were acknowledged, in order; `doubles`: ids acknowledged before."""

    def __init__(self, failing=0.0, seed=1):
        self.got, self.doubles, self.faults, self.refused = [], [], [], 0
        self.failing = failing
        self._random = random.Random(seed)
        self._lock = threading.Condition()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status = receiver.take(self.headers, body)
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, headers, body):
        """The status to answer with; None: close without an answer."""
        with self._lock:
            if self._random.random() < self.failing:
                self.refused += 1
                return self._random.choice((500, 503, 302, None))
            id_, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
            wanted = base64.b64encode(hmac.new(base64.b64decode(SECRET), f"{id_}.{stamp}.".encode() + body,
                                               hashlib.sha256).digest()).decode()
            if f"v1,{wanted}" not in headers.get("webhook-signature", "").split():
                self.faults.append(f"{id_}: the signature is wrong")
            event = json.loads(body)
            if event["id"] != id_:
                self.faults.append(f"{id_}: the body is of {event['id']}")
            if id_ in (i for i, _ in self.got[-500:]):
                self.doubles.append(id_)
            else:
                self.got.append((id_, event))
            self._lock.notify_all()
            return 204

    def of(self, recording):
        """The events of one recording, as they came."""
        with self._lock:
            return [event for _, event in self.got if event["data"].get("recording") == recording]

    def wait(self, recording, types, seconds):
        """Waits until one of these came for the recording."""
        with self._lock:
            return self._lock.wait_for(lambda: any(e["type"] in types and e["data"].get("recording") == recording
                                                   for _, e in self.got), seconds)

    def close(self):
        self._server.shutdown()
        self._server.server_close()
