// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/event_store_record.hpp"

#include "protocols/wire/sha256.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <zlib.h>

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

// How a row begins: its kind, and the CRC-32 of the text in four bytes, the lowest first.
enum kind : char { stored = 0, deflated = 1 };
constexpr std::size_t head_size = 5;

/// How much of what lies before is the dictionary. A match could lie 32 KiB back (RFC 1951 section 2): that takes twice the time of
/// a record and saves next to nothing. Part of the format.
constexpr std::size_t window = 16384;
constexpr int raw_deflate = -15;

std::string_view end_of(std::string_view before) {
  return before.substr(before.size() - std::min(before.size(), window));
}

Bytef* bytes_of(const char* p) {
  return reinterpret_cast<Bytef*>(const_cast<char*>(p)); // zlib only reads what comes in; its interface does not say so
}

std::uint32_t sum_of(std::string_view text) {
  return static_cast<std::uint32_t>(::crc32_z(0, bytes_of(text.data()), text.size()));
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

void record_packer::end_deflate::operator()(z_stream_s* s) const {
  ::deflateEnd(s);
  std::default_delete<z_stream>{}(s);
}

void record_packer::end_inflate::operator()(z_stream_s* s) const {
  ::inflateEnd(s);
  std::default_delete<z_stream>{}(s);
}

record_packer::record_packer() = default;
record_packer::~record_packer() = default;

std::string record_packer::pack(std::string_view text, std::string_view before) {
  std::string out(1, stored);
  for (auto sum = sum_of(text); out.size() < head_size; sum >>= 8)
    out += static_cast<char>(sum & 0xFF);
  auto as_it_is_now = [&] { return out.substr(0, head_size).append(text); };
  if (text.size() > group_bytes)
    return as_it_is_now();
  if (!deflate_) {
    auto s = std::make_unique<z_stream>();
    // The sizes of zlib's defaults (https://zlib.net/manual.html, deflateInit2, read 2026-11-26).
    if (::deflateInit2(s.get(), Z_DEFAULT_COMPRESSION, Z_DEFLATED, raw_deflate, 8, Z_DEFAULT_STRATEGY) != Z_OK)
      return as_it_is_now();
    deflate_.reset(s.release());
  }
  auto* s = deflate_.get();
  auto dictionary = end_of(before);
  if (::deflateReset(s) != Z_OK
      || (!dictionary.empty()
          && ::deflateSetDictionary(s, bytes_of(dictionary.data()), static_cast<uInt>(dictionary.size())) != Z_OK))
    return as_it_is_now();
  out.resize(head_size + text.size()); // what does not become shorter stays as it is
  s->next_in = bytes_of(text.data());
  s->avail_in = static_cast<uInt>(text.size());
  s->next_out = reinterpret_cast<Bytef*>(out.data() + head_size);
  s->avail_out = static_cast<uInt>(text.size());
  if (::deflate(s, Z_FINISH) != Z_STREAM_END)
    return as_it_is_now();
  out.resize(out.size() - s->avail_out);
  out[0] = deflated;
  return out;
}

bool record_packer::unpack(std::string_view data, std::string_view before, std::string& text) {
  if (data.size() < head_size)
    return false;
  std::uint32_t sum = 0;
  for (std::size_t i = head_size - 1; i > 0; --i)
    sum = sum << 8 | static_cast<unsigned char>(data[i]);
  auto kind = data[0];
  data.remove_prefix(head_size);
  if (kind == stored) {
    text = data;
    return sum_of(text) == sum;
  }
  if (kind != deflated || data.size() > group_bytes)
    return false;
  if (!inflate_) {
    auto s = std::make_unique<z_stream>();
    if (::inflateInit2(s.get(), raw_deflate) != Z_OK)
      return false;
    inflate_.reset(s.release());
  }
  auto* s = inflate_.get();
  auto dictionary = end_of(before);
  if (::inflateReset(s) != Z_OK
      || (!dictionary.empty()
          && ::inflateSetDictionary(s, bytes_of(dictionary.data()), static_cast<uInt>(dictionary.size())) != Z_OK))
    return false;
  room_.resize(group_bytes);
  s->next_in = bytes_of(data.data());
  s->avail_in = static_cast<uInt>(data.size());
  s->next_out = reinterpret_cast<Bytef*>(room_.data());
  s->avail_out = static_cast<uInt>(room_.size());
  auto code = ::inflate(s, Z_FINISH);
  text.assign(room_, 0, room_.size() - s->avail_out);
  return code == Z_STREAM_END && s->avail_in == 0 && sum_of(text) == sum;
}

} // namespace conclave
