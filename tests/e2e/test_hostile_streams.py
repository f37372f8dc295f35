# SPDX-License-Identifier: Apache-2.0
"""Replies that are hostile, in every dialect: a line without end, a thought without end, JSON without a bottom, bytes that are no text, calls without
number, one byte now and then. Each ends within a second of its bound, the engine stays small, and the other streams go on as before.
CONCLAVE_LONG=1 plays every kind in every dialect and judges the latency of the others (of an optimised build); else each kind and each dialect is
met once. CONCLAVE_FLOOD_KIND=KIND or DIALECT plays those alone."""

import asyncio
import collections
import concurrent.futures
import re
import socket
import threading
import unittest
import zlib

from provider import Provider
from support import *
from test_flood import MOST, forget_peak, resident

LONG = os.environ.get("CONCLAVE_LONG") == "1"
CACHE = BUILD / "CMakeCache.txt"
RELEASE = CACHE.exists() and "CMAKE_BUILD_TYPE:STRING=Rel" in CACHE.read_text()  # without optimisation, events are 30 times as dear
BLOCK = 64 * 1024
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
LINE, BODY = 16 << 20, 64 << 20  # protocols/wire/bounds.hpp
BUFFERS = 8 << 20  # what the two sockets hold at the most that nobody has read yet
LATE = 1.0  # seconds from the bound to the end
FLOOR = 20  # ms that a stream may lag behind in any case: how a busy machine with two cores gives them out
DEADLINE = 2  # seconds a call may take, where nothing else ends it

# How each dialect says a piece of thought, a call, and an event with a member that it does not know. OPEN goes before.
OPEN = {"claude": b'data: {"type":"message_start","message":{"id":"m","role":"assistant","content":[],"usage":{"input_tokens":1}}}\n\n'
                  b'data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}\n\n'}
THOUGHT = {
    "chatcompletion": '{"choices":[{"index":0,"delta":{"reasoning_content":"%s"}}]}',
    "azure_openai": '{"choices":[{"index":0,"delta":{"reasoning_content":"%s"}}]}',
    "claude": '{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"%s"}}',
    "openai": '{"type":"response.reasoning_summary_text.delta","item_id":"rs_1","output_index":0,"summary_index":0,"delta":"%s"}',
    "gemini": '{"candidates":[{"content":{"role":"model","parts":[{"thought":true,"text":"%s"}]},"index":0}]}',
}
CALL = {
    "chatcompletion": '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":%d,"id":"c%d","type":"function","function":{"name":"f","arguments":"{}"}}]}}]}',
    "claude": '{"type":"content_block_start","index":%d,"content_block":{"type":"tool_use","id":"c%d","name":"f","input":{}}}',
    "openai": '{"type":"response.output_item.done","output_index":%d,"item":{"type":"function_call","id":"fc_%d","call_id":"c","name":"f","arguments":"{}"}}',
    "gemini": '{"candidates":[{"content":{"role":"model","parts":[{"functionCall":{"id":"c%d","name":"f%d","args":{}}}]},"index":0}]}',
}
CALL["azure_openai"] = CALL["chatcompletion"]
UNKNOWN = {"chatcompletion": '{"choices":[],"x":', "azure_openai": '{"choices":[],"x":', "claude": '{"type":"ping","x":',
           "openai": '{"type":"response.x","x":', "gemini": '{"candidates":[],"x":'}
DIALECTS = list(THOUGHT)


def head_of(kind, first):
    """A body that is no stream says so, a bomb how it is packed, what is whole how long it is."""
    more = (b"Content-Encoding: gzip\r\n" if "bomb" in kind else b"") + (b"Content-Length: %d\r\n" % len(first) if "whole body" in kind else b"")
    return (JSON_HEAD if "body" in kind else HEAD)[:-2] + more + b"\r\n"


def event(text):
    return b"data: " + (text if isinstance(text, bytes) else text.encode()) + b"\n\n"


