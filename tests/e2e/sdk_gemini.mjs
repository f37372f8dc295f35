// SPDX-License-Identifier: Apache-2.0
// Google's own SDK as a reader and writer, for tests/e2e/test_sdk_gemini.py: sdk_gemini.mjs <node_modules> <base URL> <case>...
// One JSON line a case: what the SDK made of the stream that the server plays for the model of that name. `continue:` and `send:` before a name,
// and `bodies:FILE`, [{model, body}, ...] in this order: requests alone.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, baseUrl, ...cases] = process.argv.slice(2);
const { GoogleGenAI } = await import(pathToFileURL(path.join(modules, '@google/genai/dist/node/index.mjs')));
const ai = new GoogleGenAI({ apiKey: 'dummy', httpOptions: { baseUrl, apiVersion: 'v1beta' } });

const image = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg==';
const user = (text) => ({ role: 'user', parts: [{ text }] });
const call = (id, name, args) => ({ functionCall: { id, name, args } });
const result = (id, name, response) => ({ functionResponse: { id, name, response } });
const unsigned = { thoughtSignature: 'skip_thought_signature_validator' };
const question = user('Wie viel ist 2 + 2? €');
const brief = { systemInstruction: { role: 'user', parts: [{ text: 'Be brief.' }] } };

// The same as the cases of tests/protocols/dialect_requests.cpp.
const requests = {
  plain: { contents: [question], config: brief },
  tools: {
    contents: [question],
    config: {
      ...brief, temperature: 0.5, maxOutputTokens: 256, toolConfig: { functionCallingConfig: { mode: 'AUTO' } },
      tools: [{ functionDeclarations: [
        { name: 'new_answer', description: 'Hand in.',
          parametersJsonSchema: { type: 'object', properties: { content: { type: 'string' } }, required: ['content'] } },
        { name: 'odd', parametersJsonSchema: { type: 'object', properties: {} } }] }],
    },
  },
  tool_loop: {
    contents: [question, { role: 'model', parts: [{ text: 'I look.' }, { ...call('c1', 'f', { a: 1 }), ...unsigned }, call('c:2', 'g', {})] },
      { role: 'user', parts: [result('c1', 'f', { result: 'one' }), result('c:2', 'g', { error: 'Error: bad arguments' })] }, user('Finish now.')],
    config: brief,
  },
  decision: {
    contents: [user('Which?')],
    config: { responseMimeType: 'application/json', responseJsonSchema: { type: 'object', properties: { action: { enum: ['vote'] } } } },
  },
  tool_images: {
    contents: [question, { role: 'model', parts: [{ ...call('c1', 'f', {}), ...unsigned }, call('c2', 'f', {})] },
      { role: 'user', parts: [
        { functionResponse: { id: 'c1', name: 'f', parts: [{ inlineData: { mimeType: 'image/png', data: image } }], response: { result:
          'before\n[image image/x, 3 bytes, not shown]\n[audio audio/wav, 3 bytes, not shown]\n[resource a: file:///a]\ninside' } } },
        result('c2', 'f', { result: '[image image/gif, 6 bytes, not shown]' })] }],
    config: brief,
  },
};

async function read(model) {
  const out = { model, text: '', thoughts: '', calls: [], signatures: [], usage: null, finish: null };
  try {
    for await (const c of await ai.models.generateContentStream({ model, contents: 'q', config: { automaticContinuation: false } })) {
      const parts = c.candidates?.[0]?.content?.parts ?? [];
      if (parts.some((p) => typeof p.text === 'string' && !p.thought)) out.text += c.text ?? '';
      for (const p of parts) {
        if (p.thought && p.text) out.thoughts += p.text;
        if (p.thoughtSignature) out.signatures.push(p.thoughtSignature);
      }
      for (const f of c.functionCalls ?? []) out.calls.push([f.id ?? null, f.name ?? null, f.args ?? {}]);
      out.usage = c.usageMetadata ?? out.usage;
      out.finish = c.candidates?.[0]?.finishReason ?? c.promptFeedback?.blockReason ?? out.finish;
    }
  } catch (e) {
    out.error = String(e.message ?? e);
  }
  return out;
}

console.warn = () => {}; // it warns of parts that are no text
for (const name of cases) {
  if (name.startsWith('continue:')) {
    for await (const c of await ai.models.generateContentStream({ model: name.slice(9), contents: 'q' })) void c;
  } else if (name.startsWith('bodies:')) {
    for (const { model, body: { contents, generationConfig, ...rest } } of JSON.parse(readFileSync(name.slice(7))))
      for await (const c of await ai.models.generateContentStream({ model, contents, config: { ...generationConfig, ...rest } })) void c;
  } else if (name.startsWith('send:')) {
    const { contents, config } = requests[name.slice(5)];
    for await (const c of await ai.models.generateContentStream({ model: name.slice(5), contents, config })) void c;
  } else {
    console.log(JSON.stringify(await read(name)));
  }
}
