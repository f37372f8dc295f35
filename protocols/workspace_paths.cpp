// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/workspace_paths.hpp"

#include "protocols/wire/sha256.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace conclave::workspace_paths {

std::string place_name(const std::string& task, std::uint64_t seed, std::uint32_t number) {
  return wire::sha256("workspace " + task + ' ' + std::to_string(seed) + ' ' + std::to_string(number)).substr(0, 8);
}

std::string work(const std::string& place) {
  return place + "/work";
}

std::string view(const std::string& place) {
  return place + "/view";
}

std::string home(const std::string& place) {
  return place + "/home";
}

std::string servers(const std::string& place) {
  return place + "/servers";
}

std::string server_home(const std::string& place, const std::string& server) {
  return servers(place) + "/" + server;
}

std::string target(const std::string& place, std::size_t number) {
  return place + "/target" + std::to_string(number + 1);
}

std::string checkout(const std::string& place, std::size_t number) {
  return target(work(place), number);
}

std::string changed(const std::string& place, const workspace_config& with, std::size_t number) {
  return goes_with_answers(with, with.context[number]) ? checkout(place, number) : target(place, number);
}

bool goes_with_answers(const workspace_config& with, const context_path& c) {
  return c.write && !written_in_place(with, c) && (c.git || with.write_from_start);
}

void without_presenter(run_config& c) {
  if (c.rules.strategy != ledger::strategy::winner_reuse || c.rules.skip_coordination) // who answers alone presents
    return;
  for (auto& a : c.agents) {
    auto& w = a.backend.workspace;
    for (auto& x : w.context)
      if (written_in_place(w, x))
        x.write = false;
    if (std::any_of(w.context.begin(), w.context.end(), [](auto& x) { return x.write; }))
      w.write_from_start = true;
  }
}

bool written_in_place(const workspace_config& with, const context_path& c) {
  return c.write && !with.cwd.empty() && with.write_mode == "legacy";
}

bool written_in_place(const workspace_config& with) {
  return std::any_of(with.context.begin(), with.context.end(), [&with](auto& c) { return written_in_place(with, c); });
}

std::vector<std::string> read_below(const workspace_config& with, const std::string& folder) {
  std::vector<std::string> out;
  for (auto& c : with.context) {
    if (c.write || !c.path.starts_with(folder + "/"))
      continue;
    std::string line;
    for (auto x : c.path.substr(folder.size()))
      line += (std::string_view{"\\*?[] "}.find(x) == std::string_view::npos ? "" : "\\") + std::string{x};
    out.push_back(std::move(line));
  }
  return out;
}

namespace {

/// Whether a name goes on with this character: then what stands before it is only the beginning of a component. A dot that ends a
/// sentence does not.
bool goes_on(std::string_view text, std::size_t at) {
  if (at >= text.size())
    return false;
  auto c = static_cast<unsigned char>(text[at]);
  auto letter = [](unsigned char x) {
    return (x >= 'a' && x <= 'z') || (x >= 'A' && x <= 'Z') || (x >= '0' && x <= '9') || x == '_' || x >= 0x80;
  };
  return letter(c) || ((c == '-' || c == '.') && at + 1 < text.size() && letter(static_cast<unsigned char>(text[at + 1])));
}

/// Whether a path begins here and not somewhere in another one. It may be that of an address: file:///...
bool begins(std::string_view text, std::size_t at) {
  return at == 0 || text.substr(0, at).ends_with("://") || (text[at - 1] != '/' && !goes_on(text, at - 1));
}

using replacement = std::pair<std::string, std::string>;

std::string replaced(std::string text, const std::vector<replacement>& by) {
  std::string out;
  std::size_t done = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '/' || !begins(text, i))
      continue;
    auto hit = std::find_if(by.begin(), by.end(), [&](const replacement& r) {
      return text.compare(i, r.first.size(), r.first) == 0 && !goes_on(text, i + r.first.size());
    });
    if (hit == by.end())
      continue;
    out.append(text, done, i - done).append(hit->second);
    done = i + hit->first.size();
    i = done - 1;
  }
  return done == 0 ? std::move(text) : out.append(text, done);
}

