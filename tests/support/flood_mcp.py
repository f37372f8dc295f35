#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Part of Conclave. See LICENSE.
"""A small MCP server over stdio that floods, hundreds of MB/s, or none at all ("calm").

  flood_mcp.py KIND WHEN FOLDER    WHEN: start (before it answers anything), listed (after its tools), call (while one is open)

It says that it is ready with FOLDER/ready.PID, and floods once there is FOLDER/go. "calm" answers its call then.
"""
import json
import os
import pathlib
import select
import sys
import time

kind, when, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
BLOCK = 256 * 1024


def message(**m):
    return json.dumps({"jsonrpc": "2.0", **m}).encode() + b"\n"


def note(method, **params):
    return message(method="notifications/" + method, params=params)


def text(n):
    return {"content": [{"type": "text", "text": "x" * n}]}


def unit(number):
    """The bytes that are said again and again; `number` is the id of the call that is open."""
    return {
        "notifications": note("resources/updated", uri="file:///x"),
        "log": note("message", level="info", data="x" * 200),
        "small": b'{"jsonrpc":"2.0","method":"x"}\n',
        "progress": note("progress", progressToken=number, progress=1),
        "list_changed": note("tools/list_changed"),
        "results": message(id=99999, result=text(200)),
        "results-nameless": message(result=text(200)),
        "results-of-the-start": message(id=1, result=text(200)),
        "errors": message(id=99999, error={"code": -32000, "message": "x" * 200}),
        "errors-nameless": message(error={"code": -32000, "message": "x" * 200}),
        "large-results": message(id=99999, result=text(8 << 20)),
        "large-lists": note("message", data="@").replace(b'"@"', b"[" + b"{}," * (5 << 20) + b"0]"),
        "ping": message(id=1, method="ping"),
        "sampling": message(id="s" * 50, method="sampling/createMessage", params={"messages": []}),
        "large-ids": message(id="i" * (1 << 20), method="roots/list"),
        "batches": b"[" + b",".join([note("message", data="x")[:-1]] * 500) + b"]\n",
        "blank": b"\n",
        "text": b"Listening, still listening.\n",
        "unreadable": b'{"jsonrpc":"2.0","id":7,"result":{"cont\n',
        "brackets": b"[{" * 30 + b"\n",
        "one-line": b"x" * BLOCK,
        "one-line-json": b'{"jsonrpc":"2.0","result":' * 1000,
        "stderr": b"Error: it is all too much, and it goes on and on\n",
        "stderr-one-line": b"x" * BLOCK,
        "slow": note("message", level="info", data="x" * 200) * 15,  # as much as is let pass: 1,500 a second
    }[kind]


def ready():
    (folder / f"ready.{os.getpid()}").write_text(kind)


def wait_for_go():
    while not (folder / "go").exists():
        time.sleep(0.01)


def flood(number=3):
    wait_for_go()
    one = unit(number)
    block = one if kind == "slow" else one * max(1, BLOCK // len(one))
    fd = 2 if kind.startswith("stderr") else 1
    while True:
        rest = memoryview(block)
        while rest:
            rest = rest[os.write(fd, rest):]
        if kind == "slow":
            time.sleep(0.01)


def answer(m, result):
    os.write(1, message(id=m["id"], result=result))


LIST = {"tools": [{"name": "t", "description": "", "inputSchema": {"type": "object"}}]}
inbox = b""
while True:
    data = os.read(0, 65536)
    if not data:
        break
    *lines, inbox = (inbox + data).split(b"\n")
    for m in map(json.loads, lines):
        method = m.get("method")
        if method == "initialize":
            if when == "start":
                ready()
                flood()
            answer(m, {"protocolVersion": m["params"]["protocolVersion"], "capabilities": {"tools": {}},
                       "serverInfo": {"name": "f", "version": "1"}})
        elif method == "tools/list":
            answer(m, LIST)
            if when == "changing" and (folder / "go").exists():  # each change is read anew, and is followed by the next
                os.write(1, note("tools/list_changed") * 3)
            elif when in ("listed", "changing"):
                ready()
                if when == "listed":
                    flood()
                wait_for_go()
                os.write(1, note("tools/list_changed"))
        elif method == "tools/call":
            ready()
            if when == "call" and kind != "calm":
                flood(m["id"])
            wait_for_go()
            answer(m, text(10))
