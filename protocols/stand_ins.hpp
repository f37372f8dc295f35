// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Texts that stand where secrets stood: a recorded run holds them, and is played again with them as its keys, so that the same
/// places are hidden again. As long as the secret, of letters and digits alone but for a beginning that all keys of a service have
/// ("sk-"), and judged as the secret is (protocols/secret_judge.hpp). What holds a secret (a cookie, `Basic`) has one that holds
/// its stand-in, with what divides the words and the names around it. Pure.

#include "protocols/config.hpp"
#include "protocols/secrets.hpp"
#include "protocols/text_edits.hpp"
#include "protocols/wire/json_runs.hpp"

#include <map>
#include <string>
#include <vector>

namespace conclave {

class stand_ins {
public:
  static constexpr std::size_t usual = 8; ///< bytes: shorter ones are words that texts hold anyway

  stand_ins() : stand_ins(usual) {}
  explicit stand_ins(std::size_t least) : least_(least) {} ///< shorter keys are left out

  /// Adds a key, as secrets::add_key; blanks and quotes around it stay where they are. `faulty`: what is wrong with it (clean_key)
  /// is wrong with its stand-in, too, so that whoever refuses the one refuses the other.
  void add_key(const std::string& value, bool faulty = false);

  /// Adds what is secret in the value of a setting, as secrets::add_named.
  void add_named(const std::string& name, const std::string& value);

  /// Adds what stands literally in a configuration, and the values of the variables that stand where secrets belong.
  void add_config(const backend_config& b, const std::map<std::string, std::string>& variables);

  /// Replaces each secret in `text`, in the forms that secrets::hide knows.
  void put_in(std::string& text) const;

  /// The same in pieces of one text, also where one ends within a secret. Their number stays, their ends stay where they can.
  /// Returns whether there was one.
  /// `inexact`: set if a replay may not find one of them again: within base64, where none of the same length can be written.
  bool put_in(const std::vector<std::string*>& pieces, bool* inexact = nullptr) const;

  /// The same in pieces of a stream of JSON texts, and in what a reader puts together from its strings and numbers: an answer comes
  /// in deltas, of which none may hold the whole secret (protocols/wire/json_runs.hpp, protocols/split_secrets.hpp); also in
  /// strings that are base64 of something binary. Where there was one, parts of it that are left (of a text that grows) are
  /// replaced, too, and of what `is_reply` of a model says beside its
  /// text no word stays. Returns whether there was one that no string held alone, or that a replay may not find.
  bool put_in_stream(const std::vector<std::string*>& pieces, bool is_reply = false) const;

  /// The same in texts that stand one after the other, each by itself, of which several may make up a secret: the values of
  /// headers. Returns whether some did.
  bool put_in_list(const std::vector<std::string*>& texts) const;

  bool is_needed(const std::string& text) const { return !known_.find_in(text).empty(); }

  /// The same of a JSON text, in what a reader puts together of it.
  bool is_needed_in_stream(const std::string& text) const;

private:
  void add_forms(std::vector<std::string> forms);
  std::string made_of(const std::string& form, const std::vector<std::string>& parts) const;
  std::string of_same_length(const std::string& text, std::vector<std::size_t>* plain = nullptr) const;
  text_edit in_base64(const std::string& all, const found_secret& there) const;
  std::string name_in_place_of(const std::string& secret) const;
  void add(const std::string& core, const std::string& name);
  void edit_run(const std::string& all, const wire::string_run& run, std::vector<text_edit>& edits) const;
  bool edit_runs(const std::vector<std::string*>& pieces, bool by_index) const;
  bool edit_split(const std::vector<std::string*>& pieces, const std::string& all, const wire::json_leaves& leaves) const;
  bool edit_data(const std::vector<std::string*>& pieces, bool& inexact) const;
  void edit_rest(const std::vector<std::string*>& pieces, bool is_reply) const;
  std::vector<std::string> all_forms() const;

  std::size_t least_;
  secrets known_;
  std::vector<std::string> names_; ///< by the position in `known_`
};

} // namespace conclave