std::string with_each(std::string text, std::string_view what, std::string_view by) {
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

/// Paths of the place as JSON may have them, with "\\/" for each slash, become what they mean.
std::string plain_slashes(std::string text, const std::string& place) {
  auto escaped = with_each(place, "/", "\\/");
  for (auto at = text.find(escaped); at != std::string::npos; at = text.find(escaped, at + 1)) {
    auto end = std::min(text.find_first_of(" \t\r\n\"'", at), text.size());
    text.replace(at, end - at, with_each(text.substr(at, end - at), "\\/", "/"));
  }
  return text;
}

/// A slash for each row of slashes, and for each `/./`, but behind a scheme ("file:///").
std::string joined(std::string_view text) {
  std::string out;
  auto scheme = false; // the row began behind one
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto rest = text.substr(i);
    scheme = out.ends_with('/') ? scheme : out.ends_with(':');
    auto joins = out.ends_with('/') && !scheme;
    if (joins && (rest.starts_with('/') || rest.starts_with("./")))
      i += rest.starts_with('/') ? 0 : 1;
    else
      out += text[i];
  }
  return out;
}

/// A path of the place in which slashes stand twice, or `/./`, is written as it is meant.
std::string single_slashes(std::string text, const std::string& place) {
  constexpr std::string_view path_ends = " \t\r\n\"'`,;|<>()[]{}";
  const auto most_before = 2 * place.size() + 64, most_behind = std::size_t{1'024};
  auto slash = place.rfind('/');
  if (slash == std::string::npos)
    return text;
  auto name = place.substr(slash); // nothing else has it, so few paths are looked at
  for (auto at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
    auto from = at - std::min(at, most_before);
    if (auto end = std::string_view{text}.substr(from, at - from).find_last_of(path_ends); end != std::string_view::npos)
      from += end + 1;
    auto path = std::string_view{text}.substr(from, at - from + name.size() + most_behind);
    path = path.substr(0, path.find_first_of(path_ends));
    auto meant = joined(path);
    auto i = meant.find(place);
    if (i == std::string::npos || meant == path)
      continue;
    text.replace(from, path.size(), meant);
    at = from + i + place.size() - name.size();
  }
  return text;
}

/// Programs name files without the first slash, too (`tar` does): it is put there.
std::string with_first_slash(std::string text, const std::string& folder) {
  auto bare = folder.substr(1);
  for (auto at = text.find(bare); at != std::string::npos; at = text.find(bare, at + folder.size()))
    if (begins(text, at))
      text.insert(at, 1, '/');
  return text;
}

} // namespace

std::string neutral(std::string text, const std::string& place, std::uint32_t number, const workspace_config& with) {
  if (!place.empty())
    text = with_first_slash(single_slashes(plain_slashes(std::move(text), place), place), place);
  if (place.empty() || text.find(place) == std::string::npos)
    return text;
  std::vector<replacement> by{{work(place), std::string{scheme} + "agent" + std::to_string(number)}};
  for (std::size_t i = 0; i < with.context.size(); ++i)
    by.emplace_back(target(place, i), with.context[i].path);
  text = replaced(std::move(text), by);
  // "view/agentK": the number is the reader's business.
  auto shown = view(place) + "/agent";
  for (auto at = text.find(shown); at != std::string::npos; at = text.find(shown, at + 1))
    if (begins(text, at))
      text.replace(at, shown.size(), std::string{scheme} + "agent");
  // What else lies there no other agent can look at, and where that is tells whose it is.
  auto rest = std::string{private_scheme} + "agent" + std::to_string(number);
  for (auto at = text.find(place); at != std::string::npos; at = text.find(place, at))
    if (goes_on(text, at + place.size()))
      at += place.size();
    else
      text.replace(at, place.size(), rest);
  return text;
}

std::string as_of(std::string text, std::uint32_t from, std::uint32_t to) {
  if (from == to)
    return text;
  for (auto prefix : {scheme, private_scheme}) {
    auto own = std::string{prefix} + "agent" + std::to_string(from);
    auto by = std::string{prefix} + "agent" + std::to_string(to);
    for (auto at = text.find(own); at != std::string::npos; at = text.find(own, at + 1))
      if (!goes_on(text, at + own.size()))
        text.replace(at, own.size(), by);
  }
  return text;
}

std::string expanded(std::string text, const std::string& place) {
  auto marker = std::string{scheme} + "agent";
  auto by = view(place) + "/agent";
  for (auto at = text.find(marker); at != std::string::npos; at = text.find(marker, at + by.size()))
    text.replace(at, marker.size(), by);
  return text;
}

} // namespace conclave::workspace_paths
