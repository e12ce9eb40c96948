"""A shop without images: Redis and a web server of Python's, both processes of the machine."""

import json

PAGE = """
import http.server, os, socket
def redis(*words):
    with socket.create_connection(("db", 6379), timeout=5) as connection:
        told = "".join(f"${len(word)}\\r\\n{word}\\r\\n" for word in words)
        connection.sendall(f"*{len(words)}\\r\\n{told}".encode())
        return connection.makefile("rb").readline().decode().strip()[1:]
class Page(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = {"/version": lambda: os.environ["VERSION"], "/row": lambda: redis(*self.words())}[self.path]().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def words(self):
        return ("INCR", "rows") if self.command == "POST" else ("INCRBY", "rows", "0")
    do_GET = do_POST = answer
http.server.ThreadingHTTPServer(("", 8080), Page).serve_forever()
"""
HOST = "hosted.localhost"
REDIS = ["redis-server", "--dir", "/srv", "--appendonly", "yes", "--appendfsync", "always", "--protected-mode", "no"]


def hosted(version: str, **settings: str) -> str:
    """The namespace `hosted`. Settings are TOML, of the service `web`."""
    more = "".join(f"{key} = {value}\n" for key, value in settings.items())
    return f"""
namespace = "hosted"
[services.db]
runtime = "host"
command = {json.dumps(REDIS)}
env = {{ GENERATION = "{version}" }}
user = "65534:65534"
volumes = {{ data = "/srv" }}
ports = {{ redis = 6379 }}
ready = {{ tcp = "redis", every = "0.1s", timeout = "20s" }}
[services.web]
runtime = "host"
command = ["python3", "-uc", {json.dumps(PAGE)}]
env = {{ VERSION = "{version}" }}
user = "65534:65534"
after = ["db"]
ports = {{ web = 8080 }}
ready = {{ http = "/version", port = "web", every = "0.1s", timeout = "20s" }}
routes = ["{HOST}"]
{more}
[volumes.data]
owner = "65534:65534"
"""
