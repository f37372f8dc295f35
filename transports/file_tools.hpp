// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Carries out the file tools of protocols/workspace_tools.hpp on the folders of an agent. Each path is judged as it was given, and
/// again as it was found; nothing leaves its root (transports/confined_dir.hpp). Blocking; one thread at a time, any thread.
///
///   file_tools tools({rules});
///   auto r = tools.run(workspace_tools::read_text_file{"a.txt"}, cancel);   // r.text is for the model

#include "protocols/operation_tracker.hpp"
#include "protocols/path_policy.hpp"
#include "protocols/workspace_tools.hpp"
#include "transports/confined_dir.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace conclave {

struct file_tool_bounds {
  std::size_t read_bytes = std::size_t{1} << 20; ///< of text in one result
  std::size_t edit_bytes = std::size_t{8} << 20; ///< a larger file is neither edited nor compared line by line
  std::size_t list_entries = 5000;               ///< of one folder
  std::size_t tree_nodes = 5000;
  int tree_depth = 32;
  std::size_t found = 2000;         ///< of a search
  std::size_t batch_files = 10'000; ///< copied, deleted, compared, delivered in one call
  std::size_t walked = 200'000;     ///< entries looked at in one call
  int depth = 64;
  std::size_t diff_lines = 500, small_diff_lines = 100; ///< of compare_files; of one file among several
  std::uint64_t copy_bytes = std::uint64_t{2} << 30;    ///< copied by one call
  std::uint64_t compare_bytes = std::uint64_t{1} << 30; ///< read to compare directories, by one call
  std::uint64_t keep_free = std::uint64_t{1} << 30;     ///< bytes of the disk that no call takes
  std::chrono::milliseconds time{30'000};               ///< of one call, once it has begun; who makes it ends it (early_end)
};

/// How a call is ended before it is done, from any thread: what it wrote until then is whole. `late`: set before `now`, if its time
/// is over; else it was cancelled.
struct early_end {
  std::atomic<bool> now{false}, late{false};
};

struct file_tool_result {
  std::string text;
  bool failed = false;
  path_policy::denial code = path_policy::denial::none; ///< why it was denied; none = it was not
};

/// The same for a tool of the host's: bytes and entries instead of text.
struct plain_file_result {
  bool failed = false;
  workspace_tools::tool_fault fault;
  std::string bytes;
  std::vector<dir_entry> entries;
};

class file_tools {
public:
  struct settings {
    path_policy::rules rules; ///< the workspace first
    bool enforce_read_before_delete = true;
    file_tool_bounds bounds;
    confined_dir::way way = confined_dir::way::best;
    /// Asked before each call that may make the folders fuller: why nothing may be added, or empty. May be empty: all may.
    std::function<std::string(const std::atomic<bool>& cancel)> full = {};
  };
  explicit file_tools(settings s);

  /// Other grants. Roots that stay are not opened again.
  void set_rules(path_policy::rules r);
  const path_policy::rules& rules() const { return settings_.rules; }

  /// What was read and made; one per run of an agent. Commands tell what they made.
  operation_tracker& tracker() { return tracker_; }

  /// Carries out one call, or says why not. Commands are no file tools: denial::tool. `name`: as it was called, if by an alias.
  file_tool_result run(const workspace_tools::call& c, const early_end& end, std::string_view name = {});

  /// A file as it is, at most `limit` bytes; the entries of a folder by name, at most `bounds.list_entries`. More fails.
  plain_file_result read_plain(const std::string& path, std::size_t limit, const early_end& end);
  plain_file_result write_plain(const std::string& path, std::string bytes, std::size_t limit, const early_end& end);
  plain_file_result list_plain(const std::string& path, const early_end& end);

private:
  struct aim { ///< a path that was judged
    const confined_dir* dir = nullptr;
    const path_policy::root* root = nullptr;
    std::string base; ///< what `dir` is called in the rules
    std::string given, absolute, relative;
    std::string below(const std::string& found) const { return found.empty() ? base : base + "/" + found; }
  };
  struct copy_plan;
  struct files_below { ///< what a walk came to
    std::vector<std::string> paths;
    std::map<std::string, entry_facts> facts;
    std::vector<present_file> files;
  };

  template <class F>
  plain_file_result plainly(const early_end& end, F&& use);

