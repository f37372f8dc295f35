// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/merged_chunks.hpp"

#include "protocols/text.hpp"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>
#include <utility>

namespace conclave {

namespace {

constexpr std::size_t bytes_per_piece = 64; ///< many small pieces of changing kinds are bounded too

bool merges(const chunk& a, const chunk& b) {
  return a.kind == b.kind && (a.kind == chunk_kind::text || a.kind == chunk_kind::reasoning);
}

constexpr std::string_view mark_end = " bytes of the stream were left out]";

} // namespace

chunk left_out(std::uint64_t bytes) {
  return {chunk_kind::status, "[" + std::to_string(bytes) + std::string(mark_end)};
}

std::uint64_t missing_without(const chunk& c) {
  std::uint64_t said = 0;
  if (c.kind == chunk_kind::status && c.text.starts_with('[') && c.text.ends_with(mark_end)) {
    const auto* end = c.text.data() + c.text.size() - mark_end.size();
    if (auto r = std::from_chars(c.text.data() + 1, end, said); r.ec == std::errc{} && r.ptr == end)
      return said;
  }
  return c.text.size();
}

void merged_chunks::add(const chunk& c, std::size_t limit) {
  if (!chunks_.empty() && merges(chunks_.back(), c))
    chunks_.back().text += c.text;
  else
    chunks_.push_back(c);
  bytes_ += c.text.size();
  keep(limit);
}

void merged_chunks::keep(std::size_t limit) {
  while (chunks_.size() > 1 && (bytes_ >= limit + front_bytes() || chunks_.size() > limit / bytes_per_piece))
    drop_front();
  if (bytes_ <= limit)
    return;
  auto& text = chunks_.front().text;
  auto cut = next_character(text, skip_ + std::min(bytes_ - limit, text.size() - skip_));
  bytes_ -= cut - skip_;
  dropped_ += cut - skip_;
  skip_ = cut;
  if (skip_ <= limit / 4) // not with every piece: what is kept would be moved each time
    return;
  text.erase(0, std::exchange(skip_, 0));
  if (text.capacity() > 4 * limit)
    text.shrink_to_fit();
}

std::size_t merged_chunks::front_bytes() const {
  return chunks_.front().text.size() - skip_;
}

void merged_chunks::drop_front() {
  bytes_ -= front_bytes();
  dropped_ += missing_without(chunks_.front()) - skip_;
  skip_ = 0;
  chunks_.erase(chunks_.begin());
}

void merged_chunks::drop() {
  for (auto& c : std::exchange(chunks_, {})) // the memory goes too
    dropped_ += missing_without(c) - std::exchange(skip_, 0);
  bytes_ = 0;
}

std::vector<chunk> merged_chunks::take(std::uint64_t& dropped) {
  if (skip_ > 0)
    chunks_.front().text.erase(0, skip_);
  bytes_ = skip_ = 0;
  dropped = std::exchange(dropped_, 0);
  return std::exchange(chunks_, {});
}

std::vector<chunk> merged_chunks::take() {
  std::uint64_t dropped = 0;
  auto out = take(dropped);
  if (dropped > 0)
    out.insert(out.begin(), left_out(dropped));
  return out;
}

} // namespace conclave
