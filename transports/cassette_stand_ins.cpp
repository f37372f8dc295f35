// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/cassette_notes.hpp"

#include <deque>
#include <map>

namespace conclave {

using wire::tape_kind;

namespace {

/// What the children have said, line by line.
class told_lines {
public:
  void add(std::uint64_t child, std::string& line) {
    auto& all = children_[child];
    all.lines.push_back(&line);
    all.text.insert(all.text.end(), {&line, &ends_.emplace_back("\n")}); // what is open at the end of a line does not go on
  }

  /// Returns whether a line had only a part of one.
  bool hide(const stand_ins& hidden) {
    auto in_parts = false;
    for (auto& [id, all] : children_) {
      in_parts = hidden.put_in_stream(all.text) || in_parts;
      in_parts = hidden.put_in(all.lines) || in_parts; // over lines that are no JSON
    }
    return in_parts;
  }

private:
  struct of_child {
    std::vector<std::string*> lines, text;
  };
  std::map<std::uint64_t, of_child> children_;
  std::deque<std::string> ends_; // never moved
};

} // namespace

bool hide_inputs(recording& tape) {
  std::map<std::uint64_t, std::vector<std::string*>> bodies;
  told_lines lines;
  auto in_parts = false;
  for (auto& e : tape.entries) {
    if (e.kind == tape_kind::data) {
      bodies[e.id].push_back(&e.text);
      continue;
    }
    auto is_hash = e.kind == tape_kind::request || e.kind == tape_kind::write || e.kind == tape_kind::append;
    if (!is_hash && e.kind != tape_kind::end)
      tape.hidden.put_in(e.text);
    tape.hidden.put_in(e.note);
    for (auto& x : e.texts)
      if (e.kind == tape_kind::lines)
        lines.add(e.id, x);
      else
        tape.hidden.put_in(x);
    std::vector<std::string*> values;
    for (auto& [name, value] : e.pairs)
      values.push_back(&value);
    in_parts = tape.hidden.put_in_list(values) || in_parts;
  }
  in_parts = lines.hide(tape.hidden) || in_parts;
  for (auto& [id, pieces] : bodies)
    in_parts = tape.hidden.put_in_stream(pieces, true) || in_parts;
  return in_parts;
}

} // namespace conclave
