// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/snapshot_tree.hpp"

#include <algorithm>
#include <cstring>

namespace conclave::snapshots {

namespace {

constexpr std::string_view kinds = "-fxld"; // by entry_kind
constexpr std::size_t fixed = 1 + 8 + 32;

} // namespace

std::string_view tree_head() {
  return "tree 1\n";
}

void add_entry(std::string& tree, const tree_entry& e) {
  tree += kinds[static_cast<std::size_t>(e.kind)];
  for (int i = 0; i < 8; ++i)
    tree += static_cast<char>(e.size >> (8 * i) & 0xFF);
  tree.append(reinterpret_cast<const char*>(e.hash.data()), e.hash.size());
  tree += e.name;
  tree += '\0';
}

tree_reader::tree_reader(std::string_view text) : rest_(text) {
  good_ = rest_.starts_with(tree_head());
  rest_.remove_prefix(good_ ? tree_head().size() : rest_.size());
}

bool tree_reader::next(tree_entry& out) {
  if (rest_.empty())
    return false;
  auto end = rest_.size() > fixed ? rest_.find('\0', fixed) : std::string_view::npos;
  auto kind = kinds.find(rest_[0]);
  good_ = end != std::string_view::npos && kind != 0 && kind != std::string_view::npos;
  if (good_) {
    out.name = rest_.substr(fixed, end - fixed);
    // Names that no folder has would lead elsewhere when they are made again.
    good_ = !out.name.empty() && out.name != "." && out.name != ".." && out.name.find('/') == std::string_view::npos
            && last_ < out.name;
  }
  if (!good_) {
    rest_ = {};
    return false;
  }
  out.kind = static_cast<entry_kind>(kind);
  out.size = 0;
  for (int i = 0; i < 8; ++i)
    out.size |= std::uint64_t{static_cast<unsigned char>(rest_[static_cast<std::size_t>(1 + i)])} << (8 * i);
  std::memcpy(out.hash.data(), rest_.data() + 9, out.hash.size());
  last_ = out.name;
  rest_.remove_prefix(end + 1);
  return true;
}

entry plain(const tree_entry& e) {
  return {e.kind, e.size, wire::to_hex(e.hash)};
}

} // namespace conclave::snapshots
