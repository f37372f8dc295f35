#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What one run may take of memory and disk, measured at the real binary: tools that return much, models that write without end. With
CONCLAVE_LONG=1 at full length."""

import json
import os
import pathlib
import subprocess
import sys
import threading
import unittest

import support
from provider import Provider

LONG = os.environ.get("CONCLAVE_LONG") == "1"

BIG_TOOL = """
import json, sys
for line in sys.stdin:
    m = json.loads(line)
    if "id" not in m:
        continue
    if m["method"] == "initialize":
        r = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "big", "version": "1"}}
    elif m["method"] == "tools/list":
        r = {"tools": [{"name": "read", "description": "reads", "inputSchema": {"type": "object"},
                        "annotations": {"readOnlyHint": True}}]}
    else:
        r = {"content": [{"type": "text", "text": m["params"]["arguments"]["n"] + " " + "r" * 262000}]}
    print(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": r}), flush=True)
"""


class Limits(unittest.TestCase):
    def setUp(self):
        self.home = support.Home()
        self.addCleanup(self.home.__exit__)

    def serve(self, behave):
        provider = Provider(behave)
        self.addCleanup(provider.stop)
        return provider

    def run_measured(self, config, timeout):
        """Runs to the end; returns the exit status, the most memory that was resident (bytes), and what the terminal showed."""
        out = open(self.home.path / "terminal", "w+b")
        self.addCleanup(out.close)
        child = subprocess.Popen([str(support.BIN), "--config", config, "--json", "q"], cwd=self.home.path, env=self.home.env,
                                 stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        timer = threading.Timer(timeout, child.kill)
        timer.start()
        _, status, used = os.wait4(child.pid, 0)
        timer.cancel()
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        return child.returncode, used.ru_maxrss * 1024, out.read().decode(errors="replace")

    def grown(self):
        home = pathlib.Path(self.home.env["CONCLAVE_HOME"])
        logs = [p for p in self.home.path.rglob("*") if p.is_file() and (home in p.parents or "log" in str(p))]
        return sum(p.stat().st_size for p in logs), [(str(p.relative_to(self.home.path)), p.stat().st_size) for p in logs]

    def test_a_conversation_of_large_results_stays_within_its_memory(self):
        turns, calls, sizes = (50 if LONG else 6), 64, []

        async def behave(provider, request, reply):
            sizes.append(sum(len(m.get("content") or "") for m in request["messages"]))
            turn = len(sizes)
            if turn <= turns:
                await reply.play(calls=[("mcp__big__read", {"n": f"{turn}-{i}"}) for i in range(calls)])
            else:
                await reply.decide("42")
        provider = self.serve(behave)
        tool = self.home.write("big.py", BIG_TOOL)
        config = self.home.write("c.yaml", {
            "agents": [{"id": "a", "backend": {"type": "chatcompletion", "model": "m", "base_url": provider.url + "/v1", "api_key": "k",
                                               "max_tool_iterations": 60,
                                               "mcp_servers": {"big": {"command": sys.executable, "args": [tool]}}}}]})
        code, peak, shown = self.run_measured(config, 900)
        print(f"peak {peak >> 20} MiB, requests {len(sizes)}, largest {max(sizes, default=0) >> 20} MiB", file=sys.stderr)
        self.assertEqual(code, 0, shown[-2000:])
        self.assertLessEqual(max(sizes), 32 << 20)
        self.assertLessEqual(peak, 200 << 20)

    def test_agents_that_break_off_after_much_text_leave_little_behind(self):
        text = ("x" * 8000 + "\n") * 128

        async def behave(provider, request, reply):
            await reply.head()
            piece = b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n\n"
            for _ in range((33 << 20) // len(text)):
                await reply.chunk(piece)
            await reply.end()
        provider = self.serve(behave)
        n = 10 if LONG else 2
        config = self.home.write("c.yaml", {"agents": [
            {"id": f"a{i}", "backend": {"type": "chatcompletion", "model": "m", "base_url": provider.url + "/v1", "api_key": "k", "decision": "text"}}
            for i in range(n)]})
        code, peak, shown = self.run_measured(config, 900)
        grown, files = self.grown()
        print(f"grown {grown} bytes with {len(provider.requests)} requests, peak {peak >> 20} MiB", file=sys.stderr)
        self.assertEqual(code, 2, shown[-2000:])
        self.assertGreaterEqual(len(provider.requests), n)
        self.assertLessEqual(grown, 3 << 20, files)


if __name__ == "__main__":
    support.need_binary()
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
