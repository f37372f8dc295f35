// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Finds known secrets in a text, in whatever form they stand there: escaped as in JSON, a URL or HTML (also one within the other),
/// in base64 and base32 at any offset (also in indented lines), in hexadecimal digits (also with blanks between the bytes, as lists
/// of 0x.., and in the rows of a dump with what stands before and behind them), in decimal numbers, quoted-printable; escaped, or
/// in base64 again, within base64. One way through the text for all of them together. Pure.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace conclave {

/// How a secret stands in a text, apart from escapes. base64_1: one byte of something else is in front of it (or four, or seven);
/// base32_1 likewise (or six, or eleven). numbers: its bytes in decimal. within_base64: it is escaped, or encoded once more, in
/// what base64 says.
enum class secret_form : std::uint8_t {
  plain,
  base64,
  base64_1,
  base64_2,
  base32,
  base32_1,
  base32_2,
  base32_3,
  base32_4,
  hex,
  numbers,
  within_base64
};

/// Those in which the bytes of a secret may stand, each with digits of its own.
inline constexpr secret_form encoded_forms[] = {secret_form::base64,   secret_form::base64_1, secret_form::base64_2,
                                                secret_form::base32,   secret_form::base32_1, secret_form::base32_2,
                                                secret_form::base32_3, secret_form::base32_4, secret_form::hex};

/// Where a secret stands in a text.
struct found_secret {
  std::size_t begin = 0, end = 0; ///< byte positions
  std::size_t which = 0;          ///< of the secrets added; of several that overlap the first, and the longest of those
  secret_form form = secret_form::plain;
  std::size_t word = 0; ///< within_base64: where that begins
};

/// Returns the characters that say `secret` in this form: in base64 and base32 those that depend on nothing else. Not of
/// within_base64.
std::string in_form(secret_form form, std::string_view secret);

class secret_index {
public:
  static constexpr std::size_t least = 4;         ///< bytes of a secret
  static constexpr std::size_t most_escaped = 16; ///< bytes that one byte of a secret may take in a text

  /// Adds the secret that `find_in` is given as the `which`th, of `least` bytes and more. O(1), but for one that looks escaped.
  void add(std::string_view secret, std::size_t which);

  /// Returns where they stand in `text`: in order, never overlapping. O(bytes), whatever their number, as long as the text does not
  /// repeat how they begin.
  std::vector<found_secret> find_in(std::string_view text, const std::vector<std::string>& secrets) const;

private:
  /// One form of one secret, found by its first four bytes.
  struct entry {
    std::uint32_t begins;
    std::uint32_t which;
    std::uint32_t next;  ///< of the same hash, counted from 1; 0 = none
    std::uint32_t meant; ///< counted from 1: the secret with its own escapes resolved, as it is seen in a text that was
    secret_form form;
  };
  struct seen_text;

  void put(std::string_view secret, secret_form form, std::size_t which, std::size_t meant);
  void put_beginning(const std::string& four, entry e);
  void find(const seen_text& in, const std::vector<std::string>& secrets, std::vector<found_secret>& out) const;
  void find_dumps(const seen_text& in, const std::vector<std::string>& secrets, std::vector<found_secret>& out) const;
  void find_encoded(const seen_text& in, const std::vector<std::string>& secrets, std::vector<found_secret>& out) const;
  void find_within_base64(const seen_text& in, const std::vector<std::string>& secrets, std::vector<found_secret>& out) const;
  std::size_t hash(std::uint32_t four) const;

  std::vector<entry> entries_;
  std::vector<std::uint32_t> heads_; ///< by hash: the first entry, counted from 1; 0 = none
  std::vector<std::string> meant_;
};

} // namespace conclave
