# SPDX-License-Identifier: Apache-2.0
"""Results of tools that are too long to be shown at once, calls beside each other, and teams that plan: what the next request holds."""

import asyncio
import threading
import unittest

from provider import Provider
from support import *

TEXT = "".join(f"line {i:05} of the result, with \u00e9\n" for i in range(3_000))  # ASCII in JSON, so that the script may hold it
LONG = json.dumps({"jsonrpc": "2.0", "id": "ID", "result": {"content": [{"type": "text", "text": TEXT}]}}).replace('"ID"', "ID") + "\n"
TOOL = "mcp__bad__echo"


class LongResults(unittest.TestCase):
    def setUp(self):
        self.home = Home()
        self.home.env["TEST_KEY"] = "sk-of-a-test"
        self.providers = []

    def tearDown(self):
        for p in self.providers:
            p.stop()
        self.home.__exit__()

    def team(self, provider, script, **more):
        bad = str(ROOT / "tests" / "support" / "bad_mcp.py")
        server = self.home.write("server.py", f"import runpy, sys\nsys.argv = [{bad!r}, 'plays', {json.dumps(script)!r}]\n"
                                              f"runpy.run_path({bad!r}, run_name='__main__')\n")  # longer than an argument may be
        server = {"command": "python3", "args": [server]}
        return self.home.write("team.json", {"agents": [{"id": "a", "backend": {
            "type": "chatcompletion", "model": "m", "api_key": "${TEST_KEY}", "base_url": provider.url + "/v1", "mcp_servers": {"bad": server}}}], **more})

    @staticmethod
    def results(request):
        return [m["content"] for m in request["messages"] if m["role"] == "tool"]

    def serve(self, hang=None):
        async def behave(provider, request, reply):
            got = self.results(request)
            if not reply.tools():
                return await reply.decide("done")
            if not got:
                return await reply.play("", [(TOOL, {})])
            if hang is not None and not hang.is_set():
                hang.set()
                await asyncio.sleep(60)
            if len(got) == 1:
                at = TEXT.index("line 01500")
                return await reply.play("", [("read_result", {"id": got[0].split('{"id":"')[1].split('"')[0], "offset": at, "limit": 60})])
            await reply.decide(got[1])

        self.providers.append(Provider(behave))
        return self.providers[-1]

    def check(self, provider):
        last = self.results(next(r for r in provider.requests if len(self.results(r)) == 2))
        self.assertLess(len(last[0]), 15_001)
        self.assertTrue(last[0].startswith(TEXT[:9_000]) and last[0].endswith(TEXT[-1_000:].rstrip("\n") + "\n"), last[0][-200:])
        self.assertIn(f"of {len(TEXT)} characters are left out here", last[0])
        at = TEXT.index("line 01500")
        self.assertEqual(last[1], f"[characters {at} to {at + 60} of {len(TEXT)}]\n" + TEXT[at:at + 60])

    def test_a_model_reads_on_in_a_long_result_and_the_log_has_all_of_it(self):
        p = self.serve()
        r = self.home.run("--config", self.team(p, {"tools/call": LONG}), "--json", "q")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.check(p)
        self.assertEqual([e["target"] for e in events_of(r.stdout) if e["type"] == "call_started" and e["target"] != "model"][:2], [TOOL, "read_result"])

    def test_after_a_crash_it_still_reads_on(self):
        hang = threading.Event()
        p = self.serve(hang)
        process = self.home.start("--config", self.team(p, {"tools/call": LONG}), "q")
        self.assertTrue(hang.wait(30))
        process.kill()
        process.communicate()
        r = self.home.run("resume", "last")
        self.assertEqual(r.returncode, 0, r.stderr)
        self.check(p)

    def test_a_team_that_plans_calls_its_tools_in_the_presentation_alone(self):
        async def behave(provider, request, reply):
            got = self.results(request)
            if TOOL in reply.tools() and not got:
                return await reply.play("", [(TOOL, {})])
            await reply.decide("the plan", final=f"done: {got[-1] if got else ''}")

        p = Provider(behave)
        self.providers.append(p)
        fine = '{"jsonrpc":"2.0","id":ID,"result":{"content":"carried out"}}\n'
        team = self.team(p, {"tools/call": fine}, orchestrator={"coordination": {"enable_planning_mode": True, "planning_mode_instruction": "Only plan."}})
        r = self.home.run("--config", team, "--json", "q")
        self.assertEqual(r.returncode, 0, r.stderr)
        events = events_of(r.stdout)
        ended = [(i, e["reason"]) for i, e in enumerate(events) if e["type"] == "call_ended" and e["target"] == TOOL]
        presented = next(i for i, e in enumerate(events) if e["type"] == "presentation_started")
        self.assertEqual([status for _, status in ended], ["denied:E_PLANNING"] * (len(ended) - 1) + ["finished"])  # the log is the audit
        self.assertTrue(len(ended) > 1 and ended[-2][0] < presented < ended[-1][0], ended)
        first = p.requests[0]["messages"]
        self.assertIn("Only plan.", first[0]["content"])
        self.assertIn("E_PLANNING", self.results(p.requests[1])[0])
        self.assertIn("done: carried out", next(e["text"] for e in events if e["type"] == "final_answer"))


if __name__ == "__main__":
    need_binary()
    unittest.main(argv=[sys.argv[0]] + sys.argv[2:], verbosity=1)
