// SPDX-License-Identifier: Apache-2.0
// The vendor's SDK of the Messages API as a reader and a writer, for tests/e2e/test_sdk_anthropic.py.
//   sdk_anthropic.mjs <node_modules> read <file.sse>...    one JSON object: name -> {helper, raw}, each {text, ...} | {error}; `helper` is the beta one
//   sdk_anthropic.mjs <node_modules> send <base URL> <bodies.json>    sends [{body, betas}, ...] in this order
import {readFileSync} from "node:fs";
import {createRequire} from "node:module";
import {readStreams} from "./sdk_reader.mjs";

const [modules, mode, ...rest] = process.argv.slice(2);
const {default: Anthropic} = createRequire(modules + "/")("@anthropic-ai/sdk");
const options = {apiKey: "dummy", maxRetries: 0};
const request = {model: "m", max_tokens: 9, messages: [{role: "user", content: "q"}]};

function counts(u) {
  if (!u) return null;
  const hosted = u.server_tool_use ?? {};
  const read = u.cache_read_input_tokens ?? 0, written = u.cache_creation_input_tokens ?? 0;
  return [u.input_tokens + read + written, read, u.output_tokens, u.output_tokens_details?.thinking_tokens ?? 0, written, 0, 0,
          (hosted.web_search_requests ?? 0) + (hosted.web_fetch_requests ?? 0)];
}

async function helper(client) {
  const m = await client.beta.messages.stream(request).finalMessage();
  return {text: m.content.filter(b => b.type === "text").map(b => b.text).join(""),
          thinking: m.content.filter(b => b.type === "thinking").map(b => b.thinking).join(""), blocks: m.content, finish: m.stop_reason,
          explanation: m.stop_details?.explanation ?? null, usage: counts(m.usage),
          calls: m.content.filter(b => b.type === "tool_use").map(b => [b.id, b.name, b.input])};
}

async function raw(client) {
  const out = {text: "", thinking: "", finish: null, usage: null, calls: [], ended: false};
  const blocks = {};
  let usage = null;
  for await (const e of await client.messages.create({...request, stream: true})) {
    if (e.type === "message_start") usage = {...e.message.usage};
    if (e.type === "content_block_start") {
      blocks[e.index] = {...e.content_block, json: ""};
      if (e.content_block.type === "text") out.text += e.content_block.text;
      if (e.content_block.type === "tool_use") out.calls.push(blocks[e.index]);
    }
    if (e.type === "content_block_delta") {
      if (e.delta.type === "text_delta") out.text += e.delta.text;
      if (e.delta.type === "thinking_delta") out.thinking += e.delta.thinking;
      if (e.delta.type === "input_json_delta") blocks[e.index].json += e.delta.partial_json;
    }
    if (e.type === "message_delta") {
      out.finish = e.delta.stop_reason;
      usage = {...usage, ...Object.fromEntries(Object.entries(e.usage).filter(([, v]) => v !== null))};
    }
    if (e.type === "message_stop") out.ended = true;
  }
  if (!out.ended) throw new Error("no message_stop came");
  out.calls = out.calls.map(b => [b.id, b.name, b.json === "" ? b.input : JSON.parse(b.json)]);
  return {...out, usage: counts(usage)};
}

if (mode === "read") {
  await readStreams(rest, url => {
    const client = new Anthropic({...options, baseURL: url});
    return {helper: () => helper(client), raw: () => raw(client)};
  });
} else {
  const [url, file] = rest;
  const client = new Anthropic({...options, baseURL: url});
  for (const {body, betas} of JSON.parse(readFileSync(file))) {
    const messages = betas ? client.beta.messages : client.messages;
    for await (const e of await messages.create(betas ? {...body, betas} : body)) void e;
  }
}
