// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The variables keys come from: the process environment, then `.env` files. Read once, never written back to the process.

#include "protocols/config.hpp"
#include "protocols/config_expand.hpp"
#include "protocols/secrets.hpp"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace conclave {

/// Precedence, first wins: process environment, ./.env, $CONCLAVE_HOME/.env, $XDG_CONFIG_HOME/conclave/.env,
/// ~/.config/conclave/.env,
/// ~/.massgen/.env, ~/.config/massgen/.env. A file never overrides a variable that is set already; a blank one is not set.
class environment {
public:
  /// Takes a copy of the process environment, so that find() may be called from any thread.
  environment();

  /// Reads the files above that exist; problems (unreadable, too large, bad line, readable by others) are warnings.
  static environment load(std::vector<problem>& problems);

  /// Reads one more file with less precedence than everything before. Returns false if it does not exist.
  bool add_file(const std::string& path, std::vector<problem>& problems);

  /// Returns the value of a variable, or nullptr if it is set nowhere. The pointer lives as long as this object.
  const std::string* find(const std::string& name) const;

  /// Returns where the value of a variable came from (see source_lookup); empty if it is set nowhere.
  std::string source(const std::string& name) const;

  /// Returns source() as a function; keep this object alive meanwhile.
  source_lookup sources() const;

  /// Returns find() as a function for expand() and key look-ups; keep this object alive meanwhile.
  conclave::lookup lookup() const;

  /// Returns the values of variables whose names say that they are secret, as far as they may be taken out of what tools give
  /// (secrets::add_for_results).
  secrets known_secrets() const;

  /// Returns an error for each variable CONCLAVE_BASE_URL_<X> whose X is no backend type: what it was to send elsewhere would go to
  /// the vendor, with the key. None shows a value.
  std::vector<problem> target_faults() const;

  /// Returns the .env files that were read, in order.
  const std::vector<std::string>& files() const { return files_; }

private:
  struct variable {
    std::string value, source;
  };
  std::map<std::string, variable> values_;
  std::vector<std::string> files_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen_; ///< device and inode of those files
};

/// Parses the text of a .env file: KEY=VALUE, `export KEY=VALUE`, single and double quotes, comments. The last of equal keys wins.
/// Every line that is left out is a warning, which never shows the line.
std::map<std::string, std::string> parse_environment(const std::string& text, const std::string& name,
                                                     std::vector<problem>& problems);

} // namespace conclave
