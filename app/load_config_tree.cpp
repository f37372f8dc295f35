// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Text -> tree. yaml-cpp is used as a stream of events only: its own nodes would be built without any bound, expand aliases into
// bombs, take cycles and keep the first of two equal keys. Our tree shares aliased nodes and counts what they would expand to.

#include "app/load_config_parts.hpp"
#include "app/text_input.hpp"
#include "protocols/text.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>

namespace conclave::loader {

namespace {

using node_ptr = std::shared_ptr<tree>;

/// Put behind the text, as a comment: the parser takes a quote that is never closed, and only then a value ends in this.
constexpr std::string_view end_mark = "# end of the file \x01";

constexpr const char* no_key = "a list or map cannot be a key: put a text in quotes";

/// A collection that is being read.
struct open_node {
  node_ptr node;
  YAML::anchor_t anchor = 0;
  std::size_t count_before = 0;
  std::string key; ///< map: the key that waits for its value
  mark key_at;
  bool has_key = false;
  int height = 1;
  std::map<std::string, int> lines; ///< map: key -> line
  std::vector<entry> merged;        ///< map: what `<<` brings
};

struct anchored {
  node_ptr node;
  std::size_t weight = 1;
  int height = 1;
};

mark place_in(const YAML::Mark& m) {
  return {m.line + 1, m.column + 1};
}

/// Builds the tree. After the first error all further events are ignored: nothing is thrown through the parser.
class builder : public YAML::EventHandler {
public:
  explicit builder(report& to) : to_(to) {}

  node_ptr root() const { return failed_ ? nullptr : root_; }

  /// What the parser took and nobody means: the text is to be explained as one that it refused.
  struct doubt {
    YAML::Mark mark;
    std::string why;
  };
  const std::optional<doubt>& doubted() const { return doubt_; }

  /// Lines of texts with quotes that are none, and what to say.
  const std::vector<std::pair<int, const char*>>& quaint() const { return quaint_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1)
      distrust(mark, "a second document begins here; a configuration is one: delete the rest, or the line with ---");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { leaf(mark, anchor, tree::null, "", false); }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    if (failed_)
      return;
    auto it = anchors_.find(anchor);
    if (it == anchors_.end()) {
      fail(mark.line + 1, "an alias ('*') inside its own anchor: a cycle");
      return;
    }
    auto& known = it->second;
    if (!count(mark, known.weight) || !depth(mark, known.height))
      return;
    place(mark, known.node, known.height);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    // "?" = plain, "!" = quoted or block, else an explicit tag.
    static const std::set<std::string> known{"",
                                             "?",
                                             "!",
                                             "tag:yaml.org,2002:str",
                                             "tag:yaml.org,2002:int",
                                             "tag:yaml.org,2002:float",
                                             "tag:yaml.org,2002:bool",
                                             "tag:yaml.org,2002:null"};
    if (value.ends_with(end_mark))
      distrust(mark, "the quote that opens here is not closed");
    if (!known.contains(tag))
      fail(mark.line + 1, "the tag '" + shown_text(tag) + "' is not supported");
    if (tag == "?" && has_typographic_quotes(value))
      quaint_.emplace_back(mark.line + 1, typographic);
    if (tag == "?" && value.ends_with('"') && std::count(value.begin(), value.end(), '"') == 1)
      quaint_.emplace_back(mark.line + 1, "the quote at the end of this text opens nowhere: it is part of the text");
    leaf(mark, anchor, tree::scalar, value, tag == "!" || tag == "tag:yaml.org,2002:str");
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    start(mark, tag, "tag:yaml.org,2002:seq", anchor, tree::list);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    start(mark, tag, "tag:yaml.org,2002:map", anchor, tree::map);
  }
  void OnSequenceEnd() override { end(); }
  void OnMapEnd() override { end(); }

private:
  void fail(int line, const std::string& text) {
    if (!failed_)
      to_.error(line, "", text);
    failed_ = true;
  }

