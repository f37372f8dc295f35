# SPDX-License-Identifier: Apache-2.0
"""Images in tool results: what a server says of one of them, and what it says of its model."""

import json
import unittest

from provider import Provider
from support import *

IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
RESULT = '{"jsonrpc":"2.0","id":ID,"result":{"content":[{"type":"text","text":"a picture"},{"type":"image","mimeType":"image/png","data":"%s"}]}}\n' % IMAGE


class Images(unittest.TestCase):
    def play(self, refusal, kind="claude"):
        """Two tool calls with an image each; the first request with an image is refused. Returns which requests of the run held one."""
        refused = []

        async def behave(provider, request, reply):
            if reply.responses:
                results = [i for i in request["input"] if i.get("type") == "function_call_output"]
            else:
                results = [m for m in request["messages"] if isinstance(m["content"], list) and any(b["type"] == "tool_result" for b in m["content"])]
            seen = IMAGE in json.dumps(request)
            if seen and not refused:
                refused.append(request)
                return await reply.error(400, refusal)
            looks = sorted(t for t in reply.tools() if t.startswith("mcp__bad__"))
            if looks and "new_answer" in reply.tools() and len(results) < 2:
                return await reply.play("", [(looks[0], {"n": len(results)})])
            await reply.decide("seen")

        provider = Provider(behave)
        try:
            with Home() as home:
                server = {"command": "python3", "args": [str(ROOT / "tests" / "support" / "bad_mcp.py"), "plays", json.dumps({"tools/call": RESULT})]}
                team = home.write("team.json", {"agents": [{"id": "a", "backend": {"type": kind, "model": "m", "api_key": "dummy", "mcp_servers": {"bad": server},
                                                                                  "base_url": provider.url + ("" if kind == "claude" else "/v1")}}]})
                r = home.run("--config", team, "q", timeout=60)
                self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
        finally:
            provider.stop()
        return [IMAGE in json.dumps(q) for q in provider.requests], r.stderr

    def test_a_bad_image_costs_neither_the_run_nor_the_next_image(self):
        for said in ("Could not process image", "messages.2.content.0.image.source.base64: image exceeds 5 MB maximum: 6 bytes > 5 bytes",
                     "Image does not match the provided media type image/png"):
            with self.subTest(said):
                for kind in ("claude", "openai"):
                    seen, shown = self.play(said, kind)
                    self.assertEqual(seen[:4], [False, True, False, True], seen)
                    self.assertIn("the images of its last tool results are told as text", shown)

    def test_a_model_without_sight_is_not_shown_another(self):
        for kind in ("claude", "openai"):
            seen, shown = self.play("messages.2.content.0: this model does not support image input", kind)
            self.assertEqual(seen.count(True), 1, seen)
            self.assertIn("from now on", shown)


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], verbosity=1)
