"""A client's own server, as one would write it for AgentNumber: it thinks for a number and hears of events.

    POST /voice   chat completions, answered as a stream with the sentences of the command line, in turn
    POST /events  deliveries; the signature is verified with the secret of `POST /secret`
    GET  /seen?voice=N&events=N&within=SECONDS
                  what came, as soon as there is so much of it

The port stands on the first line of the output. Nothing but the standard library is used.
"""

import hashlib
import hmac
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

SENTENCES = sys.argv[1:]


class World:
    """What came so far; `changed` is told of more."""

    def __init__(self):
        self.changed = threading.Condition()
        self.voice = []
        self.events = []
        self.secret = b""

    def put(self, place, what):
        with self.changed:
            getattr(self, place).append(what)
            self.changed.notify_all()
            return len(getattr(self, place))

    def seen(self, voice, events, within):
        with self.changed:
            enough = lambda: len(self.voice) >= voice and len(self.events) >= events
            self.changed.wait_for(enough, within)
            return {"voice": list(self.voice), "events": list(self.events)}


WORLD = World()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/voice":
            self.think(body)
        elif self.path == "/events":
            self.hear(body)
        elif self.path == "/secret":
            WORLD.secret = body
            self.answer(204)
        else:
            self.answer(404)

    def do_GET(self):
        query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        counts = [int(query.get(key, 0)) for key in ("voice", "events")]
        seen = WORLD.seen(*counts, float(query.get("within", 0)))
        self.answer(200, json.dumps(seen).encode())

    def think(self, body):
        headers = {name.lower(): value for name, value in self.headers.items()}
        turn = WORLD.put("voice", {"body": json.loads(body), "headers": headers})
        sentence = SENTENCES[min(turn, len(SENTENCES)) - 1]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for word in sentence.split(" "):
            delta = {"choices": [{"delta": {"content": word + " "}}]}
            self.wfile.write(b"data: " + json.dumps(delta).encode() + b"\n\n")
            self.wfile.flush()
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def hear(self, body):
        expected = hmac.new(WORLD.secret, body, hashlib.sha256).hexdigest()
        given = self.headers.get("X-AgentNumber-Signature", "")
        event = {
            "name": self.headers.get("X-AgentNumber-Event"),
            "genuine": hmac.compare_digest(expected, given),
            "body": json.loads(body),
        }
        WORLD.put("events", event)
        self.answer(200, b"{}")

    def answer(self, status, body=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    # Ends with whoever started it: their end of the pipe closes.
    threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    server.serve_forever()
