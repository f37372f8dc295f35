// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/json_object.hpp"
#include "app/plain_text.hpp"
#include "app/task_files.hpp"

namespace conclave {

std::string snapshot_mappings_json(const task_view& v) {
  std::string out;
  auto add = [&](const std::string& label, const json_object& o) {
    out += (out.empty() ? "" : ",\n ") + wire::quote(label) + ": " + o.str();
  };
  auto head = [](const char* type, const std::string& label, const agent_view& a, std::int64_t time_ms, std::uint64_t run,
                 std::uint32_t round) {
    json_object o;
    o.text("type", type).text("label", label).text("agent_id", "agent" + std::to_string(a.number));
    o.text("timestamp", iso8601(time_ms)).number("iteration", static_cast<std::int64_t>(run)).number("round", round);
    return o;
  };
  auto any = false;
  for (const auto& a : v.agents) {
    for (const auto& f : a.files) {
      auto o = head(f.final ? "final_answer" : "answer", f.label, a, f.time_ms, f.run, f.round);
      o.text("path", "snapshots/trees/" + f.snapshot.substr(0, 2) + "/" + f.snapshot);
      o.number("files", f.files).number("bytes", f.bytes);
      add(f.label, o);
      any = true;
    }
    for (const auto& x : a.votes) {
      if (x.label.empty())
        continue; // of an old log
      auto o = head("vote", x.label, a, x.time_ms, x.run, x.round);
      o.add("path", "null"); // a vote has no files of its own
      o.text("voted_for", v.anonymous(x.target)).text("voted_for_label", x.target_label);
      add(x.label, o);
    }
  }
  return any ? "{" + out + "}\n" : std::string{};
}

} // namespace conclave
