// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/replay_compare.hpp"

#include "protocols/events.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/sha256.hpp"

#include <algorithm>
#include <string_view>

namespace conclave::ledger {

const std::string* checked_bodies::operator()(const std::string& sha) const {
  const auto* bytes = from_(sha);
  if (bytes == nullptr)
    return nullptr;
  auto known = fits_.find(sha);
  if (known == fits_.end())
    known = fits_.emplace(sha, wire::sha256(*bytes) == sha).first;
  if (!known->second)
    misfit_ = "the body " + shown_text(sha, 64) + " that it names holds other bytes than its name says: the store was damaged";
  return known->second ? bytes : nullptr;
}

std::string checked_bodies::fault(const std::string& sha) const {
  if (operator()(sha) != nullptr)
    return {};
  return from_(sha) == nullptr ? "the body " + shown_text(sha, 64) + " that it names is not in the store" : misfit_;
}

std::string checked_bodies::missing(const event& e) const {
  auto names = e.said;
  if (!e.state.empty())
    names.push_back(e.state);
  for (const auto& name : names) {
    if (auto text = fault(name); !text.empty())
      return text;
    if (!looked_into_.insert(name).second)
      continue;
    for (const auto& piece : run::pieces_in(*operator()(name))) // what a model wrote may look like one: then it names nothing
      if (from_(piece) != nullptr && operator()(piece) == nullptr)
        return fault(piece);
  }
  return {};
}

namespace {} // namespace

std::string quoted(const std::string& text, std::size_t from) {
  constexpr std::size_t before = 20, most = 100;
  from = from > before ? from - before : 0;
  from = whole_characters(text, from);
  return "\"" + shown_text(text.substr(from, most), most) + "\"";
}

namespace {

/// The line of a prompt that tells the local time was written in a time zone that the log does not know.
constexpr std::string_view clock_line = "Local time: ";
constexpr std::size_t clock_size = std::string_view{"Local time: 2026-11-26 12:34"}.size();

/// Where two texts differ, other than in the time of day; npos = nowhere.
std::size_t first_difference(const std::string& stored, std::string made) {
  for (;;) {
    auto end = std::mismatch(stored.begin(), stored.end(), made.begin(), made.end()).first;
    auto i = static_cast<std::size_t>(end - stored.begin());
    if (i == stored.size() && i == made.size())
      return std::string::npos;
    auto line = i == 0 ? std::string::npos : stored.rfind('\n', i - 1);
    line = line == std::string::npos ? 0 : line + 1;
    if (stored.compare(line, clock_line.size(), clock_line) != 0 || i >= line + clock_size || made.size() < line + clock_size
        || made.compare(line, clock_line.size(), clock_line) != 0)
      return i;
    made.replace(line, clock_size, stored, line, clock_size);
  }
}

} // namespace

std::string difference(const message& stored, message made) {
  if (auto i = first_difference(stored.text, made.text); i != std::string::npos)
    return "the log has " + quoted(stored.text, i) + " at byte " + std::to_string(i) + ", this build makes " + quoted(made.text, i);
  made.text = stored.text;
  if (stored == made)
    return {};
  if (stored.from != made.from)
    return "it is of '" + to_string(stored.from) + "' in the log, of '" + to_string(made.from) + "' in this build";
  return "its text is the same, its calls, reasoning or parts are not";
}

std::string difference(const run::state& stored, const run::state& made, bool tools) {
  std::vector<std::string> but{"reports",  "awaited",   "kept",        "workspace",
                               "snapshot", "task.task", "memory.left", "long_results"}; // these by numbers of calls
  if (made.task.fence == 0)
    but.push_back("task.fence");
  if (tools)
    but.insert(but.end(), {"stage", "calls", "pending"});
  return run::difference(stored, made, but);
}

std::string difference(const event& e, const completion* reply) {
  auto text_of = [](const usage& u) {
    event x;
    x.use = u;
    std::string text = "none";
    wire::get(wire::to_json(x), "usage", text);
    return text;
  };
  auto u = reply != nullptr ? reply->usage : usage{};
  u.cost_nano_usd = e.use.cost_nano_usd; // by the prices of then
  u.unpriced = e.use.unpriced;
  if (reply == nullptr && e.target == events::model_target) // nobody can tell whether it was sent
    u.unreported = e.use.unreported;
  if (!(e.use == u))
    return "the log counts the usage " + text_of(e.use) + ", what came back says " + text_of(u);
  if (reply != nullptr && e.reason != to_string(reply->status))
    return "the log says that the call was '" + shown_text(e.reason) + "', what came back that it was '" + to_string(reply->status)
           + "'";
  return {};
}

} // namespace conclave::ledger
