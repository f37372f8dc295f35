// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/split_secrets.hpp"

#include "protocols/secret_escapes.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <utility>

namespace conclave {

namespace {

constexpr std::size_t most_ways = 16, most_between = 256;

/// What a leaf says that may go on with a secret, and from where on in it.
struct head {
  std::string text;
  std::size_t from;
};

/// A leaf as a reader has it.
struct spoken {
  std::vector<head> heads;
  std::string text;     ///< that may begin a secret with its end
  std::size_t size = 0; ///< bytes of the leaf, without its escapes, up to there
  bool whole = true;    ///< no string begins or ends in it
  bool aside = false;   ///< it is JSON around the values: names, brackets
  bool open = true;     ///< the last of `heads` reaches its end
  bool cut = false;     ///< within an escape
};

/// Takes the strings out of JSON that comes in pieces as a text.
class string_scan {
public:
  /// Reads the next piece, the `nth` of `all`. `longest`: bytes of a string that anybody looks for.
  void read(std::vector<spoken>& all, std::size_t nth, const std::string& piece, std::size_t longest) {
    constexpr std::size_t most_heads = 64;
    if (!begun_ && !trimmed(piece).empty()) {
      begun_ = true;
      is_json_ = trimmed(piece).starts_with('{');
    }
    if (!is_json_)
      return;
    auto& out = all[nth];
    if (in_string_) // the next is escaped as that is
      if (auto meant = without_escapes((escaped_ ? "\\" : "") + piece.substr(0, 2 * longest)); meant != piece) {
        out.heads.push_back({std::move(meant), 0});
        out.open = 2 * longest >= piece.size();
      }
    for (std::size_t i = 0; i < piece.size(); ++i) {
      if (after_string_ && !is_blank(std::string_view{piece}.substr(i, 1))) {
        after_string_ = false;
        if (piece[i] == ':')
          for (auto n : within_)
            all[n].aside = true;
        within_.clear();
      }
      if (std::exchange(escaped_, false) || (piece[i] != '"' && piece[i] != '\\'))
        continue;
      if (piece[i] == '\\') {
        escaped_ = in_string_;
        continue;
      }
      in_string_ = !in_string_;
      out.whole = false;
      if (!in_string_) {
        out.size = i;
        out.open = false;
        after_string_ = true;
      } else if (out.heads.size() <= most_heads) {
        out.heads.push_back({without_escapes(std::string_view{piece}.substr(i + 1, 2 * longest)), i + 1});
        out.open = i + 1 + 2 * longest >= piece.size();
      }
    }
    out.cut = escaped_ && out.open && out.heads.back().text.ends_with('\\');
    if (out.cut)
      out.heads.back().text.pop_back();
    if (in_string_)
      out.size = piece.size();
    if (!out.whole)
      out.text.resize(out.size);
    if (in_string_ && out.whole)
      within_.push_back(nth);
    out.aside = !in_string_ || !out.whole;
  }

  static std::string without_escapes(std::string_view text) {
    std::string out, meant;
    for (std::size_t i = 0; i < text.size();) {
      auto length = text[i] == '\\' ? unescape(text, i, meant) : 0;
      out += length > 0 ? meant : std::string{text[i]};
      i += std::max<std::size_t>(length, 1);
    }
    return out;
  }

private:
  std::vector<std::size_t> within_; ///< of the string that is read: pieces that have nothing else
  bool begun_ = false, is_json_ = false, in_string_ = false, escaped_ = false, after_string_ = false;
};

/// Pieces that make up the first `length` bytes of a text.
struct way {
  std::size_t length = 0;
  split_secret found;
  std::vector<std::uint32_t> places; ///< of the pieces, each once

