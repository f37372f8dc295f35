// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/secret_index.hpp"

#include "protocols/secret_escapes.hpp"
#include "protocols/text.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace conclave {

namespace {

/// A longer secret is known in base64 and hexadecimal wherever it stands. The base64 of a shorter one is a handful of letters that
/// stand in any picture: it is one only at the end of its word, as in that of user:password.
constexpr std::size_t least_encoded = 8;

/// How often a text is unescaped, each time all kinds of escapes: a URL in JSON in JSON in HTML.
constexpr int most_levels = 4;

constexpr std::string_view base64_digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view hex_digits = "0123456789abcdef", hex_both = "0123456789abcdefABCDEF";

/// What a dump consists of: digits, and what may stand between its bytes.
enum dump_part : char { not_of_dump, dump_digit, dump_space };
constexpr auto dump_kind = [] {
  std::array<dump_part, 256> out{};
  for (unsigned char c : hex_both)
    out[c] = dump_digit;
  for (unsigned char c : std::string_view{" \t\r\n:,-"})
    out[c] = dump_space;
  return out;
}();

/// As the one of two alphabets, or cases, has it.
char same_digit(secret_form form, char c) {
  return form == secret_form::hex ? lower(c) : c == '-' ? '+' : c == '_' ? '/' : c;
}

/// A secret in a form, character by character: none of them is stored.
struct written {
  std::string_view secret;
  secret_form form;

  std::size_t before() const { return static_cast<std::size_t>(form) - static_cast<std::size_t>(secret_form::base64); }
  std::size_t skipped() const { return (8 * before() + 5) / 6; } ///< digits that others have a part in
  bool ends_word() const { return is_base64() && secret.size() < least_encoded; }
  bool is_base64() const { return form >= secret_form::base64 && form <= secret_form::base64_2; }

  std::size_t size() const {
    if (form == secret_form::plain)
      return secret.size();
    if (form == secret_form::hex)
      return 2 * secret.size();
    auto bits = 8 * (before() + secret.size());
    return (ends_word() ? bits + 5 : bits) / 6 - skipped();
  }

  char at(std::size_t i) const {
    if (form == secret_form::plain)
      return secret[i];
    if (form == secret_form::hex)
      return hex_digits[static_cast<unsigned char>(secret[i / 2]) >> (i % 2 == 0 ? 4 : 0) & 15];
    auto bit = 6 * (i + skipped()) - 8 * before();
    unsigned two = static_cast<unsigned char>(secret[bit / 8]) << 8;
    if (bit / 8 + 1 < secret.size())
      two |= static_cast<unsigned char>(secret[bit / 8 + 1]);
    return base64_digits[two >> (10 - bit % 8) & 63];
  }

  bool begins(std::string_view text) const {
    auto length = size();
    if (text.size() < length)
      return false;
    if (form == secret_form::plain)
      return std::memcmp(text.data(), secret.data(), length) == 0;
    for (std::size_t i = 0; i < length; ++i)
      if (same_digit(form, text[i]) != at(i))
        return false;
    return !ends_word() || text.size() == length || !is_base64_digit(text[length]);
  }
};

/// Calls `use(begin, end)` with each row of base64 digits of at least `least_word`. Looks at few bytes of what has none.
constexpr std::size_t least_word = 16;

template <class F>
void each_base64(std::string_view text, F use) {
  for (std::size_t i = least_word - 1, done = 0; i < text.size(); i += least_word) {
    if (!is_base64_digit(text[i]))
      continue;
    auto begin = i;
    while (begin > done && is_base64_digit(text[begin - 1]))
      --begin;
    while (i < text.size() && is_base64_digit(text[i]))
      ++i;
    done = i;
    if (i - begin >= least_word)
      use(begin, i);
  }
}

bool is_text(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](char c) { return (c >= 0x20 && c < 0x7F) || c == '\n' || c == '\r' || c == '\t'; });
}

} // namespace

/// A text, maybe unescaped, that knows where each of its bytes began in the original.
struct secret_index::seen_text {
  std::string_view text;
  std::string own;               ///< what `text` shows if it was unescaped
  std::vector<std::uint32_t> at; ///< one more than `text` has bytes: the last is the end of the original; empty: as they are

  bool hex_alone = false; ///< the digits of a dump: only what is written so is sought

  std::size_t place(std::size_t i) const { return at.empty() ? i : at[i]; }

