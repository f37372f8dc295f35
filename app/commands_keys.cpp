// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "app/commands.hpp"
#include "app/plain_text.hpp"
#include "protocols/config_keys.hpp"
#include "protocols/spelling.hpp"
#include "protocols/text.hpp"

namespace conclave {

namespace {

std::string path_of(const key_info& key) {
  auto scope = to_string(key.scope);
  return scope.empty() ? key.name : scope + "." + key.name;
}

/// Whether the path or the meaning of a key holds a word, in any case.
bool holds(const key_info& key, const std::string& word) {
  auto lower = [](std::string text) {
    for (auto& c : text)
      if (c >= 'A' && c <= 'Z')
        c = static_cast<char>(c - 'A' + 'a');
    return text;
  };
  return lower(path_of(key) + " " + key.help).find(lower(word)) != std::string::npos;
}

} // namespace

int command_keys(const keys_options& o) {
  if (o.markdown)
    return print(config_keys().reference(), 0);
  std::string out;
  std::vector<std::string> names;
  for (const auto& key : config_keys().rows()) {
    names.emplace_back(key.name);
    if (!o.word.empty() && !holds(key, o.word))
      continue;
    auto fallback = *key.fallback ? ", default " + std::string{key.fallback} : std::string{};
    auto said = meaning_of(key);
    out += path_of(key) + "\n    " + value_text(key) + fallback + (said.empty() ? "" : "\n    " + said) + "\n";
  }
  if (!out.empty())
    return print(out, 0);
  auto near = nearest(o.word, names);
  complain("no key holds '" + shown_text(o.word) + "'"
           + (near.empty() ? "; all of them: conclave keys" : "; did you mean '" + near + "'?"));
  return static_cast<int>(exit_code::usage);
}

} // namespace conclave
