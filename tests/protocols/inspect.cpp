// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What crosses nodes: every message comes back as it was sent, cut bytes are an error, enums out of range are refused.

#define CAF_SUITE protocols.inspect

#include "protocols/inspect.hpp"

#include "caf/test/unit_test.hpp"

#include <caf/binary_deserializer.hpp>
#include <caf/binary_serializer.hpp>

#include <limits>

using namespace conclave;

namespace {

using buffer = std::vector<char>;

template <class T>
buffer save(T& x) {
  buffer out;
  caf::binary_serializer sink(nullptr, out);
  CAF_CHECK(!sink(x));
  return out;
}

template <class T>
bool load(const buffer& bytes, T& x) {
  caf::binary_deserializer source(nullptr, bytes);
  return !source(x);
}

/// Converts to anything: to count the members of an aggregate.
struct any {
  template <class T>
  operator T() const;
};

template <class T, std::size_t... I>
constexpr bool has_members(std::index_sequence<I...>) {
  return requires {
    T{(static_cast<void>(I), any{})...};
  };
}

template <class T, std::size_t N = 64>
constexpr std::size_t members() {
  if constexpr (has_members<T>(std::make_index_sequence<N>{}))
    return N;
  else
    return members<T, N - 1>();
}

/// Counts what inspect names.
struct counter {
  using result_type = caf::error;
  static constexpr bool reads_state = true;
  static constexpr bool writes_state = false;
  std::size_t fields = 0;

  template <class... Ts>
  result_type operator()(const Ts&...) {
    fields += (std::size_t{!caf::meta::is_annotation<Ts>::value} + ... + 0);
    return caf::none;
  }
};

/// Fills every field it is shown with a value of its own, so that a swapped or repeated one is seen.
class filler {
public:
  using result_type = caf::error;
  static constexpr bool reads_state = false;
  static constexpr bool writes_state = true;

  template <class... Ts>
  result_type operator()(Ts&&... xs) {
    (fill(xs), ...);
    return caf::none;
  }

  int count() const { return count_; }

private:
  template <class T>
  void fill(T& x) {
    if constexpr (caf::meta::is_annotation<T>::value)
      return;
    else if constexpr (std::is_same_v<T, std::string>)
      x = "text " + std::to_string(++count_) + std::string("\0\xFF\n", 3);
    else if constexpr (std::is_same_v<T, bool>)
      x = !x, ++count_;
    else if constexpr (std::is_enum_v<T>)
      x = static_cast<T>(1), ++count_;
    else if constexpr (std::is_same_v<T, std::uint8_t>)
      x = static_cast<std::uint8_t>(++count_);
    else if constexpr (std::is_integral_v<T>)
      x = std::numeric_limits<T>::max() - static_cast<T>(++count_);
    else if constexpr (std::is_same_v<T, std::map<std::string, std::string>>)
      x = {{"a", std::to_string(++count_)}, {"b", ""}};
    else if constexpr (std::is_same_v<T, std::vector<std::pair<std::string, std::string>>>)
      x = {{"a", std::to_string(++count_)}, {"b", ""}};
    else if constexpr (std::is_same_v<T, std::vector<std::string>>)
      x = {"", std::to_string(++count_)};
    else if constexpr (std::is_same_v<T, std::vector<std::int64_t>>)
      x = {0, ++count_};
    else if constexpr (is_vector<T>::value) {
      x.resize(2);
      for (auto& y : x)
        inspect(*this, y);
    } else
      inspect(*this, x);
  }

  template <class T>
  struct is_vector : std::false_type {};
  template <class T>
  struct is_vector<std::vector<T>> : std::true_type {};

  int count_ = 0;
};

template <class T>
void check(const char* name) {
  CAF_MESSAGE(name);
  T empty, back;
  CAF_CHECK(load(save(empty), back) && back == empty);
  T full;
  filler f;
  inspect(f, full);
  CAF_CHECK(f.count() > 0);
  counter c;
  inspect(c, full);
  CAF_CHECK_EQUAL(c.fields, members<T>()); // none was forgotten
  CAF_CHECK(!(full == empty));
  auto bytes = save(full);
  CAF_CHECK(load(bytes, back) && back == full);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    T cut;
    if (load(buffer(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n)), cut))
      CAF_FAIL(name << " is read from " << n << " of " << bytes.size() << " bytes");
  }
}

#define CHECK_TYPE(type) check<type>(#type)

/// Sets an enum field to the last value, which is read, and to one beyond, which is not.
template <class T, class E>
void check_range(E T::*field, E last) {
  T x, back;
  x.*field = last;
  CAF_CHECK(load(save(x), back) && back.*field == last);
  for (auto beyond : {static_cast<int>(last) + 1, 255}) {
    x.*field = static_cast<E>(beyond);
    auto bytes = save(x);
    CAF_CHECK(!load(bytes, back));
  }
}

} // namespace