  void distrust(const YAML::Mark& mark, const std::string& why) {
    if (!failed_)
      doubt_ = doubt{mark, why};
    failed_ = true;
  }

  bool count(const YAML::Mark& mark, std::size_t more) {
    count_ += more;
    if (count_ > max_nodes)
      fail(mark.line + 1, "more than 10,000 values after aliases are expanded");
    return !failed_;
  }

  bool depth(const YAML::Mark& mark, int more) {
    if (static_cast<int>(open_.size()) + more > max_depth)
      fail(mark.line + 1, "nested more than 64 deep");
    return !failed_;
  }

  void leaf(const YAML::Mark& mark, YAML::anchor_t anchor, tree::kind_type kind, const std::string& text, bool quoted) {
    if (failed_ || !count(mark, 1) || !depth(mark, 1))
      return;
    auto node = std::make_shared<tree>();
    node->kind = kind;
    node->text = text;
    node->quoted = quoted;
    node->at = place_in(mark);
    if (anchor)
      anchors_[anchor] = {node, 1, 1};
    place(mark, node, 1);
  }

  void start(const YAML::Mark& mark, const std::string& tag, const char* own, YAML::anchor_t anchor, tree::kind_type kind) {
    if (failed_ || !count(mark, 1) || !depth(mark, 1))
      return;
    if (!tag.empty() && tag != "?" && tag != "!" && tag != own) {
      fail(mark.line + 1, "the tag '" + shown_text(tag) + "' is not supported");
      return;
    }
    if (!open_.empty() && open_.back().node->kind == tree::map && !open_.back().has_key) {
      distrust(mark, no_key);
      return;
    }
    open_node fresh;
    fresh.node = std::make_shared<tree>();
    fresh.node->kind = kind;
    fresh.node->at = place_in(mark);
    fresh.anchor = anchor;
    fresh.count_before = count_ - 1;
    open_.push_back(std::move(fresh));
  }

  void end() {
    if (failed_ || open_.empty())
      return;
    auto done = std::move(open_.back());
    open_.pop_back();
    // Keys of the map itself win over merged ones, earlier merged ones over later.
    for (auto& e : done.merged)
      if (done.lines.emplace(e.key, e.at.line).second)
        done.node->items.push_back(std::move(e));
    if (done.anchor)
      anchors_[done.anchor] = {done.node, count_ - done.count_before, done.height};
    YAML::Mark mark;
    mark.line = done.node->at.line - 1;
    mark.column = done.node->at.column - 1;
    place(mark, done.node, done.height);
  }

  /// Puts a finished node where it belongs: root, list item, key or value.
  void place(const YAML::Mark& mark, const node_ptr& node, int height) {
    if (open_.empty()) {
      root_ = node;
      return;
    }
    auto& top = open_.back();
    top.height = std::max(top.height, height + 1);
    if (top.node->kind == tree::list) {
      top.node->items.push_back({"", place_in(mark), node});
      return;
    }
    if (!top.has_key) {
      if (node->kind != tree::scalar) {
        distrust(mark, node->kind == tree::null ? "an empty key" : no_key);
        return;
      }
      top.key = node->text;
      top.key_at = place_in(mark);
      top.has_key = true;
      return;
    }
    top.has_key = false;
    if (top.key == "<<") {
      merge(top, node);
      return;
    }
    if (auto [it, fresh] = top.lines.emplace(top.key, top.key_at.line); !fresh) {
      fail(top.key_at.line, "'" + shown_text(top.key) + "' stands twice in one map; first in line " + std::to_string(it->second));
      return;
    }
    top.node->items.push_back({top.key, top.key_at, node});
  }

