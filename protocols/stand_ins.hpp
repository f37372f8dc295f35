// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Texts that stand where secrets stood: a recorded run holds them, and is played again with them as its keys, so that the same
/// places are hidden again. As long as the secret, of letters and digits alone. Pure.

#include "protocols/config.hpp"
#include "protocols/secrets.hpp"

#include <map>
#include <string>
#include <vector>

namespace conclave {

class stand_ins {
public:
  /// Adds a key, as secrets::add_key; blanks and quotes around it stay where they are.
  void add_key(const std::string& value);

  /// Adds what is secret in the value of a setting, as secrets::add_named. `least`: shorter ones are left as words.
  void add_named(const std::string& name, const std::string& value, std::size_t least = 4);

  /// Adds what stands literally in a configuration, and the values of the variables that stand where secrets belong.
  void add_config(const backend_config& b, const std::map<std::string, std::string>& variables);

  /// Replaces each secret in `text`, in the forms that secrets::hide knows.
  void put_in(std::string& text) const;

  /// The same in pieces of one text, also where one ends within a secret. Their number stays, their ends stay where they can.
  void put_in(const std::vector<std::string*>& pieces) const;

  bool empty() const { return known_.empty(); }

private:
  secrets known_;
  std::vector<std::string> names_; ///< by the position in `known_`
};

} // namespace conclave
