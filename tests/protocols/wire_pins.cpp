// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.wire_pins

// The bytes of each message between nodes, pinned. Every member gets a value of its own in the order of its declaration, so that
// two that change places in inspect() change the bytes, too. Whoever means to change one raises `protocol_max` and these lines.

#include "caf/test/unit_test.hpp"
#include "protocols/interfaces.hpp"
#include "protocols/wire/json.hpp"
#include "support/in_order.hpp"

#include <caf/binary_serializer.hpp>

#include <map>
#include <string>
#include <type_traits>
#include <vector>

using namespace conclave;

namespace {

template <class T>
struct is_vector : std::false_type {};
template <class T>
struct is_vector<std::vector<T>> : std::true_type {};
template <class T>
struct is_map : std::false_type {};
template <class K, class V>
struct is_map<std::map<K, V>> : std::true_type {};
template <class T>
struct is_pair : std::false_type {};
template <class A, class B>
struct is_pair<std::pair<A, B>> : std::true_type {};

class filler {
public:
  template <class T>
  void fill(T& x) {
    if constexpr (std::is_same_v<T, std::string>)
      x = "text " + std::to_string(++count_);
    else if constexpr (std::is_same_v<T, bool>)
      x = ++count_ % 2 == 0; // the flags of a struct are not all equal
    else if constexpr (std::is_enum_v<T>)
      x = static_cast<T>(1);
    else if constexpr (std::is_integral_v<T>)
      x = static_cast<T>(++count_);
    else if constexpr (is_vector<T>::value) {
      x.resize(1);
      fill(x.front());
    } else if constexpr (is_map<T>::value) {
      x["key " + std::to_string(++count_)] = "value";
    } else if constexpr (is_pair<T>::value) {
      fill(x.first);
      fill(x.second);
    } else {
      test::in_order(x, [this](auto&... members) { (fill(members), ...); });
    }
  }

private:
  int count_ = 0;
};

template <class T>
std::string bytes_of() {
  T x;
  filler{}.fill(x);
  std::vector<char> out;
  caf::binary_serializer to{nullptr, out};
  auto error = to(x);
  CAF_CHECK(!error);
  return wire::hash(std::string_view(out.data(), out.size())) + " " + std::to_string(out.size());
}

#define PIN(type, bytes) CAF_CHECK_EQUAL(std::string(#type " ") + bytes_of<type>(), std::string(#type " ") + (bytes))

} // namespace

CAF_TEST(the bytes of each message between nodes are these) {
  PIN(tool_spec, "PIN_tool_spec");
  PIN(tool_call, "PIN_tool_call");
  PIN(message, "PIN_message");
  PIN(usage, "PIN_usage");
  PIN(model_request, "PIN_model_request");
  PIN(chunk, "PIN_chunk");
  PIN(chunk_batch, "PIN_chunk_batch");
  PIN(completion, "PIN_completion");
  PIN(event, "PIN_event");
  PIN(run_ref, "PIN_run_ref");
  PIN(verdict, "PIN_verdict");
  PIN(ruling, "PIN_ruling");
  PIN(tool_trouble, "PIN_tool_trouble");
  PIN(body, "PIN_body");
  PIN(call_end, "PIN_call_end");
  PIN(call_begin, "PIN_call_begin");
  PIN(run_report, "PIN_run_report");
  PIN(body_part, "PIN_body_part");
  PIN(body_ack, "PIN_body_ack");
  PIN(known_end, "PIN_known_end");
  PIN(stored_run, "PIN_stored_run");
  PIN(turn_text, "PIN_turn_text");
  PIN(shown_answer, "PIN_shown_answer");
  PIN(start_run, "PIN_start_run");
  PIN(publish_answer, "PIN_publish_answer");
  PIN(cancel_run, "PIN_cancel_run");
  PIN(end_task, "PIN_end_task");
  PIN(task_closed, "PIN_task_closed");
  PIN(agent_lost, "PIN_agent_lost");
  PIN(question, "PIN_question");
  PIN(agent_summary, "PIN_agent_summary");
  PIN(outcome, "PIN_outcome");
  PIN(script_step, "PIN_script_step");
  PIN(mcp_server_config, "PIN_mcp_server_config");
  PIN(backend_config, "PIN_backend_config");
  PIN(agent_config, "PIN_agent_config");
  PIN(hello, "PIN_hello");
  PIN(spawn_agent, "PIN_spawn_agent");
  PIN(agent_ready, "PIN_agent_ready");
  PIN(cancel_call, "PIN_cancel_call");
  PIN(cancel_done, "PIN_cancel_done");
  PIN(describe_backend, "PIN_describe_backend");
  PIN(backend_info, "PIN_backend_info");
  PIN(ladder_note, "PIN_ladder_note");
  PIN(list_tools, "PIN_list_tools");
  PIN(tool_list, "PIN_tool_list");
  PIN(tool_invocation, "PIN_tool_invocation");
  PIN(cancel_tools, "PIN_cancel_tools");
  PIN(chunk_delivery, "PIN_chunk_delivery");
  PIN(chunk_ack, "PIN_chunk_ack");
  PIN(append_events, "PIN_append_events");
  PIN(appended, "PIN_appended");
  PIN(cancel_task, "PIN_cancel_task");
  PIN(get_ready, "PIN_get_ready");
  PIN(tool_result, "PIN_tool_result");
  PIN(content_part, "PIN_content_part");
  PIN(tool_annotations, "PIN_tool_annotations");
  PIN(listed_tool, "PIN_listed_tool");
}
