// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Puts parts of stand-ins where parts of secrets stand, once the secrets have their stand-ins: of a text that grows, which tells a
/// secret piece by piece. Other texts stay, also where a secret begins as they do: the keys of one service are alike. Pure.

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace conclave {

class secret_parts {
public:
  static constexpr std::size_t least = 8; ///< bytes of a part

  /// `names` stand for `secrets`, which must both outlive this. Those of another length are left alone.
  secret_parts(const std::vector<std::string>& secrets, const std::vector<std::string>& names);

  /// Remembers what is in front of stand-ins in a text that is told to its end.
  void learn(std::string_view text);

  /// Replaces the parts that the text ends with, begins with or is, and the beginning of a secret behind what was in front of
  /// all of it, whatever follows. Returns whether there was one.
  bool put_in(std::string& text) const;

private:
  struct part {
    std::size_t which = 0, at = 0, length = 0;
  };
  using places = std::map<std::string_view, std::vector<std::pair<std::size_t, std::size_t>>>;

  part longest_at(std::string_view text, std::size_t i, std::uint64_t front) const;

  const std::vector<std::string>& secrets_;
  const std::vector<std::string>& names_;
  places known_;                                           ///< each piece of `least` bytes: which secret, and where in it
  places begun_;                                           ///< the same of the first piece of a stand-in
  std::set<std::pair<std::size_t, std::uint64_t>> fronts_; ///< which secret stood behind what, by the hash of that
};

} // namespace conclave
