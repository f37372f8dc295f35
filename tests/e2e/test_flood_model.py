# SPDX-License-Identifier: Apache-2.0
"""Model servers that send one thing without end, compressed or in framing alone: the engine or the node that asks them stays small, and the
others are served meanwhile. With CONCLAVE_FLOOD_SECONDS all kinds."""

import socket
import threading
import unittest
import zlib

from support import *
from test_flood import END, LONG, MOST, SECONDS, forget_peak, resident

BLOCK = 256 * 1024
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


def event(**delta):
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


def chunk(data):
    return b"%x\r\n" % len(data) + data + b"\r\n"


def call(text):
    return event(tool_calls=[{"index": 0, "id": "c", "function": {"name": "new_answer", "arguments": text}}])


def bomb(unit, layers=1, size=64 << 20):
    """`size` bytes of text as gzip; again compressed for each layer more."""
    packer, parts = zlib.compressobj(1, zlib.DEFLATED, 31), []
    block = unit * (BLOCK // len(unit) + 1)
    for _ in range(size // len(block)):
        parts.append(packer.compress(block))
    out = b"".join(parts) + packer.flush()
    for _ in range(layers - 1):
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        out = packer.compress(out) + packer.flush()
    return out


def zstd_bomb():
    """A frame with a window of 128 MiB and blocks that say one byte 128 Ki times."""
    return b"\x28\xb5\x2f\xfd\x00\x88" + ((1 << 1) | (128 << 10) << 3).to_bytes(3, "little") + b"x"


def deflate_of_nothing():
    """A gzip stream whose blocks hold nothing."""
    return b"\x1f\x8b\x08\0\0\0\0\0\0\3", b"\0\0\0\xff\xff"


GZIP = OK + b"Content-Encoding: gzip\r\n\r\n"
# What comes first, and what comes again and again.
KINDS = {
    "text": (OK + b"\r\n", event(content="x" * 40)),
    "letters": (OK + b"\r\n", event(content="x")),
    "thoughts": (OK + b"\r\n", event(reasoning_content="x" * 40)),
    "calls": (OK + b"\r\n", call("x" * 40)),
    "comments": (OK + b"\r\n", b": ping\n\n"),
    "blank": (OK + b"\r\n", b"\n"),
    "one-line": (OK + b"\r\ndata: ", b"x" * 1000),
    "one-event": (OK + b"\r\n", b"data: x\n"),
    "values": (OK + b"\r\ndata: {\"choices\":[", b"{}," * 1000),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"choices\":[", b"[]," * 1000),
    "refusal": (b"HTTP/1.1 500 No\r\nContent-Type: application/json\r\n\r\n{\"error\":[", b"{}," * 1000),
    "gzip": (lambda: GZIP + bomb(event(content="x" * 40)), None),
    "gzip-thrice": (lambda: OK + b"Content-Encoding: gzip, gzip, gzip\r\n\r\n" + bomb(b": ping\n\n", 3), None),
    "gzip-line": (lambda: GZIP + bomb(b"x" * 1000), None),
    "gzip-nothing": (GZIP + deflate_of_nothing()[0], deflate_of_nothing()[1]),
    "zstd": (OK + b"Content-Encoding: zstd\r\n\r\n" + zstd_bomb(), zstd_bomb()[6:]),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", chunk(b"\n")),
    "extensions": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"e" * 10_000 + b"\r\n\n\r\n"),
    "one-extension": (OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"e" * 1000),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-T: " + b"t" * 1000 + b"\r\n"),
    "headers": (OK, b"X-H: " + b"h" * 1000 + b"\r\n"),
    "one-header": (OK + b"X-H: ", b"h" * 1000),
    "announcements": (b"", b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n"),
    "redirect": (b"HTTP/1.1 307 There\r\nLocation: /v1/other\r\n\r\n", b"a page for people\n"),
}

FEW = ["letters", "refusal", "zstd", "one-line", "gzip", "gzip-nothing", "extensions", "announcements"]


class Server:
    """Sends one kind to whoever asks, once `go` is set."""

    def __init__(self, kind):
        head, unit = KINDS[kind]
        self.head, self.block = head() if callable(head) else head, unit and unit * (BLOCK // len(unit) + 1)
        self.go, self.asked, self.sent = threading.Event(), threading.Event(), 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d/v1" % self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        try:
            s.recv(65536)
            self.asked.set()
            self.go.wait(60)
            s.sendall(self.head)
            while self.block:
                s.sendall(self.block)
                self.sent += len(self.block)
        except OSError:
            pass
        s.close()


class ModelFlood(unittest.TestCase):
    def one(self, kind, on_node):
        with Home() as home:
            server = Server(kind)
            self.addCleanup(server.socket.close)
            node = address = None
            if on_node:
                node = home.start("node", "--listen", "127.0.0.1:0", "--grace", "0", "-q")
                address = Lines(node.stdout).until("listening on ").split("listening on ")[1].strip()
            far = {"node": "n"} if on_node else {}
            bad = {"id": "bad", "backend": {"type": "chatcompletion", "model": "m", "base_url": server.url, "decision": "tools"},
                   **far}
            steps = [{"answer": "served", "first_delay_ms": 500}, {"hang": True}]
            config = {"agents": [bad, agent("good", steps, **far)], **({"cluster": {"nodes": {"n": address}}} if on_node else {})}
            out = open(home.path / "out", "w+b")
            p = subprocess.Popen([str(BIN), "--config", home.write("t.json", config), "--json", "q"], cwd=home.path, env=home.env,
                                 stdin=subprocess.DEVNULL, stdout=out, stderr=out)
            shown = lambda: (home.path / "out").read_text(errors="replace")
            try:
                self.assertTrue(server.asked.wait(30), shown())
                watched = [x for x in (p, node) if x]
                before = [resident(x.pid) for x in watched]
                for x in watched:
                    forget_peak(x.pid)
                peak, t, at = list(before), time.monotonic(), None
                server.go.set()
                while p.poll() is None and time.monotonic() - t < 20 and (at is None or time.monotonic() - t < min(SECONDS, 3)):
                    peak = [max(m, resident(x.pid, "VmHWM")) for m, x in zip(peak, watched)]
                    if at is None and '"served"' in shown():
                        at = time.monotonic() - t
                    time.sleep(0.02)
                grown = [m - b for m, b in zip(peak, before)]
                p.terminate()
                p.wait(timeout=END)
                events = events_of("".join(x for x in shown().splitlines(True) if x.startswith("{")))
                reasons = {e["reason"][:150] for e in events if e.get("agent") == "bad" and e.get("reason")}
                print(f"{kind}{' on a node' if on_node else ''}: grown {[g >> 20 for g in grown]} MiB, {server.sent >> 20} MiB sent, the other answered "
                      f"after {at or -1:.2f} s; {reasons}", file=sys.stderr)
                self.assertIsNotNone(at, shown()[-2000:])
                self.assertLess(at, 15)
                for g in grown:
                    self.assertLessEqual(g, MOST)
                if node:
                    node.terminate()
                    node.wait(timeout=END)
            finally:
                for x in (p, node):
                    if x:
                        x.kill()
                        x.communicate()
                out.close()

    def every(self, on_node):
        for kind in KINDS if LONG else FEW:
            if os.environ.get("CONCLAVE_FLOOD_KIND", kind) == kind:
                with self.subTest(kind=kind):
                    self.one(kind, on_node)

    def test_an_engine_whose_model_floods(self):
        self.every(False)

    def test_a_node_whose_model_floods(self):
        self.every(True)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
