# SPDX-License-Identifier: Apache-2.0
"""The vendor's SDK reads the golden replies of the Responses API and agrees with us on text, calls, usage and sealed thoughts. What we read is
in <case>.chunks.json, which tests/protocols/openai_responses.cpp holds us to. Where the SDK reads otherwise, the table says why. What we send
(<case>.request.json, likewise) is what the SDK's types allow."""

import shutil
import unittest

from referee import *

GOLDEN = ROOT / "tests" / "golden" / "openai_responses"

# (case, reader) -> (what differs, why). `helper` is responses.stream(), `raw` the iterator of create({stream: true}).
DEVIATIONS = {
    ("a_policy_of_the_provider", "both"): ({"whole"}, "a failure for the SDK, a refusal here"),
    ("arguments_only_at_the_end", "both"): ({"calls"}, "blank arguments are {} here"),
    ("commentary_and_a_call_of_a_program", "both"): ({"text", "streamed", "thoughts"}, "commentary is a thought here"),
    ("length_inside_a_call", "both"): ({"calls", "sealed"}, "a call that was cut is not carried out, and the thought before it does not go back"),
    ("two_ids_alike", "raw"): ({"calls"}, "every call is answered under an id of its own here"),
    ("two_ids_alike", "helper"): ({"whole"}, "the helper refuses two calls of one id"),
    ("deltas_alone", "raw"): ({"text", "calls", "finish"}, "the reply at the end is empty: here the deltas count"),
    ("deltas_alone", "helper"): ({"whole"}, "the helper wants response.created first"),
    ("ends_of_parts_alone", "raw"): ({"text", "streamed", "calls"}, "the reply at the end is empty: here what ended counts"),
    ("ends_of_parts_alone", "helper"): ({"whole"}, "the helper wants every part to begin"),
    ("phase_at_the_end_of_the_item", "both"): ({"text", "streamed", "thoughts"}, "the SDK's text has commentary in it"),
    ("phase_in_the_whole_response", "both"): ({"text", "streamed", "thoughts"}, "the SDK's text has commentary in it"),
    ("another_id_with_every_event", "helper"): ({"whole"}, "the helper wants one id an item; a gateway writes another with every event"),
    ("every_place_zero", "helper"): ({"whole"}, "the helper wants places that count up"),
    ("reasoning_text_of_open_weights", "helper"): ({"whole"}, "the helper reads a thought in one of its two forms alone"),
    ("unknown_events_and_items", "helper"): ({"whole"}, "the helper refuses events it does not know"),
    ("everything_only_at_the_end", "both"): ({"streamed"}, "no delta came"),
}
EXTRA_KEYS = {"betas"}  # as a user may write what no provider knows: it goes along


def seen_by_us(case):
    c = json.loads((GOLDEN / f"{case}.chunks.json").read_text())["completion"]
    text = c.get("text", "")
    return {"whole": c["status"] != "broken", "text": text, "streamed": text, "thoughts": c.get("reasoning", ""), "finish": c.get("finish"),
            "refusal": c.get("error", "") if c["status"] == "refused" and c["finish"] == "completed" else "", "calls": c.get("calls", []),
            "sealed": [i["encrypted_content"] for i in c.get("opaque") or [] if i.get("encrypted_content")], "usage": counts(c.get("usage"))}


def difference(ours, theirs):
    whole = "text" in theirs and theirs.get("status") not in ("failed", "in_progress")  # the raw iterator has no response where none came
    if not whole or not ours["whole"]:
        return set() if whole == ours["whole"] else {"whole"}
    return {k for k in ours if k != "whole" and ours[k] != theirs.get(k)}


class Referee(unittest.TestCase):
    def test_the_sdk_reads_the_golden_streams_as_we_do(self):
        files = sorted(GOLDEN.glob("*.reply.sse"))
        seen, used, counted = json.loads(script("sdk_responses.mjs", *files)), set(), 0
        self.assertEqual(len(seen), len(files))
        for name, readers in seen.items():
            ours = seen_by_us(name)
            if ours["usage"]:
                counted += ours["whole"]
                told = ours["usage"][:5]  # this API counts no audio
                self.assertTrue(all(told) and len(set(told)) == len(told), (name, told))
            judge(self, name, ours, readers, difference, DEVIATIONS, used)
        self.assertEqual(set(DEVIATIONS) - used, set(), "deviations that are none")
        self.assertGreaterEqual(counted, 12)

    def test_the_types_of_the_sdk_take_every_golden_request(self):
        if not (NPM / "typescript").exists():
            self.skipTest(f"npm package typescript is not in {NPM}")
        bodies = golden_requests(GOLDEN, EXTRA_KEYS)
        imports, kind = 'import OpenAI from "openai";', "OpenAI.Responses.ResponseCreateParamsStreaming"
        self.assertEqual((type_errors(imports, kind, bodies), len(bodies)), ([], 7))
        self.assertEqual(len(type_errors(imports, kind, bodies, top_k=1)), len(bodies), "a key that the API lacks was not found")


if __name__ == "__main__":
    if not (NPM / "openai").exists() or not shutil.which("node"):
        print(f"skipped: npm package openai is not in {NPM}, or there is no node")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], verbosity=1)
