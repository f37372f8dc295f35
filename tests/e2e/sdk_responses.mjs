// SPDX-License-Identifier: Apache-2.0
// Reads replies of the Responses API with the vendor's SDK. `node sdk_responses.mjs <node_modules> <file.sse>...` prints one JSON object:
// name -> {helper: {text, thoughts, calls, usage, ...} | {error}, raw: {text, calls, last, events} | {error}}.
import {createRequire} from "node:module";
import {readStreams} from "./sdk_reader.mjs";

const [modules, ...files] = process.argv.slice(2);
const OpenAI = createRequire(modules + "/")("openai");
const request = {model: "m", input: "q"};

function read(response) {
  const out = {text: response.output_text ?? "", refusal: "", thoughts: "", calls: [], sealed: [], usage: null, status: response.status,
               finish: response.incomplete_details?.reason ?? response.status};
  for (const item of response.output ?? []) {
    if (item.type === "function_call") out.calls.push([item.call_id, item.name, item.arguments]);
    if (item.type === "reasoning") out.thoughts += [...item.summary ?? [], ...item.content ?? []].map(p => p.text).join("\n\n");
    if (item.encrypted_content) out.sealed.push(item.encrypted_content);
    if (item.type === "custom_tool_call") out.calls.push([item.call_id, item.name, item.input]);
    for (const part of item.type === "message" ? item.content : []) {
      if (part.type === "refusal") out.refusal += part.refusal;
      if (part.type === "output_text" && response.output_text === undefined) out.text += part.text; // of a raw event
    }
  }
  const u = response.usage;
  const hosted = (response.output ?? []).filter(i => /_call$/.test(i.type) && !i.call_id).map(i => i.type); // the API counts searches alone
  const searches = hosted.filter(t => t === "web_search_call").length, billed = response.tool_usage?.web_search?.num_requests ?? 0;
  if (u) out.usage = [u.input_tokens, u.input_tokens_details.cached_tokens, u.output_tokens, u.output_tokens_details.reasoning_tokens,
                      u.input_tokens_details.cache_write_tokens ?? 0, 0, 0, Math.max(searches, billed) + hosted.length - searches];
  return out;
}

async function helper(client) {
  const stream = client.responses.stream(request);
  const texts = {}, args = {};
  stream.on("response.output_text.delta", e => { texts[e.output_index] = e.snapshot; });
  stream.on("response.function_call_arguments.delta", e => { args[e.output_index] = e.snapshot; });
  const response = await stream.finalResponse();
  return {...read(response), streamed: Object.values(texts).join(""), arguments: args};
}

async function raw(client) {
  let events = 0, last = null, text = "";
  for await (const e of await client.responses.create({...request, stream: true})) {
    ++events;
    last = e.type;
    if (e.type === "response.output_text.delta") text += e.delta;
    if (["response.completed", "response.incomplete", "response.failed"].includes(e.type)) var final = read(e.response);
  }
  return {events, last, streamed: text, ...(final ?? {})};
}

await readStreams(files, url => {
  const client = new OpenAI({apiKey: "dummy", baseURL: url + "/v1", maxRetries: 0});
  return {helper: () => helper(client), raw: () => raw(client)};
});
