"""A shop of one page: counts rows in PostgreSQL and adds to them. It knows its database only by the name `db`.

`GET /version`, `GET /rows` (how many there are), `POST /rows` (adds one by whoever the body names, answers its id
once the database has committed it), `GET /ready`. 503 while the database is away. One request a connection, so
that a connection is open exactly as long as somebody waits for an answer.
"""

import os
import queue
import signal
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2
from psycopg2.extensions import connection as Connection

PORT = 8080
IDLE: "queue.LifoQueue[Connection]" = queue.LifoQueue()


def database() -> Connection:
    return psycopg2.connect(
        host="db", dbname="shop", user="shop", connect_timeout=2, tcp_user_timeout=2000, application_name="web"
    )


def ask(statement: str, *values: str) -> str:
    """The first value that the statement answers, committed.

    A connection that was idle may have lost its database meanwhile. Whatever fails on it before the commit has
    done nothing, so all idle ones and then a new one are tried; nothing is tried again after a commit was sent.
    """
    while True:
        try:
            connection, fresh = IDLE.get_nowait(), False
        except queue.Empty:
            connection, fresh = database(), True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                answer = str(cursor.fetchone()[0])
        except psycopg2.Error:
            connection.close()
            if fresh:
                raise
            continue
        try:
            connection.commit()
        except psycopg2.Error:
            connection.close()
            raise
        IDLE.put(connection)
        return answer


class Shop(BaseHTTPRequestHandler):
    timeout = 10

    def do_GET(self) -> None:
        match self.path:
            case "/version":
                self.answer(200, os.environ["VERSION"])
            case "/rows":
                self.answer_from_database("SELECT count(*) FROM rows")
            case "/ready":
                self.answer_from_database("SELECT 'ready'")
            case _:
                self.answer(404, "there are /version, /rows and /ready")

    def do_POST(self) -> None:
        by = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace") or "somebody"
        if self.path == "/rows":
            self.answer_from_database("INSERT INTO rows (by) VALUES (%s) RETURNING id", by)
        else:
            self.answer(404, "rows are added to /rows")

    def answer_from_database(self, statement: str, *values: str) -> None:
        try:
            self.answer(200, ask(statement, *values))
        except psycopg2.Error as error:
            self.answer(503, f"the database is away: {error}".strip())

    def answer(self, code: int, text: str) -> None:
        body = text.encode() + b"\n"
        self.send_response(code)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Shop-Version", os.environ["VERSION"])
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(body)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        if self.path != "/ready":
            super().log_request(code, size)


class Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128

    def answer_the_rest(self) -> None:
        """Take in those who are connected and not yet accepted, then wait for all answers to be out."""
        self.socket.settimeout(0)
        with suppress(BlockingIOError):
            while True:
                request, address = self.socket.accept()
                request.settimeout(None)
                self.process_request(request, address)
        self.server_close()


def main() -> None:
    server = Server(("", PORT), Shop)
    for way in (signal.SIGTERM, signal.SIGINT):
        signal.signal(way, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"web {os.environ['VERSION']} listens on port {PORT}")
    server.serve_forever(poll_interval=0.05)
    server.answer_the_rest()
    print("web: everybody has been answered")


if __name__ == "__main__":
    main()
