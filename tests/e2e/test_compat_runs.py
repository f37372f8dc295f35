#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Team files of MassGen 0.1.0 as their users wrote them, run to an answer with nothing changed but where bytes go. They are looked for
in $CONCLAVE_COMPAT_DIR; without them the test is skipped. Prints a table: file, calls, outcome, reason."""

import base64
import os
import pathlib
import re
import sys
import unittest

from provider import Provider
from support import *

FOLDER = pathlib.Path(os.environ.get("CONCLAVE_COMPAT_DIR", "")) / "massgen-0.1.0-configs"
TYPES = {"openai": "/v1", "claude": "", "gemini": "", "grok": "/v1", "chatcompletion": "/v1", "azure_openai": "", "zai": "/v1",
         "lmstudio": "/v1", "vllm": "/v1", "sglang": "/v1"}
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
# What a file asks for that is not there yet, and is said: tools that make media, or an input that the question is about and
# that an answer would be made up without.
MEDIA_ASKED, INPUT_ASKED = "it is to generate media", "the question is about this input"
NOT_YET = {"basic/multi/gpt4o_audio_generation.yaml": ("enable_audio_generation", MEDIA_ASKED),
           "basic/multi/gpt4o_image_generation.yaml": ("enable_image_generation", MEDIA_ASKED),
           "basic/single/single_gpt4o_audio_generation.yaml": ("enable_audio_generation", MEDIA_ASKED),
           "basic/single/single_gpt4o_image_generation.yaml": ("enable_image_generation", MEDIA_ASKED),
           "basic/single/single_openrouter_audio_understanding.yaml": ("audio_path", INPUT_ASKED),
           "basic/single/single_qwen_video_understanding.yaml": ("video_path", INPUT_ASKED)}


class Compat(unittest.TestCase):
    def one(self, file):
        async def behave(provider, request, reply):
            await reply.decide("42")

        with Home() as home:
            provider = Provider(behave)
            try:
                work = home.path / "work"
                image = work / "massgen/configs/resources/v0.0.27-example/multimodality.jpg"
                image.parent.mkdir(parents=True)
                image.write_bytes(PNG)
                (work / "paper.pdf").write_bytes(PDF)
                for example in ("v0.0.21-example", "v0.0.26-example"):
                    folder = work / "massgen/configs/resources" / example
                    folder.mkdir(parents=True)
                    (folder / "styles.css").write_text("body {}\n")
                    (folder / "index.html").write_text("<p>hello</p>\n")
                # A page that cannot be had here.
                text = re.sub(r'"https://[^"]*\.pdf"', '"paper.pdf"', file.read_text())
                team = home.write(file.name, text)
                args = [x for kind, path in TYPES.items() if re.search(rf"type: *[\"']?{kind}\b", text)
                        for x in ("--base-url", f"{kind}={provider.url}{path}")]
                r = home.run("--config", team, *args, "What is 6 times 7?", cwd=work, timeout=90)
                return r, len(provider.requests)
            finally:
                provider.stop()

    def test_each_of_the_files_comes_to_an_answer(self):
        files = sorted(p for d in ("basic", "providers", "teams") for p in (FOLDER / d).rglob("*.yaml"))
        self.assertEqual(len(files), 44)
        for file in files:
            name = str(file.relative_to(FOLDER))
            with self.subTest(name):
                r, calls = self.one(file)
                reason, why = NOT_YET.get(name, ("", ""))
                outcome = f"refused: `{reason}` is not available yet ({why})" if reason else "answered" if r.returncode == 0 else "failed"
                print(f"{name:62} {calls:3} calls, exit {r.returncode}, {outcome}", flush=True)
                if reason:
                    self.assertEqual((r.returncode, calls), (1, 0), r.stderr)
                    self.assertRegex(r.stderr, rf"{reason}: not available yet")
                else:
                    self.assertEqual(r.returncode, 0, r.stderr)
                    self.assertIn("the final answer", r.stdout)


if __name__ == "__main__":
    if not FOLDER.is_dir():
        print("skipped: the MassGen 0.1.0 configurations are not here; set CONCLAVE_COMPAT_DIR to a folder that holds them")
        sys.exit(77)
    need_binary()
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
