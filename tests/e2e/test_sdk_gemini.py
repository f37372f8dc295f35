# SPDX-License-Identifier: Apache-2.0
"""Google's own SDK as a referee of the golden cases: it reads each stream and agrees with us, and what it sends for a request of ours is
what we send. `scripts/check` installs it from package-lock.json; without it the test is skipped."""

import http.server
import json
import pathlib
import shutil
import threading
import unittest

from referee import *

SDK = NPM / "@google" / "genai" / "dist" / "node" / "index.mjs"
GOLDEN = ROOT / "tests" / "golden" / "gemini"
ENDING = b'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"ok"}]},"finishReason":"STOP"}]}\n\n'

# What the SDK takes for a whole reply and we do not, or the other way round, and why.
LENIENT = {"cut_inside_text": "the SDK takes the end of the connection for the end of a reply",
           "cut_after_a_call": "the same", "cut_inside_an_answer": "the same",
           "unknown_reason": "the SDK leaves it to its user what a reason means", "malformed_call": "the same",
           "prompt_blocked": "the SDK leaves it to its user what a block means", "safety_stop_after_text": "the same"}
# What we take for a whole reply and the SDK does not.
STRICT = {"unterminated_last_event": "the SDK wants the blank line behind the last event"}
# Streams of which both make something else, each in what is named.
OTHER = {"unknown_parts_and_odd_pieces": {"text": "the SDK takes the first candidate of an event whatever its index", "calls": "one has no name: no tool can answer it"},
         "half_surrogates": {"calls": "half a surrogate pair is no text"},
         "one_id_for_two_calls": {"ids": "both would be answered under one id"}}
# What the configuration passes through to whoever takes it, and the SDK does not.
PASSED_THROUGH = {"betas"}


class Server:
    def __init__(self):
        self.requests = {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                model = self.path.split("/models/")[1].split(":")[0]
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.requests[model] = (self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                golden = GOLDEN / f"{model}.reply.sse"
                data = golden.read_bytes() if golden.exists() and "continuationToken" not in body else ENDING
                self.send_response(200)
                self.send_header("content-type", "text/event-stream")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def run(self, cases):
        r = subprocess.run(["node", str(ROOT / "tests" / "e2e" / "sdk_gemini.mjs"), str(NPM), self.url, *cases], capture_output=True, text=True,
                           timeout=120)
        if r.returncode != 0:
            raise AssertionError(r.stderr)
        return {v["model"]: v for v in map(json.loads, r.stdout.splitlines())}


class Referee(unittest.TestCase):
    def setUp(self):
        self.server = Server()

    def tearDown(self):
        self.server.http.shutdown()
        self.server.http.server_close()

    def test_the_sdk_reads_every_golden_stream_as_we_do(self):
        names = sorted(p.name[:-len(".reply.sse")] for p in GOLDEN.glob("*.reply.sse"))
        self.assertGreaterEqual(len(names), 12)
        read = self.server.run(names)
        whole = 0
        for name in names:
            with self.subTest(name):
                ours, theirs = json.loads((GOLDEN / f"{name}.chunks.json").read_text())["completion"], read[name]
                broken = ours["status"] == "broken"
                self.assertEqual(theirs["error"] is None, name in LENIENT or (not broken and name not in STRICT), theirs)
                if broken or name in STRICT:
                    continue
                whole += 1
                other = OTHER.get(name, {})
                self.assertEqual(theirs["text"] != ours.get("text", ""), "text" in other)
                self.assertEqual(theirs["thoughts"], ours.get("reasoning", ""))
                self.assertEqual(theirs["finish"], ours["finish"])
                u = theirs["usage"]
                audio = lambda key: sum(d.get("tokenCount", 0) for d in u.get(key, []) if d.get("modality") == "AUDIO")
                counted = [u.get("promptTokenCount", 0) + u.get("toolUsePromptTokenCount", 0), u.get("cachedContentTokenCount", 0),
                           u.get("candidatesTokenCount", 0) + u.get("thoughtsTokenCount", 0), u.get("thoughtsTokenCount", 0), 0,
                           audio("promptTokensDetails"), audio("candidatesTokensDetails")]
                self.assertEqual(counted, counts(ours["usage"])[:7])  # uses of hosted tools are no count of this API
                calls = [[n, json.loads(a)] for _, n, a in ours.get("calls", [])]
                self.assertEqual([[n, a] for _, n, a in theirs["calls"]] != calls, "calls" in other)
                ids = [t in (None, o) for (t, *_), (o, *_) in zip(theirs["calls"], ours.get("calls", []))]
                self.assertEqual(not all(ids), "ids" in other)
        print(f"{len(names)} streams, {whole} of them whole replies", flush=True)

    def test_the_sdk_sends_what_we_send(self):
        names = ["plain", "tools", "tool_loop", "decision", "tool_images"]
        self.server.run([f"send:{n}" for n in names])
        for name in names:
            with self.subTest(name):
                path, headers, body = self.server.requests[name]
                self.assertEqual(path, f"/v1beta/models/{name}:streamGenerateContent?alt=sse")
                self.assertEqual(headers["x-goog-api-key"], "dummy")
                ours = json.loads((GOLDEN / f"{name}.request.json").read_text())
                self.assertEqual(body.pop("generationConfig", {}),  # the SDK sends an empty one, too
                                 {k: v for k, v in ours.pop("generationConfig", {}).items() if k not in PASSED_THROUGH})
                self.assertEqual(body, ours)

    def test_the_sdk_continues_a_reply_as_we_do(self):
        self.server.run(["continue:continuation"])
        body = self.server.requests["continuation"][2]
        body.pop("generationConfig", None)
        self.assertEqual(body, {"contents": [{"role": "user", "parts": [{"text": "q"}]}], "continuationToken": "Y29udGludWU="})


if __name__ == "__main__":
    if not SDK.exists():
        print(f"skipped: {SDK} is not installed; scripts/check installs it where npm is")
        sys.exit(77)
    if not shutil.which("node"):
        print("skipped: node is not installed")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
