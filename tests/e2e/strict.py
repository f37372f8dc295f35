# SPDX-License-Identifier: Apache-2.0
"""What strict servers of the five dialects refuse: members they do not know, calls without a result, results without a call, sealed reasoning that does
not come back as it went out. And the wire form of a reply with such a seal. Sources: responses.py; npm `openai` 7.57.0, `@anthropic-ai/sdk` 1.12.0
(the types of the requests); https://ai.google.dev/api/generate-content and https://ai.google.dev/gemini-api/docs/thought-signatures; for Azure
https://learn.microsoft.com/en-us/azure/ai-foundry/openai/concepts/content-streaming; read 2026-11-26."""

import json
import re
import urllib.parse

import responses
from provider import SIGNATURE

OURS = {"path", "headers", "at"}
CHAT = {"model", "messages", "stream", "stream_options", "tools", "temperature", "max_tokens", "max_completion_tokens", "prompt_cache_key", "response_format"}
CHAT_MESSAGE = {"system": {"role", "content"}, "user": {"role", "content"}, "tool": {"role", "content", "tool_call_id"},
                "assistant": {"role", "content", "tool_calls", "reasoning_content", "reasoning_details"}}
MESSAGES = {"model", "messages", "system", "stream", "tools", "max_tokens", "cache_control", "thinking", "tool_choice", "output_config"}
BLOCK = {"text": {"type", "text", "cache_control", "citations"}, "thinking": {"type", "thinking", "signature"}, "redacted_thinking": {"type", "data"},
         "tool_use": {"type", "id", "name", "input", "cache_control", "caller"},
         "tool_result": {"type", "tool_use_id", "content", "is_error", "cache_control"}}
TOP = {"contents", "systemInstruction", "tools", "toolConfig", "safetySettings", "generationConfig"}
CONFIG = {"temperature", "topP", "maxOutputTokens", "thinkingConfig", "responseMimeType", "responseJsonSchema"}
NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_.:-]{0,63}$")
SAFE = {k: {"filtered": False, "severity": "safe"} for k in ("hate", "self_harm", "sexual", "violence")}


def chat(request, keys=CHAT):
    """Why a strict server of Chat Completions refuses the request, or None."""
    if set(request) - OURS - keys:
        return f"Unrecognized request arguments supplied: {set(request) - OURS - keys}"
    open_calls = []
    for n, m in enumerate(request["messages"]):
        if set(m) - CHAT_MESSAGE[m["role"]]:
            return f"Unknown parameter: 'messages[{n}]': {sorted(m)}."
        if m["role"] == "tool":
            if m["tool_call_id"] not in open_calls or not isinstance(m["content"], str):
                return f"messages[{n}]: a result of no call"
            open_calls.remove(m["tool_call_id"])
            continue
        if open_calls:
            return f"An assistant message with 'tool_calls' must be followed by tool messages: {open_calls}"
        for c in m.get("tool_calls", []):
            if set(c) != {"id", "type", "function"} or set(c["function"]) != {"name", "arguments"} or not isinstance(json.loads(c["function"]["arguments"]), dict):
                return f"Invalid 'messages[{n}].tool_calls': {c}"
            open_calls.append(c["id"])
        if m["role"] == "assistant" and not m.get("content") and not m.get("tool_calls"):
            return f"messages[{n}] is empty"
    for t in request.get("tools", []):
        if set(t) != {"type", "function"} or set(t["function"]) != {"name", "description", "parameters"}:
            return f"Invalid tool {t}"
    return f"calls without a result: {open_calls}" if open_calls else None


def azure(request, dated=True):
    """What a resource of Azure would refuse, or nothing."""
    url = urllib.parse.urlsplit(request["path"])
    version = urllib.parse.parse_qs(url.query).get("api-version")
    if url.path != ("/openai/deployments/my%20deployment/chat/completions" if dated else "/openai/v1/chat/completions"):
        return "Resource not found"
    if (version is not None) != dated:
        return f"api-version {version} is not supported"
    if request["headers"].get("api-key") != "azure-key" or "authorization" in request["headers"]:
        return "Access denied due to invalid subscription key"
    return chat(request)


