// SPDX-License-Identifier: Apache-2.0
// The vendor's SDK of Chat Completions as a reader and a writer, for tests/e2e/test_sdk_chat.py.
//   sdk_chat.mjs <node_modules> read <file.sse>...    one JSON object: name -> {helper, raw}, each {text, refusal, calls, usage, finish} | {error}
//   sdk_chat.mjs <node_modules> send <base URL> <bodies.json>    sends [{kind: openai | azure | responses, body}, ...] in this order
import {readFileSync} from "node:fs";
import {createRequire} from "node:module";
import {readStreams} from "./sdk_reader.mjs";

const [modules, mode, ...rest] = process.argv.slice(2);
const {default: OpenAI, AzureOpenAI} = createRequire(modules + "/")("openai");
const options = {apiKey: "dummy", maxRetries: 0};

function counts(u) {
  const p = u?.prompt_tokens_details ?? {}, c = u?.completion_tokens_details ?? {};
  return u ? [u.prompt_tokens, p.cached_tokens ?? 0, u.completion_tokens, c.reasoning_tokens ?? 0, p.cache_write_tokens ?? 0, p.audio_tokens ?? 0,
              c.audio_tokens ?? 0, u.server_tool_use?.web_search_requests ?? 0] : null;
}

async function helper(client) {
  const stream = client.chat.completions.stream({model: "m", messages: [], stream_options: {include_usage: true}});
  const {choices: [choice], usage} = await stream.finalChatCompletion();
  const m = choice.message;
  return {text: m.content ?? "", refusal: m.refusal ?? "", finish: choice.finish_reason, usage: counts(usage),
          calls: (m.tool_calls ?? []).map(c => [c.id, c.function.name, c.function.arguments])};
}

async function raw(client) {
  const out = {text: "", refusal: "", finish: null, usage: null, calls: []};
  for await (const chunk of await client.chat.completions.create({model: "m", messages: [], stream: true})) {
    if (chunk.usage) out.usage = counts(chunk.usage);
    for (const choice of chunk.choices) {
      out.text += choice.delta?.content ?? "";
      out.refusal += choice.delta?.refusal ?? "";
      out.finish = choice.finish_reason ?? out.finish;
      for (const c of choice.delta?.tool_calls ?? []) {
        const call = out.calls[c.index] ??= ["", "", ""];
        call[0] += c.id ?? "";
        call[1] += c.function?.name ?? "";
        call[2] += c.function?.arguments ?? "";
      }
    }
  }
  return out;
}

if (mode === "read") {
  await readStreams(rest, url => {
    const openai = new OpenAI({...options, baseURL: url + "/v1"}), azure = new AzureOpenAI({...options, endpoint: url, apiVersion: "2024-10-21"});
    const client = name => name.startsWith("azure") ? azure : openai;
    return {helper: name => helper(client(name)), raw: name => raw(client(name))};
  });
} else {
  const [url, file] = rest;
  const openai = new OpenAI({...options, baseURL: url + "/v1"});
  for (const {kind, body, version} of JSON.parse(readFileSync(file))) {
    const client = kind === "azure" ? new AzureOpenAI({...options, endpoint: url, apiVersion: version}) : openai;
    for await (const e of await (kind === "responses" ? client.responses : client.chat.completions).create(body)) void e;
  }
}
