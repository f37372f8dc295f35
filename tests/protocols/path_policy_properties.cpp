// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

/// Random grants and paths: the verdicts against a model that says the rules plainly, component by component; patterns against a
/// matcher that tries everything.
///
///   path_policy_properties     RC_PARAMS="max_success=100000 seed=1" as usual

#include "protocols/glob.hpp"
#include "protocols/path_policy.hpp"
#include "protocols/path_text.hpp"

#include <rapidcheck.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <iostream>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace conclave;
using namespace conclave::path_policy;

using may = path_policy::access; // the system has a function of that name
using names = std::vector<std::string>;

struct dice {
  std::uint64_t word;
  std::uint32_t roll(std::uint32_t sides) {
    word = word * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::uint32_t>(word >> 33) % sides;
  }
};

names split(const std::string& path) {
  names out;
  std::string part;
  for (auto c : path + "/") {
    if (c != '/')
      part += c;
    else if (!part.empty())
      out.push_back(std::exchange(part, {}));
  }
  return out;
}

bool starts(const names& path, const names& with) {
  return path.size() >= with.size() && std::equal(with.begin(), with.end(), path.begin());
}

std::string small(std::string s) {
  for (auto& c : s)
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return s;
}

bool secret(const std::string& name) {
  static const std::set<std::string> all{".env",    ".ssh", ".aws", ".gnupg", ".netrc", ".npmrc", ".pypirc", ".git-credentials",
                                         ".pgpass", ".kube"};
  auto n = small(name);
  static const std::regex copy{"(\\.#|#)?(.*?)(~|\\.bak|\\.old|\\.orig|\\.swp|#)*"};
  std::smatch parts;
  if (std::regex_match(n, parts, copy))
    n = std::string{parts[2]};
  auto ends = [&n](const std::string& e) { return n.size() >= e.size() && n.substr(n.size() - e.size()) == e; };
  auto starts = [&n](const char* s) { return n.rfind(s, 0) == 0; };
  return all.count(n) > 0 || starts(".env.") || starts(".env-") || starts(".env_") || starts(".envrc") || starts("id_rsa")
         || starts("id_dsa") || starts("id_ecdsa") || starts("id_ed25519") || ends(".pem") || ends(".key") || ends(".p12")
         || ends(".pfx");
}

bool excluded(const std::string& name) {
  static const std::set<std::string> all{".massgen", ".git",          ".env",        "node_modules", "__pycache__", ".venv",
                                         "venv",     ".pytest_cache", ".mypy_cache", ".ruff_cache",  ".ds_store",   "massgen_logs"};
  return all.count(small(name)) > 0 || secret(name);
}

bool never_deleted(const std::string& name) {
  static const std::set<std::string> all{".massgen", ".git",          ".env",        "node_modules", "__pycache__", ".venv",
                                         "venv",     ".pytest_cache", ".mypy_cache", ".ruff_cache",  "massgen_logs"};
  return all.count(small(name)) > 0;
}

const names words{"a",       "b",     "c",      "ab",          "A",          ".env",  ".Env.x", "node_modules", ".git",
                  "id_rsa1", "x.KEY", "README", "k",           "id_ed25519", ".kube", ".env~",  ".#.env",       "x.pem.bak~",
                  "#x#",     "a.bak", "[ab]",   "[[:upper:]]", "a ",         "\\b",   "?",      "!a",           "!b"};
/// Those of them that mean themselves in a pattern.
const names plain(words.begin(), words.begin() + 20);

/// Entries with characters that mean something in a pattern, and the names that they match as one, anywhere below their folder.
const std::vector<std::pair<std::string, names>> patterns{
    {"[ab]", {"a", "b"}}, {"[[:upper:]]", {"A"}}, {"a ", {"a"}}, {"\\b", {"b"}}, {"?", {"a", "b", "c", "A", "k", "?", "\\"}}};

