// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Inner parts of the loader: the tree a text is read into, the report of problems, and sections checked against the key table.
/// Only app/load_config*.cpp include this.

#include "app/load_config.hpp"
#include "protocols/config.hpp"
#include "protocols/config_tables.hpp"
#include "protocols/config_validate.hpp"

#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace conclave::loader {

inline constexpr std::size_t max_bytes = 1'048'576;
inline constexpr std::size_t max_nodes = 10'000; ///< after aliases are expanded
inline constexpr int max_depth = 64;
inline constexpr std::size_t max_problems = 100;

/// A place in the file; 0 = unknown.
struct mark {
  int line = 0;
  int column = 0; ///< in bytes
  mark(int l = 0, int c = 0) : line(l), column(c) {}
};

struct tree;
using tree_ptr = std::shared_ptr<const tree>;

/// One entry of a list (empty key) or a map.
struct entry {
  std::string key;
  mark at;
  tree_ptr value;
};

/// A node of the file. Aliases share nodes; nothing changes after reading.
struct tree {
  enum kind_type { null, scalar, list, map };
  kind_type kind = null;
  std::string text;
  bool quoted = false;   ///< scalar: quoted, a block, or tagged !!str: always text
  std::string source;    ///< scalar: where a variable in it came from, the nearest .env first; see source_lookup
  bool expanded = false; ///< scalar: came from a variable; text wherever the key does not ask for a number or a flag
  mark at;
  std::vector<entry> items;

  const tree* find(const std::string& key) const;
};

/// Collects problems of one file and remembers where each path stands.
class report {
public:
  report(std::string file, std::vector<problem>& out) : file_(std::move(file)), out_(out) {}

  void add(severity s, mark at, const std::string& path, const std::string& text, bool stops = false);
  void error(mark at, const std::string& path, const std::string& text) { add(severity::error, at, path, text); }
  void warning(mark at, const std::string& path, const std::string& text) { add(severity::warning, at, path, text); }

  /// Remembers that the field validate() calls `canonical` stands at `path`.
  void place(const std::string& canonical, const std::string& path, mark at);
  const place_map& places() const { return places_; }

  /// Takes over problems of validate() that have their places: leaves out what was reported there already.
  void adopt(const std::vector<problem>& found);

  /// Takes over problems of another file.
  void take(const std::vector<problem>& found);

  /// Leaves out everything said of this path from now on: what is wrong there is said already.
  void excuse(const std::string& path) { excused_.insert(path); }
  bool is_excused(const std::string& path) const { return excused_.contains(path); }

  /// Sorts what is listed and says how much is not. Nothing is added afterwards.
  void finish();

  bool failed() const { return failed_; }
  bool full() const { return count_ >= max_problems; } ///< no more problems are listed
  const std::string& file() const { return file_; }

private:
  void keep(problem p);

  std::string file_;
  std::vector<problem>& out_; ///< at most max_problems, errors before anything else
  place_map places_;
  std::set<std::string> excused_;
  std::size_t count_ = 0;
  int left_out_ = 0; ///< the worst of what is not listed
  bool failed_ = false;
};

/// Reads a text into a tree; nullptr after an error. Bounded, see above; duplicate keys, cycles and foreign tags are errors.
tree_ptr read_tree(const std::string& text, report& to);

/// A place in a text, in bytes, and what is wrong there and what to do.
struct syntax_fault {
  static constexpr auto nowhere = std::string::npos;
  std::size_t at = nowhere;
  std::string text;
};

/// Finds what the writer of a text that is no YAML probably got wrong; `nowhere` if nothing known. Linear.
syntax_fault find_slip(const std::string& text);

/// Returns whether a text holds a character that only looks like a blank: a no-break space, say.
bool holds_odd_blank(std::string_view text);

/// Returns whether a text without quotes has typographic ones around it, which are part of it.
bool has_typographic_quotes(std::string_view text);

/// What to say of these.
inline constexpr const char* odd_blank = "a blank of another kind (a no-break space, say), as web pages have them: type it anew";
inline constexpr const char* typographic = "the quotes of this text are typographic: YAML knows \" and ' only";

/// Puts a message of the parser into words of who wrote the file.
std::string in_plain_words(const std::string& message);

/// Returns "column N: text", and below it the line with a mark under the column; without control characters and what may be a key.
std::string with_excerpt(const std::string& text, const syntax_fault& fault);

/// Expands the variables of a configuration, but for what the node of an agent expands; reports the ones that are not set. The
/// texts of a script are all expanded.
tree_ptr expand_config(const tree_ptr& root, const load_options& options, report& to);
tree_ptr expand_script(const tree_ptr& root, const load_options& options, report& to);

/// Returns the line of the first byte a configuration may not hold, or 0. `why` says what it is and what to do.
int bad_byte(const std::string& text, std::string& why);

/// JSON writes characters beyond U+FFFF as two escapes, which YAML does not know: joins them. Other escapes are common to both.
std::string join_surrogates(const std::string& text);

/// Reads a file, or a pipe to its end, of at most max_bytes. Returns false with `error` set.
bool read_text(const std::string& path, std::string& text, std::string& error);

/// Writes a node as JSON. Plain scalars get their YAML 1.2 type; quoted ones stay strings. Not-a-number and infinity have no JSON
/// form: then `error` is set.
std::string to_json(const tree& node, std::string& error);

/// Scalars by the core schema of YAML 1.2; false if the text is none.
bool to_flag(const tree& node, bool& out);
bool to_integer(const tree& node, std::int64_t& out);
bool to_number(const tree& node, double& out); ///< finite only