def many(unit):
    return unit * (BLOCK // len(unit) + 1)


# How each dialect begins a text in a body that is no stream.
WHOLE = {
    "chatcompletion": '{"object":"chat.completion","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"',
    "claude": '{"type":"message","role":"assistant","stop_reason":"end_turn","content":[{"type":"text","text":"',
    "openai": '{"object":"response","status":"completed","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"',
    "gemini": '{"candidates":[{"index":0,"finishReason":"STOP","content":{"role":"model","parts":[{"text":"',
}
WHOLE["azure_openai"] = WHOLE["chatcompletion"]


def bomb(opening, text):
    """The beginning of a gzip stream, and a part that may follow again and again: a megabyte and a half that becomes 1.5 GB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    first = packer.compress(opening.encode()) + packer.flush(zlib.Z_FULL_FLUSH)
    packer.compress(text * (1 << 20))
    packer.flush(zlib.Z_FULL_FLUSH)  # a distance back may now reach into the part before
    part = packer.compress(text * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first, part * 1500


# kind -> (what comes first, what comes again and again, after how many bytes it must end, the code it ends with)
KINDS = {
    "line": lambda d: (b"data: ", b"x" * BLOCK, LINE, "bad_reply"),
    "thoughts": lambda d: (OPEN.get(d, b""), many(event(THOUGHT[d] % ("x" * 400))), BODY, "bad_reply"),
    "thoughts in small pieces": lambda d: (OPEN.get(d, b""), many(event(THOUGHT[d] % "x")), BODY, "bad_reply"),
    "thoughts in lines of 15 MiB": lambda d: (OPEN.get(d, b""), event(THOUGHT[d] % ("x" * (15 << 20))), BODY, "bad_reply"),
    "deep": lambda d: (event(UNKNOWN[d] + "[" * 100_000 + "]" * 100_000 + "}"), b": ping\n\n", 0, "bad_reply"),
    "deep without end": lambda d: (b"data: " + UNKNOWN[d].encode(), b"[" * BLOCK, LINE, "bad_reply"),
    "wide": lambda d: (b"data: " + UNKNOWN[d].encode() + b"[", b"[],{}," * (BLOCK // 6), LINE, "bad_reply"),
    "wide and whole": lambda d: (event(UNKNOWN[d] + "[" + "{}," * (5 << 20) + "1]}"), b": ping\n\n", 0, "bad_reply"),
    "zeros": lambda d: (b"", b"\0" * BLOCK, LINE, "bad_reply"),
    "zeros in events": lambda d: (event(b"\0" * 100), b": ping\n\n", 0, "bad_reply"),
    "no UTF-8": lambda d: (b"data: ", b"\xff\xfe\xc0\x80" * (BLOCK // 4), LINE, "bad_reply"),
    "no UTF-8 in thoughts": lambda d: (OPEN.get(d, b""), many(event((THOUGHT[d] % "@@").encode().replace(b"@@", b"\xff\xc0\x80" * 100))), BODY, "bad_reply"),
    "calls": lambda d: (OPEN.get(d, b"") + b"".join(event(CALL[d] % (i + 1, i + 1)) for i in range(10_000)), b": ping\n\n", 0, "bad_reply"),
    "a body without end": lambda d: (WHOLE[d].encode(), b"x" * BLOCK, LINE, "bad_reply"),
    "a body of values": lambda d: (UNKNOWN[d].encode() + b"[", b"[],{}," * (BLOCK // 6), LINE, "bad_reply"),
    "a whole body of 15 MiB": lambda d: ((UNKNOWN[d] + '"' + "x" * (15 << 20) + '"}').encode(), b"\n", 0, "bad_reply"),
    "a bomb in a line": lambda d: (*bomb("data: ", b"x"), 0, "bad_reply"),
    "a bomb of events": lambda d: (*bomb("", b": x\n\n"), 0, "bad_reply"),
    "a bomb in a body": lambda d: (*bomb(WHOLE[d], b"x"), 0, "bad_reply"),
    "a byte now and then": lambda d: (b"", None, None, "timeout"),
}
# The first is met by each dialect where all are played, else one of each.
FEW = [("line", "chatcompletion"), ("thoughts", "claude"), ("deep", "openai"), ("zeros", "gemini"), ("no UTF-8", "azure_openai"),
       ("calls", "gemini"), ("a byte now and then", "claude"), ("a body without end", "openai"), ("a bomb in a body", "chatcompletion")]


def serve(kind, dialect):
    """The process that floods whoever asks, once a line came; it writes its address, who asked, and when the bound was reached and the other side gone."""
    first, unit, bound, _ = KINDS[kind](dialect)
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    go = threading.Event()

    def flood(s):
        s.recv(65536)
        print("asked", flush=True)
        go.wait(30)
        sent, reached = 0, None
        try:
            s.sendall(head_of(kind, first) + first)
            sent += len(first)
            while unit is None:
                s.sendall(b"d")
                time.sleep(0.2)
            while True:
                if reached is None and sent >= bound + (BUFFERS if bound else 0):
                    reached = time.monotonic()
                s.sendall(unit)
                sent += len(unit)
                if len(unit) < 100:  # keep-alives
                    time.sleep(0.02)
        except OSError:
            pass
        s.close()
        print(json.dumps({"sent": sent, "reached": reached, "gone": time.monotonic()}), flush=True)

    def accept():
        while True:
            threading.Thread(target=flood, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.readline()
    go.set()
    threading.Event().wait()


def percentile(values, share):
    return sorted(values)[int(len(values) * share)] if values else 0.0


class Steady:
    """A provider whose stream says the time every few milliseconds, a line each, until told to stop."""

    def __init__(self):
        self.stop_now = threading.Event()

        async def behave(provider, request, reply):
            await reply.head()
            while not self.stop_now.is_set():
                await reply.chunk(event('{"choices":[{"index":0,"delta":{"content":"at=%.6f\\n"}}]}' % time.monotonic()))
                await asyncio.sleep(0.005)
            await reply.chunk(event('{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}') + b"data: [DONE]\n\n")
            await reply.end()

        self.provider = Provider(behave)


class HostileStreams(unittest.TestCase):
    def one(self, kind, dialect):
        code = KINDS[kind](dialect)[3]
        steady = Steady()
        self.addCleanup(steady.provider.stop)
        flood = subprocess.Popen([sys.executable, __file__, str(BUILD), "serve", kind, dialect], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            url = f"http://127.0.0.1:{flood.stdout.readline().strip()}"
            where = {"azure_endpoint": url + "/", "deployment_name": "d", "api_version": "2024-10-21"} if dialect == "azure_openai" else \
                {"base_url": url + ("" if dialect in ("claude", "gemini") else "/v1"), "model": "m"}
            bad = {"id": "bad", "backend": {"type": dialect, "api_key": "k", "timeout": DEADLINE if code == "timeout" else 60, **where}}
            good = {"id": "good", "backend": {"type": "chatcompletion", "model": "m", "base_url": steady.provider.url + "/v1", "decision": "text"}}
            with Home() as home:
                home.damaged = "its engine is killed"
                self.measure(home, home.write("t.json", {"agents": [bad, good]}), flood, steady, kind, dialect, code)
        finally:
            flood.kill()
            flood.communicate()

    def measure(self, home, config, flood, steady, kind, dialect, code):
        p = home.start("--config", config, "--json", "q")
        latency, ended, events = collections.defaultdict(list), {}, []
        phase = ["before"]

        def read_text():
            for line in p.stderr:
                if m := re.search(rb"at=(\d+\.\d+)", line):
                    latency[phase[0]].append(time.monotonic() - float(m[1]))

        def read_events():
            for line in p.stdout:
                e = json.loads(line)
                events.append(e)
                if e["type"] == "agent_error" and e["agent"] == "bad":
                    ended.setdefault("code", e["code"])
                    ended.setdefault("reason", e["reason"])

        readers = [threading.Thread(target=f, daemon=True) for f in (read_text, read_events)]
        for r in readers:
            r.start()
        try:
            self.assertEqual(flood.stdout.readline().strip(), "asked")
            time.sleep(1 if LONG else 0.3)  # the measure of the others before
            before = resident(p.pid)
            forget_peak(p.pid)
            phase[0], began = "during", time.monotonic()
            flood.stdin.write("go\n")
            flood.stdin.flush()
            sent = json.loads(next(line for line in flood.stdout if line.startswith("{")))  # the next try may ask before that
            phase[0] = "after"
            while "code" not in ended and time.monotonic() - began < 60 and p.poll() is None:  # another try comes before
                time.sleep(0.005)
            grown = resident(p.pid, "VmHWM") - before
            reached = began + DEADLINE if code == "timeout" else sent["reached"]
            took = sent["gone"] - reached if reached else 0  # not reached: it ended before what the sockets hold was full
            p99 = {k: percentile(v, 0.99) * 1000 for k, v in latency.items()}
            print(f"{dialect}, {kind}: {ended.get('code')} after {sent['gone'] - began:.2f} s, {took:+.2f} s from the bound, {sent['sent'] >> 20} MiB sent, "
                  f"grown {grown >> 20} MiB, the others' p99 {p99.get('before', 0):.1f} -> {p99.get('during', 0):.1f} ms of {len(latency['during'])}",
                  file=sys.stderr, flush=True)
            self.assertEqual(ended.get("code"), code, (ended, events[-3:]))
            if "whole body" not in kind:  # that breaks no bound: it is read to its end, and then makes no sense
                self.assertLess(took, LATE)
            self.assertLessEqual(grown, MOST)
            if LONG and RELEASE and len(latency["during"]) >= 100:
                self.assertLess(p99["during"], max(2 * p99["before"], FLOOR))
        finally:
            steady.stop_now.set()
            p.kill()
            p.wait()
            for r in readers:
                r.join(10)
            p.stdout.close()
            p.stderr.close()

    def test_every_hostile_stream_ends_at_its_bound(self):
        only = os.environ.get("CONCLAVE_FLOOD_KIND")
        plays = [(k, d) for k in KINDS for d in DIALECTS if only in (None, k, d)] if LONG or only else FEW
        with concurrent.futures.ThreadPoolExecutor(1 if LONG else 3) as pool:  # most of the time is a wait for the other try
            for play, done in [(p, pool.submit(self.one, *p)) for p in plays]:
                with self.subTest(play):
                    done.result()


if __name__ == "__main__":
    if sys.argv[2:3] == ["serve"]:
        serve(*sys.argv[3:])
    else:
        need_binary()
        unittest.main(argv=sys.argv[:1] + sys.argv[2:])
