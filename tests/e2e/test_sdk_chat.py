# SPDX-License-Identifier: Apache-2.0
"""The vendor's SDK of Chat Completions, with its class for Azure, as a referee. It reads the golden streams that are written in the API's own form
(counted_* and azure_*) and agrees with us on text, refusal, calls, finish reason and every count; its types take what we send; and what it sends for
the bodies of a real run is what we sent, with the same address and the same headers that say who and which version."""

import shutil
import unittest

from provider import Provider
from referee import *

GOLDEN = ROOT / "tests" / "golden" / "openai_chat"
# (case, reader) -> (what differs, why). `helper` is chat.completions.stream(), `raw` the iterator of create({stream: true}).
DEVIATIONS = {
    ("counted_length_inside_a_call", "both"): ({"calls"}, "a call that was cut is not carried out"),
    ("counted_cut", "raw"): ({"whole"}, "the iterator takes the end of the connection for the end of a reply"),
}
# Keys that the types lack: what a user may write for other servers goes along, and so does what a server sent with a turn.
EXTRA_KEYS = {"betas"}
HEADERS = ("authorization", "api-key", "content-type")  # `accept` is application/json with the SDK and text/event-stream with us


def seen_by_us(case):
    c = json.loads((GOLDEN / f"{case}.chunks.json").read_text())["completion"]
    return {"whole": c["status"] != "broken", "text": c.get("text", ""), "refusal": c.get("error", "") if c.get("finish") == "stop" else "",
            "calls": c.get("calls", []), "finish": c.get("finish"), "usage": counts(c.get("usage"))}


def difference(ours, theirs):
    whole = "error" not in theirs
    if not whole or not ours["whole"]:
        return set() if whole == ours["whole"] else {"whole"}
    return {k for k in ours if k != "whole" and ours[k] != theirs[k]}


class Referee(unittest.TestCase):
    def test_the_sdk_reads_the_golden_streams_as_we_do(self):
        files = sorted(GOLDEN.glob("counted_*.reply.sse")) + sorted(GOLDEN.glob("azure_*.reply.sse"))
        seen, used, counted = json.loads(script("sdk_chat.mjs", "read", *files)), set(), 0
        self.assertGreaterEqual(len(files), 17)
        for name, readers in seen.items():
            ours = seen_by_us(name)
            if ours["usage"] and ours["whole"]:
                counted += 1
                told = ours["usage"][:7]  # this API does not count uses of hosted tools; one gateway does
                self.assertTrue(all(told) and len(set(told)) == len(told), (name, told))
            judge(self, name, ours, readers, difference, DEVIATIONS, used)
        self.assertEqual(set(DEVIATIONS) - used, set(), "deviations that are none")
        self.assertGreaterEqual(counted, 12)

    def test_the_types_of_the_sdk_take_every_golden_request(self):
        bodies = golden_requests(GOLDEN, EXTRA_KEYS)
        imports, kind = 'import OpenAI from "openai";', "OpenAI.Chat.ChatCompletionCreateParamsStreaming"
        self.assertEqual(type_errors(imports, kind, bodies), [])
        self.assertEqual(len(type_errors(imports, kind, bodies, top_k=1)), len(bodies), "a key that the API lacks was not found")

    def test_the_sdk_sends_what_we_send(self):
        async def behave(provider, request, reply):
            await reply.decide("It is 42.")

        provider = Provider(behave)
        kinds = {"chatcompletion": {"base_url": provider.url + "/v1", "temperature": 0.5, "seed": 7},
                 "azure_openai": {"azure_endpoint": provider.url + "/", "deployment_name": "my own/gpt", "api_version": "2024-10-21", "top_p": 0.5},
                 "openai": {"base_url": provider.url + "/v1", "reasoning": {"effort": "low"}, "enable_web_search": True}}
        try:
            with Home() as home:
                for kind, more in kinds.items():
                    with self.subTest(kind):
                        start = len(provider.requests)
                        agent = {"id": "a", "backend": {"type": kind, "model": "m", "api_key": "dummy", **more}}
                        if "deployment_name" in more:
                            del agent["backend"]["model"]
                        r = home.run("--config", home.write(f"{kind}.json", {"agents": [agent]}), "q")
                        self.assertEqual(r.returncode, 0, r.stderr)
                        ours = [sent(x, HEADERS) for x in provider.requests[start:]]
                        self.assertGreaterEqual(len(ours), 2)
                        bodies = [{"kind": {"azure_openai": "azure", "openai": "responses"}.get(kind, "openai"), "body": x["body"], "version": "2024-10-21"} for x in ours]
                        start = len(provider.requests)
                        script("sdk_chat.mjs", "send", provider.url, home.write("bodies.json", bodies))
                        theirs = [sent(x, HEADERS) for x in provider.requests[start:]]
                        self.assertEqual(theirs, ours)
                        judge_sent(self, ours[0], theirs[0])
                        self.assertIsNone(ours[0]["authorization" if kind == "azure_openai" else "api-key"])
        finally:
            provider.stop()


if __name__ == "__main__":
    if not (NPM / "openai").exists() or not (NPM / "typescript").exists() or not shutil.which("node"):
        print(f"skipped: npm packages openai and typescript are not in {NPM}, or there is no node")
        sys.exit(77)
    need_binary()
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], verbosity=1)