def messages(request):
    """Why a strict server of the Messages API refuses the request, or None."""
    if set(request) - OURS - MESSAGES or not request.get("max_tokens"):
        return f"Extra inputs are not permitted: {set(request) - OURS - MESSAGES}"
    if request["headers"].get("anthropic-version") != "2026-10-21" or not request["headers"].get("authorization", "").startswith("Bearer "):
        return "the version or the key is not where it belongs"
    marks = json.dumps({k: v for k, v in request.items() if k not in OURS}).count('"cache_control"')
    if marks > 4:
        return f"A maximum of 4 blocks with cache_control may be provided. Found {marks}."
    asked = []
    for n, m in enumerate(request["messages"]):
        if set(m) != {"role", "content"} or m["role"] != ("user", "assistant")[n % 2]:
            return f"messages.{n}: roles must alternate, or an extra member: {sorted(m)}"
        blocks = m["content"] if isinstance(m["content"], list) else [{"type": "text", "text": m["content"]}]
        for b in blocks:
            if b["type"] not in BLOCK or set(b) - BLOCK[b["type"]]:
                return f"messages.{n}: unknown or odd block {b}"
            if b["type"] == "text" and not b["text"]:
                return f"messages.{n}: text content blocks must be non-empty"
            if b["type"] == "tool_use" and (not isinstance(b["input"], dict) or not re.fullmatch(r"[a-zA-Z0-9_-]{1,128}", b["id"])):
                return f"messages.{n}: input should be an object, and the id of letters, digits, _ and -: {b}"
        results = [b["tool_use_id"] for b in blocks if b["type"] == "tool_result"]
        if m["role"] == "user" and results != asked:
            return f"messages.{n}: `tool_use` ids {asked} were found without `tool_result` blocks immediately after, which are {results}"
        if results and any(b["type"] != "tool_result" for b in blocks[:len(results)]):
            return f"messages.{n}: tool results must come first"
        asked = [b["id"] for b in blocks if b["type"] == "tool_use"]
    last = next((m["content"] for m in reversed(request["messages"]) if m["role"] == "assistant"), [])
    if request.get("thinking", {}).get("type") == "enabled" and any(b["type"] == "tool_use" for b in last) and \
            last[0]["type"] not in ("thinking", "redacted_thinking"):
        return f"messages: Expected `thinking` or `redacted_thinking`, but found `{last[0]['type']}`. When `thinking` is enabled, a final `assistant` message " \
            "must start with a thinking block."
    for t in request.get("tools", []):
        if set(t) - {"name", "description", "input_schema", "cache_control"} or t["input_schema"].get("type") != "object":
            return f"Invalid tool {t}"
    return f"calls without a result: {asked}" if asked else None


def gemini(request, signed=True):
    """What is wrong with a request of Gemini's API. `signed`: the first call of each turn carries SIGNATURE."""
    body = {k: v for k, v in request.items() if k not in OURS | {"model"}}
    out = [f"unknown member {k}" for k in set(body) - TOP] + [f"unknown member {k}" for k in set(body.get("generationConfig", {})) - CONFIG]
    if request["headers"].get("x-goog-api-key") != "dummy" or "authorization" in request["headers"] or "dummy" in request["path"]:
        out.append("the key is not where it belongs")
    for tool in body.get("tools", []):
        for f in tool["functionDeclarations"]:
            if not NAME.match(f["name"]) or set(f) - {"name", "description", "parametersJsonSchema"}:
                out.append(f"bad declaration {f}")
    contents = body["contents"]
    if contents[0]["role"] != "user":
        out.append("does not begin with the user")
    for i, c in enumerate(contents):
        calls = [p["functionCall"] for p in c["parts"] if "functionCall" in p]
        answers = [p["functionResponse"] for p in c["parts"] if "functionResponse" in p]
        if c["role"] not in ("user", "model") or not c["parts"] or any(not p for p in c["parts"]):
            out.append(f"bad content {c}")
        if any(p.get("text") == "" and "thoughtSignature" not in p for p in c["parts"]):
            out.append("an empty text")
        if answers and (len(answers) != len(c["parts"]) or i == 0 or contents[i - 1]["role"] != "model"):
            out.append("results that follow no call or stand beside something else")
        if calls:
            following = [p["functionResponse"] for p in contents[i + 1]["parts"] if "functionResponse" in p] if i + 1 < len(contents) else []
            if [(f["name"], f.get("id")) for f in calls] != [(f["name"], f.get("id")) for f in following]:
                out.append(f"calls {calls} have the results {following}")
            first = next(p for p in c["parts"] if "functionCall" in p)
            if signed and first.get("thoughtSignature") != SIGNATURE:
                out.append("the signature of the turn is missing or changed")
    return out


def fault(request, kind):
    """Why a strict server of the type `kind` refuses the request, or a value that is false."""
    return {"chatcompletion": chat, "azure_openai": azure, "claude": messages, "openai": responses.fault,
            "gemini": lambda r: "; ".join(gemini(r, signed=False))}[kind](request)


def seals(request, kind):
    """The sealed reasoning that a request brings back, in order, as it stands there."""
    if kind == "openai":
        return [i["encrypted_content"] for i in request["input"] if i.get("type") == "reasoning"]
    if kind == "gemini":
        return [p["thoughtSignature"] for c in request["contents"] for p in c["parts"] if "thoughtSignature" in p]
    if kind == "claude":
        blocks = [b for m in request["messages"] for b in m["content"] if isinstance(b, dict)]
        return [b["signature"] for b in blocks if b["type"] == "thinking"]
    return [d["data"] for m in request["messages"] for d in m.get("reasoning_details", [])]


