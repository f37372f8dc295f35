// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/snapshot_tally.hpp"

#include "protocols/path_policy.hpp"

#include <algorithm>
#include <utility>

namespace conclave::snapshots {

namespace {

constexpr std::size_t most_named = 4; ///< of files, and of what is in the root

} // namespace

void tally::another() {
  if (++count_ > limits_.files)
    over_ = true;
  stopped_ = count_ > 4 * limits_.files + 1000;
}

void tally::too_deep(const std::string& path) {
  if (too_deep_.empty())
    too_deep_ = path;
  over_ = true;
}

void tally::holds(std::uint64_t bytes) {
  if (bytes > limits_.bytes)
    over_ = true;
}

void tally::remember(std::vector<sized>& all, sized s) const {
  auto by_count = count_ > limits_.files;
  auto less = [by_count](const sized& a, const sized& b) {
    return by_count && a.files != b.files ? a.files > b.files : a.bytes > b.bytes;
  };
  all.insert(std::upper_bound(all.begin(), all.end(), s, less), std::move(s));
  if (all.size() > most_named)
    all.pop_back();
}

failure tally::too_much(const std::string& folder, std::uint64_t bytes) const {
  failure f{fault::over_limit, {}, {}};
  f.text = "the folder " + path_policy::shown(folder) + " ";
  if (!too_deep_.empty())
    f.text += "is nested deeper than " + std::to_string(limits_.depth) + " folders: " + path_policy::shown(too_deep_);
  else if (bytes > limits_.bytes)
    f.text += "holds " + std::to_string(bytes) + " bytes" + (stopped_ ? " or more" : "") + ", " + std::to_string(limits_.bytes)
              + " are allowed";
  else
    f.text += "holds " + std::to_string(count_) + (stopped_ ? " or more" : "") + " files and folders, "
              + std::to_string(limits_.files) + " are allowed";
  f.largest = large_parts_;
  for (auto& file : large_files_)
    if (std::none_of(f.largest.begin(), f.largest.end(), [&](const sized& s) { return s.path == file.path; }))
      f.largest.push_back(file);
  f.text += "; delete what is not needed, then try again";
  for (std::size_t i = 0; i < f.largest.size(); ++i)
    f.text += (i == 0 ? ". Largest: " : ", ") + path_policy::shown(f.largest[i].path, 100) + " ("
              + std::to_string(f.largest[i].bytes) + " bytes"
              + (f.largest[i].path.ends_with('/') ? ", " + std::to_string(f.largest[i].files) + " files)" : ")");
  return f;
}

} // namespace conclave::snapshots
