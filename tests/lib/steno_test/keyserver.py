"""Servers that hand out content keys: an HTTPS key service with mTLS and signed requests, and Vault's KV v2 API."""
import base64
import hashlib
import hmac
import http.server
import json
import os
import ssl
import subprocess
import threading


def authority(folder):
    """A CA with a server's and a client's certificate: ca.pem, server.pem, client.pem, client.key."""
    def openssl(*argv):
        subprocess.run(["openssl", *argv], check=True, cwd=folder, capture_output=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-days", "2", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Key CA")
    for name, extension in (("server", "subjectAltName=IP:127.0.0.1,DNS:localhost"), ("client", "extendedKeyUsage=clientAuth")):
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        with open(os.path.join(folder, f"{name}.ext"), "w") as f:
            f.write(extension + "\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", f"{name}.ext", "-out", f"{name}.pem")
    os.chmod(os.path.join(folder, "client.key"), 0o600)


class KeyServer:
    """`answer(method, path, headers, body)` → (status, JSON or None). asked: what came, as (path, body)."""

    def __init__(self, folder, answer):
        self.asked = []
        os.makedirs(folder, exist_ok=True)
        if not os.path.exists(os.path.join(folder, "ca.pem")):
            authority(folder)
        self.folder = folder
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server.asked.append((self.path, body))
                status, what = answer(self.command, self.path, self.headers, body)
                data = b"" if what is None else json.dumps(what).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            do_POST = do_GET

            def log_message(self, *arguments):
                pass
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(folder, "server.pem"), os.path.join(folder, "server.key"))
        context.load_verify_locations(os.path.join(folder, "ca.pem"))
        context.verify_mode = ssl.CERT_REQUIRED
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def file(self, name):
        return os.path.join(self.folder, name)

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def signed(secret, headers, body):
    """Is the request signed with the secret (whsec_…), as Standard Webhooks are?"""
    id_, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    text = f"{id_}.{stamp}.".encode() + body
    wanted = base64.b64encode(hmac.new(base64.b64decode(secret.removeprefix("whsec_")), text, hashlib.sha256).digest()).decode()
    return id_ and f"v1,{wanted}" in headers.get("webhook-signature", "").split()
