// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/mcp_tools.hpp"

#include "protocols/config.hpp"
#include "protocols/text.hpp"

#include <algorithm>

namespace conclave::wire::mcp {

namespace {

constexpr std::size_t max_tools = 1000, max_pages = 100;
constexpr std::size_t max_bytes = std::size_t{8} << 20; ///< of all pages: tools that come again and cursors count too

bool names(const std::vector<std::string>& list, const std::string& own, const std::string& shown) {
  return std::find(list.begin(), list.end(), own) != list.end() || std::find(list.begin(), list.end(), shown) != list.end();
}

} // namespace

std::string tool_catalogue::add(tool_page page) {
  nameless_ += page.nameless;
  auto full = false;
  auto fits = [this](std::size_t bytes) { return (bytes_ += bytes) <= max_bytes; };
  for (auto& t : page.tools) {
    if (!fits(sizeof t + t.spec.name.size() + t.spec.description.size() + t.spec.parameters.size()))
      break;
    auto known = index_.find(t.spec.name);
    if (known == index_.end()) {
      if ((full = tools_.size() >= max_tools))
        break;
      index_.emplace(t.spec.name, tools_.size());
      tools_.push_back(std::move(t));
    } else if (auto& first = tools_[known->second]; first.spec != t.spec) {
      if (twice_.insert(t.spec.name).second && twice_.size() <= 5)
        notes_.push_back("tool '" + shown_text(t.spec.name) + "' is listed twice; the first is used");
    }
  }
  auto large = !fits(page.next.size());
  if (full || large || (!page.next.empty() && ++pages_ >= max_pages)) {
    cut("it is longer than "
        + (full    ? std::to_string(max_tools) + " tools"
           : large ? std::to_string(max_bytes >> 20) + " MiB"
                   : std::to_string(max_pages) + " pages"));
    return {};
  }
  if (!page.next.empty() && !cursors_.insert(page.next).second) {
    cut("it repeats itself (the same cursor came twice)");
    return {};
  }
  return page.next;
}

void tool_catalogue::cut(const std::string& why) {
  notes_.push_back("its list of tools has no end: " + why + "; the " + std::to_string(tools_.size()) + " so far are used");
}

offered_tools tool_catalogue::offer(const std::string& server, const tool_filter& filter) const {
  offered_tools out;
  out.list.notes = notes_;
  if (nameless_ > 0)
    out.list.notes.push_back(std::to_string(nameless_) + (nameless_ == 1 ? " tool has" : " tools have")
                             + " no name and cannot be used");
  // A name that needs no change keeps it; of those that become equal to another, each is marked, whatever their order.
  std::map<std::string, std::size_t> wanted;
  for (auto& t : tools_)
    ++wanted[public_name(server, t.spec.name)];
  std::set<std::string> seen;
  for (auto& t : tools_) {
    auto shown = public_name(server, t.spec.name);
    if (wanted[shown] > 1 && shown != "mcp__" + server + "__" + t.spec.name)
      shown = public_name(server, t.spec.name, true);
    seen.insert(t.spec.name);
    seen.insert(shown);
    if (out.original.count(shown) > 0) {
      out.list.notes.push_back("tool '" + shown_text(t.spec.name) + "' is left out: its name cannot be told from another");
      continue;
    }
    if ((filter.has_allowed && !names(filter.allowed, t.spec.name, shown)) || names(filter.excluded, t.spec.name, shown))
      continue;
    out.original[shown] = t.spec.name;
    out.list.tools.push_back({{shown, t.spec.description, t.spec.parameters}, t.notes});
  }
  for (auto& entry : filter.expected)
    if (seen.count(entry) == 0)
      out.list.notes.push_back("filter entry '" + entry + "' matches no tool");
  return out;
}

} // namespace conclave::wire::mcp
