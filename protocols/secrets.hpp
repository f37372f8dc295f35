// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What must never be shown, and how it is taken out of texts that others wrote: servers echo what they refuse. Pure.
///
///   secrets s;
///   s.add_key(api_key);
///   s.hide(error); // "bad key sk\/123" -> "bad key ***"

#include "protocols/secret_index.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace conclave {

/// Returns whether a variable, header or URL parameter of this name usually holds a secret.
/// The one list of such names: what it names is hidden in errors, may not stand literally in what travels to a node, and is not to
/// be read by others in a .env file.
bool names_a_secret(const std::string& name);

/// Returns the password of a URL (postgres://user:password@host), empty if there is none, or if it is a reference ${NAME}.
std::string url_password(const std::string& value);

/// Returns whether `value` is a URL with a password, and where in it that stands; also of a reference.
bool find_url_password(const std::string& value, std::size_t& begin, std::size_t& end);

/// Returns whether this setting holds a secret: its name says so, and the value is no short number and no switch; or it is a URL
/// with a password.
bool may_be_secret(const std::string& name, const std::string& value);

class secrets {
public:
  /// Adds a key. Shorter than four bytes it is no secret (anybody could guess it, and every other word would be hidden with it);
  /// nor is what servers that want no key are given instead ("EMPTY").
  void add_key(const std::string& value);

  /// Adds the value of a variable. Where its name does not tell, it may be anything: hidden from eight bytes on, so that words and
  /// ports stay, and unless it is an absolute path, which a reader needs.
  void add_variable(const std::string& name, const std::string& value);

  /// Adds the secrets in the value of a setting (protocols/secret_judge.hpp), in each form that gives them away: an echo may lack a
  /// scheme in front of it, say.
  void add_named(const std::string& name, const std::string& value);

  /// Adds those in a variable of a tool server: what add_named() finds, and whatever its name is what is shaped as keys are
  /// (protocols/secret_words.hpp).
  void add_server_variable(const std::string& name, const std::string& value);

  /// Adds what the query of `url` holds under the names of keys.
  void add_query(const std::string& url);

  /// Replaces each secret in `text` by "***", also in the forms that protocols/secret_index.hpp knows.
  void hide(std::string& text) const;

  /// Returns where they stand in `text`, in the forms that `hide` knows: in order, never overlapping.
  std::vector<found_secret> find_in(const std::string& text) const { return index_.find_in(text, values_); }

  /// The secrets themselves, for whoever puts something else in their place.
  const std::vector<std::string>& values() const { return values_; }

  /// Adds those of `other` that may be taken out of what a tool gave: eight bytes and more, and no path from / or ~/. Shorter ones
  /// are words that files hold anyway, and a tool whose results lack them is of no use.
  void add_for_results(const secrets& other);

  /// Returns the most bytes that one of them takes in a text, escaped; 0 = there is none.
  std::size_t longest() const;

  bool empty() const { return values_.empty(); }
  bool operator==(const secrets& other) const { return values_ == other.values_; }

private:
  void add(const std::string& value, std::size_t least);

  std::vector<std::string> values_;
  secret_index index_; ///< of `values_`
};

} // namespace conclave
