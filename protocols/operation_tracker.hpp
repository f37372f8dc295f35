// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What an agent has read and made in one run: it deletes and overwrites nothing else. Pure: whoever touches the disk tells what it
/// did, after it succeeded, and asks before it deletes.
///
///   tracker.read(path, identity);
///   if (auto fault = tracker.judge_removal(shown_name, files)) ...

#include "protocols/workspace_tools.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace conclave {

/// What a file was when it was looked at. A file that differs was changed by someone else since. Times alone would not do: utimes
/// sets them, but moves ctime.
struct file_identity {
  std::uint64_t size = 0;
  std::int64_t ctime_ns = 0;
  bool operator==(const file_identity&) const = default;
};

/// A file that is there now.
struct present_file {
  std::string path;     ///< canonical and absolute
  std::string relative; ///< below the root it is in; what is shown, and judged by auto_generated
  file_identity identity;
  bool tracked = false; ///< in a context folder, and git knows it: no name makes it auto-generated
};

class operation_tracker {
public:
  /// More are not remembered, and so count as unread.
  static constexpr std::size_t max_files = 200'000;

  /// `enforce`: false = nothing has to be read before it is deleted.
  explicit operation_tracker(bool enforce = true) : enforce_(enforce) {}

  /// A file was read, at least in part, as it stood.
  void read(const std::string& path, const file_identity& now);
  /// A file that was not there before was made by a tool, or by a command while it ran.
  void created(const std::string& path, const file_identity& now);
  /// A tool changed a file that it was allowed to.
  void wrote(const std::string& path, const file_identity& now);
  /// A file or folder has another name, and all below it. `now`: of a file, whose ctime the renaming moved.
  void moved(const std::string& from, const std::string& to, const std::optional<file_identity>& now = std::nullopt);
  /// A file or folder is gone, and all below it.
  void removed(const std::string& path);

  /// Whether the file was read or made in this run and is what it was then.
  bool knows(const std::string& path, const file_identity& now) const;

  /// Returns why `files` may not be deleted: how many were not read, up to three names. `given`: the path as the model gave it; of
  /// one file it is what is named.
  std::optional<workspace_tools::tool_fault> judge_removal(std::string_view given, const std::vector<present_file>& files) const;
  /// Returns why an existing file may not be overwritten. Holds whether or not deletions are judged.
  std::optional<workspace_tools::tool_fault> judge_overwrite(std::string_view given, const present_file& file) const;

  struct counts {
    std::size_t read = 0, created = 0, total = 0;
  };
  counts count() const;

  /// Returns whether tools make files of this name again (caches, logs, build outputs): they need no reading.
  static bool auto_generated(std::string_view relative_path);

private:
  struct entry {
    file_identity identity;
    bool was_created = false;
  };
  void note(const std::string& path, const file_identity& now, bool made);

  std::map<std::string, entry> files_;
  bool enforce_;
};

} // namespace conclave