  /// Returns false if there is no escape.
  bool unescape_to(seen_text& to) const {
    std::string meant;
    std::size_t i = 0, length = 0;
    auto look = [&](std::size_t from) {
      for (length = 0, i = next_escape(text, from); i < text.size(); i = next_escape(text, i + 1))
        if (length = unescape(text, i, meant); length > 0)
          break;
    };
    look(0);
    if (length == 0)
      return false;
    to.own.clear();
    to.at.clear();
    to.own.reserve(text.size());
    to.at.reserve(text.size() + 1);
    std::size_t done = 0;
    auto keep = [&](std::size_t until) {
      to.own.append(text.substr(done, until - done));
      for (; done < until; ++done)
        to.at.push_back(static_cast<std::uint32_t>(place(done)));
    };
    while (length > 0) { // a `for` is refused by clang, which does not see that look() changes it
      keep(i);
      to.own += meant;
      to.at.insert(to.at.end(), meant.size(), static_cast<std::uint32_t>(place(i)));
      done = i + length;
      look(done);
    }
    keep(text.size());
    to.at.push_back(static_cast<std::uint32_t>(place(text.size())));
    to.text = to.own;
    return true;
  }
};

std::string in_form(secret_form form, std::string_view secret) {
  written w{secret, form};
  std::string out;
  for (std::size_t i = 0; i < w.size(); ++i)
    out += w.at(i);
  return out;
}

std::size_t secret_index::hash(std::uint32_t four) const {
  return (four * 2654435761u) >> 12 & (heads_.size() - 1); // Knuth's multiplier: these bits depend on all of them
}

void secret_index::put_beginning(const std::string& four, entry e) {
  std::memcpy(&e.begins, four.data(), sizeof e.begins);
  entries_.push_back(e);
  auto hang = [this](std::size_t i) {
    entries_[i].next = std::exchange(heads_[hash(entries_[i].begins)], static_cast<std::uint32_t>(i + 1));
  };
  if (heads_.size() >= 8 * entries_.size())
    return hang(entries_.size() - 1);
  heads_.assign(std::max<std::size_t>(256, 2 * heads_.size()), 0);
  for (std::size_t i = 0; i < entries_.size(); ++i)
    hang(i);
}

void secret_index::put(std::string_view secret, secret_form form, std::size_t which, std::size_t meant) {
  written w{secret, form};
  std::string four, other;
  for (std::size_t i = 0; i < sizeof(std::uint32_t) && i < w.size(); ++i)
    four += w.at(i);
  if (four.size() < sizeof(std::uint32_t))
    return;
  entry e{0, static_cast<std::uint32_t>(which), 0, static_cast<std::uint32_t>(meant), form};
  put_beginning(four, e);
  for (auto c : four)
    other += form == secret_form::plain             ? c
             : form == secret_form::hex && c >= 'a' ? static_cast<char>(c - 'a' + 'A')
             : c == '+'                             ? '-'
             : c == '/'                             ? '_'
                                                    : c;
  if (other != four) // the other alphabet, or case
    put_beginning(other, e);
}

void secret_index::add(std::string_view secret, std::size_t which) {
  if (secret.size() < least)
    return;
  put(secret, secret_form::plain, which, 0);
  for (auto form : {secret_form::base64, secret_form::base64_1, secret_form::base64_2})
    put(secret, form, which, 0);
  if (secret.size() >= least_encoded)
    put(secret, secret_form::hex, which, 0);
  seen_text in{secret, {}, {}}, out;
  for (int level = 0; level < most_levels && in.unescape_to(out); ++level) {
    if (out.own.size() >= least) {
      meant_.push_back(out.own);
      put(out.own, secret_form::plain, which, meant_.size());
    }
    std::swap(in, out);
    in.text = in.own;
  }
}

void secret_index::find(const seen_text& in, const std::vector<std::string>& secrets, std::vector<found_secret>& out) const {
  auto text = in.text;
  std::uint32_t four = 0;
  for (std::size_t i = 0; i + sizeof four <= text.size(); ++i) {
    std::memcpy(&four, text.data() + i, sizeof four);
    for (auto next = heads_[hash(four)]; next != 0; next = entries_[next - 1].next) {
      auto& e = entries_[next - 1];
      if (e.begins != four || (e.meant != 0 && in.at.empty()) || (in.hex_alone && e.form != secret_form::hex))
        continue;
      written w{e.meant != 0 ? meant_[e.meant - 1] : secrets[e.which], e.form};
      if (!w.begins(text.substr(i)))
        continue;
      auto end = i + w.size();
      while (!in.at.empty() && end < text.size() && in.at[end] == in.at[end - 1])
        ++end; // one escape may stand for several bytes
      out.push_back({in.place(i), in.place(end), e.which, e.form});
    }
  }
}

