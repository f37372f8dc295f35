// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

#include "protocols/text_edits.hpp"

#include <algorithm>

namespace conclave {

std::string joined(const std::vector<std::string*>& pieces) {
  std::string all;
  for (auto* p : pieces)
    all += *p;
  return all;
}

void splice(const std::vector<std::string*>& pieces, const std::string& all, std::vector<text_edit> edits) {
  if (edits.empty())
    return;
  std::sort(edits.begin(), edits.end(), [](auto& a, auto& b) { return a.begin < b.begin; });
  std::vector<std::size_t> ends;
  ends.reserve(pieces.size());
  for (auto* p : pieces)
    ends.push_back((ends.empty() ? 0 : ends.back()) + p->size());
  std::string out;
  std::vector<std::size_t> cuts; // where the pieces end in `out`
  std::size_t done = 0;
  auto cut_until = [&](std::size_t until, std::size_t from_old, std::size_t most) {
    while (cuts.size() < ends.size() && ends[cuts.size()] <= until)
      cuts.push_back(out.size() + std::min(ends[cuts.size()] - from_old, most));
  };
  for (auto& e : edits) {
    cut_until(e.begin, done, e.begin - done);
    out.append(all, done, e.begin - done);
    cut_until(e.end, e.begin, e.text.size());
    out += e.text;
    done = e.end;
  }
  cut_until(all.size(), done, all.size() - done);
  out.append(all, done);
  for (std::size_t i = 0, from = 0; i < pieces.size(); from = cuts[i++])
    *pieces[i] = out.substr(from, cuts[i] - from);
}

} // namespace conclave