/// Protected entries here are "/a/b" (there alone), "a" (anywhere), those of `patterns`, and "!a", which takes back what those
/// before it say of "a". Each but "a" and "/a/b" is the name of a file in the folder itself, too.
bool is_protected(const root& r, const names& path) {
  auto base = split(r.path);
  if (r.kind == root_kind::context_file ? path != base : !starts(path, base))
    return false;
  if (r.kind == root_kind::context_file)
    base.pop_back();
  names below(path.begin() + static_cast<std::ptrdiff_t>(base.size()), path.end());
  for (std::size_t n = 1; n <= below.size(); ++n) {
    names at(below.begin(), below.begin() + static_cast<std::ptrdiff_t>(n));
    for (auto entry = r.protected_paths.rbegin(); entry != r.protected_paths.rend(); ++entry) {
      if (at == split(*entry) || at.back() == *entry)
        if (entry->front() == '/' || at.size() == 1 || std::find(plain.begin(), plain.end(), *entry) != plain.end())
          return true;
      if (entry->front() == '!' && at.back() == entry->substr(1))
        break;
      for (auto& [pattern, matched] : patterns)
        if (pattern == *entry && std::find(matched.begin(), matched.end(), at.back()) != matched.end())
          return true;
    }
  }
  return false;
}

denial naive(const rules& r, const std::string& text, may what) {
  auto path = split(text);
  const root* own = nullptr;
  const root* beside = nullptr;
  for (auto& x : r.roots) {
    auto at = split(x.path);
    if (x.kind != root_kind::context_file && starts(path, at) && (own == nullptr || at.size() > split(own->path).size()))
      own = &x;
    at.pop_back();
    if (x.kind == root_kind::context_file && starts(path, at))
      beside = &x;
  }
  for (auto& x : r.roots)
    if (x.kind == root_kind::context_file && path == split(x.path))
      own = &x;
  for (auto& k : r.kept)
    if (starts(path, split(k)) && (own == nullptr || own->path == k || !starts(split(own->path), split(k))))
      return denial::outside;
  if (own == nullptr)
    return beside != nullptr ? denial::sibling : denial::outside;
  auto at = split(own->path);
  if (what == may::remove && path == at)
    return denial::root;
  auto writes = what != may::read && what != may::list;
  for (auto i = at.size(); i < path.size(); ++i) {
    if (own->kind == root_kind::workspace && what == may::remove && never_deleted(path[i]))
      return denial::excluded;
    if (own->kind != root_kind::workspace && writes && excluded(path[i]))
      return denial::excluded;
    if (own->kind != root_kind::workspace && !writes && secret(path[i]) && !own->allow_secrets)
      return denial::secret;
  }
  if (!writes)
    return denial::none;
  for (auto& x : r.roots)
    if (is_protected(x, path))
      return denial::protected_path;
  if (!own->writable)
    return denial::readonly;
  if (what != may::remove)
    return denial::none;
  for (auto& x : r.roots) {
    if (split(x.path) != path && starts(split(x.path), path))
      return denial::root;
    for (auto& entry : x.protected_paths)
      if (x.kind != root_kind::context_file && entry.front() == '/' && starts(split(x.path + entry), path))
        return denial::protected_path;
  }
  for (auto& k : r.kept)
    if (starts(split(k), path))
      return denial::outside;
  return denial::none;
}

std::string random_path(dice& d, std::uint32_t most, const names& of = words) {
  std::string out;
  for (auto n = 1 + d.roll(most); n > 0; --n)
    out += "/" + of[d.roll(3) == 0 ? d.roll(static_cast<std::uint32_t>(of.size())) : d.roll(3)];
  return out;
}

rules random_rules(dice& d) {
  rules r;
  std::set<std::string> taken;
  for (auto n = 1 + d.roll(4); n > 0; --n) {
    auto path = random_path(d, 3);
    if (!taken.insert(path).second)
      continue;
    root x{path, static_cast<root_kind>(d.roll(5)), d.roll(2) == 0, d.roll(2) == 0};
    x.allow_secrets = d.roll(4) == 0;
    for (auto m = d.roll(3); m > 0; --m)
      switch (d.roll(4)) {
      case 0:
      case 1:
        x.protected_paths.push_back(random_path(d, 2, plain));
        break;
      case 2:
        x.protected_paths.push_back(words[d.roll(5)]);
        break;
      default:
        x.protected_paths.push_back(words[plain.size() + d.roll(static_cast<std::uint32_t>(words.size() - plain.size()))]);
      }
    // an entry that could be read as an absolute one below the root is another thing
    std::erase_if(x.protected_paths, [&](const std::string& e) { return is_within(e, path) || is_within(e, parent_of(path)); });
    r.roots.push_back(x);
  }
  if (d.roll(2) == 0)
    r.kept.push_back(random_path(d, 3));
  return r;
}

