// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/resolve.hpp"

#include "protocols/wire/json_util.hpp"

#include <algorithm>
#include <cctype>
#include <map>
#include <string_view>
#include <utility>

namespace conclave::wire {

namespace {

/// Namespaces that models put their tools into: gpt-oss and Kimi `functions`, Gemini `default_api`.
constexpr std::string_view spaces[] = {"functions", "function",  "default_api", "tools", "tool",
                                       "api",       "tool_code", "tool_call",   "call"};
/// Gateways that allow no dot in a name write these with an underscore.
constexpr std::string_view joined[] = {"functions_", "default_api_"};
/// Channels and formats that stay behind a name once its special tokens are gone.
constexpr std::string_view tails[] = {" json", " commentary", " analysis", " final", " code"};

bool is_digit(char c) {
  return std::isdigit(static_cast<unsigned char>(c)) != 0;
}

/// One spelling for what differs in case and separators only.
std::string folded(std::string_view x) {
  std::string out;
  for (unsigned char c : x)
    if (std::isalnum(c) != 0 || c >= 0x80)
      out += static_cast<char>(std::tolower(c));
  return out;
}

/// The only element that is spelt so, or `otherwise`.
std::string only(const std::vector<std::string>& names, const std::string& spelling, const std::string& otherwise) {
  const std::string* found = nullptr;
  for (auto& n : names)
    if (folded(n) == spelling) {
      if (found != nullptr && *found != n)
        return otherwise;
      found = &n;
    }
  return found == nullptr || spelling.empty() ? otherwise : *found;
}

std::string_view bare(std::string_view x, std::string_view dress) {
  auto a = x.find_first_not_of(dress);
  return a == std::string_view::npos ? std::string_view{} : x.substr(a, x.find_last_not_of(dress) - a + 1);
}

bool drop_space(std::string_view& x) {
  for (auto space : spaces)
    for (std::string_view dot : {"::", ".", ":", "/"})
      if (x.size() > space.size() + dot.size() && x.starts_with(space) && x.substr(space.size()).starts_with(dot)) {
        x.remove_prefix(space.size() + dot.size());
        return true;
      }
  return false;
}

} // namespace

std::string undecorated(const std::string& name) {
  std::string_view x = name;
  if (auto to = x.find("to="); to != std::string_view::npos) // <|channel|>commentary to=functions.vote<|message|>
    x.remove_prefix(to + 3);
  constexpr std::string_view dress = " \t\r\n\"'`*";
  x = bare(x, dress);
  for (std::string_view call = "<function=";;) { // <|channel|>x, <tool_call><function=x>
    auto end = x.find('>');
    if (x.starts_with(call))
      x.remove_prefix(call.size());
    else if (x.starts_with('<') && end != std::string_view::npos)
      x = bare(x.substr(end + 1), dress);
    else
      break;
  }
  x = bare(x.substr(0, x.find_first_of("<>")), dress);
  for (bool more = true; std::exchange(more, false);)
    for (auto tail : tails)
      if (x.ends_with(tail)) {
        x = bare(x.substr(0, x.size() - tail.size()), dress);
        more = true;
      }
  while (drop_space(x))
    ;
  if (x.ends_with("()"))
    x.remove_suffix(2);
  if (auto colon = x.rfind(':'); colon != std::string_view::npos && colon > 0 && colon + 1 < x.size()
                                 && std::all_of(x.begin() + static_cast<std::ptrdiff_t>(colon) + 1, x.end(), is_digit))
    x = x.substr(0, colon);
  x = bare(x, dress);
  return x.empty() ? name : std::string(x);
}

std::string resolve_tool(const std::string& name, const std::vector<std::string>& offered) {
  auto is_offered = [&](const std::string& x) { return std::find(offered.begin(), offered.end(), x) != offered.end(); };
  if (is_offered(name))
    return name;
  auto plain = undecorated(name);
  if (is_offered(plain))
    return plain;
  for (auto space : joined)
    if (plain.starts_with(space) && is_offered(plain.substr(space.size())))
      return plain.substr(space.size());
  return only(offered, folded(plain), name);
}

std::string resolve_agent(const std::string& id, const std::vector<std::string>& shown) {
  if (std::find(shown.begin(), shown.end(), id) != shown.end())
    return id;
  auto x = bare(id, " \t\r\n\"'`*_<>[](){}.,;:!#|@");
  // "agent1.2", the label of an answer, is its agent.
  if (auto dot = x.rfind('.'); dot != std::string_view::npos && dot > 0 && dot + 1 < x.size() && is_digit(x[dot - 1])
                               && std::all_of(x.begin() + static_cast<std::ptrdiff_t>(dot) + 1, x.end(), is_digit))
    x = x.substr(0, dot);
  // Letters, then separators, then digits: nothing else may stand between, or "agent 1 and 2" would be agent12.
  auto letters = std::find_if_not(x.begin(), x.end(), [](unsigned char c) { return std::isalpha(c) != 0; });
  auto digits = std::find_if(letters, x.end(), is_digit);
  if (std::any_of(letters, digits, [](char c) { return std::string_view(" \t_-#.:").find(c) == std::string_view::npos; })
      || !std::all_of(digits, x.end(), is_digit))
    return id;
  return only(shown, folded(x), id);
}

void resolve_calls(completion& c, const std::vector<std::string>& offered) {
  std::map<std::string, std::string> renamed; // by id
  for (auto& call : c.calls)
    if (auto name = resolve_tool(call.name, offered); name != call.name)
      call.name = renamed[call.id] = name;
  if (renamed.empty() || c.opaque.empty())
    return;
  auto turn = parse(c.opaque);
  if (!turn)
    return;
  auto rename = [&](json& named, const json& holder, const char* id = "id") {
    if (auto i = renamed.find(string_at(holder, id)); i != renamed.end() && named.is_object())
      named["name"] = i->second;
  };
  if (turn->is_array()) { // blocks of the Messages API, items of the Responses API
    for (auto& block : *turn)
      if (auto type = string_at(block, "type"); type == "tool_use")
        rename(block, block);
      else if (type == "function_call" || type == "custom_tool_call")
        rename(block, block, "call_id");
  } else if (turn->is_object() && turn->contains("tool_calls") && (*turn)["tool_calls"].is_array()) {
    for (auto& call : (*turn)["tool_calls"])
      if (call.is_object() && call.contains("function"))
        rename(call["function"], call);
  } else if (turn->is_object() && turn->contains("parts") && (*turn)["parts"].is_array()) { // Gemini's, whose calls may have no id
    auto call = c.calls.begin();
    for (auto& part : (*turn)["parts"])
      if (part.is_object() && part.contains("functionCall") && call != c.calls.end())
        part["functionCall"]["name"] = (call++)->name;
  }
  c.opaque = dump(*turn);
}

} // namespace conclave::wire
