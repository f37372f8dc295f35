// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/event_store_record.hpp"

#include "protocols/wire/sha256.hpp"

#include <algorithm>
#include <cstring>
#include <map>

namespace conclave {

namespace {

// What stands for something else in the text of a record; one of these bytes in an event or body has `as_it_is` before it. JSON has
// none of them. They are what is stored: never change one.
constexpr char end_of_item = 0; ///< of a body or an event: all bodies come first
constexpr char its_number = 1;  ///< the member "seq" of an event, of the value that its place in the log gives
constexpr char next_body = 2;   ///< the name of the next body of this record
constexpr char as_it_is = 3;
constexpr char a_body = 4; ///< begins one
constexpr char last_mark = a_body;

constexpr std::size_t name_size = 64;

/// Returns how many bytes come before the next mark. Everything that is stored goes through here: eight bytes at a time.
std::size_t plain_size(std::string_view text) {
  constexpr std::uint64_t ones = ~std::uint64_t{0} / 255;
  std::size_t at = 0;
  for (std::uint64_t x = 0; at + sizeof x <= text.size(); at += sizeof x) {
    std::memcpy(&x, text.data() + at, sizeof x);
    if (((x - ones * (last_mark + 1)) & ~x & ones * 128) != 0) // a byte of them is less than that
      break;
  }
  while (at < text.size() && static_cast<unsigned char>(text[at]) > last_mark)
    ++at;
  return at;
}

void put_plain(std::string& out, std::string_view text) {
  while (!text.empty()) {
    auto clean = plain_size(text);
    out += text.substr(0, clean);
    if (clean < text.size()) {
      out += as_it_is;
      out += text[clean++];
    }
    text.remove_prefix(clean);
  }
}

std::string number_member(std::uint64_t seq) {
  return "\"seq\":" + std::to_string(seq);
}

/// The records of an append in the making, and the bodies for them.
struct record_maker {
  std::map<std::string_view, const stored_body*> unnamed; ///< by name: no event has named them yet
  std::string bodies, events;                             ///< of the record that is being made
  stored_batch& out;

  void put_body(const stored_body& b) {
    bodies += a_body;
    put_plain(bodies, b.bytes);
    bodies += end_of_item;
    out.body_bytes += b.bytes.size();
  }

  /// Puts an event down, with marks for the names that are new.
  void put_event(std::string_view json, std::uint64_t seq) {
    auto number = number_member(seq);
    auto at = json.find(number);
    if (at != std::string_view::npos && at + number.size() < json.size() && json[at + number.size()] >= '0'
        && json[at + number.size()] <= '9')
      at = std::string_view::npos; // the beginning of a longer one
    if (at == std::string_view::npos)
      at = json.size();
    put_names(json.substr(0, at));
    if (at < json.size()) {
      events += its_number;
      put_names(json.substr(at + number.size()));
    }
    events += end_of_item;
  }

  void put_names(std::string_view text) {
    while (!unnamed.empty()) {
      std::size_t quote = 0;
      auto found = unnamed.end();
      for (; found == unnamed.end(); ++quote) {
        quote = text.find('"', quote);
        if (quote == std::string_view::npos || text.size() - quote < name_size + 2)
          return put_plain(events, text);
        if (text[quote + name_size + 1] == '"')
          found = unnamed.find(text.substr(quote + 1, name_size));
      }
      put_plain(events, text.substr(0, quote)); // with the quotation mark
      events += next_body;
      put_body(*found->second);
      unnamed.erase(found);
      text.remove_prefix(quote + name_size);
    }
    put_plain(events, text);
  }

  void end_record(std::uint64_t first, std::uint64_t end) {
    out.records.push_back({first, end - first, std::move(bodies) + events});
    bodies.clear();
    events.clear();
  }
};

/// Takes an item off the text, up to its end. Returns false if it has none.
template <class OnMark>
bool take_item(std::string_view& rest, std::string& out, OnMark&& on_mark) {
  while (!rest.empty()) {
    auto plain = plain_size(rest);
    out += rest.substr(0, plain);
    rest.remove_prefix(plain);
    if (rest.empty())
      return false;
    auto mark = rest.front();
    rest.remove_prefix(1);
    if (mark == end_of_item)
      return true;
    if (mark != as_it_is) {
      if (!on_mark(mark))
        return false;
      continue;
    }
    if (rest.empty())
      return false;
    out += rest.front();
    rest.remove_prefix(1);
  }
  return false;
}

} // namespace

stored_batch to_records(const append_batch& batch, std::uint64_t first) {
  stored_batch out;
  record_maker maker{{}, {}, {}, out};
  for (auto& b : batch.bodies)
    if (batch.events.empty() || b.bytes.size() >= short_body || wire::sha256(b.bytes) != b.sha)
      out.apart.push_back(&b);
    else
      maker.unnamed.emplace(b.sha, &b);
  auto seq = first;
  for (auto& json : batch.events) {
    if (maker.bodies.size() + maker.events.size() >= record_bytes) {
      maker.end_record(first, seq);
      first = seq;
    }
    maker.put_event(json, seq++);
  }
  for (auto& [name, body] : maker.unnamed) // what no event names comes with the last one
    maker.put_body(*body);
  if (seq != first)
    maker.end_record(first, seq);
  return out;
}

bool from_record(std::string_view text, std::uint64_t first, record& out, bool bodies_alone) {
  out = {};
  auto no_marks = [](char) { return false; };
  while (!text.empty() && text.front() == a_body) {
    text.remove_prefix(1);
    out.bodies.emplace_back();
    if (!take_item(text, out.bodies.back().bytes, no_marks))
      return false;
    out.bodies.back().sha = wire::sha256(out.bodies.back().bytes);
  }
  if (bodies_alone)
    return !text.empty();
  for (std::size_t named = 0; !text.empty(); ++first) {
    auto& json = out.events.emplace_back();
    auto fill_in = [&](char mark) {
      if (mark == its_number)
        json += number_member(first);
      else if (mark == next_body && named < out.bodies.size())
        json += out.bodies[named++].sha;
      else
        return false;
      return true;
    };
    if (!take_item(text, json, fill_in))
      return false;
  }
  return !out.events.empty();
}

} // namespace conclave
