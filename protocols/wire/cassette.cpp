// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/wire/cassette.hpp"

#include "protocols/text.hpp"
#include "protocols/wire/json_util.hpp"
#include "protocols/wire/sha256.hpp"

#include <array>
#include <limits>

namespace conclave::wire {

namespace {

constexpr std::size_t chain_digits = 16;
constexpr std::int64_t max_time_ns = 1'000'000'000'000'000'000; ///< 30 years: no sum overflows
constexpr std::int64_t max_unix_ms = 253'402'300'799'999;       ///< the end of the year 9999
constexpr const char* version_key = "conclave_cassette";

// Index = tape_kind.
constexpr std::array<std::string_view, static_cast<std::size_t>(tape_kind::end) + 1> kind_names{
    "head",     "data",           "done",        "lines",        "silence", "deaf",    "exit",    "stored",
    "job_done", "model_progress", "model_ready", "model_failed", "cancel",  "request", "abandon", "child",
    "write",    "close_child",    "last_words",  "append",       "job",     "model",   "trust",   "end"};

constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string base64(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t x = 0;
    auto n = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < 3; ++k)
      x = x << 8 | (k < n ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (std::size_t k = 0; k < 4; ++k)
      out += k <= n ? letters[x >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

bool from_base64(const std::string& text, std::string& out) {
  if (text.size() % 4 != 0)
    return false;
  out.clear();
  for (std::size_t i = 0; i < text.size(); i += 4) {
    std::uint32_t x = 0;
    std::size_t n = 4;
    for (std::size_t k = 0; k < 4; ++k) {
      auto at = letters.find(text[i + k]);
      if (text[i + k] == '=' && i + 4 == text.size() && k > 1) {
        n = std::min(n, k);
        at = 0;
      } else if (at == std::string_view::npos || k > n) {
        return false;
      }
      x = x << 6 | static_cast<std::uint32_t>(at);
    }
    for (std::size_t k = 0; k + 1 < n; ++k)
      out += static_cast<char>(x >> (16 - 8 * k) & 255);
  }
  return true;
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    std::uint32_t c = 0;
    auto n = static_cast<unsigned char>(text[i]) < 0x80 ? 1 : decode_utf8(text, i, c);
    if (n == 0)
      return false;
    i += n;
  }
  return true;
}

json bytes_of(const std::string& text) {
  return is_utf8(text) ? json(text) : json{{"base64", base64(text)}};
}

std::string dump_exactly(const json& v) {
  return v.dump(-1, ' ', false, json::error_handler_t::strict);
}

// -- reading --

/// The members of an object, each to be taken once; what is left is unknown.
class taker {
public:
  explicit taker(const json& v) : v_(v), left_(v.size()) {}

  const json* find(const char* key) {
    auto* m = member(v_, key);
    left_ -= m != nullptr ? 1 : 0;
    return m;
  }

  void number(const char* key, std::int64_t& to, std::int64_t least = 0) {
    auto* m = find(key);
    if (m == nullptr)
      return;
    auto fits =
        m->is_number_integer() && (!m->is_number_unsigned() || m->get<std::uint64_t>() <= std::numeric_limits<std::int64_t>::max());
    if (!fits || m->get<std::int64_t>() < least)
      return wrong(key, "is no whole number that can stand here");
    to = m->get<std::int64_t>();
  }

  void text(const char* key, std::string& to) {
    if (auto* m = find(key))
      read(key, *m, to);
  }

  void flag(const char* key, bool& to) {
    auto* m = find(key);
    if (m != nullptr && !m->is_boolean())
      wrong(key, "is neither true nor false");
    else if (m != nullptr)
      to = m->get<bool>();
  }

  void texts(const char* key, std::vector<std::string>& to) {
    auto* m = find(key);
    if (m == nullptr)
      return;
    if (!m->is_array())
      return wrong(key, "is no list");
    for (auto& x : *m)
      read(key, x, to.emplace_back());
  }

  void read(const char* key, const json& v, std::string& to) {
    auto* packed = v.is_object() && v.size() == 1 ? member(v, "base64") : nullptr;
    if (v.is_string())
      to = v.get_ref<const std::string&>();
    else if (packed == nullptr || !packed->is_string() || !from_base64(packed->get_ref<const std::string&>(), to))
      wrong(key, "is no text");
  }

  void wrong(const std::string& key, const std::string& what) {
    if (error_.empty())
      error_ = "'" + key + "' " + what;
  }

  std::string error() const {
    return !error_.empty() ? error_ : left_ > 0 ? "it has a member that this version does not know" : "";
  }

private:
  const json& v_;
  std::size_t left_;
  std::string error_;
};

std::string read_entry(const json& v, tape_entry& e) {
  taker t(v);
  std::string kind;
  t.text("kind", kind);
  std::size_t i = 0;
  while (i < kind_names.size() && kind_names[i] != kind)
    ++i;
  if (i == kind_names.size())
    return "there is no kind of entry '" + shown_text(kind) + "'";
  e.kind = static_cast<tape_kind>(i);
  t.number("at", e.at_ns);
  std::int64_t id = 0;
  t.number("id", id);
  e.id = static_cast<std::uint64_t>(id);
  t.text("text", e.text);
  t.text("note", e.note);
  constexpr auto any = std::numeric_limits<std::int64_t>::min();
  t.number("number", e.number, any);
  t.number("other", e.other, any);
  t.number("more", e.more, any);
  t.texts("texts", e.texts);
  t.flag("ok", e.ok);
  if (auto* m = t.find("pairs")) {
    if (!m->is_array())
      t.wrong("pairs", "is no list");
    else
      for (auto& x : *m)
        if (x.is_array() && x.size() == 2) {
          auto& to = e.pairs.emplace_back();
          t.read("pairs", x[0], to.first);
          t.read("pairs", x[1], to.second);
        } else {
          t.wrong("pairs", "holds what is no pair");
        }
  }
  if (e.at_ns > max_time_ns)
    t.wrong("at", "is more than a run takes");
  auto timed = is_input(e.kind) || e.kind == tape_kind::end;
  if (timed != (e.at_ns >= 0))
    t.wrong("at", timed ? "is missing" : "stands where no time does");
  return t.error();
}

std::string read_head(const json& v, tape_head& h) {
  taker t(v);
  t.find(version_key);
  t.text("build", h.build);
  t.text("task", h.task);
  t.number("start_unix_ms", h.start_unix_ms);
  if (h.start_unix_ms > max_unix_ms)
    t.wrong("start_unix_ms", "is no time that will be");
  constexpr std::int64_t day = 86'400;
  std::int64_t offset = 0;
  t.number("utc_offset_s", offset, -day);
  if (offset > day)
    t.wrong("utc_offset_s", "is more than a day");
  h.utc_offset_s = static_cast<std::int32_t>(offset);
  if (auto* m = t.find("seed"); m == nullptr || !m->is_number_unsigned())
    t.wrong("seed", "is no number");
  else
    h.seed = m->get<std::uint64_t>();
  t.text("log_folder", h.log_folder);
  t.text("home", h.home);
  t.text("opening", h.opening);
  t.text("question", h.question);
  t.texts("known", h.known);
  t.flag("without_hashes", h.without_hashes);
  if (auto* m = t.find("variables")) {
    if (!m->is_object())
      return "'variables' is no object";
    for (auto& [name, x] : m->items()) {
      taker each(x);
      auto& to = h.variables[name];
      each.text("value", to.value);
      each.text("source", to.source);
      if (auto e = each.error(); !x.is_object() || !e.empty())
        return "variable '" + shown_text(name) + "': " + (e.empty() ? "it is no object" : e);
    }
  }
  return t.error();
}

std::string chained(const std::string& chain, std::string_view body) {
  return sha256(chain + std::string(body)).substr(0, chain_digits);
}

/// `{...,"sha":"0123456789abcdef"}` -> `{...}` and the digits.
bool take_apart(std::string_view line, std::string& body, std::string& sha) {
  constexpr std::string_view before = ",\"sha\":\"", after = "\"}";
  auto tail = before.size() + chain_digits + after.size();
  if (line.size() < tail + 1 || !line.ends_with(after) || line.substr(line.size() - tail, before.size()) != before)
    return false;
  body = std::string(line.substr(0, line.size() - tail)) + "}";
  sha = std::string(line.substr(line.size() - after.size() - chain_digits, chain_digits));
  return true;
}

/// The version stands in front of everything else, so that another one is named and not taken for a fault.
std::string version_fault(std::string_view line) {
  auto v = parse(line, true);
  auto* said = v ? member(*v, version_key) : nullptr;
  if (said == nullptr || !said->is_number_integer())
    return "this is no cassette: its first line does not begin with {\"" + std::string(version_key) + "\": ...";
  if (*said != cassette_version)
    return "it is a cassette of version " + shown_text(said->dump(), 20) + "; this conclave reads version "
           + std::to_string(cassette_version);
  return {};
}

std::string read_line(std::string_view line, std::size_t number, std::string& chain, cassette& out) {
  if (line.size() > max_cassette_line)
    return "it is longer than " + std::to_string(max_cassette_line >> 20) + " MiB";
  if (number == 1)
    if (auto fault = version_fault(line); !fault.empty())
      return fault;
  std::string body, sha;
  if (!take_apart(line, body, sha))
    return "it does not end in its check sum: the file was changed, or cut off";
  auto expected = chained(chain, body);
  if (sha != expected)
    return "its check sum is wrong: it, or a line in front of it, was changed, added or taken out";
  chain = expected;
  auto v = parse(body, true);
  if (!v || !v->is_object())
    return "it is no JSON object";
  if (number == 1)
    return read_head(*v, out.head);
  if (!out.entries.empty() && out.entries.back().kind == tape_kind::end)
    return "it stands behind the end";
  auto& e = out.entries.emplace_back();
  e.line = number;
  return read_entry(*v, e);
}

} // namespace

bool is_input(tape_kind kind) {
  return kind <= tape_kind::cancel;
}

bool cassette_writer::add(const tape_head& h, std::string& to) {
  json variables = json::object();
  for (auto& [name, x] : h.variables)
    variables[valid_utf8(name)] = {{"value", bytes_of(x.value)}, {"source", bytes_of(x.source)}};
  json known = json::array();
  for (auto& x : h.known)
    known.push_back(bytes_of(x));
  json v{{"build", bytes_of(h.build)},
         {"task", bytes_of(h.task)},
         {"start_unix_ms", h.start_unix_ms},
         {"utc_offset_s", h.utc_offset_s},
         {"seed", h.seed},
         {"log_folder", bytes_of(h.log_folder)},
         {"home", bytes_of(h.home)},
         {"opening", bytes_of(h.opening)},
         {"question", bytes_of(h.question)},
         {"known", std::move(known)},
         {"variables", std::move(variables)}};
  if (h.without_hashes)
    v["without_hashes"] = true;
  // In front, for whoever looks at the file and for readers of other versions.
  auto body = dump_exactly(v);
  return finish("{\"" + std::string(version_key) + "\":" + std::to_string(cassette_version) + "," + body.substr(1), to);
}

bool cassette_writer::add(const tape_entry& e, std::string& to) {
  const tape_entry plain;
  json v = json::object();
  v["kind"] = std::string(kind_names[static_cast<std::size_t>(e.kind)]);
  if (e.at_ns >= 0)
    v["at"] = e.at_ns;
  if (e.id != 0)
    v["id"] = e.id;
  if (!e.text.empty())
    v["text"] = bytes_of(e.text);
  if (!e.note.empty())
    v["note"] = bytes_of(e.note);
  for (auto [name, x] : {std::pair{"number", e.number}, {"other", e.other}, {"more", e.more}})
    if (x != 0)
      v[name] = x;
  if (e.ok)
    v["ok"] = true;
  for (auto& x : e.texts)
    v["texts"].push_back(bytes_of(x));
  for (auto& [a, b] : e.pairs)
    v["pairs"].push_back(json::array({bytes_of(a), bytes_of(b)}));
  return finish(dump_exactly(v), to);
}

bool cassette_writer::finish(std::string body, std::string& to) {
  if (body.size() + 64 > max_cassette_line)
    return false;
  chain_ = chained(chain_, body);
  ++lines_;
  body.pop_back();
  to += body + ",\"sha\":\"" + chain_ + "\"}\n";
  return true;
}

std::string read_cassette(std::string_view bytes, cassette& out) {
  out = {};
  std::string chain;
  std::size_t number = 0;
  auto at = [&](const std::string& what) { return "line " + std::to_string(number) + ": " + what; };
  if (bytes.empty())
    return "it is empty";
  for (std::size_t from = 0; from < bytes.size();) {
    auto end = bytes.find('\n', from);
    ++number;
    if (end == std::string_view::npos)
      return at("it is cut off");
    if (auto fault = read_line(bytes.substr(from, end - from), number, chain, out); !fault.empty())
      return at(fault);
    from = end + 1;
  }
  if (out.entries.empty() || out.entries.back().kind != tape_kind::end)
    return at("the end is missing behind it: the file is cut off");
  if (auto said = out.entries.back().number; said != static_cast<std::int64_t>(number))
    return at("it says that there are " + std::to_string(said) + " lines");
  return {};
}

std::string shown_entry(const tape_entry& e) {
  auto id = std::to_string(e.id);
  switch (e.kind) {
  case tape_kind::request:
    return "call " + id + " (" + shown_text(e.note, 300) + ")";
  case tape_kind::abandon:
    return "the end of call " + id;
  case tape_kind::child: {
    std::string words;
    for (auto& x : e.texts)
      words += (words.empty() ? "" : " ") + x;
    return "the start of child " + id + " (" + shown_text(words, 300) + ")";
  }
  case tape_kind::write:
    return "a message to child " + id + " (" + shown_text(e.note, 300) + ")";
  case tape_kind::close_child:
    return "the end of child " + id;
  case tape_kind::last_words:
    return "what child " + id + " said last";
  case tape_kind::append:
    return "events " + std::to_string(e.other) + " to " + std::to_string(e.other + e.number - 1) + " of the log";
  case tape_kind::job:
    return "job " + id + " of '" + shown_text(e.note) + "'";
  case tape_kind::model:
    return "local model " + id + " (" + shown_text(e.note, 200) + ")";
  case tape_kind::trust:
    return "the certificate authorities";
  case tape_kind::end:
    return "the end of the task";
  default:
    return std::string(kind_names[static_cast<std::size_t>(e.kind)]) + " " + id;
  }
}

} // namespace conclave::wire
