// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/secret_index.hpp"

#include "protocols/secret_dumps.hpp"
#include "protocols/secret_escapes.hpp"
#include "protocols/text.hpp"

#include <algorithm>
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
constexpr std::string_view base32_digits = "abcdefghijklmnopqrstuvwxyz234567"; // RFC 4648, section 6, in small letters
constexpr std::string_view hex_digits = "0123456789abcdef";

bool is_base64(secret_form form) {
  return form >= secret_form::base64 && form <= secret_form::base64_2;
}

bool is_base32(secret_form form) {
  return form >= secret_form::base32 && form <= secret_form::base32_4;
}

/// As the one of two alphabets, or cases, has it.
char same_digit(secret_form form, char c) {
  return !is_base64(form) ? lower(c) : c == '-' ? '+' : c == '_' ? '/' : c;
}

char other_digit(secret_form form, char c) {
  if (is_base64(form))
    return c == '+' ? '-' : c == '/' ? '_' : c;
  return form != secret_form::plain && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

/// A secret in a form, character by character: none of them is stored.
struct written {
  std::string_view secret;
  secret_form form;

  std::size_t bits() const { return is_base64(form) ? 6 : is_base32(form) ? 5 : 4; } ///< of a digit
  std::size_t before() const {
    auto first = is_base64(form) ? secret_form::base64 : is_base32(form) ? secret_form::base32 : form;
    return static_cast<std::size_t>(form) - static_cast<std::size_t>(first);
  }
  std::size_t skipped() const { return (8 * before() + bits() - 1) / bits(); } ///< digits that others have a part in
  bool ends_word() const { return is_base64(form) && secret.size() < least_encoded; }

  std::size_t size() const {
    if (form == secret_form::plain)
      return secret.size();
    auto all = 8 * (before() + secret.size());
    return (ends_word() ? all + bits() - 1 : all) / bits() - skipped();
  }

  char at(std::size_t i) const {
    if (form == secret_form::plain)
      return secret[i];
    auto bit = bits() * (i + skipped()) - 8 * before();
    unsigned two = static_cast<unsigned char>(secret[bit / 8]) << 8;
    if (bit / 8 + 1 < secret.size())
      two |= static_cast<unsigned char>(secret[bit / 8 + 1]);
    auto value = two >> (16 - bits() - bit % 8) & ((1u << bits()) - 1);
    return (is_base64(form) ? base64_digits : is_base32(form) ? base32_digits : hex_digits)[value];
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
  std::string own{};               ///< what `text` shows if it was unescaped
  std::vector<std::uint32_t> at{}; ///< one more than `text` has bytes: the last is the end of the original; empty: as they are

  std::vector<std::uint32_t> ends{};      ///< of a dump: where each ends
  secret_form alone = secret_form::plain; ///< of a dump: only what is written so is sought

  std::size_t place(std::size_t i) const { return at.empty() ? i : at[i]; }
  bool is_dump() const { return !ends.empty(); }

  /// Returns false if there is no escape. `printable`: those of quoted-printable instead of all others.
  bool unescape_to(seen_text& to, bool printable = false) const {
    std::string meant;
    std::size_t i = 0, length = 0;
    auto next = [&](std::size_t from) { return printable ? std::min(text.find('=', from), text.size()) : next_escape(text, from); };
    auto look = [&](std::size_t from) {
      for (length = 0, i = next(from); i < text.size(); i = next(i + 1))
        if (length = printable ? unescape_printable(text, i, meant) : unescape(text, i, meant); length > 0)
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
  std::string out;
  if (form == secret_form::numbers) {
    for (unsigned char c : secret)
      out += (out.empty() ? "" : ", ") + std::to_string(c);
    return out;
  }
  written w{secret, form};
  for (std::size_t i = 0; i < w.size(); ++i)
    out += is_base32(form) ? other_digit(form, w.at(i)) : w.at(i); // it is written in capitals
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
    other += other_digit(form, c);
  if (other != four) // the other alphabet, or case
    put_beginning(other, e);
}

void secret_index::add(std::string_view secret, std::size_t which) {
  if (secret.size() < least)
    return;
  put(secret, secret_form::plain, which, 0);
  for (auto form : encoded_forms)
    if (is_base64(form) || secret.size() >= least_encoded)
      put(secret, form, which, 0);
  seen_text in{.text = secret}, out;
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
      if (e.begins != four || (e.meant != 0 && in.at.empty()) || (in.is_dump() && e.form != in.alone))
        continue;
      written w{e.meant != 0 ? meant_[e.meant - 1] : secrets[e.which], e.form};
      if (!w.begins(text.substr(i)) || (in.is_dump() && w.secret.size() < least_encoded))
        continue;
      auto end = i + w.size();
      if (in.is_dump()) {
        out.push_back({in.at[i], in.ends[end - 1], e.which, e.form == secret_form::plain ? secret_form::numbers : e.form});
        continue;
      }
      while (!in.at.empty() && end < text.size() && in.at[end] == in.at[end - 1])
        ++end; // one escape may stand for several bytes
      out.push_back({in.place(i), in.place(end), e.which, e.form});
    }
  }
}

void secret_index::find_dumps(const seen_text& in, const std::vector<std::string>& secrets, std::vector<found_secret>& out) const {
  auto look = [&](dumped&& d) {
    seen_text bytes;
    bytes.text = d.said;
    bytes.alone = d.numbers ? secret_form::plain : secret_form::hex;
    if (!in.at.empty())
      for (auto* places : {&d.at, &d.ends})
        for (auto& place : *places)
          place = in.at[place];
    bytes.at = std::move(d.at);
    bytes.ends = std::move(d.ends);
    find(bytes, secrets, out);
  };
  each_dump(in.text, least_encoded, look);
  each_row_dump(in.text, look);
}

void secret_index::find_encoded(const seen_text& in, const std::vector<std::string>& secrets,
                                std::vector<found_secret>& out) const {
  find(in, secrets, out);
  find_dumps(in, secrets, out);
  find_within_base64(in, secrets, out);
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
      seen_text said{.text = meant}, next;
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
  seen_text in{.text = text}, out;
  for (int level = 0;; ++level) {
    find_encoded(in, secrets, found);
    if (has_printable_escapes(in.text) && in.unescape_to(out, true))
      find_encoded(out, secrets, found);
    if (level == most_levels || !in.unescape_to(out))
      break;
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