  // file_tools_judge.cpp: no other way leads to the rules
  path_policy::verdict judge(const std::string& absolute, path_policy::access what) const;
  void need(const std::string& absolute, path_policy::access what) const; ///< refuses what may not be
  bool may(const std::string& absolute, path_policy::access what) const;
  void check_found(const aim& a, const std::string& found, path_policy::access what) const;
  /// For all of a tree that is to be deleted, moved or replaced. `unread`: refuses what the agent has not read, too.
  void may_go(const aim& a, path_policy::access what, const files_below& below, bool unread) const;

  // file_tools_aim.cpp
  aim at(const std::string& given, path_policy::access what) const;
  void open_root(const path_policy::root& r);
  [[noreturn]] void fail(const aim& a, const dir_error& e) const;
  void check(const aim& a, const dir_error& e) const;
  opened_entry open_to_read(const aim& a) const;
  void need_room(const aim& a, std::uint64_t bytes) const;
  /// Of a folder that is to be, relative to the root.
  void judge_depth(const aim& a, std::string_view folder) const;
  /// With those above it, where that is not too deep.
  void make_folders(const aim& a, const std::string& folder) const;
  void pause() const; ///< throws once the call is to end
  [[noreturn]] void ended() const;
  std::string time_is_over() const;
  /// Between two files of a batch: whether its time is over, and then says what is left. Throws where nothing was done yet.
  bool cut_short(workspace_tools::batch_result& r, std::size_t left) const;
  const std::atomic<bool>* stop() const { return end_ != nullptr ? &end_->now : nullptr; }
  walk_bounds walking() const { return {settings_.bounds.depth, stop()}; }
  present_file present(const aim& a, const std::string& relative, const entry_facts& f) const;
  files_below everything_below(const aim& a) const;
  /// `whole`: goes on when the call is to end, as what comes after it belongs to it.
  void remove_known(const aim& a, const files_below& below, bool whole) const;

  // one per tool: text for the model
  std::string carry_out(const workspace_tools::read_text_file& c);
  std::string carry_out(const workspace_tools::read_multiple_files& c);
  std::string carry_out(const workspace_tools::write_file& c);
  std::string carry_out(const workspace_tools::edit_file& c);
  std::string carry_out(const workspace_tools::create_directory& c);
  std::string carry_out(const workspace_tools::list_directory& c);
  std::string carry_out(const workspace_tools::directory_tree& c);
  std::string carry_out(const workspace_tools::move_file& c);
  std::string carry_out(const workspace_tools::search_files& c);
  std::string carry_out(const workspace_tools::get_file_info& c);
  std::string carry_out(const workspace_tools::list_allowed_directories& c);
  std::string carry_out(const workspace_tools::copy_file& c);
  std::string carry_out(const workspace_tools::copy_files_batch& c);
  std::string carry_out(const workspace_tools::delete_file& c);
  std::string carry_out(const workspace_tools::delete_files_batch& c);
  std::string carry_out(const workspace_tools::compare_directories& c);
  std::string carry_out(const workspace_tools::compare_files& c);
  std::string carry_out(const workspace_tools::deliver_files& c);

  std::string read_part(const workspace_tools::read_text_file& c, std::size_t limit);
  std::string whole_text(const aim& a, const opened_entry& file);
  copy_plan plan_copy(const aim& from, const std::vector<std::string>* include, const std::vector<std::string>* exclude) const;
  void copy_tree(const aim& from, const aim& to, copy_plan& plan);
  /// Copies to a name beside, then calls `make_way`, and gives the copy its name. Nothing of it is left if that fails.
  void copy_whole(const aim& from, const aim& to, copy_plan& plan, const std::function<void()>& make_way);
  void copy_one(const aim& from, const std::string& source, const aim& to, const std::string& target, if_exists existing,
                const std::optional<entry_facts>& expected, bool durable);
  bool holds(const aim& a, const entry_facts& f, const std::string& content) const;
  bool is_copy(const aim& from, const entry_facts& f, const aim& to, const entry_facts& t) const;
  void judge_replaced(const aim& to, const std::string& relative, const entry_facts& f) const;
  bool same_content(const opened_entry& a, const opened_entry& b) const;
  std::string diff_of(const opened_entry& a, const opened_entry& b, std::size_t limit, bool& whole) const;

  settings settings_;
  operation_tracker tracker_;
  std::map<std::string, confined_dir> dirs_; ///< by folder
  const early_end* end_ = nullptr;           ///< of the call under way
};

} // namespace conclave
