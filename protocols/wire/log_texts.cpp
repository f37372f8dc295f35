// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/log_texts.hpp"

#include "protocols/wire/json_util.hpp"

namespace conclave::wire {

namespace {

void collect(const json& v, const std::string& path, const std::function<bool(const std::string&)>& holds, std::size_t most,
             std::vector<std::string>& out) {
  if (out.size() >= most)
    return;
  if (v.is_string() && holds(v.get_ref<const std::string&>()))
    out.push_back(path);
  for (std::size_t i = 0; v.is_array() && i < v.size(); ++i)
    collect(v[i], path + "[" + std::to_string(i) + "]", holds, most, out);
  if (!v.is_object())
    return;
  for (auto& [name, x] : v.items()) {
    auto below = path.empty() ? name : path + "." + name;
    if (holds(name) && out.size() < most)
      out.push_back(below);
    else
      collect(x, below, holds, most, out);
  }
}

} // namespace

std::string without_hashes(std::string_view line) {
  constexpr std::size_t of_request = 16, of_body = 64;
  std::string out;
  out.reserve(line.size());
  for (std::size_t i = 0; i < line.size();) {
    out += line[i];
    if (line[i++] != '"')
      continue;
    auto end = line.find_first_not_of("0123456789abcdef", i);
    if (end != line.npos && line[end] == '"' && (end - i == of_request || end - i == of_body))
      i = end;
  }
  if (out.find(R"("type":"call_started")") == out.npos)
    return out;
  constexpr std::string_view reserve = R"("usage":{)";
  if (auto from = out.find(reserve); from != out.npos)
    if (auto end = out.find('}', from); end != out.npos)
      out.erase(from, end + 1 - from);
  return out;
}

std::vector<std::string> places_of(std::string_view text, const std::function<bool(const std::string&)>& holds, std::size_t most) {
  std::vector<std::string> out;
  if (auto v = parse(text, true))
    collect(*v, {}, holds, most, out);
  return out;
}

} // namespace conclave::wire
