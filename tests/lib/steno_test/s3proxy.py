"""
A fault proxy in front of an S3 server: sees each request and answer, and does to it what a test says. What real servers don't
produce on demand.
"""
import re
import socket
import struct
import threading
import time
import urllib.parse

PIECE = 1 << 20


class Request:
    """method, target as it came, path and query in clear, headers (lower case), number (from 1)."""

    def __init__(self, number, head):
        lines = head.decode("latin-1").split("\r\n")
        self.number, self.head = number, head
        self.method, self.target, _ = lines[0].split(" ", 2)
        self.headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
        parts = urllib.parse.urlsplit(self.target)
        self.path = urllib.parse.unquote(parts.path)
        self.query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        self.length = int(self.headers.get("content-length") or 0)

    @property
    def operation(self):
        """What S3 calls it, as far as tests care."""
        q = self.query
        if self.method == "POST":
            return "Create" if "uploads" in q else "Complete" if "uploadId" in q else "Post"
        if self.method == "PUT":
            return "UploadPart" if "partNumber" in q else "Put"
        if self.method == "DELETE":
            return "Abort" if "uploadId" in q else "Delete"
        if self.method == "GET":
            return "ListParts" if "uploadId" in q else "ListUploads" if "uploads" in q else "List" if "list-type" in q else "Get"
        return self.method.capitalize()

    def __repr__(self):
        return f"{self.number}: {self.operation} {self.target.split('?')[0]}"


def answer(status, body=b"", headers=(), reason="Said"):
    """An answer of the proxy's own, as bytes."""
    if isinstance(body, str):
        body = body.encode()
    head = [f"HTTP/1.1 {status} {reason}", f"Content-Length: {len(body)}", *(f"{k}: {v}" for k, v in headers)]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def s3_error(status, code, message="said by the test", headers=()):
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return answer(status, body, [("Content-Type", "application/xml"), *headers])


class Proxy:
    """
    before(request) and after(request, head, body) decide, in the connection's thread. They return None (let it pass), bytes (the
    whole answer instead), or one of RESET, HALF (half of the answer, then reset), STALL (nothing ever comes). `before` is
    called before the server has seen the request; its body is read in any case.
    """

    RESET, HALF, STALL = "reset", "half", "stall"

    def __init__(self, case, server, before=None, after=None):
        self.server = server
        self.before, self.after = before, after
        self.requests = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._open = True
        threading.Thread(target=self._accept, daemon=True).start()
        case.on_exit(self.close)

    def close(self):
        self._open = False
        self._listener.close()

    def operations(self):
        return [r.operation for r in self.requests]

    def _accept(self):
        while self._open:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    @staticmethod
    def _reset(client):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _serve(self, client):
        upstream = None
        try:
            with client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                rest = b""
                while True:
                    head, rest = self._head(client, rest)
                    if head is None:
                        return
                    with self._lock:
                        request = Request(len(self.requests) + 1, head)
                        self.requests.append(request)
                    upstream, rest, go_on = self._one(client, upstream, request, rest)
                    if not go_on:
                        return
        except (OSError, ValueError):
            pass
        finally:
            if upstream:
                upstream.close()

    @staticmethod
    def _head(connection, rest):
        while b"\r\n\r\n" not in rest:
            got = connection.recv(65536)
            if not got:
                return None, b""
            rest += got
        head, _, rest = rest.partition(b"\r\n\r\n")
        return head, rest

    def _one(self, client, upstream, request, rest):
        if request.headers.get("expect", "").lower() == "100-continue":
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        said = self.before(request) if self.before else None
        if said is not None:
            rest = self._skip(client, request.length, rest)
            return upstream, rest, self._say(client, said)
        head = re.sub(rb"(?im)\r\nexpect:[^\r]*", b"", request.head)
        for attempt in (1, 2):
            if upstream is None:
                upstream = socket.create_connection(("127.0.0.1", self.server.port))
            try:
                upstream.sendall(head + b"\r\n\r\n")
                break
            except OSError:
                upstream.close()
                upstream = None
        rest = self._pass_on(client, upstream, request.length, rest)
        reply, body = self._read_answer(upstream, request)
        if reply is None:
            upstream.close()
            self._reset(client)
            return None, rest, False
        said = self.after(request, reply, body) if self.after else None
        if said == self.HALF:
            whole = reply + b"\r\n\r\n" + body
            client.sendall(whole[:len(reply) + 4 + len(body) // 2] if body else reply[:len(reply) // 2])
            said = self.RESET
        if said is None:
            client.sendall(reply + b"\r\n\r\n" + body)
            return upstream, rest, True
        return upstream, rest, self._say(client, said)

    def _say(self, client, said):
        if said == self.STALL:
            while self._open and client.recv(65536):
                pass
            return False
        if said == self.RESET:
            self._reset(client)
            return False
        client.sendall(said)
        return True

    @staticmethod
    def _skip(client, length, rest):
        while len(rest) < length:
            got = client.recv(PIECE)
            if not got:
                raise OSError("the client went away")
            length -= len(rest)
            rest = got
        return rest[length:]

    @staticmethod
    def _pass_on(client, upstream, length, rest):
        while length:
            if not rest:
                rest = client.recv(PIECE)
                if not rest:
                    raise OSError("the client went away")
            piece, rest = rest[:length], rest[length:]
            upstream.sendall(piece)
            length -= len(piece)
        return rest

    def _read_answer(self, upstream, request):
        head, rest = self._head(upstream, b"")
        if head is None:
            return None, None
        status = int(head.split(b" ", 2)[1])
        if status == 100:
            head, rest = self._head(upstream, rest)
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])}
        if request.method == "HEAD" or status in (204, 304):
            return head, b""
        if "chunked" in headers.get("transfer-encoding", ""):
            while not rest.endswith(b"0\r\n\r\n"):
                rest += upstream.recv(PIECE)
            return head, rest
        length = int(headers.get("content-length") or 0)
        pieces, have = [rest], len(rest)
        while have < length:
            got = upstream.recv(PIECE)
            if not got:
                return None, None
            pieces.append(got)
            have += len(got)
        return head, b"".join(pieces)


def down_for(seconds):
    """A `before` that lets nothing through for so long."""
    end = time.monotonic() + seconds
    return lambda request: Proxy.RESET if time.monotonic() < end else None