  bool uses(std::uint32_t place) const { return std::find(places.begin(), places.end(), place) != places.end(); }
};

class split_finder {
public:
  split_finder(const std::vector<wire::json_leaf>& leaves, std::string_view bytes, std::size_t longest)
      : leaves_(leaves), bytes_(bytes) {
    std::size_t most = 0;
    for (auto& leaf : leaves)
      most = std::max<std::size_t>(most, leaf.place);
    std::vector<string_scan> scans(most + 1);
    said_.reserve(leaves.size());
    spoken_.reserve(leaves.size());
    for (auto& leaf : leaves) {
      auto& said = said_.emplace_back(said_by(leaf, bytes));
      spoken_.push_back({{{said, 0}}, said, said.size()});
      if (leaf.is_string())
        scans[leaf.place].read(spoken_, spoken_.size() - 1, said, longest);
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
      if (!spoken_[i].aside)
        seen_[leaves_[i].place] = i + 1;
    }
  }

  std::vector<split_secret> found;

private:
  void go_on(std::size_t i) {
    auto place = leaves_[i].place;
    auto& heads = spoken_[i].heads;
    for (std::size_t n = 0; n < ways_.size();) {
      auto& w = ways_[n];
      auto uses = w.uses(place);
      auto may = uses || seen_[place] <= w.found.leaves.front(); // else it was passed over
      auto rest = text_.substr(w.length);
      for (auto& h : heads)
        if (may && h.text.starts_with(rest)) {
          put(w, i, h.from, said_[i].size());
          found.push_back(std::move(w.found));
          ways_.clear(); // what began before its end is part of it
          return;
        }
      std::string_view said = heads.back().text;
      auto goes = may && spoken_[i].open && (!said.empty() || (uses && spoken_[i].cut)) && rest.starts_with(said);
      if (goes) {
        auto next = w;
        next.length += said.size();
        put(next, i, heads.back().from, said_[i].size());
        if (!uses)
          next.places.push_back(place);
        more_.push_back(std::move(next));
      }
      auto stays = uses ? closes(i) || repeats(w, i) : i - w.found.leaves.back() <= most_between;
      if (stays)
        ++n;
      else
        ways_.erase(ways_.begin() + static_cast<std::ptrdiff_t>(n));
    }
    for (auto& w : more_)
      add(std::move(w));
    more_.clear();
  }

  /// Whether a leaf only ends a string, and says nothing of it.
  bool closes(std::size_t i) const { return !spoken_[i].whole && spoken_[i].size == 0; }

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
    std::string_view said = spoken_[i].text;
    if (said.empty() || !holds_[static_cast<unsigned char>(said.back())])
      return;
    for (std::size_t length = 1; length < text_.size() && length <= said.size(); ++length)
      if (text_[length - 1] == said.back() && said.ends_with(text_.substr(0, length))) {
        way w;
        w.length = length;
        put(w, i, 0, spoken_[i].size);
        w.places = {leaves_[i].place};
        add(std::move(w));
      }
  }

  /// Adds a part of a leaf, in bytes of what it says.
  void put(way& w, std::size_t i, std::size_t from, std::size_t to) const {
    auto raw = bytes_.substr(leaves_[i].begin, leaves_[i].end - leaves_[i].begin);
    auto place = [&](std::size_t said) {
      std::string meant;
      std::size_t at = 0;
      for (std::size_t told = 0; at < raw.size() && told < said;) {
        auto length = raw[at] == '\\' ? unescape(raw, at, meant) : 0;
        told += length > 0 ? meant.size() : 1;
        at += std::max<std::size_t>(length, 1);
      }
      return at;
    };
    w.found.leaves.push_back(i);
    if (from == 0 && to == said_[i].size())
      w.found.parts.emplace_back(0, raw.size());
    else
      w.found.parts.emplace_back(place(from), place(to));
  }

  void add(way w) {
    if (ways_.size() >= most_ways)
      ways_.erase(ways_.begin());
    ways_.push_back(std::move(w));
  }

  const std::vector<wire::json_leaf>& leaves_;
  std::string_view bytes_, text_;
  std::vector<std::string> said_;
  std::vector<spoken> spoken_;
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
  return string_scan::without_escapes(text);
}

std::vector<split_secret> find_split(const std::vector<wire::json_leaf>& leaves, std::string_view bytes,
                                     const std::vector<std::string>& texts) {
  std::size_t longest = 0;
  for (auto& text : texts)
    longest = std::max(longest, text.size());
  split_finder f(leaves, bytes, longest);
  for (auto& text : texts)
    f.find(text);
  return std::move(f.found);
}

} // namespace conclave
