#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Part of Conclave. See LICENSE.
"""A small MCP server over stdio whose tools change.

Each call has the result "seen NAME, listed N times": how often its tools were asked for. The arguments of a call, all optional:

  {"tools": ["a", "b"]}     these are its tools from then on, which it says before the result
  {"say": N}                so often, in one piece (1)
  {"late": true}            its tools are listed no more before the next call, which comes first then
  {"progress": [{...}]}     params of progress notifications, sent before the result with the token of the call

The first tools are the arguments of the command.
"""
import json
import sys

tools, lists, late, waiting = sys.argv[1:], 0, False, []


def send(**message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")


def tell_tools():
    global lists
    lists += len(waiting)
    for number in waiting:
        send(id=number, result={"tools": [{"name": t, "description": f"is {t}", "inputSchema": {"type": "object"}} for t in tools]})
    waiting.clear()


for line in sys.stdin:
    m = json.loads(line)
    method, number = m.get("method"), m.get("id")
    if number is None:
        continue
    if method == "initialize":
        send(id=number, result={"protocolVersion": m["params"]["protocolVersion"], "capabilities": {"tools": {"listChanged": True}},
                                "serverInfo": {"name": "changing", "version": "1"}})
    elif method == "tools/list":
        waiting.append(number)
        if not late:
            tell_tools()
    elif method == "tools/call" and m["params"]["name"] in tools:
        wanted = m["params"]["arguments"]
        tell_tools()
        late = wanted.get("late", False)
        for params in wanted.get("progress", []):
            send(method="notifications/progress", params={"progressToken": m["params"]["_meta"]["progressToken"], **params})
        if "tools" in wanted:
            tools = wanted["tools"]
            for _ in range(wanted.get("say", 1)):
                send(method="notifications/tools/list_changed")
        send(id=number, result={"content": [{"type": "text", "text": f"seen {m['params']['name']}, listed {lists} times"}]})
    else:
        send(id=number, error={"code": -32602, "message": "no such thing"})
    sys.stdout.flush()
