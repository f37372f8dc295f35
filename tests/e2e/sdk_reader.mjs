// SPDX-License-Identifier: Apache-2.0
// What the vendors' SDKs make of recorded event streams, for tests/e2e/sdk_*.mjs.
import {createServer} from "node:http";
import {readFileSync} from "node:fs";
import {basename} from "node:path";

// Serves each <name>.reply.sse to every reader and prints one JSON object: name -> reader -> what it returned | {error}.
// `connect(url)` returns the readers, by name: async functions that are given the name of the file.
export async function readStreams(files, connect) {
  let body = Buffer.alloc(0);
  const server = createServer((q, r) => q.resume().on("end", () => {
    r.writeHead(200, {"content-type": "text/event-stream"});
    r.end(body);
  }));
  await new Promise(done => server.listen(0, "127.0.0.1", done));
  const readers = connect(`http://127.0.0.1:${server.address().port}`);
  const out = {};
  for (const file of files) {
    body = readFileSync(file);
    const name = basename(file, ".reply.sse"), seen = out[name] = {};
    for (const [how, read] of Object.entries(readers))
      try {
        seen[how] = await read(name);
      } catch (e) {
        seen[how] = {error: String(e?.message ?? e)};
      }
  }
  process.stdout.write(JSON.stringify(out));
  server.close();
  server.closeAllConnections();
}
