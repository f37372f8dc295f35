#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Part of Conclave. See LICENSE.
"""A small MCP server over stdio that misbehaves on request.

  bad_mcp.py echo              answers as it should
  bad_mcp.py crash             ends in the middle of a call
  bad_mcp.py slow              never answers a call
  bad_mcp.py malformed         writes what is no JSON between its answers
  bad_mcp.py burst             announces a changed tool list 200 times before each answer
  bad_mcp.py grandchild        starts a process that keeps its pipes open, then ends on a call
  bad_mcp.py deaf              closes its stdin once it has listed its tools, and lives on
  bad_mcp.py deaf-later        closes its stdin in a call, and then answers it
  bad_mcp.py ignores-sigterm   neither the end of stdin nor SIGTERM ends it
  bad_mcp.py mute              does not even answer initialize
  bad_mcp.py old               speaks a version nobody knows
  bad_mcp.py tells             names its API_TOKEN when it refuses to start
  bad_mcp.py plays {..}        writes bytes of its own instead of an answer: a JSON map of method -> text (Latin-1, ID = the request's id),
                               or a list of texts, one per request; "exit" ends it with status 3, "stderr" is written there at once, "delay" maps a method to seconds
  bad_mcp.py floods WHAT       writes notifications, results, requests, blank or unreadable lines, or stderr, without end once it has listed its tools
  bad_mcp.py tells-later       names its API_TOKEN in an error, a failed result, or a good one, as the argument "how" says

Its process id goes to the file named by BAD_MCP_PID.
"""
import json
import os
import signal
import subprocess
import sys
import time

mode = sys.argv[1]
if os.environ.get("BAD_MCP_PID"):
    with open(os.environ["BAD_MCP_PID"], "a", encoding="ascii") as f:
        f.write(f"{os.getpid()}\n")
if mode == "ignores-sigterm":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if mode == "grandchild":
    subprocess.Popen(["sleep", "300"])


script = json.loads(sys.argv[2]) if mode == "plays" else {}
sys.stderr.buffer.write(script.get("stderr", "").encode("latin-1"))
sys.stderr.flush()


def plays(method, number):
    """Whether the script has bytes for this request, which are then written."""
    time.sleep(script.get("delay", {}).get(method, 0))
    text = script.get(method)
    if isinstance(text, list):
        text = text.pop(0) if text else None
    if text is None:
        return False
    if text == "exit":
        sys.stderr.write("Traceback (most recent call last):\nRuntimeError: no more paper\n")
        sys.stderr.flush()
        os._exit(3)
    sys.stdout.buffer.write(text.replace("ID", str(number)).encode("latin-1"))
    sys.stdout.flush()
    return True


def send(**message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def floods(what):
    """Writes without end, as fast as it is read."""
    text = {"notifications": {"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x" * 200}},
            "progress": {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}},
            "changes": {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"},
            "results": {"jsonrpc": "2.0", "id": 99999, "result": {"content": [{"type": "text", "text": "x" * 200}]}},
            "requests": {"jsonrpc": "2.0", "id": 1, "method": "ping"}}.get(what)
    line = (json.dumps(text) if text else "" if what == "blank" else "{" * 60 if what == "unreadable" else "x" * 200) + "\n"
    to = sys.stderr if what == "stderr" else sys.stdout
    while True:
        to.write(line * 100)


for line in sys.stdin:
    m = json.loads(line)
    method, number = m.get("method"), m.get("id")
    if plays(method, number) or mode == "mute" or number is None:
        continue
    if mode == "malformed":
        sys.stdout.write("Listening on stdio ...\n{\"jsonrpc\": \n[]\n\"x\"\n{\"jsonrpc\":\"2.0\",\"id\":99999,\"result\":{}}\n")
    if mode == "burst":
        for _ in range(200):
            send(method="notifications/tools/list_changed")
    token = os.environ.get("API_TOKEN", "")
    if mode == "tells" and method == "initialize":
        send(id=number, error={"code": -32000, "message": f"no entry for {token} {token.replace('/', '%2F')} from {sys.argv[2]}"})
    elif mode == "tells-later" and method == "tools/call" and m["params"]["arguments"]["how"] == "error":
        send(id=number, error={"code": -32000, "message": "x" * 490 + " " + token})
    elif mode == "tells-later" and method == "tools/call":
        send(id=number, result={"content": [{"type": "text", "text": f"it is {token}"}],
                                "isError": m["params"]["arguments"]["how"] == "failed"})
    elif method == "initialize":
        version = "1999-01-01" if mode == "old" else m["params"]["protocolVersion"]
        send(id=number, result={"protocolVersion": version, "capabilities": {"tools": {}},
                                "serverInfo": {"name": "bad", "version": "1"}})
    elif method == "tools/list":
        send(id=number, result={"tools": [{"name": "echo", "description": "says it again",
                                           "inputSchema": {"type": "object"}}]})
        if mode == "deaf":
            os.close(0)
            time.sleep(600)
        if mode == "floods":
            sys.stdout.flush()
            floods(sys.argv[2])
    elif method == "tools/call":
        if mode in ("crash", "grandchild"):
            os._exit(3)
        if mode == "slow":
            continue
        if mode == "deaf-later":
            os.close(0)
            time.sleep(0.5)
            send(id=number, result={"content": [{"type": "text", "text": "the last"}]})
            time.sleep(600)
        send(id=number, result={"content": [{"type": "text", "text": json.dumps(m["params"]["arguments"])}]})
    else:
        send(id=number, error={"code": -32601, "message": "no such method"})
while mode == "ignores-sigterm":
    time.sleep(60)