def results(request, kind):
    """The results of tools in a request, in order, as text."""
    if kind == "openai":
        return [i["output"] for i in request["input"] if i.get("type") == "function_call_output"]
    if kind == "gemini":
        return [next(iter(p["functionResponse"]["response"].values())) for c in request["contents"] for p in c["parts"] if "functionResponse" in p]
    if kind == "claude":
        return [b["content"] for m in request["messages"] for b in m["content"] if isinstance(b, dict) and b["type"] == "tool_result"]
    return [m["content"] for m in request["messages"] if m["role"] == "tool"]


def azure_stream(text="", calls=(), details=None, tag=""):
    """Frames as a resource of Azure sends them, those of its content filter too."""
    def event(choices, **more):
        return b"data: " + json.dumps({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more},
                                      ensure_ascii=False).encode() + b"\n\n"

    def choice(finish=None, **delta):
        return [{"index": 0, "delta": delta, "finish_reason": finish, "content_filter_results": SAFE if delta else {}}]

    yield event([], prompt_filter_results=[{"prompt_index": 0, "content_filter_results": SAFE}])
    if details:
        yield event(choice(role="assistant", reasoning_details=details))
    yield event(choice(role="assistant", content=text or None))
    for i, (name, arguments) in enumerate(calls):
        whole = json.dumps(arguments, ensure_ascii=False)
        yield event(choice(tool_calls=[{"index": i, "id": f"call_{tag}{i}", "type": "function", "function": {"name": name, "arguments": whole[:5]}}]))
    for i, (name, arguments) in enumerate(calls):
        yield event(choice(tool_calls=[{"index": i, "function": {"arguments": json.dumps(arguments, ensure_ascii=False)[5:]}}]))
    yield event(choice("tool_calls" if calls else "stop"))
    yield event([{"index": 0, "finish_reason": None, "content_filter_results": SAFE, "content_filter_offsets": {"check_offset": 0, "start_offset": 0, "end_offset": 3}}])
    yield event([], usage={"prompt_tokens": 31, "completion_tokens": 7, "total_tokens": 38, "prompt_tokens_details": {"cached_tokens": 17}})
    yield b"data: [DONE]\n\n"


def messages_stream(text, calls, sealed, tag):
    out = []

    def block(kind, deltas, **start):
        index = sum(e["type"] == "content_block_start" for e in out)
        out.append({"type": "content_block_start", "index": index, "content_block": {"type": kind, **start}})
        out.extend({"type": "content_block_delta", "index": index, "delta": d} for d in deltas)
        out.append({"type": "content_block_stop", "index": index})

    out.append({"type": "message_start", "message": {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "usage": {"input_tokens": 9}}})
    if sealed:
        block("thinking", [{"type": "thinking_delta", "thinking": "Höm."}, {"type": "signature_delta", "signature": sealed}], thinking="", signature="")
        block("redacted_thinking", [], data="cmVkYWN0ZWQ=")
    if text:
        block("text", [{"type": "text_delta", "text": c} for c in (text[:3], text[3:])], text="")
    for i, (name, arguments) in enumerate(calls):
        whole = json.dumps(arguments, ensure_ascii=False)
        block("tool_use", [{"type": "input_json_delta", "partial_json": p} for p in ("", whole[:9], whole[9:])], id=f"toolu_{tag}{i}", name=name, input={})
    out += [{"type": "ping"}, {"type": "message_delta", "delta": {"stop_reason": "tool_use" if calls else "end_turn"}, "usage": {"output_tokens": 7}},
            {"type": "message_stop"}]
    return [f"event: {e['type']}\ndata: {json.dumps(e, ensure_ascii=False)}\n\n".encode() for e in out]


def gemini_stream(text, calls, sealed, tag):
    parts = [{"text": "Höm.", "thought": True}] if sealed else []
    parts += [{"text": text}] if text else []
    parts += [{"functionCall": {"id": f"{tag}{i}", "name": name, "args": arguments}} for i, (name, arguments) in enumerate(calls)]
    if sealed:
        next((p for p in parts if "functionCall" in p), parts[-1])["thoughtSignature"] = sealed
    ends = [{"finishReason": "STOP"} if p is parts[-1] else {} for p in parts]
    return [b"data: " + json.dumps({"candidates": [{"content": {"role": "model", "parts": [p]}, "index": 0, **end}],
                                    "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 7, "totalTokenCount": 16}},
                                   ensure_ascii=False).encode() + b"\r\n\r\n" for p, end in zip(parts, ends)]


def stream(kind, text="", calls=(), sealed=None, tag=""):
    """The events of a reply: reasoning with its seal, text, calls whose arguments come in pieces, where the dialect can by turns. `tag` sets the ids of
    one turn's calls apart from another's."""
    if kind == "openai":
        return responses.stream(text, calls, sealed, tag=tag)
    if kind == "claude":
        return messages_stream(text, calls, sealed, tag)
    if kind == "gemini":
        return gemini_stream(text, calls, sealed, tag)
    details = sealed and [{"type": "reasoning.encrypted", "data": sealed, "id": f"r{tag}", "format": "unknown", "index": 0}]
    frames = list(azure_stream(text, calls, details, tag))
    return frames if kind == "azure_openai" else frames[1:-3] + frames[-2:]  # without the frames of Azure's filter
