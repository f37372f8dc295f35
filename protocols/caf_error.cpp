// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/caf_error.hpp"

#include <caf/exit_reason.hpp>
#include <caf/sec.hpp>

namespace conclave {

ec code_of(const caf::error& e) {
  if (!e)
    return ec::none;
  if (e.category() == error_category)
    return e.code() <= static_cast<std::uint8_t>(ec::unknown) ? static_cast<ec>(e.code()) : ec::unknown;
  if (e == caf::sec::request_timeout)
    return ec::timeout;
  if (e == caf::sec::request_receiver_down || e.category() == caf::atom("exit"))
    return ec::unavailable;
  return ec::unknown;
}

std::string text_of(const caf::error& e) {
  if (!e)
    return {};
  if (e.category() == error_category && !e.context().empty() && e.context().match_element<std::string>(0))
    return e.context().get_as<std::string>(0);
  if (e == caf::sec::request_timeout)
    return "no reply in time";
  if (e == caf::sec::request_receiver_down || e.category() == caf::atom("exit"))
    return "the other side is gone";
  return "internal error " + caf::to_string(e.category()) + " " + std::to_string(e.code());
}

} // namespace conclave
