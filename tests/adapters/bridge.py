"""A bridge with small web servers in network namespaces, standing for a machine's instances. Root, in dev/sandbox."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

GATEWAY, SUBNET, SERVICES = "10.210.1.1", "10.210.1.0/24", "10.210.224.0/19"
PORT = 8080

SERVER = """
import http.server, socketserver, sys, threading
go = threading.Event()
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path == "/go":
            go.set()
        if self.path == "/stream":
            return self.stream()
        body = f"{sys.argv[1]} {self.client_address[0]} {self.client_address[1]}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_POST = do_GET
    def stream(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\\r\\nfirst\\r\\n")
        go.wait(20)
        self.wfile.write(b"4\\r\\nlast\\r\\n0\\r\\n\\r\\n")
    def log_message(self, *told):
        pass
class Server(socketserver.ThreadingTCPServer):  # an HTTPServer asks the resolver for its own name first
    allow_reuse_address = True
    request_queue_size = 128
    daemon_threads = True
Server((sys.argv[1], int(sys.argv[2])), Answer).serve_forever()
"""

CLIENT = """
import http.client, json, os, sys
def ask(address, port):
    try:
        connection = http.client.HTTPConnection(address, port, timeout=5)
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    except OSError as error:
        return type(error).__name__
    finally:
        connection.close()
places, until = json.loads(sys.argv[1]), sys.argv[2]
answers = [ask(*place) for place in places]
while until and not os.path.exists(until):
    answers += [ask(*place) for place in places]
print(json.dumps(answers))
"""


class Machine:
    """Instances join with `add`; `ask` has one of them, or the machine itself, connect anew to each place."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def add(self, number: int, *, port: int = PORT) -> str:
        """An instance with a web server that answers `<its address> <the client's address> <port>`."""
        name, address = f"i{number}", f"10.210.1.{number}"
        ip("netns", "add", name)
        self._stack.callback(ip, "netns", "del", name)
        ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        self._stack.callback(ip, "link", "del", name)  # with its namespace it would go some time later
        ip("link", "set", name, "master", "ploy0", "up")
        ip("link", "set", name, "type", "bridge_slave", "hairpin", "on")
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        ip("-n", name, "route", "add", "default", "via", GATEWAY)
        self.serve(number, port=port)
        return address

    def serve(self, number: int, *, port: int = PORT) -> None:
        """Have the instance's web server listen, and wait until it does."""
        server = subprocess.Popen(inside(number, SERVER, f"10.210.1.{number}", str(port)))
        self._stack.callback(end, server)
        deadline = time.monotonic() + 20
        while self.ask(None, (f"10.210.1.{number}", port)) == ["ConnectionRefusedError"]:
            assert time.monotonic() < deadline, f"the server of i{number} does not start"

    def ask(self, source: int | None, *places: tuple[str, int]) -> list[str]:
        """The answer from each place, or the name of the error."""
        told = subprocess.run(
            inside(source, CLIENT, json.dumps(places), ""), check=True, capture_output=True, timeout=60
        )
        answers: list[str] = json.loads(told.stdout)
        return answers

    @contextmanager
    def load(self, source: int | None, place: tuple[str, int], answers: list[str], until: Path) -> Iterator[None]:
        """One connection after the other, as fast as it goes, until the block ends; `answers` gets what came."""
        client = subprocess.Popen(inside(source, CLIENT, json.dumps([place]), str(until)), stdout=subprocess.PIPE)
        try:
            yield
        finally:
            until.touch()
            out, _ = client.communicate(timeout=60)
            answers += json.loads(out)


@contextmanager
def machine() -> Iterator[Machine]:
    with ExitStack() as stack:
        ip("link", "add", "ploy0", "type", "bridge")
        stack.callback(ip, "link", "del", "ploy0")
        ip("addr", "add", f"{GATEWAY}/24", "dev", "ploy0")
        ip("link", "set", "ploy0", "up")
        stack.callback(subprocess.run, ["nft", "flush", "ruleset"], check=True)
        yield Machine(stack)


def inside(number: int | None, script: str, *arguments: str) -> Sequence[str]:
    python = [sys.executable, "-S", "-c", script, *arguments]
    return python if number is None else ["ip", "netns", "exec", f"i{number}", *python]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def who(answer: str) -> str:
    """Who answered: an address, or an error."""
    return answer.split()[0]
