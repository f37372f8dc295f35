// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/secret_parts.hpp"

#include "protocols/secret_judge.hpp"

#include <algorithm>

namespace conclave {

namespace {

constexpr std::uint64_t no_front = 0xCBF29CE484222325ULL; // FNV-1a

std::uint64_t with(std::uint64_t front, char c) {
  return (front ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
}

} // namespace

secret_parts::secret_parts(const std::vector<std::string>& secrets, const std::vector<std::string>& names)
    : secrets_(secrets), names_(names) {
  for (std::size_t which = 0; which < secrets.size(); ++which) {
    auto secret = std::string_view{secrets[which]}, name = std::string_view{names[which]};
    if (name.size() != secret.size() || name == secret || secret.size() < least)
      continue;
    begun_[name.substr(0, least)].emplace_back(which, 0);
    for (std::size_t at = 0; at + least <= secret.size(); ++at)
      known_[secret.substr(at, least)].emplace_back(which, at);
  }
}

void secret_parts::learn(std::string_view text) {
  auto front = no_front;
  for (std::size_t i = 0; i + least <= text.size(); front = with(front, text[i++]))
    if (auto begun = begun_.find(text.substr(i, least)); begun != begun_.end())
      for (auto [which, at] : begun->second)
        if (text.substr(i).starts_with(names_[which]))
          fronts_.emplace(which, front);
}

bool secret_parts::put_in(std::string& text) const {
  auto any = false;
  auto front = no_front;
  for (std::size_t i = 0; i + least <= text.size();) {
    auto found = longest_at(text, i, front);
    if (found.length > 0)
      text.replace(i, found.length, names_[found.which], found.at, found.length);
    any = any || found.length > 0;
    for (auto next = i + std::max<std::size_t>(found.length, 1); i < next; ++i)
      front = with(front, text[i]);
  }
  return any;
}

secret_parts::part secret_parts::longest_at(std::string_view text, std::size_t i, std::uint64_t front) const {
  part best;
  auto known = known_.find(text.substr(i, least));
  if (known == known_.end())
    return best;
  for (auto [which, at] : known->second) {
    auto& secret = secrets_[which];
    auto length = least;
    while (i + length < text.size() && at + length < secret.size() && text[i + length] == secret[at + length])
      ++length;
    auto ends = i + length == text.size() && (at == 0 || i == 0);
    auto begins = i == 0 && at + length == secret.size();
    auto grows = at == 0 && fronts_.count({which, front}) > 0;
    // What all keys of a service begin with says nothing of this one.
    if ((ends || begins || grows) && at + length >= key_start(secret).size() + least / 2 && length > best.length)
      best = {which, at, length};
  }
  return best;
}

} // namespace conclave
