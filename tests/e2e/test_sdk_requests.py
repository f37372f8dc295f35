# SPDX-License-Identifier: Apache-2.0
"""The golden requests against what the vendors' SDKs send for the same logical requests, which tests/e2e/logical_requests.mjs writes without our
bodies: canonical JSON, address and the headers that say who and which version are alike but for what is listed, and each leaf of ours that is
another one, or is missing, is told. Of the same bodies `tsc --strict` takes no leaf of another type. For Gemini: test_sdk_gemini.py."""

import shutil
import unittest

from provider import Provider
from referee import *

GOLDEN = ROOT / "tests" / "golden"
HEADERS = ("authorization", "api-key", "x-api-key", "anthropic-version", "content-type")
PASSED_THROUGH = {"betas"}  # a key of the user that these APIs lack goes along as it is
# script, its kind, golden folder, path, headers
DIALECTS = {
    "chat": ("sdk_chat.mjs", "openai", "openai_chat", "/v1/chat/completions", {"authorization": "Bearer dummy"}),
    "azure": ("sdk_chat.mjs", "azure", "openai_chat", "/openai/deployments/test-model/chat/completions?api-version=2024-10-21", {"api-key": "dummy"}),
    "responses": ("sdk_chat.mjs", "responses", "openai_responses", "/v1/responses", {"authorization": "Bearer dummy"}),
    "messages": ("sdk_anthropic.mjs", None, "anthropic", "/v1/messages", {"authorization": "Bearer dummy", "anthropic-version": "2026-10-21"}),
}
WRITTEN_AS = {"azure": "chat"}
# imports, type, and members that are JSON of somebody else, of which a type says nothing: schemas, arguments as an object
TYPES = {
    "openai_chat": ('import OpenAI from "openai";', "OpenAI.Chat.ChatCompletionCreateParamsStreaming", {"parameters", "schema"}),
    "openai_responses": ('import OpenAI from "openai";', "OpenAI.Responses.ResponseCreateParamsStreaming", {"parameters", "schema"}),
    "anthropic": ('import Anthropic from "@anthropic-ai/sdk";', "Anthropic.Messages.MessageCreateParamsStreaming", {"input_schema", "schema", "input"}),
}


def without_listed(request):
    return {**request, "body": {k: v for k, v in request["body"].items() if k not in PASSED_THROUGH}}


class Requests(unittest.TestCase):
    def setUp(self):
        async def behave(provider, request, reply):
            await reply.decide("x")

        self.provider = Provider(behave)
        self.addCleanup(self.provider.stop)

    def test_the_sdk_sends_the_golden_requests(self):
        for dialect, (name, kind, folder, path, headers) in DIALECTS.items():
            bodies = json.loads(script("logical_requests.mjs", WRITTEN_AS.get(dialect, dialect)))
            start = len(self.provider.requests)
            with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
                json.dump([{"kind": kind, "body": b, "version": "2024-10-21"} for b in bodies.values()], f)
                f.flush()
                script(name, "send", self.provider.url, f.name)
            theirs = [sent(x, HEADERS) for x in self.provider.requests[start:]]
            self.assertEqual(len(theirs), len(bodies))
            for case, request in zip(bodies, theirs):
                with self.subTest(f"{dialect} {case}"):
                    body = json.loads((GOLDEN / folder / f"{case}.request.json").read_text())
                    ours = {"path": path, "body": body, **dict.fromkeys(HEADERS), "content-type": "application/json", **headers}
                    self.assertGreaterEqual(judge_sent(self, ours, request, without_listed), 11)

    def test_the_types_take_no_other_type_in_any_leaf(self):
        for folder, (imports, kind, free) in TYPES.items():
            with self.subTest(folder):
                taken, judged = takes_wrong_types(imports, kind, golden_requests(GOLDEN / folder, PASSED_THROUGH), free)
                self.assertGreaterEqual(judged, 80)
                self.assertEqual(taken, [])


if __name__ == "__main__":
    missing = [x for x in ("openai", "@anthropic-ai/sdk", "typescript") if not (NPM / x).exists()]
    if missing or not shutil.which("node"):
        print(f"skipped: npm packages {missing} are not in {NPM}, or there is no node")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], verbosity=1)