  /// `<<: *base` and `<<: [*a, *b]`.
  void merge(open_node& top, const node_ptr& node) {
    std::vector<const tree*> sources;
    if (node->kind == tree::map)
      sources.push_back(node.get());
    else if (node->kind == tree::list)
      for (const auto& e : node->items)
        sources.push_back(e.value.get());
    if (sources.empty())
      fail(top.key_at.line, "'<<' needs a map, or a list of maps");
    for (const auto* source : sources) {
      if (source->kind != tree::map)
        fail(top.key_at.line, "'<<' needs a map, or a list of maps");
      else
        top.merged.insert(top.merged.end(), source->items.begin(), source->items.end());
    }
  }

  report& to_;
  std::vector<open_node> open_;
  std::map<YAML::anchor_t, anchored> anchors_;
  node_ptr root_;
  std::optional<doubt> doubt_;
  std::vector<std::pair<int, const char*>> quaint_;
  std::size_t count_ = 0;
  int documents_ = 0;
  bool failed_ = false;
};

/// Returns where a mark of the parser points to; its columns are bytes.
std::size_t offset_of(const std::string& text, const YAML::Mark& mark) {
  std::size_t at = 0;
  for (int i = 0; i < mark.line && at < text.size(); ++i)
    at = std::min(text.find('\n', at), text.size() - 1) + 1;
  auto end = std::min(text.find('\n', at), text.size());
  return std::min(at + static_cast<std::size_t>(std::max(mark.column, 0)), end);
}

void refuse(const std::string& text, const YAML::Mark& mark, const std::string& why, report& to) {
  syntax_fault place{offset_of(text, mark), why};
  // What is found behind the place where the parser gave up is not why it did.
  if (auto slip = find_slip(text); slip.at <= std::min(text.find('\n', place.at), text.size()))
    place = slip;
  auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(place.at), '\n');
  auto start = place.at == 0 ? 0 : text.rfind('\n', place.at - 1) + 1;
  to.error({static_cast<int>(line), static_cast<int>(place.at - start) + 1}, "", "cannot be read: " + with_excerpt(text, place));
}

/// Line ends of one kind; those of old Macintoshes are one too.
std::string with_line_feeds(const std::string& text) {
  if (text.find('\r') == std::string::npos)
    return text;
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] != '\r')
      out += text[i];
    else if (i + 1 == text.size() || text[i + 1] != '\n')
      out += '\n';
  return out;
}

} // namespace

const tree* tree::find(const std::string& key) const {
  for (const auto& e : items)
    if (e.key == key)
      return e.value.get();
  return nullptr;
}

tree_ptr read_tree(const std::string& text, report& to) {
  if (text.size() > max_bytes) {
    to.error(0, "", "larger than 1 MiB");
    return nullptr;
  }
  std::string why;
  if (auto line = bad_byte(text, why)) {
    to.error(line, "", why);
    return nullptr;
  }
  auto lines = with_line_feeds(text);
  drop_bom(lines);
  lines = join_surrogates(lines);
  std::istringstream in{lines + (lines.ends_with('\n') ? "" : "\n") + std::string{end_mark}};
  builder b{to};
  try {
    YAML::Parser parser{in};
    // At most twice: on some bytes the parser finds empty documents for ever (seen with ",").
    if (parser.HandleNextDocument(b))
      parser.HandleNextDocument(b);
    if (b.doubted())
      refuse(lines, b.doubted()->mark, b.doubted()->why, to);
  } catch (const YAML::Exception& e) {
    if (!to.failed() && b.doubted())
      refuse(lines, b.doubted()->mark, b.doubted()->why, to);
    if (to.failed()) // said already; what the parser stumbles over afterwards is a consequence
      return nullptr;
    refuse(lines, e.mark, in_plain_words(e.msg), to);
    return nullptr;
  } catch (const std::exception& e) {
    to.error(0, "", "cannot be read: " + shown_text(e.what(), 200));
    return nullptr;
  }
  auto root = b.root();
  for (const auto& [line, what] : b.quaint())
    if (root)
      to.warning(line, "", what);
  if (!to.failed() && (!root || root->kind == tree::null))
    to.error(0, "", "the file is empty");
  return to.failed() ? nullptr : root;
}

} // namespace conclave::loader
