// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// The form in which events and bodies lie in a store: what one append brings is a record, a text in which what follows from
/// the rest is left out (the number of an event, the name of a body that comes with it), compressed with the records before it as
/// dictionary. Long bodies are compressed each by itself. No I/O. Private to transports/event_store*.
///
/// Thread rule: a packer belongs to one thread at a time; the rest is pure.

#include "transports/event_store.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct z_stream_s;

namespace conclave {

/// Bodies that are shorter lie in the records: apart they would take more for their names and pages, and what they have in common
/// would be stored again and again. Who reads events reads over them: hence no longer ones. In bytes.
inline constexpr std::size_t short_body = 4096;

/// Records are compressed in groups: one after the other has those of its group before it as dictionary. A group ends with the
/// record with which it has so many bytes: so many are unpacked at the most to come to a record. A longer one is compressed alone.
inline constexpr std::size_t group_bytes = std::size_t{64} << 10;

/// An append of more bytes than this becomes several records, each of one event at least.
inline constexpr std::size_t record_bytes = std::size_t{16} << 10;

/// A longer body, or record, is not compressed: so much is unpacked at the most, whatever a store says. In bytes.
inline constexpr std::size_t longest_packed = std::size_t{16} << 20;

struct record_text {
  std::uint64_t first = 0; ///< the number of its first event
  std::uint64_t events = 0;
  std::string text;
};

/// What an append becomes.
struct stored_batch {
  std::vector<record_text> records;
  std::uint64_t body_bytes = 0;          ///< of the bodies within the records
  std::vector<const stored_body*> apart; ///< long ones, and those whose name is not their SHA-256
};

/// `first`: the number of its first event. A batch without events has no record: all its bodies lie apart.
stored_batch to_records(const append_batch& batch, std::uint64_t first);

struct record {
  std::vector<std::string> events;
  std::vector<stored_body> bodies; ///< with their names
};

/// Reads a text that to_records wrote. Returns false if it cannot have. `bodies_alone`: the events are left out.
bool from_record(std::string_view text, std::uint64_t first, record& out, bool bodies_alone = false);

/// Compresses a body, or a record, of short_body bytes and more. Empty: it would not become shorter, or is too long. Takes about 10
/// ms a megabyte.
std::string pack_body(std::string_view bytes);

/// Returns false if `data` is not what pack_body made of so many bytes, or is damaged. Never makes more than `size`.
bool unpack_body(std::string_view data, std::size_t size, std::string& bytes);

/// Compresses and checks: a record that was damaged is not read as another one.
class record_packer {
public:
  record_packer();
  ~record_packer();
  record_packer(const record_packer&) = delete;
  record_packer& operator=(const record_packer&) = delete;

  /// `before`: the texts of the records of its group before it. Without memory for it, the text is stored as it is.
  std::string pack(std::string_view text, std::string_view before);

  /// Returns false if `data` was not made with `before`, or is damaged.
  bool unpack(std::string_view data, std::string_view before, std::string& text);

private:
  struct end_deflate {
    void operator()(z_stream_s* s) const;
  };
  struct end_inflate {
    void operator()(z_stream_s* s) const;
  };
  // Made with the first use: a store that is only read compresses nothing.
  std::unique_ptr<z_stream_s, end_deflate> deflate_;
  std::unique_ptr<z_stream_s, end_inflate> inflate_;
  std::string room_; ///< for what is unpacked, whose length is not known
};

} // namespace conclave
