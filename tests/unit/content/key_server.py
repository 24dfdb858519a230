#!/usr/bin/python3
"""
A key service and a vault (KV v2) on 127.0.0.1, for the tests of key sources. Makes certificates in FOLDER, says its three
ports on standard output (TLS; TLS that wants a client's certificate; plain), writes each request as a JSON line to
FOLDER/requests.jsonl before it answers, and ends with its standard input.

The service answers POST /keys with what FOLDER/answers has for the question: PARTICIPANT.KID, or "whole":
{"status": 200, "headers": {…}, "body": "…", "hang": false}; 404 when there is none; 401 when the signature is not right.
The vault answers GET /v1/… by FOLDER/vault.json, as HashiCorp's documentation of KV v2 shows it:
{"token": "…", "sealed": false, "mounts": {"secret": {"steno/app/room": [{…} or null (deleted), …versions]}}}

usage: key_server.py FOLDER SECRET…
"""
import base64
import hashlib
import hmac
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

folder, secrets = sys.argv[1], sys.argv[2:]
lock = threading.Lock()
LEASE = {"request_id": "3f1e5b4a-5d3c-7c25-1a4f-6a1d1f9f8f2c", "lease_id": "", "renewable": False, "lease_duration": 0}


def path(*names):
    return os.path.join(folder, *names)


def openssl(*arguments):
    subprocess.run(("openssl",) + arguments, check=True, capture_output=True)


def make_certificate(name, issuer, *extensions):
    """NAME.pem and NAME.key, of an authority's (issuer), or of itself."""
    arguments = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                 f"/CN={name}", "-keyout", path(name + ".key"), "-out", path(name + ".pem")]
    for extension in extensions:
        arguments += ["-addext", extension]
    if not issuer:
        openssl(*arguments)
        return
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout",
            path(name + ".key"), "-out", path(name + ".csr"))
    with open(path(name + ".ext"), "w") as f:
        f.write("\n".join(extensions))
    openssl("x509", "-req", "-in", path(name + ".csr"), "-CA", path(issuer + ".pem"), "-CAkey", path(issuer + ".key"),
            "-CAcreateserial", "-days", "2", "-extfile", path(name + ".ext"), "-out", path(name + ".pem"))


def is_signed(headers, body):
    """As the libraries of Standard Webhooks check it."""
    key = base64.b64decode(secrets[0].removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return (abs(time.time() - int(headers["webhook-timestamp"])) < 300 and
            expected in headers["webhook-signature"].split(" "))


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def note(self, body, **more):
        line = {"method": self.command, "path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()},
                "body": body.decode(), "port": self.server.server_port, **more}
        with lock, open(path("requests.jsonl"), "a") as f:
            f.write(json.dumps(line) + "\n")

    def answer(self, status, body, headers=()):
        body = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body) + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        for name, value in dict(headers).items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signed = "webhook-signature" in self.headers and is_signed(self.headers, body)
        certificate = getattr(self.connection, "getpeercert", dict)() or {}
        self.note(body, signed=signed, certificate=bool(certificate))
        question = json.loads(body)
        name = "whole" if question["participant"] is None else f"{question['participant']}.{question['kid']}"
        if not signed and not certificate:
            self.answer(401, {"error": "who are you?"})
            return
        try:
            with open(path("answers", name)) as f:
                answer = json.load(f)
        except FileNotFoundError:
            answer = {"status": 404, "body": "{}"}
        if answer.get("hang"):
            while self.connection.recv(4096):
                pass
            self.close_connection = True
            return
        self.answer(answer.get("status", 200), answer.get("body", ""), answer.get("headers", {}))

    def do_GET(self):
        self.note(b"")
        with open(path("vault.json")) as f:
            vault = json.load(f)
        if vault.get("sealed"):
            self.answer(503, {"errors": ["Vault is sealed"]})
        elif vault.get("standby"):
            self.answer(307, "", {"Location": "https://127.0.0.1:1" + self.path})
        elif self.headers.get("X-Vault-Token") != vault["token"]:
            self.answer(403, {"errors": [vault.get("refusal", "permission denied")]})
        else:
            self.answer_secret(vault)

    def answer_secret(self, vault):
        mount, _, secret = self.path.removeprefix("/v1/").partition("/data/")
        if mount not in vault["mounts"]:
            self.answer(404, {"errors": [f'no handler for route "{mount}/data/{secret}". route entry not found.']})
            return
        versions = vault["mounts"][mount].get(secret)
        if not versions:
            self.answer(404, {"errors": []})
            return
        metadata = {"created_time": "2018-03-22T02:24:06.945319214Z", "custom_metadata": None,
                    "deletion_time": "" if versions[-1] else "2018-03-22T02:36:43.986212308Z", "destroyed": False,
                    "version": len(versions)}
        answer = {**LEASE, "data": {"data": versions[-1], "metadata": metadata}, "wrap_info": None, "warnings": None,
                  "auth": None, "mount_type": "kv"}
        self.answer(200 if versions[-1] else 404, answer)


def main():
    os.makedirs(path("answers"), exist_ok=True)
    make_certificate("ca", None, "basicConstraints=critical,CA:TRUE")
    make_certificate("server", "ca", "subjectAltName=IP:127.0.0.1")
    make_certificate("client", "ca", "extendedKeyUsage=clientAuth")
    make_certificate("stranger", None)
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Server) for _ in range(3)]
    for server, wants in ((servers[0], ssl.CERT_NONE), (servers[1], ssl.CERT_REQUIRED)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path("server.pem"), path("server.key"))
        context.verify_mode = wants
        if wants == ssl.CERT_REQUIRED:
            context.load_verify_locations(path("ca.pem"))
        # Per connection, in its thread: a client that fails the handshake must not stop the others.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    for server in servers:
        server.handle_error = lambda *_: None
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(*(server.server_port for server in servers), flush=True)
    sys.stdin.read()


main()
