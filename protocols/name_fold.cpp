// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/name_fold.hpp"

#include "protocols/text.hpp"

namespace conclave {

std::string folded_name(std::string_view name) {
  return lower(std::string(name));
}

} // namespace conclave
