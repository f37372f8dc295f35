// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/cassette_notes.hpp"

#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/wire/log_texts.hpp"
#include "protocols/wire/sha256.hpp"
#include "transports/home.hpp"

#include <algorithm>
#include <utility>

namespace conclave {

using wire::tape_entry;
using wire::tape_kind;

namespace {

constexpr std::size_t shown_of_message = 300; ///< of a message to a child: for people, its hash says the rest

std::string hidden_in(const stand_ins& hidden, std::string text) {
  hidden.put_in(text);
  return text;
}

std::string with_tilde(std::string path, const std::string& other_home) {
  for (auto& home : {user_home(), other_home})
    if (home.size() > 1 && path.starts_with(home + "/"))
      return path.replace(0, home.size(), "~");
  return path;
}

std::size_t weight(const tape_entry& e) {
  auto n = sizeof e + e.text.size() + e.note.size();
  for (auto& x : e.texts)
    n += sizeof x + x.size();
  for (auto& [a, b] : e.pairs)
    n += sizeof a + sizeof b + a.size() + b.size();
  return n;
}

} // namespace

std::uint32_t derived_seed(std::uint64_t of_run, const std::string& owner, std::uint64_t nth) {
  auto x = of_run * 0x9E3779B97F4A7C15ULL + nth;
  for (unsigned char c : owner)
    x = (x ^ c) * 0x100000001B3ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  return static_cast<std::uint32_t>(x ^ (x >> 31));
}

void recording::asked(tape_entry e) {
  if (!on)
    return;
  bytes += weight(e);
  entries.push_back(std::move(e));
  if (bytes <= wire::max_cassette)
    return;
  full = true;
  on = false;
  entries = {};
  by_text = {};
}

void recording::request(std::uint64_t id, const http_request& r) {
  constexpr std::size_t enough = 1000;
  asked(note_request(hidden, id, r, &in_parts));
  auto holds = [this](const std::string& text) { return hidden.is_needed(text); };
  if (in_names || !holds(r.body))
    return;
  for (auto& place : wire::places_of(r.body, holds, enough))
    in_names = in_names || (place.starts_with("tools[") && place.ends_with(".name"));
}

void recording::append(std::uint64_t id, std::uint64_t expected_seq, const append_batch& b) {
  auto needed = [this](const std::string& line) { return hidden.is_needed_in_stream(line); };
  told = told || std::any_of(b.events.begin(), b.events.end(), needed)
         || std::any_of(b.bodies.begin(), b.bodies.end(), [&](auto& x) { return hidden.is_needed_in_stream(x.bytes); });
  auto lines = b.events;
  for (auto& line : lines)
    hidden.put_in_stream({&line});
  by_text[entries.size()] = sha_of_log(lines, true);
  asked(note_append(id, expected_seq, lines.size(), sha_of_log(lines, false)));
}

std::string recording::places(const std::vector<std::string>& log) const {
  constexpr std::size_t named = 3, counted = 1000;
  auto holds = [this](const std::string& text) { return hidden.is_needed(text); };
  auto all = wire::places_of(head.opening, holds, counted);
  if (holds(head.question))
    all.push_back("the question");
  for (std::size_t i = 0; i < log.size() && all.size() < counted; ++i) {
    std::string type;
    if (holds(log[i]) && wire::get(log[i], "type", type) && type != "task_opened" && type != "session_start") // told above
      all.push_back("event " + std::to_string(i + 1) + " (" + type + ")");
  }
  if (all.empty())
    return "what a model or a tool was told, or said";
  std::string out;
  for (std::size_t i = 0; i < all.size() && i < named; ++i)
    out += (i > 0 ? ", " : "") + all[i];
  hidden.put_in(out);
  return shown_text(out, 300) + (all.size() > named ? " and " + std::to_string(all.size() - named) + " more" : "");
}

void recording::came_in(tape_entry e) {
  if (on)
    e.at_ns = links.turns->elapsed().count();
  asked(std::move(e));
}

tape_entry note_of(tape_kind kind, std::uint64_t id, std::string text) {
  tape_entry e;
  e.kind = kind;
  e.id = id;
  e.text = std::move(text);
  return e;
}

tape_entry note_request(const stand_ins& hidden, std::uint64_t id, const http_request& r, bool* in_parts) {
  auto body = r.body;
  if (hidden.put_in_stream({&body}) && in_parts != nullptr) // a turn goes back in the pieces that it came in
    *in_parts = true;
  auto e = note_of(tape_kind::request, id, wire::sha256(body));
  e.number = static_cast<std::int64_t>(body.size());
  e.note = hidden_in(hidden, r.method + " " + r.url + (r.agent.empty() ? "" : " of agent '" + r.agent + "'"));
  for (auto& [name, value] : r.headers)
    e.texts.push_back(name);
  return e;
}

tape_entry note_child(const stand_ins& hidden, std::uint64_t id, const child_options& o, const std::string& home) {
  auto e = note_of(tape_kind::child, id);
  for (auto& word : o.argv)
    e.texts.push_back(hidden_in(hidden, e.texts.empty() ? with_tilde(word, home) : word));
  e.note = hidden_in(hidden, with_tilde(o.cwd, home));
  return e;
}

tape_entry note_write(const stand_ins& hidden, std::uint64_t id, const std::string& bytes) {
  auto said = hidden_in(hidden, bytes);
  auto e = note_of(tape_kind::write, id, wire::sha256(said));
  e.number = static_cast<std::int64_t>(said.size());
  e.note = said.substr(0, whole_characters(said, shown_of_message));
  return e;
}

tape_entry note_append(std::uint64_t id, std::uint64_t expected_seq, std::size_t events, std::string sha) {
  auto e = note_of(tape_kind::append, id, std::move(sha));
  e.number = static_cast<std::int64_t>(events);
  e.other = static_cast<std::int64_t>(expected_seq + 1);
  return e;
}

tape_entry note_model(const stand_ins& hidden, std::uint64_t id, const local_model_options& o, const std::string& home) {
  auto e = note_of(tape_kind::model, id);
  e.note = hidden_in(hidden, with_tilde(o.model_path, home));
  return e;
}

std::string sha_of_log(const std::vector<std::string>& lines, bool without_hashes) {
  std::string all;
  for (auto& line : lines)
    all += (without_hashes ? wire::without_hashes(line) : line) + "\n";
  return wire::sha256(all);
}

} // namespace conclave
