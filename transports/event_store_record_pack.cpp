// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// How records and long bodies are compressed.

#include "transports/event_store_record.hpp"

#include <algorithm>
#include <zlib.h>

namespace conclave {

namespace {

/// The fastest. What takes much more room than was said is JSON full of escapes; that becomes short at any level, at this one ten
/// times as fast as by default. A transaction waits for it.
constexpr int level = Z_BEST_SPEED;

// How a row begins: its kind, and the CRC-32 of the text in four bytes, the lowest first.
// After that of a long one its size, in as many.
enum kind : char { stored = 0, deflated = 1, packed_alone = 2 };
constexpr std::size_t number_size = 4, head_size = 1 + number_size;

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

void put_number(std::string& out, std::uint32_t n) {
  for (std::size_t i = 0; i < number_size; ++i, n >>= 8)
    out += static_cast<char>(n & 0xFF);
}

std::uint32_t number_at(std::string_view text, std::size_t at) {
  std::uint32_t n = 0;
  for (auto i = at + number_size; i > at; --i)
    n = n << 8 | static_cast<unsigned char>(text[i - 1]);
  return n;
}

std::uint32_t sum_of(std::string_view text) {
  return static_cast<std::uint32_t>(::crc32_z(0, bytes_of(text.data()), text.size()));
}

} // namespace

std::string pack_body(std::string_view bytes) {
  if (bytes.size() < short_body || bytes.size() > longest_packed)
    return {};
  std::string out(bytes.size() - 1, '\0'); // what does not become shorter does not fit
  uLongf size = out.size();
  if (::compress2(bytes_of(out.data()), &size, bytes_of(bytes.data()), bytes.size(), level) != Z_OK)
    return {};
  out.resize(size);
  return out;
}

bool unpack_body(std::string_view data, std::size_t size, std::string& bytes) {
  if (size > longest_packed || data.size() >= size)
    return false;
  bytes.resize(size);
  uLongf made = size, taken = data.size();
  return ::uncompress2(bytes_of(bytes.data()), &made, bytes_of(data.data()), &taken) == Z_OK && made == size
         && taken == data.size();
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
  put_number(out, sum_of(text));
  auto as_it_is_now = [&] { return out.substr(0, head_size).append(text); };
  if (text.size() > group_bytes) {
    auto packed = pack_body(text);
    if (packed.empty() || packed.size() + number_size >= text.size())
      return as_it_is_now();
    out[0] = packed_alone;
    put_number(out, static_cast<std::uint32_t>(text.size()));
    return out += packed;
  }
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
  auto sum = number_at(data, 1);
  auto kind = data[0];
  data.remove_prefix(head_size);
  if (kind == stored) {
    text = data;
    return sum_of(text) == sum;
  }
  if (kind == packed_alone && data.size() > number_size)
    return unpack_body(data.substr(number_size), number_at(data, 0), text) && sum_of(text) == sum;
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
