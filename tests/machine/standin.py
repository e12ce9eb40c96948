"""A stand-in for a machine's daemon, and `ployzd dev` with it: the namespaces without the data plane in them.

`ask REQUEST` answers as `ployzd dev` does; `serve …` is the daemon. It answers on the socket and on the
gateway's address, as long as the folder that it is in has no file `broken`.
"""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from socketserver import UnixStreamServer

from daemon.dev.cluster import Site
from daemon.dev.main import respond

BROKEN = "the stand-in was told to break"


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"here is the machine\n")

    def do_POST(self) -> None:
        """Whatever is asked: all machines that there can be are in one mesh already."""
        machines = [{"name": f"m{number}"} for number in range(1, 10)]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"ok": True, "kind": "machines", "result": {"machines": machines}}).encode())

    def address_string(self) -> str:
        return "somebody"


def serve(socket: Path) -> int:
    if (socket.parents[2] / "broken").exists():
        sys.stderr.write(BROKEN + "\n")
        return 1
    socket.unlink(missing_ok=True)
    with HTTPServer(("", 80), Answers) as gateway, UnixStreamServer(str(socket), Answers) as control:
        threading.Thread(target=gateway.serve_forever, daemon=True).start()
        control.serve_forever()
    return 0


def main(words: list[str]) -> int:
    if words[0] == "serve":
        return serve(Path(words[words.index("--socket") + 1]))
    program = (sys.executable, "-P", "-m", "tests.machine.standin", "serve")
    return respond(words[1].encode(), sys.stdout.buffer, Site(Path(os.environ["PLOYZ_DEV_DIR"]), program, patience=20))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
