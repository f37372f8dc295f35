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
    ("arguments_only_at_the_end", "both"): ({"calls"}, "blank arguments are {} here"),
    ("commentary_and_a_call_of_a_program", "both"): ({"text", "streamed"}, "commentary is no part of the answer here"),
    ("length_inside_a_call", "both"): ({"calls", "sealed"}, "a call that was cut is not carried out, and the thought before it does not go back"),
    ("two_ids_alike", "raw"): ({"calls"}, "every call is answered under an id of its own here"),
    ("two_ids_alike", "helper"): ({"error"}, "the helper refuses two calls of one id"),
    ("deltas_alone", "raw"): ({"text", "calls"}, "the reply at the end is empty: here the deltas count"),
    ("deltas_alone", "helper"): ({"error"}, "the helper wants response.created first"),
    ("another_id_with_every_event", "helper"): ({"error"}, "the helper wants one id an item; a gateway writes another with every event"),
    ("every_place_zero", "helper"): ({"error"}, "the helper wants places that count up"),
    ("reasoning_text_of_open_weights", "helper"): ({"error"}, "the helper reads a thought in one of its two forms alone"),
    ("unknown_events_and_items", "helper"): ({"error"}, "the helper refuses events it does not know"),
    ("everything_only_at_the_end", "both"): ({"streamed"}, "no delta came"),
}
EXTRA_KEYS = {"betas"}  # as a user may write what no provider knows: it goes along
BROKEN = {"broken"}  # neither gets a whole reply: the SDK throws, or its last event is no end


def sealed(items):
    return [i["encrypted_content"] for i in items or [] if i.get("encrypted_content")]


class Referee(unittest.TestCase):
    def test_the_sdk_agrees_on_every_golden_reply(self):
        files = sorted(GOLDEN.glob("*.reply.sse"))
        r = subprocess.run(["node", str(ROOT / "tests/e2e/sdk_responses.mjs"), str(NPM), *map(str, files)], capture_output=True, text=True, timeout=120)
        self.assertEqual(r.returncode, 0, r.stderr)
        seen, used = json.loads(r.stdout), set()
        self.assertEqual(len(seen), len(files))
        for name, readers in seen.items():
            ours = json.loads((GOLDEN / f"{name}.chunks.json").read_text())["completion"]
            for how, theirs in readers.items():
                with self.subTest(f"{name}, {how}"):
                    if ours["status"] in BROKEN:
                        self.assertTrue("error" in theirs or theirs.get("status") in ("failed", "in_progress", None), theirs)
                        continue
                    if "error" in theirs:
                        differs = {"error"}
                    else:
                        pairs = {"text": (ours.get("text", ""), theirs["text"]), "streamed": (ours.get("text", ""), theirs["streamed"]),
                                 "calls": (ours.get("calls", []), theirs["calls"]), "usage": (counts(ours.get("usage")), theirs["usage"]),
                                 "sealed": (sealed(ours.get("opaque")), sealed(theirs["items"]))}
                        differs = {k for k, (a, b) in pairs.items() if a != b}
                        if theirs["refusal"]:
                            self.assertEqual((ours["status"], ours["error"]), ("refused", theirs["refusal"]))
                    key = next((k for k in ((name, how), (name, "both")) if k in DEVIATIONS), None)
                    used.add(key)
                    self.assertEqual(differs, DEVIATIONS[key][0] if key else set(), theirs)
        self.assertEqual(set(DEVIATIONS) - used, set(), "deviations that are none")

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
