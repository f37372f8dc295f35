# SPDX-License-Identifier: Apache-2.0
"""A model provider on loopback that plays the protocol in any dialect and can misbehave on demand. Not a test of its own: what a
real provider sends is tested with recorded replies and with aimock; this one is for faults and counts."""

import asyncio
import json
import threading
import unittest

import responses
from support import Home


def chat_events(text, calls):
    yield {"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}]}
    for i, (name, arguments) in enumerate(calls):
        yield {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": i, "id": f"c{i}", "type": "function",
                                                                  "function": {"name": name, "arguments": json.dumps(arguments)}}]}}]}
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}]}


def chat_stream(text, calls):
    return [f"data: {json.dumps(e)}\n\n".encode() for e in chat_events(text, calls)] + [b"data: [DONE]\n\n"]


def messages_stream(text, calls):
    events = [{"type": "message_start", "message": {"id": "m", "role": "assistant", "content": [], "usage": {"input_tokens": 1}}},
              {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
              {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
              {"type": "content_block_stop", "index": 0}]
    for i, (name, arguments) in enumerate(calls, 1):
        events += [{"type": "content_block_start", "index": i, "content_block": {"type": "tool_use", "id": f"c{i}", "name": name, "input": {}}},
                   {"type": "content_block_delta", "index": i, "delta": {"type": "input_json_delta", "partial_json": json.dumps(arguments)}},
                   {"type": "content_block_stop", "index": i}]
    events += [{"type": "message_delta", "delta": {"stop_reason": "tool_use" if calls else "end_turn"}, "usage": {"output_tokens": 1}},
               {"type": "message_stop"}]
    return [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n".encode() for e in events]


SIGNATURE = "c2lnbmF0dXJl"


def gemini_stream(text, calls):
    """Of parallel calls the first carries the signature, none an id, as the real API does it."""
    def event(parts, **more):
        return {"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0, **more}],
                "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}}

    parts = [{"functionCall": {"name": name, "args": arguments}} for name, arguments in calls]
    for p in parts[:1]:
        p["thoughtSignature"] = SIGNATURE
    events = ([event([{"text": text}])] if text else []) + [event([p]) for p in parts] + [event([{"text": ""}], finishReason="STOP")]
    return [f"data: {json.dumps(e)}\r\n\r\n".encode() for e in events]


class Provider:
    """`behave(provider, request, reply)` is a coroutine; `request` is the JSON body with "path", `reply` has the means below. Counts and times
    all requests; `bodies` are their bytes."""

    def __init__(self, behave, tls=None):
        self.behave, self.requests, self.bodies, self.closed, self.open_now = behave, [], [], [], 0
        self.changed = threading.Condition()
        ready = threading.Event()

        def serve():
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
            self.server = self.loop.run_until_complete(asyncio.start_server(self.connection, "127.0.0.1", 0, backlog=256, ssl=tls))
            self.port = self.server.sockets[0].getsockname()[1]
            ready.set()
            self.loop.run_forever()

        self.thread = threading.Thread(target=serve, daemon=True)
        self.thread.start()
        ready.wait(10)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def stop(self):
        async def end():
            self.server.close()
            others = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for t in others:
                t.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def note(self, change):
        with self.changed:
            change()
            self.changed.notify_all()

    def wait(self, what, seconds=20):
        with self.changed:
            return self.changed.wait_for(what, seconds)

    async def connection(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length:")), 0)
                body = await reader.readexactly(length)
                request = json.loads(body or b"{}")
                request["path"] = head.split(b" ")[1].decode()
                if ":streamGenerateContent" in request["path"]:
                    request["model"] = request["path"].split("/models/")[1].split(":")[0]
                request["headers"] = {k.lower(): v.strip() for k, v in (h.split(":", 1) for h in head.decode("latin-1").split("\r\n")[1:] if ":" in h)}
                request["at"] = self.loop.time()
                self.note(lambda: (self.requests.append(request), self.bodies.append(body), setattr(self, "open_now", self.open_now + 1)))
                reply = Reply(writer, request)
                task = asyncio.ensure_future(self.behave(self, request, reply))
                gone = asyncio.ensure_future(reader.read(1))  # nobody pipelines: a byte or an end means the client left
                gone.add_done_callback(lambda t: t.cancelled() or t.exception())  # a client that was killed
                try:
                    await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    done = task.done()
                    task.cancel()
                if not done:
                    self.note(lambda: self.closed.append(request))
                    return
                await task
                self.note(lambda: setattr(self, "open_now", self.open_now - 1))
                gone.cancel()
                try:
                    await gone
                except asyncio.CancelledError:
                    pass
                if reply.last:
                    return
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()


class Reply:
    def __init__(self, writer, request):
        self.writer, self.request, self.last = writer, request, False
        self.messages = request["path"].endswith("/messages")
        self.gemini = ":streamGenerateContent" in request["path"]
        self.responses = request["path"].endswith("/responses")

    def tools(self):
        tools = self.request.get("tools", [])
        if self.gemini:
            return {f["name"] for t in tools for f in t.get("functionDeclarations", [])}
        return {t.get("name") if self.messages or self.responses else t.get("function", {}).get("name") for t in tools} - {None}  # of the provider's own

    async def head(self, status=200, content="text/event-stream", **headers):
        lines = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in headers.items())
        self.writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: {content}\r\n{lines}".encode() +
                          (b"" if "Content_Length" in headers else b"Transfer-Encoding: chunked\r\n") + b"\r\n")
        await self.writer.drain()

    async def chunk(self, data):
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self.writer.drain()

    async def end(self):
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def error(self, status, message, **headers):
        body = json.dumps({"error": {"message": message, "type": "error"}}).encode()
        await self.head(status, "application/json", Content_Length=len(body), **headers)
        self.writer.write(body)
        await self.writer.drain()

    async def play(self, text="", calls=(), gap=0.0):
        await self.head()
        form = (gemini_stream if self.gemini else messages_stream if self.messages else responses.stream if self.responses else chat_stream)
        for data in form(text, calls):
            await self.chunk(data)
            if gap:
                await asyncio.sleep(gap)
        await self.end()

    async def decide(self, answer, final="the final answer", gap=0.0):
        """What a model does that improves nothing: answer first, then vote for agent1, then present."""
        tools = self.tools()
        if "vote" in tools:
            await self.play("Fine.", [("vote", {"agent_id": "agent1", "reason": "fine"})], gap)
        elif "new_answer" in tools:
            await self.play("Here.", [("new_answer", {"content": answer})], gap)
        else:
            await self.play(final, gap=gap)


class Served(unittest.TestCase):
    """A home, and a provider that behaves as a test says."""

    def setUp(self):
        self.home = Home()
        self.provider = None

    def tearDown(self):
        if self.provider:
            self.provider.stop()
        self.home.__exit__()

    def serve(self, behave):
        if self.provider:
            self.provider.stop()
        self.provider = Provider(behave)
        return self.provider
