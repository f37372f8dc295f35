// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.
#pragma once

/// Reads the files that go with a question: those of the host (`question::attachments`) and those of the team (`upload_files`).

#include "protocols/config.hpp"
#include "protocols/coordination.hpp"
#include "transports/http_transfers.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace conclave {

struct file_access {
  std::function<std::shared_ptr<http_transfers>()> http; ///< for https URLs; called when the first is to be fetched
  reachable reach = reachable::public_only;
};

/// Returns whether this names something to be fetched or decoded rather than a path: http://, https:// or data:.
bool is_url(const std::string& source);
bool is_file_url(const std::string& source);

/// Returns why what is neither of the two is no path either, and what to do: an address that nothing is fetched from. Empty if it
/// may be a path.
std::string no_path(const std::string& source);

/// Returns whether a file is called as images and PDF files are that can be shown: by its ending, in any case.
bool is_named_as_shown(const std::string& path);

/// Returns how a file is called, for people and models: neither a user's password nor what follows '?', which may be a key, nor a
/// file as text.
std::string shown_source(const std::string& source);

/// Returns the path on this machine that a `file:` URL stands for (RFC 8089). `fault`: why there is none, else unchanged.
std::string path_of_url(const std::string& source, std::string& fault);

/// Returns a warning for each of `upload_files` that a run would refuse, as read_attachments() does: those that are paths or data
/// are read, nothing is fetched. Blocks on the file system.
std::vector<problem> unfit_files(const run_config& config);

/// Reads what `q.attachments` and `upload_files` name and fills in what is missing: each file is read once, its type is told by its
/// bytes, and each agent's are judged by what its API takes. Nothing is read of a file that has its `data` already. Returns an
/// empty text, or what is wrong and what to do; `q` is as it was then. Blocks: a fetch takes 30 s at most. Any thread but those of
/// transports.
std::string read_attachments(const run_config& config, question& q, const file_access& by);

} // namespace conclave
