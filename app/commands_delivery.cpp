// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// What tasks make of files: shown, written into folders of the user's, taken back.

#include "app/commands.hpp"
#include "app/delivery_log.hpp"
#include "app/environment.hpp"
#include "app/host_io.hpp"
#include "app/load_config.hpp"
#include "app/plain_text.hpp"
#include "app/stored_tasks.hpp"
#include "app/task_branch.hpp"
#include "app/task_changes.hpp"
#include "app/task_in_place.hpp"
#include "protocols/config_validate.hpp"
#include "protocols/path_policy.hpp"
#include "protocols/text.hpp"
#include "protocols/wire/json.hpp"
#include "protocols/workspace_paths.hpp"
#include "transports/git_ignored.hpp"
#include "transports/home.hpp"
#include "transports/outside.hpp"
#include "transports/workspace_disk.hpp"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <set>
#include <utility>

namespace conclave {

namespace {

constexpr int wrong_usage = static_cast<int>(exit_code::usage);
constexpr int failed = static_cast<int>(exit_code::failed);
constexpr int interrupted = static_cast<int>(exit_code::interrupted);

constexpr std::size_t listed = 20; ///< paths of one kind that are named

/// Opens the store and reads what a task made of files. Returns 0, or the exit code after a complaint.
int find_changes(const std::string& wanted, stored_tasks& s, task_changes& out) {
  task_row row;
  if (auto code = s.open(wanted, row))
    return code;
  if (row.live && row.outcome.empty()) { // else somebody adds to its log what was done with its files
    complain("task " + row.task + " is under way: ask again when it has ended");
    return wrong_usage;
  }
  std::vector<event> events;
  if (auto code = s.read(row.task, events))
    return code;
  std::string error;
  out = changes_of(row.task, events, error);
  if (error.empty())
    return 0;
  complain("task " + row.task + ": its log cannot tell what it made of files: " + error);
  return wrong_usage;
}

std::string names(const std::vector<std::string>& paths) {
  std::string out;
  for (std::size_t i = 0; i < paths.size() && i < listed; ++i)
    out += "  " + path_policy::shown(paths[i], 4'096) + "\n";
  if (paths.size() > listed)
    out += "  and " + std::to_string(paths.size() - listed) + " more\n";
  return out;
}

std::string applied_text(const delivery::applied& a, const std::string& target) {
  std::string out = path_policy::shown(target, 4'096) + ": ";
  if (a.added.empty() && a.modified.empty() && a.removed.empty())
    out += "nothing to write\n";
  else
    out += count_of(a.added.size(), "path") + " added, " + std::to_string(a.modified.size()) + " changed, "
           + std::to_string(a.removed.size()) + " removed\n";
  out += names(a.added) + names(a.modified) + names(a.removed);
  for (auto& path : a.yours)
    out += "  yours now, it was another user's: " + path_policy::shown(path, 4'096) + "\n";
  for (auto& x : a.skipped)
    out += "  left as it is: " + path_policy::shown(x.path, 4'096) + ": " + x.why + "\n";
  return out;
}

/// What was not written, in one line each.
std::string left_text(const std::vector<snapshots::left_out>& left) {
  std::string out;
  for (std::size_t i = 0; i < left.size() && i < listed; ++i)
    out += "\n  left out: " + path_policy::shown(left[i].path, 4'096) + ": " + left[i].why;
  return out + (left.size() > listed ? "\n  and " + std::to_string(left.size() - listed) + " more" : "");
}

/// Hears signals while files are written: what is under way is left as it was, or written whole, and the process ends then. The
/// second one ends it at once, and the journal has the rest.
class heard_signals {
public:
  heard_signals() {
    watch_.arm([this](const char* name) {
      name_ = name;
      set_ = true;
    });
  }

  const std::atomic<bool>* flag() const { return &set_; }

  /// Returns the exit code: `code`, but where a signal kept it from all being done. Then a line says what does the rest.
  int end(int code, const std::string& again) const {
    if (set_)
      complain("interrupted by " + std::string(name_)
               + (code == 0 ? ", too late: all was done" : "; for what is not told as done: conclave " + again));
    return set_ && code != 0 ? interrupted : code;
  }

private:
  std::atomic<const char*> name_{""};
  std::atomic<bool> set_{false};
  signal_watch watch_;
};

/// Writes all of it. Returns the exit code; `text` says what was done, and how it is taken back if anything was; `ids` (may be
/// null) gets the names of these deliveries.
int carry_out(const task_changes& t, const std::string& home, const std::string& to, delivery::policy on_drift, std::string& text,
              std::set<std::string>* ids = nullptr) {
  std::vector<written_folder> written;
  heard_signals heard;
  auto fault = apply_changes(
      t, home, to, on_drift, &written, [](const std::string& x) { complain("notice: " + x); }, heard.flag());
  for (auto& w : written) {
    text += applied_text(w.what, w.folder);
    if (ids != nullptr)
      ids->insert(w.what.id);
  }
  if (!written.empty() && !t.left.empty())
    text += "  " + one_line(t.left, 4'096) + "\n";
  if (std::any_of(written.begin(), written.end(), [](auto& w) { return !w.what.id.empty(); }))
    text += "take it back: conclave undo " + t.task + "\n";
  if (fault.empty())
    return heard.end(0, {});
  complain(fault);
  return heard.end(written.empty() && t.changes.empty() && to.empty() ? wrong_usage : failed, "apply " + t.task);
}

/// Has the log of a task tell what was done with its files, in `store`, or one opened for it. Where it cannot, that is a notice:
/// what was written stands.
void tell_log(const stored_tasks& s, event_store* store, const std::function<std::string(event_store&)>& tell) {
  std::string fault;
  auto own = store == nullptr ? event_store::open(s.path(), fault) : nullptr;
  store = own ? own.get() : store;
  fault = store != nullptr ? tell(*store)
                           : "what was written stands, but no log tells of it: " + fault + "; the next run, apply or undo adds it";
  if (!fault.empty())
    complain("notice: " + fault);
}

/// The same of what its journal has.
void tell_journal(const stored_tasks& s, const std::string& task, event_store* store = nullptr) {
  if (delivery::has_unnoted(journal_of(s.home, task)))
    tell_log(s, store, [&](event_store& by) { return log_deliveries(by, s.home, task); });
}

/// Writes all of it as commits on new branches. Returns the exit code.
int apply_to_branch(stored_tasks& s, const task_changes& t, const std::string& name) {
  std::vector<committed_folder> made;
  auto fault = commit_changes(t, s.home, name, made);
  s.let_go();
  if (!made.empty())
    tell_log(s, nullptr,
             [&](event_store& store) { return log_branches(store, t.task, name, made, outside::of_machine()->now_unix_ms()); });
  std::string text;
  for (auto& m : made) {
    text += path_policy::shown(m.folder, 4'096) + ": branch " + name + ", commit " + m.commit.substr(0, 12) + " by "
            + shown_text(m.author, 200) + ", " + count_of(m.paths.size(), "path") + " changed\n" + names(m.paths);
    for (auto& x : m.skipped)
      text += "  left as it is: " + path_policy::shown(x.path, 4'096) + ": " + x.why + "\n";
    text += "  what you had not committed when the work began, if anything: of these paths it is in the commit, of all others it "
            "is not\n";
    text += "take it back: git -C " + path_policy::shown(m.folder, 4'096) + " branch -D " + name + "\n";
  }
  if (!fault.empty())
    complain(fault);
  return print(text, fault.empty() ? 0 : made.empty() ? wrong_usage : failed);
}

/// What a presenter wrote in the user's folders itself.
std::string in_place_lines(const stored_tasks& s, const task_changes& t) {
  if (t.in_place.empty())
    return {};
  auto found = in_place_of(*s.store, t.task, s.home);
  return in_place_text(found, 0) + (found.paths.empty() ? "\n" : ":\n") + names(found.paths);
}

std::string word_of(const path_policy::verdict& v) {
  return v.ok()
             ? "yes"
             : "no (" + std::string{path_policy::to_string(v.code)} + (v.rule.empty() ? "" : ": " + shown_text(v.rule, 200)) + ")";
}

/// Whether git ignores a path of a folder, by itself or with a folder around it: then it is in no copy.
bool is_ignored(const std::string& folder, const std::string& below) {
  auto rules = git::ignored_paths::of(folder);
  if (!rules)
    return false;
  for (auto at = below.find('/'); at != std::string::npos; at = below.find('/', at + 1))
    if (rules->holds(below.substr(0, at), true))
      return true;
  std::error_code e;
  return rules->holds(below, std::filesystem::is_directory(folder + "/" + below, e));
}

/// Behind what agents may do with a path of a folder that may be changed: whether that comes back.
std::string delivered_word(const path_policy::rules& rules, const std::string& path, const workspace_config& with) {
  auto within = [&](const path_policy::root& r) { return r.later && (path + "/").starts_with(r.path + "/"); };
  auto root = std::find_if(rules.roots.begin(), rules.roots.end(), within);
  if (root == rules.roots.end())
    return {};
  auto then = rules;
  for (auto& r : then.roots)
    r.writable = r.writable || r.later;
  auto write = path_policy::judge(then, path, path_policy::access::modify);
  auto in_place = with.write_mode == "legacy";
  auto folder = root->kind == path_policy::root_kind::context_file ? root->path.substr(0, root->path.rfind('/')) : root->path;
  auto below = path.size() > folder.size() ? path.substr(folder.size() + 1) : std::string{};
  auto word = std::string{in_place ? "; in the presentation: " : "; apply writes it: "};
  auto why = below.empty() ? std::string{} : delivery::judge_for(folder, with)(below, path_policy::access::modify); // as apply
  if (write.ok() && !why.empty())
    return word + "no (" + why + ")";
  if (write.ok() && !in_place && !below.empty() && root->kind != path_policy::root_kind::context_file && is_ignored(folder, below))
    return "; git ignores it: it is not in the copy, and nothing of it is written back";
  if (write.ok())
    return in_place ? "; who presents may write it, in place" : "; a copy of it may be changed, which apply writes back";
  return word + word_of(write);
}

bool is_quiet(const run_options& o) {
  return o.quiet || o.automation || o.json;
}

bool asks_about_files(const run_options& o) {
  return o.apply == "ask" && is_terminal(0) && is_terminal(2) && !is_quiet(o);
}

} // namespace

int command_diff(const diff_options& o) {
  stored_tasks s;
  task_changes t;
  if (auto code = find_changes(o.task, s, t))
    return code;
  auto there = in_place_lines(s, t);
  if (t.snapshot.empty() && t.changes.empty())
    return print(there.empty() ? "task " + t.task + " has no files\n" : there);
  if (o.names && !t.left.empty()) // programs read the list
    complain("notice: " + one_line(std::exchange(t.left, {}), 4'096));
  snapshots::store store{snapshot_folder(s.home)};
  std::string error;
  auto text = there + changes_text(t, store, o.names, error);
  if (!error.empty()) {
    complain(error);
    return failed;
  }
  return print(text.empty() ? "task " + t.task + " changes nothing\n" : text);
}

int command_apply(const apply_options& o) {
  if (o.branch.empty()) // else nobody hears them: git leaves no half of a branch
    block_signals();
  stored_tasks s;
  task_changes t;
  if (auto code = find_changes(o.task, s, t))
    return code;
  if (auto code = s.hold(t.task))
    return code;
  if (!o.branch.empty())
    return apply_to_branch(s, t, o.branch);
  std::string text;
  auto code = carry_out(t, s.home, o.to, drift_policy_of(t, o.on_drift), text);
  s.let_go();
  tell_journal(s, t.task);
  return print(text, code);
}

int command_undo(const undo_options& o) {
  block_signals();
  heard_signals heard;
  stored_tasks s;
  task_row row;
  if (auto code = s.open(o.task, row))
    return code;
  if (auto code = s.hold(row.task))
    return code;
  std::vector<written_folder> undone;
  auto fault = undo_changes(
      s.home, row.task, &undone, [](const std::string& x) { complain("notice: " + x); }, heard.flag());
  s.let_go();
  tell_journal(s, row.task);
  std::string text;
  for (auto& w : undone)
    text += applied_text(w.what, w.folder);
  if (!fault.empty()) {
    complain(fault);
    return print(text, heard.end(failed, "undo " + row.task));
  }
  heard.end(0, {});
  if (text.empty()) {
    auto past = delivery::history(journal_of(s.home, row.task));
    text = past.empty() ? "nothing of task " + row.task + " was applied\n"
                        : "what was applied of task " + row.task + " is taken back already:\n";
    for (auto& p : past)
      text += "  " + delivery_text(p) + "\n";
  }
  std::vector<event> events;
  std::string unread;
  if (s.read(row.task, events) == 0)
    for (auto& folder : changes_of(row.task, events, unread).in_place)
      text +=
          "what its presenter wrote in " + path_policy::shown(folder, 4'096) + " itself (write_mode: legacy) is not taken back\n";
  return print(text);
}

int command_paths(const paths_options& o) {
  std::vector<problem> ignored;
  auto env = environment::load(ignored);
  auto file = o.config.empty() ? default_config() : o.config;
  if (file.empty()) {
    complain("no configuration: name one with --config FILE");
    return wrong_usage;
  }
  auto loaded = load_config(file, {.env = env.lookup(), .unset = severity::warning, .sources = env.sources()});
  for (auto& p : blocking(loaded.problems))
    complain(to_string(p));
  if (!loaded.ok())
    return wrong_usage;
  std::string error, out;
  auto home = home_path(error);
  find_repositories(loaded.config.agents);
  workspace_paths::without_presenter(loaded.config);
  for (auto& a : loaded.config.agents) {
    auto& w = a.backend.workspace;
    auto of_each = [&w](const std::string& path, bool git) {
      return std::any_of(w.context.begin(), w.context.end(),
                         [&](auto& c) { return c.git == git && c.path == path && workspace_paths::goes_with_answers(w, c); });
    };
    out += one_line(a.id) + ":\n";
    if (w.cwd.empty()) {
      out += "  no workspace\n";
      continue;
    }
    auto place = home + "/work/TASK/PLACE";
    workspace_disk disk{{home, place, "TASK", w}};
    auto rules = disk.rules();
    auto is_gone = [&w](const std::string& path) {
      std::error_code e;
      return std::any_of(w.context.begin(), w.context.end(), [&](auto& c) { return c.path == path; })
             && !std::filesystem::exists(path, e);
    };
    if (o.paths.empty())
      for (auto& r : rules.roots)
        out += "  " + path_policy::shown(r.path, 4'096) + ": read"
               + (r.writable                            ? ", write"
                  : of_each(r.path, true)               ? "; each agent changes a checkout"
                  : of_each(r.path, false)              ? "; each agent changes a copy"
                  : r.later && w.write_mode == "legacy" ? "; who presents writes in it, in place"
                  : r.later                             ? "; a copy is changed by who presents"
                                                        : "")
               + (is_gone(r.path) ? "; it is not there, and no run begins without it" : "") + "\n";
    for (auto& given : o.paths) {
      std::error_code e;
      auto path = std::filesystem::weakly_canonical(std::filesystem::absolute(given, e), e).string();
      auto read = path_policy::judge(rules, path, path_policy::access::read);
      auto write = path_policy::judge(rules, path, path_policy::access::modify);
      out += "  " + path_policy::shown(path, 4'096) + ": read " + word_of(read) + ", write " + word_of(write)
             + delivered_word(rules, path, w) + "\n";
    }
  }
  return print(out);
}

bool may_deliver(const run_options& o) {
  return !o.output_dir.empty() || o.apply == "yes" || asks_about_files(o);
}

int deliver_files(const run_options& o, const outcome& end, int code, event_store* in) {
  if (end.kind != outcome_kind::answered || end.task.empty())
    return code;
  std::string error;
  auto home = home_path(error);
  snapshots::store store{snapshot_folder(home)};
  auto quiet = is_quiet(o);
  auto yes = o.apply == "yes" && code != interrupted;
  auto asks = asks_about_files(o) && code != interrupted;
  task_changes t;
  stored_tasks s;
  if (!o.output_dir.empty() || ((yes || asks) && !end.changes.empty())) // before anything that takes its time
    if (task_row row; s.open(end.task, row) != 0 || s.hold(end.task, in) != 0)
      return failed;
  if ((!o.output_dir.empty() || !end.changes.empty()) && find_changes(end.task, s, t) != 0)
    return failed;
  if (!o.output_dir.empty()) {
    auto folder = std::filesystem::absolute(o.output_dir).lexically_normal().string();
    if (folder.size() > 1 && folder.ends_with('/'))
      folder.pop_back();
    std::uint64_t files = 0;
    std::vector<snapshots::left_out> left;
    heard_signals heard;
    auto fault = write_files(t, store, home, folder, files, left, heard.flag());
    auto is_kept = !fault.empty() && std::holds_alternative<snapshots::entry>(store.find(t.snapshot, "")); // rm may have been here
    if (!fault.empty()) {
      complain("--output-dir " + path_policy::shown(o.output_dir, 4'096) + ": " + fault
               + (is_kept ? ". The files are kept: see them: conclave diff " + end.task + "; write them: conclave apply " + end.task
                                + " --to DIR"
                          : std::string{}));
      code = heard.end(failed, "apply " + end.task + " --to DIR");
    } else {
      if (!quiet || !left.empty())
        complain(count_of(files, "file") + " of the answer: " + path_policy::shown(folder, 4'096) + left_text(left));
      heard.end(0, {});
    }
  }
  if (end.changes.empty()) {
    if (end.files > 0 && o.output_dir.empty() && !quiet)
      complain(count_of(static_cast<std::size_t>(end.files), "file") + " with the answer. See them: conclave diff " + end.task
               + "; write them: conclave apply " + end.task + " --to DIR");
    return code;
  }
  if (asks) {
    std::string text;
    for (auto& c : end.changes)
      text += "The answer changes " + count_of(static_cast<std::size_t>(c.files), "file") + " in "
              + path_policy::shown(c.folder, 4'096) + ".\n";
    std::string fault;
    text += changes_text(t, store, true, fault);
    write_all(2, for_terminal(text));
    for (std::string line = "?"; !yes;) {
      write_all(2, "Write this? [y]es, [n]o, [d]iff ");
      auto said = read_line(line);
      if (said != asked::answered)
        write_all(2, "\n"); // the question's line has no end yet
      if (said == asked::interrupted)
        code = interrupted;
      if (said != asked::answered || line.empty() || line.starts_with("n"))
        break;
      yes = line.starts_with("y");
      if (line.starts_with("d"))
        write_all(2, for_terminal(changes_text(t, store, false, fault)));
    }
  }
  if (!yes) {
    complain("nothing was written into your folders. See the changes: conclave diff " + end.task + "; write them: conclave apply "
             + end.task);
    return code;
  }
  std::string text;
  std::set<std::string> ids;
  auto written = carry_out(t, home, {}, drift_policy_of(t), text, &ids);
  if (!text.empty()) // of the folders before one that could not be written, too
    complain(text.substr(0, text.size() - 1));
  s.let_go();
  tell_journal(s, end.task, in);
  std::vector<event> log;
  std::string lines; // the display is over, but who reads the events gets these, too, whoever added them to the log
  if (o.json && s.read(end.task, log) == 0)
    for (auto& e : log)
      if (e.type == event_type::changes_applied && ids.contains(e.label)) {
        e.task = end.task;
        lines += wire::to_json(e) + "\n";
      }
  if (!lines.empty())
    print(lines);
  return written == 0 ? code : written == interrupted ? interrupted : failed;
}

} // namespace conclave