/// Tries every way a pattern of the shell's could match.
bool tries_all(const std::string& p, std::size_t i, const std::string& t, std::size_t k) {
  if (i == p.size())
    return k == t.size();
  if (p[i] == '*') {
    auto end = p.find_first_not_of('*', i);
    end = end == std::string::npos ? p.size() : end;
    auto deep = end - i >= 2 && end < p.size() && p[end] == '/' && (i == 0 || p[i - 1] == '/');
    if (deep && tries_all(p, end + 1, t, k))
      return true;
    for (auto n = k; n <= t.size(); ++n)
      if (deep ? n > k && t[n - 1] == '/' && tries_all(p, end + 1, t, n) : tries_all(p, end, t, n))
        return true;
    return false;
  }
  if (k == t.size())
    return false;
  if (p[i] == '[') {
    auto first = i + 1;
    auto negated = first < p.size() && p[first] == '!';
    first += negated ? 1 : 0;
    auto close = p.find(']', first + 1);
    if (close != std::string::npos) {
      auto found = false;
      for (auto n = first; n < close; ++n) {
        if (n + 2 < close && p[n + 1] == '-') {
          found = found || (p[n] <= t[k] && t[k] <= p[n + 2]);
          n += 2;
        } else {
          found = found || p[n] == t[k];
        }
      }
      return found != negated && tries_all(p, close + 1, t, k + 1);
    }
  }
  return (p[i] == '?' || p[i] == t[k]) && tries_all(p, i + 1, t, k + 1);
}

std::string random_text(dice& d, const std::string& letters, std::uint32_t most) {
  std::string out;
  for (auto n = d.roll(most); n > 0; --n)
    out += letters[d.roll(static_cast<std::uint32_t>(letters.size()))];
  return out;
}

} // namespace

int main() {
  auto ok = rc::check("every verdict is the model's", [](std::uint64_t seed) {
    dice d{seed};
    auto r = random_rules(d);
    for (int i = 0; i < 1000; ++i) {
      auto path = random_path(d, 5);
      auto what = static_cast<may>(d.roll(5));
      auto got = judge(r, path, what);
      auto want = naive(r, path, what);
      if (got.code != want)
        RC_FAIL(path + " " + std::to_string(static_cast<int>(what)) + ": " + std::string(to_string(got.code)) + " instead of "
                + std::string(to_string(want)) + ": " + got.text);
      RC_ASSERT(got.ok() == got.text.empty());
      RC_ASSERT(got.ok() || got.text.size() < 3000);
    }
  });
  ok = rc::check("an absolute path is canonical, or no path",
                 [](std::uint64_t seed) {
                   dice d{seed};
                   for (int i = 0; i < 200; ++i) {
                     auto argument = random_text(d, "ab./~:\\ \n", 24);
                     std::string out, again;
                     auto v = absolute("/w/s", argument, out);
                     RC_ASSERT(v.ok() == !argument.empty());
                     if (!v.ok() || out.empty() || out.front() != '/')
                       continue;
                     RC_ASSERT(is_canonical(out));
                     RC_ASSERT(absolute("/w/s", out, again).ok());
                     RC_ASSERT(again == out);
                     names want = argument.front() == '/' ? names{} : names{"w", "s"};
                     for (auto& c : split(argument)) {
                       if (c == ".." && !want.empty())
                         want.pop_back();
                       else if (c != "." && c != "..")
                         want.push_back(c);
                     }
                     RC_ASSERT(split(out) == want);
                   }
                 })
       && ok;
  ok = rc::check("a pattern matches what trying everything finds",
                 [](std::uint64_t seed) {
                   dice d{seed};
                   for (int i = 0; i < 500; ++i) {
                     auto pattern = random_text(d, "ab/*?*[]!-/", 9), text = random_text(d, "ab/-", 8);
                     auto g = glob::compile(pattern, glob::style::shell);
                     RC_ASSERT(g.has_value() == !pattern.empty());
                     if (g && g->matches(text) != tries_all(pattern, 0, text, 0))
                       RC_FAIL("'" + pattern + "' and '" + text + "'");
                   }
                 })
       && ok;
  return ok ? 0 : 1;
}