/// Enums with names, and integers of any width.
template <class M>
concept named_or_counted =
    std::is_integral_v<M> ||(std::is_enum_v<M> && !std::is_null_pointer_v<std::remove_cv_t<decltype(config_rows::choices<M>)>>);

/// One mapping of the file, checked against the key table on construction: unknown keys, types, ranges, keys that are not available
/// yet.
class section {
public:
  /// `node` may be nullptr or null: an empty section. `path` as the user wrote it, `canonical` as validate() writes it.
  section(const tree* node, key_scope scope, std::string path, std::string canonical, report& to, const std::string& type = "",
          const key_table& keys = config_keys());

  /// The mapping under a key of this one; empty if there is none.
  section below(const std::string& key, key_scope scope) const;

  key_scope scope() const { return scope_; }
  const entry* get(const std::string& key) const; ///< checked, never null-valued

  /// Reads a value as the type of its key says: times in milliseconds, choices in lower case, a free map as JSON. Leaves `out`
  /// alone and returns false if the key is absent, null or was reported.
  bool read(const std::string& key, std::string& out) const;
  bool read(const std::string& key, bool& out) const;
  bool read(const std::string& key, std::int64_t& out) const;
  bool read(const std::string& key, std::vector<std::string>& out) const;
  bool read(const std::string& key, std::map<std::string, std::string>& out) const;
  bool read(const std::string& key, std::vector<std::pair<std::string, std::string>>& out) const; ///< in the order of the file
  template <class M>
  requires named_or_counted<M>
  bool read(const std::string& key, M& out) const;

  /// Reads every member of T whose key stands in this mapping, but for those that are read by hand.
  template <class T>
  void read_rows(T& out) const;

  /// Returns the mapping under a key, or nullptr.
  const tree* map(const std::string& key) const;

  std::string path(const std::string& key) const;
  std::string canonical(const std::string& key) const;
  mark at(const std::string& key) const; ///< of the key, or of the section
  report& to() const { return to_; }
  void error(const std::string& key, const std::string& text) const { to_.error(at(key), path(key), text); }
  void warning(const std::string& key, const std::string& text) const { to_.warning(at(key), path(key), text); }

  /// Backend only: keys that go to the provider, in file order; unknown ones were warned about.
  const std::vector<const entry*>& parameters() const { return parameters_; }

private:
  void check(const entry& e);
  bool check_value(const entry& e, const key_info& key);
  bool check_number(const entry& e, const key_info& key);
  bool check_status(const entry& e, const key_info& key); ///< false: it counts for nothing
  void unknown(const entry& e);
  bool asks_for_nothing(const entry& e, const std::string& near) const;

  key_scope scope_;
  std::string path_;
  std::string canonical_;
  std::string type_; ///< backend type, for keys that belong to some types only
  mark at_;
  report& to_;
  const key_table& keys_;
  std::map<std::string, const entry*> values_;
  std::vector<const entry*> parameters_;
};

template <class M>
requires named_or_counted<M>
bool section::read(const std::string& key, M& out) const {
  if constexpr (std::is_enum_v<M>) {
    std::string name;
    if (!read(key, name))
      return false;
    for (std::size_t i = 0; i < std::size(config_rows::choices<M>); ++i)
      if (name == config_rows::choices<M>[i])
        out = static_cast<M>(i);
    return true;
  } else {
    std::int64_t value = 0;
    if (!read(key, value) || value < std::numeric_limits<M>::min() || value > std::numeric_limits<M>::max())
      return false;
    out = static_cast<M>(value);
    return true;
  }
}

template <class T>
void section::read_rows(T& out) const {
  config_rows::each_key<T>([&](const auto& r) {
    if constexpr (requires { read(r.key.name, out.*r.member); }) // other types are read by hand
      if (r.key.scope == scope_ && !r.by_hand)
        read(r.key.name, out.*r.member);
  });
}

/// The parts of a configuration, one file each.
/// `out.type` is set already, and the timeouts of the file.
void read_backend(const section& s, backend_config& out, const load_options& options);
void read_servers(const section& backend, backend_config& out);
/// Where the path begins in a word of a server's command: behind the sign of an option (`--config=a.json`), or of a setting with
/// what is a path without doubt (`DATA=./a.db`); 0 = the word is one, if anything is.
std::size_t path_in_word(const std::string& word);
void read_workspace(const section& backend, workspace_config& out);
void read_sandbox(const section& owner, workspace_config& out);         ///< under the key `sandbox` of the file or of a backend
void read_shared_context(const section& orchestrator, run_config& out); ///< `context_paths`, for all agents that have a workspace

/// Judges the `cwd` that are absolute: none may be a folder that somebody else has files in. Once folders are read.
void judge_cwds(const run_config& c, report& to);

/// Warns of what an agent's backend says of a workspace that does nothing there. `backend` as the file has it, at `path`.
void tell_idle_keys(const tree& backend, const std::string& path, const backend_config& b, report& to);
/// The same of what the file says for all agents, once these are read.
void tell_idle_keys(const section& top, const run_config& c);
/// Leaves out the built-in tools for files, if the key asks for it.
void read_file_tools(const section& backend, backend_config& out);
std::vector<script_step> read_steps(const tree& list, const std::string& path, const std::string& canonical, report& to);
std::vector<script_step> read_script_file(const std::string& path, const section& backend, const load_options& options);
void read_orchestrator(const section& top, run_config& out);
void read_budget(const section& owner, budget& out); ///< under the key `budget` of the file or of an agent
void read_timeouts(const section& top, ledger::rules& rules, backend_config& base);

/// Sets the type that a model's name stands for. Types that are not available yet are replaced by the chat API of the same
/// provider.
void infer_type(backend_config& out);

} // namespace conclave::loader
