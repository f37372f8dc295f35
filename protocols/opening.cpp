// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// The literal secrets of an opening: taken out before it is stored, put back when the task goes on.

#include "protocols/opening.hpp"

#include "protocols/secret_places.hpp"
#include "protocols/text.hpp"

#include <map>
#include <utility>

namespace conclave {

namespace {

std::string mark_in(const secret_text& text) {
  return text.json ? "\"" + std::string{secret_mark} + "\"" : secret_mark;
}

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

using found_secrets = std::map<std::string, std::string>;

found_secrets secrets_of(const backend_config& b) {
  found_secrets out;
  numbered number;
  each_secret(b, [&](const secret_text& text, const std::string& value) {
    for (const auto& s : text.spans)
      out.emplace(number(text, s), value.substr(s.begin, s.end - s.begin));
  });
  return out;
}

/// Replaces spans of `text` by what `by` returns; an empty text leaves one as it is.
template <class F>
void replace(const secret_text& place, std::string& text, F by) {
  std::string out;
  std::size_t done = 0;
  for (const auto& s : place.spans) {
    auto with = by(s);
    if (with.empty())
      continue;
    out.append(text, done, s.begin - done).append(with);
    done = s.end;
  }
  text = out.append(text, done);
}

} // namespace

void mask_secrets(opening& o) {
  for (auto& a : o.agents)
    each_secret(a.backend, [](const secret_text& place, std::string& text) {
      replace(place, text, [&](const secret_span& s) { return s.literal || place.expanded ? mark_in(place) : std::string{}; });
    });
}

bool restore_secrets(opening& o, const run_config& from, std::string& error) {
  auto restored = o.agents;
  auto file = from.source.empty() ? std::string{"the configuration"} : shown_text(from.source, 200);
  std::string lacks;
  for (std::size_t i = 0; i < restored.size(); ++i) {
    auto& a = restored[i];
    found_secrets known;
    for (const auto& x : from.agents)
      if (x.id == a.id)
        known = secrets_of(x.backend);
    numbered number;
    each_secret(a.backend, [&](const secret_text& place, std::string& text) {
      replace(place, text, [&](const secret_span& s) {
        auto key = number(place, s);
        if (text.compare(s.begin, s.end - s.begin, mark_in(place)) != 0)
          return std::string{};
        auto secret = known.find(key);
        if (secret != known.end() && secret->second != mark_in(place))
          return secret->second;
        auto named = s.name.empty() || place.path.ends_with("." + s.name) ? std::string{} : "." + shown_text(s.name);
        if (lacks.empty())
          lacks = "agents[" + std::to_string(i) + "] ('" + shown_text(a.id) + "'): backend." + shown_text(place.path, 200) + named;
        return std::string{};
      });
    });
  }
  if (!lacks.empty()) {
    error = file + " no longer holds a secret that this task needs and that was not stored: " + lacks
            + "; write it there again, or as ${NAME}";
    return false;
  }
  o.agents = std::move(restored);
  return true;
}

} // namespace conclave