void secret_index::find_dumps(const seen_text& in, const std::vector<std::string>& secrets, std::vector<found_secret>& out) const {
  constexpr std::size_t shortest = 2 * least_encoded + 1;
  auto text = in.text;
  auto kind = [&](std::size_t i) { return dump_kind[static_cast<unsigned char>(text[i])]; };
  for (std::size_t done = 0, i = shortest - 1; i < text.size(); i += shortest) { // no dump lies between two of these
    if (kind(i) == not_of_dump)
      continue;
    auto begin = i, end = i + 1;
    while (begin > done && kind(begin - 1) != not_of_dump)
      --begin;
    while (end < text.size() && kind(end) != not_of_dump)
      ++end;
    done = end;
    i = std::max(i, end - 1);
    auto run = text.substr(begin, end - begin);
    auto count = static_cast<std::size_t>(
        std::count_if(run.begin(), run.end(), [](char c) { return dump_kind[static_cast<unsigned char>(c)] == dump_digit; }));
    if (count + 1 < shortest || count == run.size()) // without anything between them `find` has found it
      continue;
    seen_text digits;
    digits.own.reserve(count);
    digits.at.reserve(count + 1);
    for (auto at = begin; at < end; ++at)
      if (kind(at) == dump_digit) {
        digits.own += text[at];
        digits.at.push_back(static_cast<std::uint32_t>(in.place(at)));
      }
    digits.at.push_back(static_cast<std::uint32_t>(in.place(text.find_last_of(hex_both, end - 1) + 1)));
    digits.text = digits.own;
    digits.hex_alone = true;
    find(digits, secrets, out);
  }
}

void secret_index::find_within_base64(const seen_text& in, const std::vector<std::string>& secrets,
                                      std::vector<found_secret>& out) const {
  each_base64(in.text, [&](std::size_t begin, std::size_t end) {
    for (auto from = begin; from + least_word <= end; ++from) {
      if (from >= begin + 4 && in.text[from - 1] != '/') // a path may be in front of it
        continue;
      if (!is_text(decoded_base64(in.text.substr(from, least_word - 4))))
        continue;
      auto meant = decoded_base64(in.text.substr(from, end - from));
      seen_text said{meant, {}, {}}, next;
      std::vector<found_secret> found;
      find(said, secrets, found);
      auto encoded = std::partition(found.begin(), found.end(), [](auto& f) { return f.form == secret_form::plain; });
      auto plain = static_cast<std::size_t>(encoded - found.begin());
      for (int level = 0; level < most_levels && said.unescape_to(next); ++level) {
        find(next, secrets, found);
        std::swap(said, next);
        said.text = said.own;
      }
      for (std::size_t n = plain; n < found.size(); ++n) {
        auto& f = found[n];
        auto as_it_is = [&f](auto& p) { return p.which == f.which && p.begin < f.end && f.begin < p.end; };
        if (std::any_of(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(plain), as_it_is))
          continue; // known in base64 as such
        // With the digits that others have a part in: they say something of it.
        out.push_back({in.place(from + 8 * f.begin / 6), in.place(std::min(from + (8 * f.end + 5) / 6, end)), f.which,
                       secret_form::within_base64, in.place(from)});
      }
      return;
    }
  });
}

std::vector<found_secret> secret_index::find_in(std::string_view text, const std::vector<std::string>& secrets) const {
  std::vector<found_secret> found;
  if (entries_.empty() || text.size() < least)
    return found;
  seen_text in{text, {}, {}}, out;
  find(in, secrets, found);
  find_dumps(in, secrets, found);
  find_within_base64(in, secrets, found);
  for (int level = 0; level < most_levels && in.unescape_to(out); ++level) {
    find(out, secrets, found);
    find_dumps(out, secrets, found);
    find_within_base64(out, secrets, found);
    std::swap(in, out);
    in.text = in.own;
  }
  std::sort(found.begin(), found.end(), [](auto& a, auto& b) {
    return a.begin != b.begin   ? a.begin < b.begin
           : a.end != b.end     ? a.end > b.end
           : a.which != b.which ? a.which < b.which
                                : a.form < b.form;
  });
  std::size_t kept = 0;
  for (auto& f : found)
    if (kept > 0 && f.begin < found[kept - 1].end)
      found[kept - 1].end = std::max(found[kept - 1].end, f.end);
    else
      found[kept++] = f;
  found.resize(kept);
  return found;
}

} // namespace conclave
