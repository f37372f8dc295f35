// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The tables of a store, and how those of an older one become them. Private to transports/event_store*.

#include "transports/event_store_sqlite.hpp"

#include <string>

namespace conclave::sqlite {

/// The tasks that were played from a cassette. Made with the first of them: a store without the table has none, and programs that
/// do not know it read and write what they know.
inline constexpr const char* played_schema = "CREATE TABLE IF NOT EXISTS played(task TEXT PRIMARY KEY) WITHOUT ROWID";

/// Sets a connection that writes to an existing file up and sees to its tables. `whole`: all of them, which converts a store of
/// before in place, once, without touching its rows; else one of before is left as it is. `alone`: without the file other
/// processes would share, which needs room. Returns SQLITE_OK, or a code with `error` set.
int set_up(connection& db, const std::string& path, bool whole, bool alone, std::string& error);

} // namespace conclave::sqlite
