// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/secret_places.hpp"

#include "protocols/config_expand.hpp"
#include "protocols/opening.hpp"
#include "protocols/secret_judge.hpp"
#include "protocols/secrets.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"

#include <algorithm>
#include <utility>

namespace conclave {

std::string mark_of(const secret_span& s) {
  return s.quoted ? "\"" + std::string{secret_mark} + "\"" : secret_mark;
}

std::string with_marks(const secret_text& place, const std::string& text) {
  return replaced(place, text, [&](const secret_span& s) { return s.literal || place.expanded ? mark_of(s) : std::string{}; });
}

std::string replaced(const secret_text& place, const std::string& text, const std::function<std::string(const secret_span&)>& by) {
  std::string out;
  std::size_t done = 0;
  for (const auto& s : place.spans) {
    auto with = by(s);
    if (with.empty())
      continue;
    out.append(text, done, s.begin - done).append(with);
    done = s.end;
  }
  return out.append(text, done);
}

std::string path_of(const secret_text& text, const secret_span& s) {
  auto path = shown_text(text.path, 200);
  const auto& within = s.path.empty() ? s.name : s.path;
  if (text.path == "params" && !within.empty()) // the provider's own parameters stand beside our keys
    return shown_text(within, 200);
  if (!s.path.empty())
    return path + "." + shown_text(s.path, 200);
  return s.name.empty() || text.path.ends_with("." + s.name) ? path : path + "." + shown_text(s.name);
}

namespace {

using spans = std::vector<secret_span>;
using judge = std::function<spans(std::string_view)>;
using visitor = std::function<void(secret_text, const std::string&)>;

/// What the judge finds in `text`, so that each mark put there is found again under the same name. Where it would not be, the whole
/// text is the secret.
spans found_again(const std::string& text, bool expanded, const judge& find) {
  auto found = find(text);
  auto masked = with_marks({.path = "", .place = "", .spans = found, .expanded = expanded}, text);
  auto again = masked == text ? found : find(masked);
  auto same = [](const secret_span& a, const secret_span& b) { return a.name == b.name && a.quoted == b.quoted; };
  auto marks = std::count_if(found.begin(), found.end(), [&](const secret_span& s) { return s.literal || expanded; });
  std::ptrdiff_t kept = 0;
  for (const auto& s : again)
    kept += masked.compare(s.begin, s.end - s.begin, mark_of(s)) == 0 ? 1 : 0;
  if (masked == text || (kept == marks && std::equal(found.begin(), found.end(), again.begin(), again.end(), same)))
    return found;
  auto whole = find(secret_mark);
  return {{whole.empty() ? "" : whole.front().name, 0, text.size(), true, false, ""}};
}

/// The judge with `known` as marks: what stands there is found as the mark will be that is stored for it.
judge with_known(judge find, const secrets* known) {
  if (known == nullptr || known->empty())
    return find;
  return [find = std::move(find), known](std::string_view t) {
    const std::string text{t}, mark = secret_mark;
    auto there = known->find_in(text);
    if (there.empty())
      return find(t);
    std::string masked;
    std::size_t done = 0;
    std::vector<std::pair<std::size_t, std::size_t>> shifts; // behind which byte of `masked`, and where that is in the text
    for (const auto& f : there) {
      masked.append(text, done, f.begin - done).append(mark);
      done = f.end;
      shifts.emplace_back(masked.size(), done);
    }
    masked.append(text, done);
    auto out = find(masked);
    for (auto& span : out)
      for (auto* at : {&span.begin, &span.end}) {
        std::pair<std::size_t, std::size_t> last;
        for (auto& shift : shifts)
          last = *at >= shift.first ? shift : last;
        *at = *at - last.first + last.second;
      }
    return out;
  };
}

void visit_all(const backend_config& b, const visitor& visit, const secrets* known) {
  auto tell = [&](std::string path, std::string place, const std::string& text, bool expanded, const judge& plain_find) {
    auto here = expanded || place.starts_with("command_env.");
    const auto find = with_known(plain_find, here ? known : nullptr);
    if (auto found = found_again(text, expanded, find); !found.empty())
      visit({std::move(path), std::move(place), std::move(found), expanded}, text);
  };
  auto json = [&](const char* name, const std::string& text) {
    tell(name, name, text, true, [](std::string_view t) {
      return t.empty() || wire::is_object(t) ? find_secrets({}, t)
                                             : spans{{"", 0, t.size(), true, false, ""}}; // not to be judged, nor to be sent
    });
  };
  auto plain = [&](const std::string& path, const std::string& place, const std::string& text, bool expanded) {
    tell(path, place, text, expanded, [](std::string_view t) { return find_secrets({}, t); });
  };
  auto named = [&](const std::string& path, const std::string& place, const std::map<std::string, std::string>& values, bool sent) {
    for (const auto& [name, value] : values)
      tell(path + "." + name, place + "." + name, value, false,
           [&, at = secret_place{name, sent}](std::string_view t) { return find_secrets(at, t); });
  };
  tell("api_key", "api_key", b.api_key, false, [](std::string_view t) {
    auto scheme = scheme_length(t);
    return t.empty() ? spans{} : spans{{"", scheme, t.size(), is_literal_secret(std::string{t.substr(scheme)}), false, ""}};
  });
  plain("base_url", "base_url", b.base_url, true);
  json("extra_body", b.extra_body);
  json("params", b.params);
  named("extra_headers", "extra_headers", b.extra_headers, true);
  named("extra_query", "extra_query", b.extra_query, false);
  named("command_env", "command_env", b.workspace.command_env, false);
  for (std::size_t i = 0; i < b.mcp_servers.size(); ++i) {
    const auto& s = b.mcp_servers[i];
    auto path = "mcp_servers[" + std::to_string(i) + "]";
    auto place = "mcp_servers." + s.name;
    named(path + ".env", place + ".env", s.env, false);
    named(path + ".headers", place + ".headers", s.headers, true);
    plain(path + ".url", place + ".url", s.url, false);
    for (std::size_t k = 1; k < s.command.size(); ++k) {
      const auto& before = k > 1 ? s.command[k - 1] : std::string{};
      tell(path + ".args", place + ".args", s.command[k], false,
           [&](std::string_view t) { return find_argument_secrets(before, t); });
    }
  }
}

} // namespace

void each_secret(const backend_config& b, const std::function<void(const secret_text&, const std::string&)>& visit,
                 const secrets* known) {
  visit_all(b, visit, known);
}

void each_secret(backend_config& b, const std::function<void(const secret_text&, std::string&)>& visit, const secrets* known) {
  // Found first, changed later: an argument is judged by the one in front of it.
  std::vector<std::pair<secret_text, std::string*>> found;
  visit_all(
      b,
      [&](secret_text x, const std::string& text) {
        found.emplace_back(std::move(x), const_cast<std::string*>(&text)); // of `b`, which is not const here
      },
      known);
  for (auto& [x, text] : found)
    visit(x, *text);
}

void add_secrets(const backend_config& b, secrets& to) {
  visit_all(
      b,
      [&to](const secret_text& x, const std::string& text) {
        for (const auto& s : x.spans) {
          auto value = text.substr(s.begin, s.end - s.begin);
          for (const auto& form : secret_forms(s.quoted ? json_value(value) : value))
            to.add_key(form);
        }
      },
      nullptr);
}

} // namespace conclave
