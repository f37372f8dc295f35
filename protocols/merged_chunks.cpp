// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/merged_chunks.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace conclave {

namespace {

/// What a piece costs while it waits: many small ones of changing kinds count too.
std::size_t weight(const chunk& c) {
  return sizeof c + c.text.size();
}

bool merges(const chunk& a, const chunk& b) {
  return a.kind == b.kind && (a.kind == chunk_kind::text || a.kind == chunk_kind::reasoning);
}

} // namespace

chunk left_out(std::uint64_t bytes) {
  return {chunk_kind::status, "[" + std::to_string(bytes) + " bytes of the stream were left out]"};
}

void merged_chunks::add(const chunk& c, std::size_t limit) {
  auto alone = chunks_.empty();
  if (!alone && merges(chunks_.back(), c)) {
    chunks_.back().text += c.text;
    bytes_ += c.text.size();
  } else {
    chunks_.push_back(c);
    bytes_ += weight(c);
  }
  if (bytes_ > limit && !alone)
    trim(limit - limit / 4);
}

void merged_chunks::trim(std::size_t to) {
  std::size_t gone = 0;
  while (bytes_ > to && gone + 1 < chunks_.size() && bytes_ - weight(chunks_[gone]) >= to) {
    bytes_ -= weight(chunks_[gone]);
    dropped_ += chunks_[gone++].text.size();
  }
  chunks_.erase(chunks_.begin(), chunks_.begin() + static_cast<std::ptrdiff_t>(gone));
  if (bytes_ <= to)
    return;
  auto& text = chunks_.front().text;
  auto cut = std::min(bytes_ - to, text.size());
  while (cut < text.size() && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80)
    ++cut; // never inside a character
  text.erase(0, cut);
  bytes_ -= cut;
  dropped_ += cut;
}

void merged_chunks::drop() {
  for (auto& c : chunks_)
    dropped_ += c.text.size();
  chunks_.clear();
  bytes_ = 0;
}

std::vector<chunk> merged_chunks::take(std::uint64_t& dropped) {
  dropped = std::exchange(dropped_, 0);
  bytes_ = 0;
  return std::exchange(chunks_, {});
}

std::vector<chunk> merged_chunks::take() {
  auto out = copy();
  drop();
  dropped_ = 0;
  return out;
}

std::vector<chunk> merged_chunks::copy() const {
  auto out = chunks_;
  if (dropped_ > 0)
    out.insert(out.begin(), left_out(dropped_));
  return out;
}

} // namespace conclave
