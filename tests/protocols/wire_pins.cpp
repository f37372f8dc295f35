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
  PIN(message, "f98739d16148aec0 92");
  PIN(usage, "6e8b4b8fb79cbb92 104");
  PIN(model_request, "6446470e051a80ee 221");
  PIN(chunk, "1dca75d054a33128 8");
  PIN(chunk_batch, "a7f6dc5c3b9bd044 31");
  PIN(completion, "9f7de0bd2565b729 202");
  PIN(event, "ad2841fa333a6bd2 277");
  PIN(run_ref, "7caa7d847351725a 23");
  PIN(verdict, "cbec890613dbaf22 110");
  PIN(ruling, "99ebc2cbfd5d6155 17");
  PIN(tool_trouble, "8e613267ad695c7c 14");
  PIN(body, "8e613267ad695c7c 14");
  PIN(call_end, "1d98a489c367ac83 151");
  PIN(call_begin, "48f23bbb8cb7da5c 135");
  PIN(run_report, "7f803c8731a878c7 501");
  PIN(body_part, "fe3a7b23b6d6cdfa 53");
  PIN(body_ack, "af63bc4c8601b62c 1");
  PIN(known_end, "35319b7c37816c6f 263");
  PIN(stored_run, "974bc5871d427b99 408");
  PIN(turn_text, "1dca75d054a33128 8");
  PIN(attachment, "f02a458f8a46956d 43");
  PIN(shown_answer, "df0075ddfeca2c49 28");
  PIN(start_run, "ac71616b91305dbc 628");
  PIN(publish_answer, "b233d5b2b0b7dac6 29");
  PIN(publish_file, "1144fe48fd9b3c4d 45");
  PIN(cancel_run, "10af3b873f2fb2bb 37");
  PIN(end_task, "d8222b258b4eb1c7 15");
  PIN(task_closed, "97f93db9af4def47 15");
  PIN(agent_lost, "00e868d062a26d6c 30");
  PIN(question, "51a56084cb346860 60");
  PIN(agent_summary, "006c735658c8a534 142");
  PIN(outcome, "8a3dd225391a9294 247");
  PIN(script_step, "254dd52c23e9e980 72");
  PIN(mcp_server_config, "1263066fde9e36f0 153");
  PIN(backend_config, "2f8d0917c939aaf8 695");
  PIN(agent_config, "510be233d4c2403c 1498");
  PIN(hello, "9370ae462531b16c 15");
  PIN(spawn_agent, "aaf6693ff018386a 1546");
  PIN(agent_ready, "b58d153b5e6d20f8 38");
  PIN(cancel_call, "7bf4f90f7068f6e9 30");
  PIN(cancel_done, "af63bc4c8601b62c 1");
  PIN(describe_backend, "4c576b688aa0c18d 7");
  PIN(backend_info, "9440cc2803b65f26 30");
  PIN(ladder_note, "8e613267ad695c7c 14");
  PIN(list_tools, "af63bc4c8601b62c 1");
  PIN(tool_list, "8d635f0d084d913b 49");
  PIN(tool_invocation, "24b7c8d299d81f56 51");
  PIN(cancel_tools, "675b21d3ff14c915 22");
  PIN(chunk_delivery, "bd9154d1cf9825a6 39");
  PIN(chunk_ack, "af63bc4c8601b62c 1");
  PIN(append_events, "494d076d9f3c3d24 303");
  PIN(appended, "e09394560d2c0ccc 16");
  PIN(cancel_task, "4c576b688aa0c18d 7");
  PIN(get_ready, "af63bc4c8601b62c 1");
  PIN(tool_result, "a12530ee02266d8b 45");
  PIN(content_part, "70dd552c05b9904e 29");
  PIN(tool_annotations, "d5b183c6aa4bb6ae 12");
  PIN(listed_tool, "d0880b9ef256aafc 33");
  PIN(folder_change, "4bbbe1c48d91698a 36");
  PIN(kept_files, "7d617b9172af6004 76");
  PIN(context_path, "499bf7d6c0484b7f 17");
  PIN(workspace_config, "63aa52367cd2e494 104");
  PIN(prepare_workspace, "8e3ddff6f4540f0c 61");
  PIN(workspace_ready, "4c576b688aa0c18d 7");
  PIN(keep_workspace, "1044a8c148422032 24");
  PIN(clear_workspace, "af63bc4c8601b62c 1");
  PIN(workspace_cleared, "4c576b688aa0c18d 7");
}