CAF_TEST(messages about model calls come back as they were sent) {
  CHECK_TYPE(tool_spec);
  CHECK_TYPE(tool_call);
  CHECK_TYPE(tool_annotations);
  CHECK_TYPE(content_part);
  CHECK_TYPE(tool_result);
  CHECK_TYPE(message);
  CHECK_TYPE(usage);
  CHECK_TYPE(model_request);
  CHECK_TYPE(chunk);
  CHECK_TYPE(chunk_batch);
  CHECK_TYPE(completion);
}

CAF_TEST(messages about a task come back as they were sent) {
  CHECK_TYPE(event);
  CHECK_TYPE(verdict);
  CHECK_TYPE(ruling);
  CHECK_TYPE(run_ref);
  CHECK_TYPE(body);
  CHECK_TYPE(call_end);
  CHECK_TYPE(call_begin);
  CHECK_TYPE(run_report);
  CHECK_TYPE(body_part);
  CHECK_TYPE(body_ack);
  CHECK_TYPE(known_end);
  CHECK_TYPE(stored_run);
  CHECK_TYPE(turn_text);
  CHECK_TYPE(shown_answer);
  CHECK_TYPE(start_run);
  CHECK_TYPE(publish_answer);
  CHECK_TYPE(publish_file);
  CHECK_TYPE(attachment);
  CHECK_TYPE(cancel_run);
  CHECK_TYPE(end_task);
  CHECK_TYPE(task_closed);
  CHECK_TYPE(agent_lost);
  CHECK_TYPE(question);
  CHECK_TYPE(agent_summary);
  CHECK_TYPE(outcome);
}

CAF_TEST(configurations and greetings come back as they were sent) {
  CHECK_TYPE(script_step);
  CHECK_TYPE(mcp_server_config);
  CHECK_TYPE(tool_trouble);
  CHECK_TYPE(backend_config);
  CHECK_TYPE(budget);
  CHECK_TYPE(agent_config);
  CHECK_TYPE(hello);
  CHECK_TYPE(spawn_agent);
  CHECK_TYPE(agent_ready);
}

CAF_TEST(requests between actors come back as they were sent) {
  CHECK_TYPE(cancel_call);
  CHECK_TYPE(cancel_done);
  CHECK_TYPE(describe_backend);
  CHECK_TYPE(backend_info);
  CHECK_TYPE(ladder_note);
  CHECK_TYPE(list_tools);
  CHECK_TYPE(listed_tool);
  CHECK_TYPE(tool_list);
  CHECK_TYPE(tool_invocation);
  CHECK_TYPE(cancel_tools);
  CHECK_TYPE(chunk_delivery);
  CHECK_TYPE(chunk_ack);
  CHECK_TYPE(append_events);
  CHECK_TYPE(appended);
  CHECK_TYPE(cancel_task);
  CHECK_TYPE(get_ready);
}

CAF_TEST(enums out of range are refused wherever they are) {
  check_range(&message::from, role::tool);
  check_range(&chunk::kind, chunk_kind::status);
  check_range(&completion::status, completion_status::paused);
  check_range(&content_part::kind, content_kind::json);
  check_range(&completion::code, ec::unknown);
  check_range(&event::type, static_cast<event_type>(event_type_count - 1));
  check_range(&event::code, ec::unknown);
  check_range(&ruling::code, ec::unknown);
  check_range(&budget::on_exceed, exceed_policy::terminate);
  check_range(&budget::on_unknown_cost, unknown_cost_policy::allow);
  check_range(&verdict::kind, verdict_kind::presented);
  check_range(&verdict::code, ec::unknown);
  check_range(&ruling::kind, ruling_kind::superseded);
  check_range(&start_run::kind, run_kind::present);
  check_range(&agent_lost::code, ec::unknown);
  check_range(&outcome::kind, outcome_kind::interrupted);
  check_range(&outcome::code, ec::unknown);
  check_range(&script_step::error, ec::unknown);
  check_range(&appended::code, ec::unknown);
  model_request nested; // inside a list too
  nested.messages.resize(2);
  nested.messages[1].from = static_cast<role>(9);
  model_request back;
  CAF_CHECK(!load(save(nested), back));
}

CAF_TEST(a list that claims more than the bytes hold is an error at once) {
  chunk_batch back;
  // task "", run 0, agent "", then a length of 2^28 - 1 chunks and no byte more
  buffer bytes(10, 0);
  for (char c : {'\xFF', '\xFF', '\xFF', '\x7F'})
    bytes.push_back(c);
  CAF_CHECK(!load(bytes, back));
  CAF_CHECK(back.chunks.size() < 2);
  publish_answer text;
  CAF_CHECK(!load(buffer{'\xFF', '\xFF', '\xFF', '\x7F', 'x'}, text));
  CAF_CHECK(text.task.size() < 10);
}
