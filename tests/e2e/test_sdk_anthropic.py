# SPDX-License-Identifier: Apache-2.0
"""The vendor's SDK of the Messages API as a referee. It reads the golden streams that are written in the API's own form (counted_*) and agrees with us on
text, thinking, calls, blocks that go back, finish reason and every count; its types take what we send; and what it sends for the bodies of a real run is
what we sent, with the same address, version and key header. Well-formed streams are read by its beta helper, all by its raw iterator, too."""

import shutil
import unittest

from provider import Provider
from referee import *

GOLDEN = ROOT / "tests" / "golden" / "anthropic"
# (case, reader) -> (what differs, why)
DEVIATIONS = {
    ("counted_length_inside_a_call", "helper"): ({"calls", "blocks"}, "a call that was cut is not carried out and does not go back; the helper makes it {}"),
    ("counted_length_inside_a_call", "raw"): ({"whole"}, "the arguments that were cut are no JSON"),
    ("counted_code_of_the_provider", "both"): ({"usage"}, "uses of the code tool are not among the counts of the API; here each is one"),
    ("counted_pause", "both"): ({"usage"}, "a fetch that is under way is counted before the API does"),
}
EXTRA_KEYS = set()  # ours are the API's
HEADERS = ("authorization", "x-api-key", "anthropic-version", "anthropic-beta", "content-type")


def seen_by_us(case):
    c = json.loads((GOLDEN / f"{case}.chunks.json").read_text())["completion"]
    return {"whole": c["status"] != "broken", "text": c.get("text", ""), "thinking": c.get("reasoning", ""), "finish": c.get("finish"),
            "calls": [[i, n, json.loads(a)] for i, n, a in c.get("calls", [])], "usage": counts(c.get("usage")), "blocks": c.get("opaque", [])}


def difference(ours, theirs):
    whole = "error" not in theirs
    if not whole or not ours["whole"]:
        return set() if whole == ours["whole"] else {"whole"}
    return {k for k in ours if k != "whole" and k in theirs and ours[k] != theirs[k]}


class Referee(unittest.TestCase):
    def test_the_sdk_reads_the_golden_streams_as_we_do(self):
        files = sorted(GOLDEN.glob("counted_*.reply.sse"))
        seen, used, counted = json.loads(script("sdk_anthropic.mjs", "read", *files)), set(), 0
        self.assertGreaterEqual(len(files), 12)
        for name, readers in seen.items():
            ours = seen_by_us(name)
            if ours["usage"] and ours["whole"]:
                counted += 1
                told = [ours["usage"][i] for i in (0, 1, 2, 3, 4)]  # this API counts no audio
                self.assertTrue(all(told) and len(set(told)) == len(told), (name, told))
            judge(self, name, ours, readers, difference, DEVIATIONS, used, lambda theirs: {*theirs, "whole"})
        self.assertEqual(set(DEVIATIONS) - used, set(), "deviations that are none")
        self.assertGreaterEqual(counted, 12)

    def test_the_types_of_the_sdk_take_every_golden_request(self):
        bodies = golden_requests(GOLDEN, EXTRA_KEYS)
        imports, kind = 'import Anthropic from "@anthropic-ai/sdk";', "Anthropic.Messages.MessageCreateParamsStreaming"
        self.assertEqual(type_errors(imports, kind, bodies), [])
        self.assertEqual(len(type_errors(imports, kind, bodies, temperature=1)), len(bodies), "a key that the API lacks was not found")

    def test_the_sdk_sends_what_we_send(self):
        async def behave(provider, request, reply):
            await reply.decide("It is 42.")

        provider = Provider(behave)
        kinds = {"plain": {"model": "claude-opus-5-5", "thinking": {"type": "adaptive"}, "enable_web_search": {"max_uses": 3}, "enable_code_execution": True},
                 "betas": {"model": "claude-sonnet-4-5", "enable_code_execution": True, "betas": ["context-1"]}}
        try:
            with Home() as home:
                for kind, more in kinds.items():
                    with self.subTest(kind):
                        start = len(provider.requests)
                        agent = {"id": "a", "backend": {"type": "claude", "base_url": provider.url, "api_key": "dummy", **more}}
                        r = home.run("--config", home.write(f"{kind}.json", {"agents": [agent]}), "q")
                        self.assertEqual(r.returncode, 0, r.stderr)
                        ours = [sent(x, HEADERS) for x in provider.requests[start:]]
                        self.assertGreaterEqual(len(ours), 2)
                        betas = ours[0]["anthropic-beta"]
                        self.assertEqual(betas, {"plain": None, "betas": "code-execution-2025-08-25,context-1"}[kind])
                        start = len(provider.requests)
                        bodies = [{"body": x["body"], "betas": betas.split(",") if betas else None} for x in ours]
                        script("sdk_anthropic.mjs", "send", provider.url, home.write("bodies.json", bodies))
                        theirs = [sent(x, HEADERS) for x in provider.requests[start:]]
                        for x in theirs:
                            x["path"] = x["path"].removesuffix("?beta=true")  # of its beta client; the header is what counts
                        self.assertEqual(theirs, ours)
                        judge_sent(self, ours[0], theirs[0])
        finally:
            provider.stop()


if __name__ == "__main__":
    if not (NPM / "@anthropic-ai" / "sdk").exists() or not (NPM / "typescript").exists() or not shutil.which("node"):
        print(f"skipped: npm packages @anthropic-ai/sdk and typescript are not in {NPM}, or there is no node")
        sys.exit(77)
    need_binary()
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], verbosity=1)
