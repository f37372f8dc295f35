// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What another process may send: the first byte picks one of our structs, the rest is its wire form. Any bytes give an error or a
// value that is in range and survives the way back. Structs with actor handles are left out: CAF itself ends the process on random
// handles (a port is guarded by mutual TLS for that reason).

#include "protocols/inspect.hpp"

#include "fuzz/fuzz.hpp"

#include <caf/binary_deserializer.hpp>
#include <caf/binary_serializer.hpp>

using namespace conclave;

namespace {

using buffer = std::vector<char>;

template <class T>
bool load(const buffer& bytes, T& x) {
  caf::binary_deserializer source(nullptr, bytes);
  return !source(x);
}

template <class T>
buffer save(T& x) {
  buffer out;
  caf::binary_serializer sink(nullptr, out);
  FUZZ_REQUIRE(!sink(x));
  return out;
}

template <class T>
void check(const buffer& bytes) {
  T x;
  if (!load(bytes, x))
    return;
  T back;
  FUZZ_REQUIRE(load(save(x), back));
  FUZZ_REQUIRE(back == x);
}

template <class... Ts>
void pick(unsigned which, const buffer& bytes) {
  using function = void (*)(const buffer&);
  constexpr function table[] = {check<Ts>...};
  table[which % sizeof...(Ts)](bytes);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0)
    return 0;
  buffer bytes(data + 1, data + size);
  pick<tool_spec, tool_call, tool_result, message, usage, model_request, chunk, chunk_batch, completion, event, verdict, ruling,
       run_ref, body, call_end, call_begin, run_report, body_part, body_ack, known_end, stored_run, tool_trouble, turn_text,
       shown_answer, start_run, publish_answer, publish_file, attachment, cancel_run, end_task, task_closed, agent_lost, question,
       agent_summary, outcome, script_step, mcp_server_config, backend_config, agent_config, hello, spawn_agent, agent_ready,
       cancel_call, cancel_done, describe_backend, backend_info, ladder_note, list_tools, tool_list, tool_invocation, cancel_tools,
       chunk_delivery, chunk_ack, append_events, appended, cancel_task, get_ready>(data[0], bytes);
  return 0;
}
