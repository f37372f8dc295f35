// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// The literal secrets of an opening: taken out before it is stored, put back when the task goes on.

#include "protocols/opening.hpp"

#include "protocols/secret_places.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

namespace conclave {

namespace {

/// Which of its kind a place is: its path, the name there, and how many of both stand before it (`-e A_KEY=1 -e A_KEY=2`).
class numbered {
public:
  std::string operator()(const secret_text& text, const secret_span& s) {
    auto key = text.place + "\n" + s.name;
    return key + "\n" + std::to_string(seen_[key]++);
  }

private:
  std::map<std::string, int> seen_;
};

struct found_secret {
  std::string text;
  bool quoted;

  /// As it stands where the mark of `s` was.
  std::string at(const secret_span& s) const {
    if (s.quoted == quoted)
      return text;
    return s.quoted ? wire::quote(text) : text.starts_with('"') ? text.substr(1, text.size() - 2) : text;
  }
};
using found_secrets = std::map<std::string, found_secret>;

found_secrets secrets_of(const backend_config& b) {
  found_secrets out;
  numbered number;
  each_secret(b, [&](const secret_text& text, const std::string& value) {
    for (const auto& s : text.spans)
      if (auto secret = value.substr(s.begin, s.end - s.begin); secret != mark_of(s))
        out.emplace(number(text, s), found_secret{std::move(secret), s.quoted});
      else
        number(text, s);
  });
  return out;
}

} // namespace

void mask_secrets(opening& o) {
  for (auto& a : o.agents)
    each_backend(a, [](backend_config& b, const std::string&) {
      each_secret(b, [](const secret_text& place, std::string& text) { text = with_marks(place, text); });
    });
}

bool restore_secrets(opening& o, const run_config& from, std::string& error) {
  constexpr std::size_t most_named = 5;
  auto restored = o.agents;
  std::vector<std::string> lacks;
  for (std::size_t i = 0; i < restored.size(); ++i) {
    auto& a = restored[i];
    std::map<std::string, found_secrets> known; // by backend
    for (const auto& x : from.agents)
      if (x.id == a.id)
        each_backend(x, [&](const backend_config& b, const std::string& path) { known[path] = secrets_of(b); });
    each_backend(a, [&](backend_config& b, const std::string& path) {
      numbered number;
      each_secret(b, [&](const secret_text& place, std::string& text) {
        text = replaced(place, text, [&](const secret_span& s) {
          auto key = number(place, s);
          if (text.compare(s.begin, s.end - s.begin, mark_of(s)) != 0)
            return std::string{};
          if (auto secret = known[path].find(key); secret != known[path].end())
            return secret->second.at(s);
          lacks.push_back("agents[" + std::to_string(i) + "]." + path + "." + path_of(place, s) + " ('" + shown_text(a.id) + "')");
          return std::string{};
        });
      });
    });
  }
  if (lacks.empty()) {
    o.agents = std::move(restored);
    return true;
  }
  error = "what stood in the team file literally was not stored, and is needed again: ";
  for (std::size_t i = 0; i < std::min(lacks.size(), most_named); ++i)
    error += (i > 0 ? ", " : "") + lacks[i];
  if (lacks.size() > most_named)
    error += " and " + std::to_string(lacks.size() - most_named) + " more";
  return false;
}

} // namespace conclave
