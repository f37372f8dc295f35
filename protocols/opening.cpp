// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// The literal secrets of an opening: taken out before it is stored, put back when the task goes on.

#include "protocols/opening.hpp"

#include "protocols/secret_places.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <string_view>
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

found_secrets secrets_of(const backend_config& b, const secrets* secret_values) {
  found_secrets out;
  numbered number;
  each_secret(
      b,
      [&](const secret_text& text, const std::string& value) {
        for (const auto& s : text.spans)
          if (auto secret = value.substr(s.begin, s.end - s.begin); secret != mark_of(s))
            out.emplace(number(text, s), found_secret{std::move(secret), s.quoted});
          else
            number(text, s);
      },
      secret_values);
  return out;
}

/// Who gets the secrets of a backend, or of a tool server: what must be the same in the file for a secret of it to be put back.
struct recipient {
  std::string type;
  std::string host;    ///< of the address, in one spelling, without who is named in front of it; empty = by the type
  std::string command; ///< all words, marks and references to secrets alike
  bool operator==(const recipient&) const = default;
};

/// By the place of its secrets: "" = the provider, "mcp_servers.NAME".
using recipients = std::map<std::string, recipient>;

/// Scheme, host and port. A mark within them was read from the same file as the secrets.
std::string host_of(std::string url) {
  if (url.empty())
    return url;
  auto from = url.find("://");
  from = from == std::string::npos ? 0 : from + 3;
  auto end = std::min(url.find_first_of("/?#", from), url.size());
  auto user = url.substr(from, end - from).rfind('@');
  auto scheme = lower(url.substr(0, from)), host = lower(url.substr(from, end - from).substr(user + 1)); // npos + 1 = 0
  for (auto [known, port] : {std::pair{"https://", ":443"}, {"http://", ":80"}})
    if (scheme == known && host.ends_with(port))
      host.erase(host.size() - std::string_view{port}.size());
  return scheme + host;
}

recipients
recipients_of(backend_config b,
              const secrets* secret_values) { // by value: its secrets become marks, also references, and are no difference then
  each_secret(
      b, [](const secret_text& place, std::string& text) { text = replaced(place, text, mark_of); }, secret_values);
  recipients out;
  out[""] = {b.type, host_of(b.base_url), ""};
  out["command_env"] = {}; // of commands in the workspace, whoever the provider is
  for (const auto& s : b.mcp_servers) {
    std::string command;
    for (const auto& word : s.command)
      command += word + '\n';
    out["mcp_servers." + s.name] = {s.type, host_of(s.url), std::move(command)};
  }
  return out;
}

/// Returns whose secret stands at a place; none for what this machine keeps to itself.
std::string owner_of(const std::string& place, const recipients& all) {
  std::string best; // a name may hold a dot
  for (const auto& [owner, who] : all)
    if (place.starts_with(owner + ".") && owner.size() > best.size())
      best = owner;
  return best;
}

std::string change_of(const recipient& stored, const recipient& now) {
  auto shown = [](const recipient& r) {
    return (r.type.empty() ? "" : "type " + shown_text(r.type, 40) + ", ")
           + (r.host.empty() ? "the host of its type" : shown_text(r.host, 100));
  };
  if (stored.command != now.command)
    return "of a server whose command is another there now";
  return "for " + shown(stored) + ", there it is for " + shown(now) + " now";
}

} // namespace

void mask_secrets(opening& o, const secrets* known) {
  for (auto& a : o.agents)
    each_backend(a, [known](backend_config& b, const std::string&) {
      each_secret(
          b, [](const secret_text& place, std::string& text) { text = with_marks(place, text); }, known);
    });
}

bool restore_secrets(opening& o, const run_config& from, std::string& error, const secrets* secret_values) {
  constexpr std::size_t most_named = 5;
  auto restored = o.agents;
  std::vector<std::string> lacks;
  std::ptrdiff_t missing = 0; ///< of them
  for (std::size_t i = 0; i < restored.size(); ++i) {
    auto& a = restored[i];
    std::map<std::string, found_secrets> known; // by backend
    std::map<std::string, recipients> there;
    for (const auto& x : from.agents)
      if (x.id == a.id)
        each_backend(x, [&](const backend_config& b, const std::string& path) {
          known[path] = secrets_of(b, secret_values);
          there[path] = recipients_of(b, secret_values);
        });
    each_backend(a, [&](backend_config& b, const std::string& path) {
      numbered number;
      const auto stored = recipients_of(b, nullptr);
      each_secret(b, [&](const secret_text& place, std::string& text) {
        const auto owner = owner_of(place.place, stored);
        text = replaced(place, text, [&](const secret_span& s) {
          auto key = number(place, s);
          if (text.compare(s.begin, s.end - s.begin, mark_of(s)) != 0)
            return std::string{};
          auto secret = known[path].find(key);
          auto same = there[path].count(owner) > 0 && there[path][owner] == stored.at(owner);
          if (secret != known[path].end() && same)
            return secret->second.at(s);
          auto gone = secret == known[path].end(); // those first: of another server all of them are refused
          lacks.insert(gone ? lacks.begin() + missing++ : lacks.end(),
                       "agents[" + std::to_string(i) + "]." + path + "." + path_of(place, s) + " ('" + shown_text(a.id) + "')"
                           + (gone ? "" : " " + change_of(stored.at(owner), there[path][owner])));
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
