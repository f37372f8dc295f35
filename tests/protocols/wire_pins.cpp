// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#define CAF_SUITE protocols.wire_pins

// The bytes of each message between nodes, pinned. Every number, text and list gets a value of its own in the order of its
// declaration; flags and enums have too few values for that, so besides each of them is once set alone. So two members that change
// places in inspect() change the bytes, whatever they are. Whoever means to change one raises `protocol_max` and these lines.

#include "caf/test/unit_test.hpp"
#include "protocols/interfaces.hpp"
#include "protocols/wire/json.hpp"
#include "support/in_order.hpp"

#include <caf/binary_serializer.hpp>

#include <algorithm>
#include <map>
#include <set>
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

/// Fills a message. Of its flags and enums one is set, the `alone`th; the others are as 0.
class filler {
public:
  explicit filler(int alone) : alone_(alone) {}

  int flags() const { return flags_; }

  template <class T>
  void fill(T& x) {
    if constexpr (std::is_same_v<T, std::string>)
      x = "text " + std::to_string(++count_);
    else if constexpr (std::is_same_v<T, bool> || std::is_enum_v<T>)
      x = static_cast<T>(flags_++ == alone_ ? 1 : 0);
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
  int alone_;
  int count_ = 0, flags_ = 0;
};

/// A hash over the message without a flag and with each of them alone, and how many bytes one takes.
template <class T>
std::string bytes_of() {
  std::vector<char> out;
  std::size_t one = 0;
  for (int alone = -1, flags = 0; alone < flags; ++alone) {
    T x;
    filler f{alone};
    f.fill(x);
    flags = f.flags();
    caf::binary_serializer to{nullptr, out};
    to.seek(out.size());
    auto error = to(x);
    CAF_CHECK(!error);
    one = one == 0 ? out.size() : one;
  }
  return wire::hash(std::string_view(out.data(), out.size())) + " " + std::to_string(one);
}

/// A message whose inspect() has its members in any order.
enum class level : std::uint8_t { low, high };
struct shuffled {
  bool first = false, second = false, third = false;
  level low = level::low, high = level::low;
  std::int32_t number = 0, other = 0;
};
std::vector<std::size_t> flag_order{0, 1, 2}, level_order{0, 1}, number_order{0, 1};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, shuffled& x) {
  bool* flags[] = {&x.first, &x.second, &x.third};
  level* levels[] = {&x.low, &x.high};
  std::int32_t* numbers[] = {&x.number, &x.other};
  return f(*flags[flag_order[0]], *flags[flag_order[1]], *flags[flag_order[2]], *levels[level_order[0]], *levels[level_order[1]],
           *numbers[number_order[0]], *numbers[number_order[1]]);
}

#define PIN(type, bytes) CAF_CHECK_EQUAL(std::string(#type " ") + bytes_of<type>(), std::string(#type " ") + (bytes))

} // namespace

CAF_TEST(two flags or enums or numbers that change places change the bytes) {
  std::set<std::string> seen;
  std::size_t orders = 0;
  do
    do
      do {
        seen.insert(bytes_of<shuffled>());
        ++orders;
      } while (std::next_permutation(number_order.begin(), number_order.end()));
    while (std::next_permutation(level_order.begin(), level_order.end()));
  while (std::next_permutation(flag_order.begin(), flag_order.end()));
  CAF_CHECK_EQUAL(orders, 24u);
  CAF_CHECK_EQUAL(seen.size(), orders);
}

CAF_TEST(the bytes of each message between nodes are these) {
  PIN(tool_spec, "9fbe00f80ee04eec 21");
  PIN(tool_call, "9fbe00f80ee04eec 21");
  PIN(message, "6a1563fb16c8aba3 93");
  PIN(usage, "fc3dc44acb78a7a0 48");
  PIN(model_request, "1c0cf4cfde4eb581 220");
  PIN(chunk, "f828fba9795a1922 8");
  PIN(chunk_batch, "0d690e5078b3bee0 31");
  PIN(completion, "62093fd06be428b6 146");
  PIN(event, "bfa89265bcebdf77 221");
  PIN(run_ref, "7caa7d847351725a 23");
  PIN(verdict, "4c76487b975c8481 31");
  PIN(ruling, "a3bf9ae069651a30 16");
  PIN(tool_trouble, "8e613267ad695c7c 14");
  PIN(body, "8e613267ad695c7c 14");
  PIN(call_end, "392385a8381a4419 95");
  PIN(call_begin, "41c57416aa39cdb9 31");
  PIN(run_report, "1cb48be301d48baa 247");
  PIN(body_part, "fe3a7b23b6d6cdfa 53");
  PIN(body_ack, "af63bc4c8601b62c 1");
  PIN(known_end, "2194c3d7e40fc1db 206");
  PIN(stored_run, "deffbeff8efeee55 350");
  PIN(turn_text, "1b52cdcc38ff5622 8");
  PIN(shown_answer, "9fbe00f80ee04eec 21");
  PIN(start_run, "6557441e07ba1a54 495");
  PIN(publish_answer, "b233d5b2b0b7dac6 29");
  PIN(cancel_run, "10af3b873f2fb2bb 37");
  PIN(end_task, "d8222b258b4eb1c7 15");
  PIN(task_closed, "97f93db9af4def47 15");
  PIN(agent_lost, "084bb047bc32b331 30");
  PIN(question, "43a6f932f6800c95 16");
  PIN(agent_summary, "3fb3681519ef7938 86");
  PIN(outcome, "a66446008662dc43 134");
  PIN(script_step, "2893e4882e294afc 72");
  PIN(mcp_server_config, "57c1d813a62497e0 114");
  PIN(backend_config, "b6cbb4c0db288caa 435");
  PIN(agent_config, "3183cce6c80c6c1f 459");
  PIN(hello, "9370ae462531b16c 15");
  PIN(spawn_agent, "350a2173431d7e8a 492");
  PIN(agent_ready, "b58d153b5e6d20f8 38");
  PIN(cancel_call, "7bf4f90f7068f6e9 30");
  PIN(cancel_done, "af63bc4c8601b62c 1");
  PIN(describe_backend, "4c576b688aa0c18d 7");
  PIN(backend_info, "c542c6e7a72d4ac8 30");
  PIN(ladder_note, "8e613267ad695c7c 14");
  PIN(list_tools, "af63bc4c8601b62c 1");
  PIN(tool_list, "7197d7b17641106b 50");
  PIN(tool_invocation, "24b7c8d299d81f56 51");
  PIN(cancel_tools, "675b21d3ff14c915 22");
  PIN(chunk_delivery, "38f7ab677778635f 39");
  PIN(chunk_ack, "af63bc4c8601b62c 1");
  PIN(append_events, "f91795adf48fbbab 247");
  PIN(appended, "3ce58c377a9f0dfc 16");
  PIN(cancel_task, "4c576b688aa0c18d 7");
  PIN(get_ready, "af63bc4c8601b62c 1");
  PIN(tool_result, "e4a7a592fdb16c02 45");
  PIN(content_part, "18456d8186a1f624 29");
  PIN(tool_annotations, "b7189f3f9081101e 12");
  PIN(listed_tool, "7462351eabc039fc 33");
}
