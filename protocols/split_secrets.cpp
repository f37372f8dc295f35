// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/split_secrets.hpp"

#include "protocols/secret_escapes.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

namespace conclave {

namespace {

constexpr std::size_t most_ways = 16, most_between = 256;

/// Pieces that make up the first `length` bytes of a text.
struct way {
  std::size_t length = 0;
  split_secret found;
  std::vector<std::uint32_t> places; ///< of the pieces, each once

  bool uses(std::uint32_t place) const { return std::find(places.begin(), places.end(), place) != places.end(); }
};

class split_finder {
public:
  split_finder(const std::vector<wire::json_leaf>& leaves, std::string_view bytes) : leaves_(leaves), bytes_(bytes) {
    said_.reserve(leaves.size());
    std::size_t most = 0;
    for (auto& leaf : leaves) {
      said_.push_back(said_by(leaf, bytes));
      most = std::max<std::size_t>(most, leaf.place);
    }
    seen_.resize(most + 1);
  }

  void find(std::string_view text) {
    text_ = text;
    holds_.fill(false);
    for (unsigned char c : text)
      holds_[c] = true;
    ways_.clear();
    std::fill(seen_.begin(), seen_.end(), 0);
    for (std::size_t i = 0; i < leaves_.size(); ++i) {
      if (said_[i].empty())
        continue;
      go_on(i);
      begin(i);
      seen_[leaves_[i].place] = i + 1;
    }
  }

  std::vector<split_secret> found;

private:
  void go_on(std::size_t i) {
    auto place = leaves_[i].place;
    std::string_view said = said_[i];
    for (std::size_t n = 0; n < ways_.size();) {
      auto& w = ways_[n];
      auto uses = w.uses(place);
      auto may = uses || seen_[place] <= w.found.leaves.front(); // else it was passed over
      auto rest = text_.substr(w.length);
      if (may && said.starts_with(rest)) {
        w.found.leaves.push_back(i);
        found.push_back(std::move(w.found));
        ways_.clear(); // what began before its end is part of it
        return;
      }
      auto goes = may && rest.starts_with(said);
      if (goes) {
        auto next = w;
        next.length += said.size();
        next.found.leaves.push_back(i);
        if (!uses)
          next.places.push_back(place);
        more_.push_back(std::move(next));
      }
      auto stays = uses ? repeats(w, i) : i - w.found.leaves.back() <= most_between;
      if (stays)
        ++n;
      else
        ways_.erase(ways_.begin() + static_cast<std::ptrdiff_t>(n));
    }
    for (auto& w : more_)
      add(std::move(w));
    more_.clear();
  }

  /// Whether a leaf says again what the last piece at its place said.
  bool repeats(way& w, std::size_t i) const {
    for (auto n = w.found.leaves.size(); n > 0; --n)
      if (auto piece = w.found.leaves[n - 1]; leaves_[piece].place == leaves_[i].place) {
        if (said_[piece] != said_[i])
          return false;
        w.found.doubles.emplace_back(i, n - 1);
        return true;
      }
    return false;
  }

  void begin(std::size_t i) {
    std::string_view said = said_[i];
    if (!holds_[static_cast<unsigned char>(said.back())])
      return;
    for (std::size_t length = 1; length < text_.size() && length <= said.size(); ++length)
      if (text_[length - 1] == said.back() && said.ends_with(text_.substr(0, length)))
        add({length, {{i}, {}}, {leaves_[i].place}});
  }

  void add(way w) {
    if (ways_.size() >= most_ways)
      ways_.erase(ways_.begin());
    ways_.push_back(std::move(w));
  }

  const std::vector<wire::json_leaf>& leaves_;
  std::string_view bytes_, text_;
  std::vector<std::string> said_;
  std::vector<std::size_t> seen_; ///< by place: the last leaf there, counted from 1
  std::vector<way> ways_, more_;
  std::array<bool, 256> holds_{}; ///< the bytes of `text_`
};

} // namespace

std::string said_by(const wire::json_leaf& leaf, std::string_view bytes) {
  auto text = bytes.substr(leaf.begin, leaf.end - leaf.begin);
  if (leaf.is_number()) {
    int value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value, leaf.base);
    return {static_cast<char>(value)};
  }
  std::string out, meant;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    auto length = text[i] == '\\' ? unescape(text, i, meant) : 0;
    out += length > 0 ? meant : std::string{text[i]};
    i += std::max<std::size_t>(length, 1);
  }
  return out;
}

std::vector<split_secret> find_split(const std::vector<wire::json_leaf>& leaves, std::string_view bytes,
                                     const std::vector<std::string>& texts) {
  split_finder f(leaves, bytes);
  for (auto& text : texts)
    f.find(text);
  return std::move(f.found);
}

} // namespace conclave
