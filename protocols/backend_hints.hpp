// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// What people write for a backend type, and how what they mean is reached. The one table of companies, servers and programs that
/// are no type of their own. Pure.

#include <string>

namespace conclave {

/// Returns how the backend that somebody calls `type` is reached, as the second half of a sentence ("Groq is reached by type
/// 'chatcompletion' with base_url ..."), or which of the types it is a slip of; empty if nobody knows. Never one company for
/// another: what is one letter from two of them that begin like it gets no answer. `type` may be one of ours that is not available
/// yet. Names are compared without case, blanks, dots, hyphens and underscores.
std::string type_hint(const std::string& type);

} // namespace conclave
