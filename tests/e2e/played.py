# SPDX-License-Identifier: Apache-2.0
"""Agents whose models a test plays, one generator for each run, and the judge of what they were told: no id of an agent, no name of a node and
no path of ours but those of an agent's own place may be in what a model is sent."""

import asyncio
import json
import re

from provider import Provider

FS, WS, CMD = "mcp__filesystem__", "mcp__workspace_tools__", "mcp__command_line__"


class Until:
    """A reply waits until this is so; the engine's own limits bound it."""

    def __init__(self, so):
        self.so = so


class Run:
    """What a model is asked in the first request of a run."""

    def __init__(self, model, number, request):
        self.model, self.number, self.request = model, number, request
        self.system = "\n".join(m["content"] for m in request["messages"] if m["role"] == "system")
        self.asked = "\n".join(m["content"] for m in request["messages"] if m["role"] == "user")
        self.tools = {t["function"]["name"]: t["function"] for t in request.get("tools", [])}
        self.kind = "judge" if "vote" in self.tools else "first" if "new_answer" in self.tools else "present"
        work = re.search(r"Your workspace, where relative paths resolve: (\S+)/work$", self.system, re.M)
        self.place = work.group(1) if work else ""

    @property
    def work(self):
        return self.place + "/work"

    @property
    def view(self):
        return self.place + "/view"


def call(tool, **arguments):
    return tool, arguments


def command(text, **more):
    return call(CMD + "execute_command", command=text, **more)


def answer(text):
    return [call("new_answer", content=text)]


def vote(shown, reason="fine"):
    return [call("vote", agent_id=shown, reason=reason)]


def text_of(content):
    return content if isinstance(content, str) else "".join(p.get("text", "") for p in content or [])


def results_of(messages):
    """The results of the newest calls, in their order."""
    last = max(i for i, m in enumerate(messages) if m.get("tool_calls"))
    told = {m["tool_call_id"]: text_of(m["content"]) for m in messages[last:] if m["role"] == "tool"}
    return [told.get(c["id"], "") for c in messages[last]["tool_calls"]]


class Played:
    """`scripts`: of each model a generator function of a Run. It yields lists of calls (and gets the list of their results), a text, or an
    Until. A fault of a script is in `faults`: its model says nothing more."""

    def __init__(self, scripts):
        self.scripts, self.runs, self.playing, self.faults = scripts, [], {}, []
        self.provider = Provider(self.behave)
        self.requests = self.provider.requests

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.provider.stop()

    def backend(self, model, **more):
        return {"type": "chatcompletion", "model": model, "api_key": "${TEST_KEY}", "base_url": self.provider.url + "/v1", **more}

    def of(self, model, kind=None):
        return [r for r in self.runs if r.model == model and kind in (None, r.kind)]

    async def behave(self, provider, request, reply):
        model, messages = request["model"], request["messages"]
        try:
            if not any(m["role"] == "assistant" for m in messages):
                run = Run(model, len(self.of(model)) + 1, request)
                self.runs.append(run)
                self.playing[model] = self.scripts[model](run)
                said = next(self.playing[model])
            else:
                said = self.playing[model].send(results_of(messages))
            while isinstance(said, Until):
                while not said.so():
                    await asyncio.sleep(0.005)
                said = next(self.playing[model])
        except Exception as e:
            self.faults.append(f"{model}: {type(e).__name__}: {e}")
            return await reply.error(400, "the script of the test has a fault")
        await (reply.play(said) if isinstance(said, str) else reply.play("", said))


def told(request):
    """All that a model is sent, as one text. What the test itself chose is not in it: the name of the model, the key."""
    def texts(x):
        if isinstance(x, str):
            yield x
            if x[:1] in "{[":
                try:
                    yield from texts(json.loads(x))  # JSON in a text: its escapes hide nothing
                except ValueError:
                    pass
        elif isinstance(x, dict):
            for k, v in x.items():
                yield k
                yield from texts(v)
        elif isinstance(x, list):
            for v in x:
                yield from texts(v)
    return "\n".join(texts({k: v for k, v in request.items() if k not in ("model", "headers", "path", "at")}))


def leaks(text, never, homes, places, own):
    """What a text should not hold: a word of `never`, a path below one of `homes` that leads neither to the place `own` nor below it, the name
    of another of `places`."""
    found = [w for w in never if w.lower() in text.lower()]
    for home in homes:
        for m in re.finditer(re.escape(str(home)) + r"[^\s\"'<>|,;)]*", text):
            path = m.group().rstrip("/.:") + "/"
            if not own or not (path.startswith(own + "/") or (own + "/").startswith(path)):
                found.append(m.group())
    return found + [p for p in places if p != own and p.rsplit("/", 1)[1] in text]
