# SPDX-License-Identifier: Apache-2.0
"""Google's own SDK as a referee of the golden cases: it reads each stream and agrees with us, and what it sends for a request of ours is
what we send. `scripts/check` installs it from package-lock.json; without it the test is skipped."""

import http.server
import json
import pathlib
import shutil
import threading
import unittest

from provider import Provider
from referee import *

SDK = NPM / "@google" / "genai" / "dist" / "node" / "index.mjs"
GOLDEN = ROOT / "tests" / "golden" / "gemini"
ENDING = b'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"ok"}]},"finishReason":"STOP"}]}\n\n'

# case -> (what differs, why)
DEVIATIONS = {
    "cut_inside_text": ({"whole"}, "the SDK takes the end of the connection for the end of a reply"),
    "cut_after_a_call": ({"whole"}, "the same"),
    "cut_inside_an_answer": ({"whole"}, "the same"),
    "unknown_reason": ({"whole"}, "the SDK leaves it to its user what a reason means"),
    "malformed_call": ({"whole"}, "the same"),
    "unterminated_last_event": ({"whole"}, "the SDK wants the blank line behind the last event"),
    "unknown_parts_and_odd_pieces": ({"text", "calls", "ids"}, "the SDK takes the first candidate of an event whatever its index; a call without a name cannot be carried out"),
    "half_surrogates": ({"calls"}, "half a surrogate pair is no text"),
    "one_id_for_two_calls": ({"ids"}, "both would be answered under one id"),
}
DEVIATIONS = {(name, "both"): x for name, x in DEVIATIONS.items()}
UNCOUNTED = {"token_limit_in_the_thoughts", "prompt_blocked"}  # of an answer, as the API sends it: it leaves out what is 0
# What the configuration passes through to whoever takes it, and the SDK does not.
PASSED_THROUGH = {"betas"}


HEADERS = ("x-goog-api-key", "authorization", "content-type")  # the SDK says in others who it is


def seen_by_us(case):
    c = json.loads((GOLDEN / f"{case}.chunks.json").read_text())["completion"]
    turn = c.get("opaque") or {}
    return {"whole": c["status"] != "broken", "text": c.get("text", ""), "thoughts": c.get("reasoning", ""), "finish": c.get("finish"),
            "calls": [[n, json.loads(a)] for _, n, a in c.get("calls", [])], "ids": [i for i, _, _ in c.get("calls", [])],
            "signatures": [p["thoughtSignature"] for p in turn.get("parts", []) if "thoughtSignature" in p],
            "usage": counts(c.get("usage")) and counts(c["usage"])[:7]}  # uses of hosted tools are no count of this API


def seen_by_the_sdk(read):
    u = read["usage"] or {}

    def audio(key):
        return sum(d.get("tokenCount", 0) for d in u.get(key, []) if d.get("modality") == "AUDIO")

    raw = [u.get(k, 0) for k in ("promptTokenCount", "toolUsePromptTokenCount", "cachedContentTokenCount", "candidatesTokenCount", "thoughtsTokenCount")]
    raw += [audio("promptTokensDetails"), audio("candidatesTokensDetails")]
    prompt, tools, cached, answer, thoughts, heard, spoken = raw
    return {**read, "raw": raw, "usage": [prompt + tools, cached, answer + thoughts, thoughts, 0, heard, spoken],
            "calls": [[n, a] for _, n, a in read["calls"]], "ids": [i for i, _, _ in read["calls"]]}


def difference(ours, theirs):
    whole = "error" not in theirs
    if not whole or not ours["whole"]:
        return set() if whole == ours["whole"] else {"whole"}
    out = {k for k in ours if k not in ("whole", "ids") and ours[k] != theirs[k]}
    ids = ours.get("ids", theirs["ids"])
    alike = len(ids) == len(theirs["ids"]) and all(t in (None, o) for t, o in zip(theirs["ids"], ids))  # where it has none, we make one
    return out if alike else out | {"ids"}


def without_listed(body):
    """A request without what is passed through, and without an empty member that the SDK sends, too."""
    generation = {k: v for k, v in body.get("generationConfig", {}).items() if k not in PASSED_THROUGH}
    rest = {k: v for k, v in body.items() if k != "generationConfig"}
    return {**rest, "generationConfig": generation} if generation else rest


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

    def test_the_sdk_reads_the_golden_streams_as_we_do(self):
        names = sorted(p.name[:-len(".reply.sse")] for p in GOLDEN.glob("*.reply.sse"))
        read, used, counted = self.server.run(names), set(), 0
        for name in names:
            ours, theirs = seen_by_us(name), seen_by_the_sdk(read[name])
            if ours["whole"] and "error" not in theirs and name not in UNCOUNTED:
                counted += 1
                self.assertTrue(all(theirs["raw"]) and len(set(theirs["raw"])) == 7, (name, theirs["raw"]))
            judge(self, name, ours, {"raw": theirs}, difference, DEVIATIONS, used, lambda t: set(ours) - ({"ids"} if None in t["ids"] else set()))
        self.assertEqual(set(DEVIATIONS) - used, set(), "deviations that are none")
        self.assertGreaterEqual(counted, 12)

    def test_the_sdk_sends_our_golden_requests(self):
        names = ["plain", "tools", "tool_loop", "decision", "tool_images"]
        self.server.run([f"send:{n}" for n in names])
        for name in names:
            with self.subTest(name):
                path, headers, body = self.server.requests[name]
                self.assertEqual(path, f"/v1beta/models/{name}:streamGenerateContent?alt=sse")
                self.assertEqual(headers["x-goog-api-key"], "dummy")
                ours = json.loads((GOLDEN / f"{name}.request.json").read_text())
                self.assertGreaterEqual(judge_sent(self, ours, body, without_listed), 4)

    def test_the_sdk_sends_what_we_send(self):
        async def behave(provider, request, reply):
            await reply.decide("It is 42.")

        provider = Provider(behave)
        kinds = {"plain": {"temperature": 0.5, "max_tokens": 300, "top_k": 3, "seed": 7},
                 "hosted": {"enable_web_search": True, "enable_code_execution": True, "thinking_config": {"include_thoughts": True}}}
        try:
            with Home() as home:
                for kind, more in kinds.items():
                    with self.subTest(kind):
                        start = len(provider.requests)
                        agent = {"id": "a", "backend": {"type": "gemini", "model": "gemini-3.1-pro", "base_url": provider.url, "api_key": "dummy", **more}}
                        r = home.run("--config", home.write(f"{kind}.json", {"agents": [agent]}), "q")
                        self.assertEqual(r.returncode, 0, r.stderr)
                        ours = [sent(x, HEADERS) for x in provider.requests[start:]]
                        self.assertGreaterEqual(len(ours), 2)
                        bodies = [{"model": x["body"].pop("model"), "body": x["body"]} for x in ours]
                        start = len(provider.requests)
                        script("sdk_gemini.mjs", provider.url, "bodies:" + home.write("bodies.json", bodies))
                        theirs = [sent(x, HEADERS) for x in provider.requests[start:]]
                        for x in theirs:
                            x["body"].pop("model")  # of the address
                            if x["body"].get("generationConfig") == {}:
                                del x["body"]["generationConfig"]  # the SDK sends an empty one, too
                        self.assertEqual(theirs, ours)
                        judge_sent(self, ours[0], theirs[0])
        finally:
            provider.stop()

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
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
