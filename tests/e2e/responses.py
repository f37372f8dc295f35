# SPDX-License-Identifier: Apache-2.0
"""The wire form of the Responses API for provider.py, and what a strict server of it refuses. Source: types ResponseCreateParams and
ResponseInputItem of npm `openai` 7.57.0, and errors of the API as public issue trackers quote them; read 2026-11-26."""

import json

KEYS = {"background", "context_management", "conversation", "include", "input", "instructions", "max_output_tokens", "max_tool_calls", "metadata",
        "model", "moderation", "parallel_tool_calls", "previous_response_id", "prompt", "prompt_cache_key", "prompt_cache_options",
        "prompt_cache_retention", "reasoning", "safety_identifier", "service_tier", "store", "stream", "stream_options", "temperature", "text",
        "tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user"}
ITEM_KEYS = {"message": {"type", "id", "role", "status", "content", "phase"},
             "reasoning": {"type", "id", "summary", "content", "encrypted_content"},
             "function_call": {"type", "id", "call_id", "name", "arguments", "caller", "namespace", "async"},
             "function_call_output": {"type", "call_id", "output", "caller"}}


def usage(input_tokens=1, output_tokens=1, cached=0, reasoning=0):
    return {"input_tokens": input_tokens, "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0}, "output_tokens": output_tokens,
            "output_tokens_details": {"reasoning_tokens": reasoning}, "total_tokens": input_tokens + output_tokens}


def events(text, calls, sealed=None, use=None, tag=""):
    """`sealed`: the encrypted content of a thought in front; `tag` tells the ids of one turn from those of another."""
    tag = tag or (sealed[:8] if sealed else "x")
    output, out = [], []

    def say(kind, **more):
        out.append({"type": "response." + kind, "sequence_number": len(out), **more})

    def response(status, items, use=None):
        return {"id": "resp_1", "object": "response", "status": status, "output": items, "error": None, "incomplete_details": None, "usage": use,
                "store": False}

    say("created", response=response("in_progress", []))
    if sealed:
        item = {"type": "reasoning", "id": f"rs_{tag}", "summary": [], "encrypted_content": sealed}
        say("output_item.added", output_index=0, item={**item, "encrypted_content": None})
        say("output_item.done", output_index=0, item=item)
        output.append(item)
    if text:
        place, part = len(output), {"type": "output_text", "text": text, "annotations": []}
        item = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]}
        at = {"item_id": "msg_1", "output_index": place, "content_index": 0}
        say("output_item.added", output_index=place, item={**item, "status": "in_progress", "content": []})
        say("content_part.added", part={**part, "text": ""}, **at)
        say("output_text.delta", delta=text, **at)
        say("output_text.done", text=text, **at)
        say("content_part.done", part=part, **at)
        say("output_item.done", output_index=place, item=item)
        output.append(item)
    for i, (name, arguments) in enumerate(calls):
        place, text = len(output), json.dumps(arguments, ensure_ascii=False)
        item = {"type": "function_call", "id": f"fc_{tag}_{i}", "call_id": f"call_{tag}_{i}", "name": name, "arguments": text, "status": "completed"}
        say("output_item.added", output_index=place, item={**item, "arguments": "", "status": "in_progress"})
        for piece in (text[:7], text[7:]):
            say("function_call_arguments.delta", item_id=item["id"], output_index=place, delta=piece)
        say("function_call_arguments.done", item_id=item["id"], output_index=place, name=name, arguments=text)
        say("output_item.done", output_index=place, item=item)
        output.append(item)
    say("completed", response=response("completed", output, use or usage()))
    return out


def stream(text, calls, sealed=None, use=None, tag=""):
    return [f"event: {e['type']}\ndata: {json.dumps(e, ensure_ascii=False)}\n\n".encode() for e in events(text, calls, sealed, use, tag)]


def fault(body, extra=()):
    """Returns why a strict server refuses the request, or None."""
    odd = set(body) - KEYS - set(extra) - {"path", "headers", "at"}
    if odd:
        return f"Unknown parameter: '{sorted(odd)[0]}'."
    if not isinstance(body.get("model"), str) or body.get("stream") is not True or not body.get("input"):
        return "Missing required parameter: 'model', 'stream' or 'input'."
    for n, t in enumerate(body.get("tools", [])):
        if set(t) != {"type", "name", "description", "parameters", "strict"} or t["type"] != "function" or not isinstance(t["strict"], bool):
            return f"Invalid value: 'tools[{n}]'."
        if t["parameters"].get("type") != "object" or "properties" not in t["parameters"]:
            return f"Invalid schema for function '{t['name']}'."
    asked, answered, items = {}, set(), body["input"]
    for n, item in enumerate(items):
        kind = item.get("type", "message")
        if kind not in ITEM_KEYS:
            return f"Invalid value: 'input[{n}].type'."
        if set(item) - ITEM_KEYS[kind] or None in item.values():
            return f"Unknown parameter: 'input[{n}]': {sorted(item)}."
        if kind == "message" and item.get("role") not in ("user", "assistant", "system", "developer"):
            return f"Invalid value: 'input[{n}].role'."
        if kind == "message" and isinstance(item["content"], list):
            for part in item["content"]:
                if part["type"] != ("output_text" if item["role"] == "assistant" else "input_text"):
                    return f"Invalid value: 'input[{n}].content': {part['type']}."
        if kind == "reasoning":
            if not item.get("encrypted_content") and body.get("store") is False:
                return f"Item with id '{item['id']}' not found. Items are not persisted when `store` is set to false."
            after = items[n + 1] if n + 1 < len(items) else {}
            if after.get("type") not in ("function_call", "message", "reasoning"):
                return f"Item '{item['id']}' of type 'reasoning' was provided without its required following item."
        if kind == "function_call":
            if len(item["call_id"]) > 64 or item["call_id"] in asked:
                return f"Invalid 'input[{n}].call_id'."
            if not isinstance(item["arguments"], str) or not isinstance(json.loads(item["arguments"]), dict):
                return f"Invalid 'input[{n}].arguments'."
            asked[item["call_id"]] = n
        if kind == "function_call_output":
            if item["call_id"] not in asked or item["call_id"] in answered:
                return f"No tool call found for function call output with call_id {item['call_id']}."
            answered.add(item["call_id"])
    for call in asked:
        if call not in answered:
            return f"No tool output found for function call {call}."
    return None
