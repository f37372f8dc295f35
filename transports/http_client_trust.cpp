// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "transports/http_client_trust.hpp"

#include "protocols/text.hpp"
#include "transports/home.hpp"
#include "transports/pki.hpp"

#include <curl/curl.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace conclave {

namespace {

constexpr std::size_t max_bytes = std::size_t{8} << 20;

std::string about(const named_path& p, const std::string& what) {
  return p.from + ": '" + shown_text(p.path, 200) + "' " + what;
}

bool is_folder(const std::string& path) {
  struct ::stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool read_file(const named_path& p, std::string& out, std::string& error) {
  int fd = ::open(p.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    error = about(p, std::string{"cannot be read: "} + std::strerror(errno));
    return false;
  }
  struct ::stat info {};
  bool good = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  if (!good)
    error = about(p, "is no regular file");
  for (char buffer[16384]; good;) {
    auto n = ::read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0) {
      good = n == 0;
      error = good ? "" : about(p, std::string{"cannot be read: "} + std::strerror(errno));
      break;
    }
    out.append(buffer, static_cast<std::size_t>(n));
    if (out.size() > max_bytes) {
      error = about(p, "is larger than 8 MiB");
      good = false;
    }
  }
  ::close(fd);
  return good;
}

/// Appends the certificates of a file.
void add_file(const named_path& p, std::string& pem, std::string& error) {
  std::string text;
  if (!error.empty() || !read_file(p, text, error))
    return;
  if (auto fault = certificates_fault(text); !fault.empty())
    error = about(p, fault);
  pem += text + "\n";
}

/// Folders are separated by ':', as OpenSSL reads SSL_CERT_DIR.
void check_folders(const named_path& p, std::string& error) {
  for (std::size_t at = 0; at <= p.path.size() && error.empty();) {
    auto end = std::min(p.path.find(':', at), p.path.size());
    auto one = named_path{p.path.substr(at, end - at), p.from};
    if (!one.path.empty() && !is_folder(one.path))
      error = about(one, "is no folder");
    else if (!one.path.empty() && ::access(one.path.c_str(), R_OK | X_OK) != 0)
      error = about(one, std::string{"cannot be read: "} + std::strerror(errno));
    at = end + 1;
  }
}

} // namespace

std::shared_ptr<const tls_trust> load_trust(const ca_choice& choice, std::string& error) {
  auto c = choice;
  for (auto* p : {&c.bundle, &c.folder, &c.extra})
    if (auto fault = expand_home(p->path); !fault.empty())
      error = p->from + ": " + fault;
  if (!error.empty() || (c.bundle.path.empty() && c.folder.path.empty() && c.extra.path.empty()))
    return nullptr;
  if (!c.bundle.path.empty() && c.folder.path.empty() && is_folder(c.bundle.path))
    std::swap(c.bundle, c.folder); // REQUESTS_CA_BUNDLE may name one
  auto trust = std::make_shared<tls_trust>();
  if (!c.bundle.path.empty())
    add_file(c.bundle, trust->pem, error);
  if (!c.folder.path.empty())
    check_folders(c.folder, error);
  trust->folder = c.folder.path;
  if (!c.extra.path.empty()) {
    add_file(c.extra, trust->pem, error);
    const auto* built = curl_version_info(CURLVERSION_NOW);
    if (c.bundle.path.empty() && c.folder.path.empty()) {
      // The system's, as libcurl was built to find them.
      auto file = named_path{built->cainfo == nullptr ? "" : built->cainfo, "the system's authorities"};
      if (!file.path.empty() && ::access(file.path.c_str(), R_OK) == 0)
        add_file(file, trust->pem, error);
      trust->folder = built->capath == nullptr || !is_folder(built->capath) ? "" : built->capath;
    }
  } else if (!c.bundle.path.empty()) {
    trust->pem.clear();
    trust->file = c.bundle.path;
  }
  return error.empty() ? trust : nullptr;
}

} // namespace conclave
