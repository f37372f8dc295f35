#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records the corpus of this folder anew: record.py BUILD [NAME...]. Needed where a build asks its models differently, on purpose: each
cassette that `conclave replay` refuses then tells what it asks now, and is to be looked at before it is replaced."""

import asyncio
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "e2e"))

from provider import Provider  # noqa: E402
from support import BIN, Lines, agent, calm_team  # noqa: E402

SUPPORT = HERE.parent.parent / "support"
KEY = "sk-of-the-corpus-0123456789"
WORK = pathlib.Path("/tmp/conclave-corpus")


def tool(name):
    return "mcp__s__" + name


def server(script, *args):
    shutil.copy(SUPPORT / script, WORK / script)
    return {"s": {"command": "python3", "args": [str(WORK / script), *args]}}


def http(provider, i, kind, **more):
    return {"id": f"m{i}", "backend": {"type": kind, "model": f"model-{i}", "api_key": "${CORPUS_KEY}",
                                      "base_url": provider.url + ("/v1" if kind == "chatcompletion" else ""), **more}}


async def decides(provider, request, reply):
    await asyncio.sleep(0.01 * int(request["model"][-1]))
    await reply.decide("an answer of " + request["model"])


async def looks_first(provider, request, reply):
    if "seen a" not in json.dumps(request["messages"]) and tool("a") in reply.tools():
        return await reply.play("Looking.", [(tool("a"), {}), (tool("b"), {"n": 1})])
    await reply.decide("an answer of " + request["model"])


async def slows_down(provider, request, reply):
    if len(provider.requests) == 1:
        return await reply.error(429, "slow down, " + request["headers"]["authorization"], Retry_After="1")
    await decides(provider, request, reply)


async def refuses_one(provider, request, reply):
    if request["model"] == "model-1":
        return await reply.error(401, "no such key: " + KEY)
    await decides(provider, request, reply)


async def changes(provider, request, reply):
    seen = json.dumps(request["messages"]).count("seen ")
    if seen == 0 and tool("a") in reply.tools():
        return await reply.play("Change.", [(tool("a"), {"tools": ["a", "c"], "progress": [{"progress": 1, "total": 2, "message": "half"}]})])
    if seen == 1 and tool("c") in reply.tools():
        return await reply.play("Now the new one.", [(tool("c"), {})])
    await reply.decide("an answer of " + request["model"])


async def hangs(provider, request, reply):
    if request["model"] == "model-1":
        await reply.head()
        await reply.chunk(b": hold on\n\n")
        return await asyncio.sleep(60)
    await decides(provider, request, reply)


BOTH = ("chatcompletion", "claude")

# name -> (behaviour of the provider, team made of it, exit code)
CASES = {
    "scripted": (decides, lambda p: calm_team(3, lambda i: 10 * i), 0),
    "chat": (decides, lambda p: {"agents": [http(p, i, "chatcompletion") for i in range(2)]}, 0),
    "claude": (decides, lambda p: {"agents": [http(p, i, "claude") for i in range(2)]}, 0),
    "tools": (looks_first, lambda p: {"agents": [http(p, i, BOTH[i], mcp_servers=server("changing_mcp.py", "a", "b")) for i in range(2)]}, 0),
    "rate_limited": (slows_down, lambda p: {"agents": [http(p, i, "chatcompletion") for i in range(2)]}, 0),
    "cancelled": (hangs, lambda p: {"agents": [http(p, i, BOTH[i]) for i in range(2)]}, 4),
    "failing_agent": (refuses_one, lambda p: {"agents": [http(p, i, BOTH[i]) for i in range(2)]}, 0),
    "server_dies": (decides, lambda p: {"agents": [http(p, 0, "chatcompletion", mcp_servers={
        "s": {"command": "python3", "args": ["-c", "import sys; sys.exit('no room left')"]}}), http(p, 1, "claude")]}, 0),
    "tools_changed": (changes, lambda p: {"agents": [http(p, 0, "chatcompletion", mcp_servers=server("changing_mcp.py", "a", "b"))]}, 0),
    "timeout": (hangs, lambda p: {"agents": [http(p, i, "chatcompletion", first_token_timeout_seconds=1) for i in range(2)],
                                  "timeout_settings": {"orchestrator_timeout_seconds": 3}}, 0),
}


def record(name):
    behave, team_of, code = CASES[name]
    shutil.rmtree(WORK, ignore_errors=True)
    (WORK / "home").mkdir(parents=True, mode=0o700)
    provider = Provider(behave)
    try:
        (WORK / "team.json").write_text(json.dumps(team_of(provider)))
        env = {"PATH": os.environ["PATH"], "HOME": str(WORK), "CONCLAVE_HOME": str(WORK / "home"), "CORPUS_KEY": KEY, "NO_COLOR": "1"}
        p = subprocess.Popen([str(BIN), "--config", str(WORK / "team.json"), "--record", str(WORK / "new.cassette"), "--json", "Which way?"],
                             env=env, cwd=WORK, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if name == "cancelled":
            Lines(p.stdout).until('"type":"new_answer"')
            p.send_signal(signal.SIGINT)
        os.set_blocking(p.stdout.fileno(), True)
        _, said = p.communicate(timeout=60)
        if p.returncode != code:
            raise SystemExit(f"{name}: exit code {p.returncode}, not {code}\n{said.decode()}")
        data = (WORK / "new.cassette").read_bytes()
        if KEY.encode() in data or len(data) > 60_000:
            raise SystemExit(f"{name}: {len(data)} bytes, or the key is in it")
        (HERE / f"{name}.cassette").write_bytes(data)
        print(f"{name}: {len(data)} bytes")
    finally:
        provider.stop()
        shutil.rmtree(WORK, ignore_errors=True)


for each in sys.argv[2:] or CASES:
    record(each)
