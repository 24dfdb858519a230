"""A man in the middle of Janus' HTTP API, and a server that talks nonsense."""
import http.client
import http.server
import threading
import urllib.parse


class Proxy:
    """Passes everything to a Janus; rewrite(text) may change what it answers, rewrite_request(text) what it is asked."""

    def __init__(self, server, rewrite, rewrite_request=lambda text: text):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def pass_on(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = outer.rewrite_request(body.decode()).encode()
                connection = http.client.HTTPConnection("127.0.0.1", outer.port, timeout=60)
                try:
                    connection.request(self.command, self.path, body or None,
                                       {"Content-Type": "application/json"} if body else {})
                    answer = connection.getresponse()
                    data = outer.rewrite(answer.read().decode()).encode()
                except OSError:
                    self.close_connection = True
                    return
                try:
                    self.send_response(answer.status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    self.close_connection = True

            do_GET = do_POST = pass_on

            def log_message(self, *_):
                pass
        self.port = urllib.parse.urlsplit(server.url).port
        self.rewrite = rewrite
        self.rewrite_request = rewrite_request
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.handle_error = lambda *_: None  # a client that went away
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/janus"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()
