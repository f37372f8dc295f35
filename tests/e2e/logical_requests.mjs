// SPDX-License-Identifier: Apache-2.0
// The requests of tests/support/golden_requests.hpp as somebody would write them who has a vendor's SDK and never saw our bodies:
//   logical_requests.mjs chat | messages | responses    one JSON object: name -> what the SDK's create() is given
// What a vendor leaves to its user (stored or not, sealed thoughts, marks for the cache, names of the schema) is written as we want it.

const question = {user: "Wie viel ist 2 + 2? €"}, system = "Be brief.";
const image = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg==";
const notes = ["[image image/x, 3 bytes, not shown]", "[audio audio/wav, 3 bytes, not shown]", "[resource a: file:///a]", "inside"];
const content = {type: "object", properties: {content: {type: "string"}}, required: ["content"]};

const requests = {
  plain: {system, turns: [question]},
  tools: {system, turns: [question], temperature: 0.5, room: 256, choice: "auto",
          tools: [["new_answer", "Hand in.", content], ["odd", "", {type: "object", properties: {}}]]},
  tool_loop: {system, turns: [question, {says: "I look.", calls: [["c1", "f", {a: 1}], ["c:2", "g", {}]]},
                              {of: "c1", result: "one"}, {of: "c:2", result: "Error: bad arguments", failed: true}, {user: "Finish now."}]},
  decision: {turns: [{user: "Which?"}], schema: {type: "object", properties: {action: {enum: ["vote"]}}}},
  thinking: {system, turns: [question, {calls: [["call:0", "f", {z: 1, a: 2}]],
                                        thoughts: [{type: "thinking", thinking: "hm", signature: "c2ln"}, {type: "redacted_thinking", data: "eA=="}]},
                             {of: "call:0", result: "done"}]},
  tool_images: {system, turns: [question, {calls: [["c1", "f", {}], ["c2", "f", {}]]},
                                {of: "c1", texts: ["before", ...notes], image: ["image/png", image], note: "[image image/png, 70 bytes, not shown]"},
                                {of: "c2", texts: [], image: ["image/gif", "R0lGODlh"], note: "[image image/gif, 6 bytes, not shown]"}]},
};

// Ids that an API refuses have others on both sides.
const safe = {"c:2": "id_c_2_f6974319", "call:0": "id_call_0_95b5b199"};
const given = (object, key, value) => value === undefined ? object : {...object, [key]: value};
// The parts of a result: the image stands behind the first text.
const parts = (t, text, picture) => [...t.texts.slice(0, 1).map(text), picture(...t.image), ...t.texts.slice(1).map(text)];

function chat(r) {
  const messages = r.system ? [{role: "system", content: r.system}] : [];
  for (const t of r.turns)
    if (t.user) messages.push({role: "user", content: t.user});
    else if (t.of) messages.push({role: "tool", tool_call_id: t.of, content: t.result ?? [...t.texts.slice(0, 1), t.note, ...t.texts.slice(1)].join("\n")});
    else messages.push({role: "assistant", content: t.says ?? null, tool_calls: t.calls.map(([id, name, args]) =>
      ({id, type: "function", function: {name, arguments: JSON.stringify(args)}}))});
  let body = {model: "test-model", stream: true, stream_options: {include_usage: true}, messages};
  body = given(given(given(body, "temperature", r.temperature), "max_tokens", r.room), "tool_choice", r.choice);
  body = given(body, "tools", r.tools?.map(([name, description, parameters]) => ({type: "function", function: {name, description, parameters}})));
  return given(body, "response_format", r.schema && {type: "json_schema", json_schema: {name: "decision", strict: true, schema: r.schema}});
}

function responses(r) {
  const input = r.system ? [{role: "system", content: r.system}] : [], id = x => safe[x] ?? x;
  for (const t of r.turns)
    if (t.user) input.push({role: "user", content: t.user});
    else if (t.of) input.push({type: "function_call_output", call_id: id(t.of), output: t.result ?? parts(t, text => ({type: "input_text", text}),
      (type, data) => ({type: "input_image", image_url: `data:${type};base64,${data}`}))});
    else input.push(...t.says ? [{role: "assistant", content: t.says}] : [],
                    ...t.calls.map(([x, name, args]) => ({type: "function_call", call_id: id(x), name, arguments: JSON.stringify(args)})));
  let body = {model: "test-model", stream: true, store: false, include: ["reasoning.encrypted_content"], input};
  body = given(given(given(body, "temperature", r.temperature), "max_output_tokens", r.room), "tool_choice", r.choice);
  body = given(body, "tools", r.tools?.map(([name, description, parameters]) => ({type: "function", name, description, parameters, strict: false})));
  return given(body, "text", r.schema && {format: {type: "json_schema", name: "decision", strict: true, schema: r.schema}});
}

function messages(r) {
  const cache_control = {type: "ephemeral"}, list = [];
  const say = (role, ...blocks) => list.at(-1)?.role === role ? list.at(-1).content.push(...blocks) : list.push({role, content: blocks});
  const own = new Set(r.turns.filter(t => t.thoughts).flatMap(t => t.calls.map(c => c[0]))); // of a turn that goes back as it came
  const id = x => own.has(x) ? x : safe[x] ?? x, text = x => ({type: "text", text: x});
  for (const t of r.turns)
    if (t.user) say("user", text(t.user));
    else if (t.of) say("user", given({type: "tool_result", tool_use_id: id(t.of), content: t.result ?? parts(t, text,
      (media_type, data) => ({type: "image", source: {type: "base64", media_type, data}}))}, "is_error", t.failed));
    else say("assistant", ...t.thoughts ?? [], ...t.says ? [text(t.says)] : [],
             ...t.calls.map(([x, name, input]) => ({type: "tool_use", id: id(x), name, input})));
  // Of the keys of sampling this version of the API takes none.
  let body = {model: "test-model", stream: true, max_tokens: r.room ?? 4096, cache_control, messages: list};
  body = given(body, "system", r.system && [{...text(r.system), cache_control}]);
  body = given(body, "tool_choice", r.choice && {type: r.choice});
  body = given(body, "tools", r.tools?.map(([name, description, input_schema], i) =>
    given({name, description, input_schema}, "cache_control", i + 1 === r.tools.length ? cache_control : undefined)));
  return given(body, "output_config", r.schema && {format: {type: "json_schema", schema: r.schema}});
}

const write = {chat, messages, responses}[process.argv.at(-1)];
process.stdout.write(JSON.stringify(Object.fromEntries(Object.entries(requests).map(([name, r]) => [name, write(r)]))));
