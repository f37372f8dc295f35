// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Command lines and the simple commands in them. What a line says is also asked of the real /bin/sh.

#define CAF_SUITE protocols.shell_words

#include "protocols/shell_words.hpp"

#include "caf/test/unit_test.hpp"

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

using namespace conclave;

namespace {

/// The commands of a line as "<a><b> <c>": each word in brackets, a blank between two commands.
std::string commands(const std::string& line) {
  std::string out;
  for (auto& c : shell::parse(line).commands) {
    out += out.empty() ? "" : " ";
    for (auto& w : c.words)
      out += "<" + w.text + ">";
    if (c.words.empty())
      out += "{" + c.whole_text() + "}";
  }
  return out;
}

std::string doubt(const std::string& line) {
  return shell::parse(line).doubt;
}

bool understood(const std::string& line) {
  return doubt(line).empty();
}

std::string quoted_for_sh(const std::string& text) {
  std::string out = "'";
  for (auto c : text)
    out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

/// What the shell makes of it where `p` writes its arguments in brackets, one call a line.
std::string asked_of_sh(const std::string& line) {
  auto script = "p() { for a; do printf '<%s>' \"$a\"; done; echo; }\n" + line;
  auto command = "/bin/sh -c " + quoted_for_sh(script) + " </dev/null 2>/dev/null";
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  std::string out;
  for (int c = 0; (c = std::fgetc(pipe.get())) != EOF;)
    out += static_cast<char>(c);
  return out;
}

std::string words_of_p(const std::string& line) {
  std::string out;
  for (auto& c : shell::parse(line).commands) {
    if (c.words.empty() || c.words.front().text != "p")
      continue;
    for (std::size_t i = 1; i < c.words.size(); ++i)
      out += "<" + c.words[i].text + ">";
    out += '\n';
  }
  return out;
}

} // namespace

CAF_TEST(lists pipelines and groups are taken apart) {
  CAF_CHECK_EQUAL(commands("a b; c|d && e || f & g\nh"), "<a><b> <c> <d> <e> <f> <g> <h>");
  CAF_CHECK_EQUAL(commands("(a; (b)) > f; { c; } 2>&1"), "<a> <b> {> f} <c> {2>&1}");
  CAF_CHECK_EQUAL(commands("if a; then b; elif c; then d; else e; fi"), "<a> <b> <c> <d> <e>");
  CAF_CHECK_EQUAL(commands("while a; do b; done; until c\ndo d\ndone"), "<a> <b> <c> <d>");
  CAF_CHECK_EQUAL(commands("for x in 1 2 $(y); do a \"$x\"; done; for z do b; done"), "<y> <a><$x> <b>");
  CAF_CHECK_EQUAL(commands("case $(a) in (b|'c d') e;; *) f; esac; g"), "<a> <e> <f> <g>");
  CAF_CHECK_EQUAL(commands("! a | ! b"), "<a> <!><b>"); // behind '|' it is a name
  CAF_CHECK_EQUAL(commands("f() { a; }; g () (b)\nf"), "<a> <b> <f>");
  CAF_CHECK(understood("f() { a; }; if b; then f; fi >x 2>&1 | { c; }"));
}

CAF_TEST(quotes are taken off and joined) {
  CAF_CHECK_EQUAL(commands(R"(s''u\d"o" 'a b' "c $x \" \n" d\ e)"), R"(<sudo><a b><c $x " \n><d e>)");
  CAF_CHECK_EQUAL(commands("\\rm x"), "<rm><x>");
  CAF_CHECK_EQUAL(commands("r\\\nm x"), "<rm><x>");
  CAF_CHECK_EQUAL(commands("$'\\x73udo' id"), "<sudo><id>");
  CAF_CHECK_EQUAL(commands("echo a#b #c d\ne"), "<echo><a#b> <e>");
  CAF_CHECK_EQUAL(commands("  rm x"), "<rm><x>");
}

CAF_TEST(what stands in a substitution is a command of its own) {
  CAF_CHECK_EQUAL(commands("a $(b \"$(c)\") `d \\`e\\``"), R"x(<a><$(b "$(c)")><`d \`e\``> <b><$(c)> <c> <d><`e`> <e>)x");
  CAF_CHECK_EQUAL(commands("a \"${x:-$(b)}\" ${y:-`c`}"), "<a><${x:-$(b)}><${y:-`c`}> <b> <c>");
  CAF_CHECK_EQUAL(commands("a $((1 + $(b)))"), "<a><$((1 + $(b)))> <b>");
  CAF_CHECK_EQUAL(commands("a $((b); (c))"), "<a><$((b); (c))> <b> <c>");
  CAF_CHECK_EQUAL(commands("a <(b) > >(c)"), "<a><<(b)> <b> <c>");
  CAF_CHECK_EQUAL(commands("x=$(a) y=`b`"), "{x=$(a) y=`b`} <a> <b>");
  CAF_CHECK_EQUAL(commands("a >$(b)"), "<a> <b>");
}

CAF_TEST(here documents are no commands but what they expand is) {
  CAF_CHECK_EQUAL(commands("cat <<E; b\nrm x\n$(c)\nE\nd"), "<cat> <b> <c> <d>");
  CAF_CHECK_EQUAL(commands("cat <<'E'\n$(c)\nE\nd"), "<cat> <d>");
  CAF_CHECK_EQUAL(commands("cat <<-E\n\tx\n\tE\nd"), "<cat> <d>");
  CAF_CHECK_EQUAL(commands("cat <<A <<B\na\nA\nb\nB\nd"), "<cat> <d>");
  CAF_CHECK_EQUAL(commands("cat <<<x; a\nb\nx"), "<cat> <a> <b> <x>");
  CAF_CHECK(understood("cat <<E\nx\nE"));
  CAF_CHECK(!understood("cat <<E\nx"));
  CAF_CHECK(!understood("cat <<E\na\\\nE\nE\n"));
  CAF_CHECK(!understood("cat <<E $(a\nb)\nE\n"));
}

CAF_TEST(documents are kept as they are read) {
  auto line = shell::parse("{ a; } <<A; b <<-'B' | c <<<\"d e\"\n\\$x\\\\\\\n\\y\nA\n\t\\$z\n\tB\ne $(f <<C\n$g\nC\n)");
  CAF_REQUIRE_EQUAL(line.documents.size(), 4u);
  CAF_CHECK_EQUAL(line.documents[0].text, "d e");
  CAF_CHECK_EQUAL(line.documents[1].text, "$x\\\\y\n");
  CAF_CHECK_EQUAL(line.documents[2].text, "\\$z\n");
  CAF_CHECK_EQUAL(line.documents[3].text, "$g\n");
  CAF_CHECK(!line.documents[1].dynamic && !line.documents[2].dynamic && line.documents[3].dynamic);
}

CAF_TEST(redirections are told from words) {
  auto line = shell::parse("a 2>&1 >|f <> g 3<h &>i b >>'j k'");
  CAF_REQUIRE_EQUAL(line.commands.size(), 3u);
  CAF_CHECK_EQUAL(line.commands[0].text(), "a b");
  CAF_CHECK_EQUAL(line.commands[0].whole_text(), "a b 2>&1 >| f <> g 3< h &> i >> j k");
  CAF_CHECK_EQUAL(commands("a2>f"), "<a2>");
  CAF_CHECK_EQUAL(commands(">f"), "{> f}");
}

CAF_TEST(what shells read in two ways is read in both) {
  CAF_CHECK_EQUAL(commands("a &>f b c"), "<a><b><c> <a> <b><c>");
  CAF_CHECK_EQUAL(commands("a &>>f b"), "<a><b> <a> <b>");
  CAF_CHECK_EQUAL(commands("if a &> f; then b; fi"), "<a> <b> <a> {> f} <b>");
  CAF_CHECK_EQUAL(commands("x $(a &>f b)"), "<x><$(a &>f b)> <a><b> <x><$(a &>f b)> <a> <b>");
  CAF_CHECK_EQUAL(commands("a '&>f' b"), "<a><&>f><b>");
  CAF_CHECK(understood("a &>f && b &>> f | c"));
}

CAF_TEST(assignments are told from words) {
  auto line = shell::parse("A=1 B+=2 c D=3");
  CAF_CHECK_EQUAL(line.commands[0].text(), "c D=3");
  CAF_CHECK_EQUAL(line.commands[0].whole_text(), "A=1 B+=2 c D=3");
  CAF_CHECK_EQUAL(commands("'A'=1 c"), "<A=1><c>");
  CAF_CHECK_EQUAL(commands("1A=1 c"), "<1A=1><c>");
}

CAF_TEST(what is not understood is said) {
  for (auto* text : {"a 'b",
                     "a \"b",
                     "a `b",
                     "a $(b",
                     "a ${b",
                     "(a",
                     "a)",
                     "a;;b",
                     "a | | b",
                     "a &&",
                     "if a; then b",
                     "fi",
                     "a b(",
                     "a=(b)",
                     "$x a",
                     "$(a) b",
                     "`a` b",
                     "r* x",
                     "{a,b}",
                     "[[ a ]]",
                     "function f { a; }",
                     "for ((;;)); do a; done",
                     "a <(b)",
                     "coproc a",
                     "select x in a; do b; done",
                     "$'a' b",
                     "a $\"b\"",
                     "a >",
                     "case x in a) b",
                     "((a<<2))\nb\n",
                     "((a #b\n))",
                     "a[1<<2]=1",
                     "a[1 2]=1",
                     "a $[1<<2]\nb\n",
                     "a $'\\''",
                     "a \"${x:-'y'}\"",
                     ";",
                     "&"})
    if (understood(text))
      CAF_ERROR("understood: " << text);
  CAF_CHECK(!understood(std::string("a\0b", 3)));
  for (auto* text : {"((a<<2))", "a[1 2]=1", "a[0]+=1 b", "a \"${x:-'y'}\"", "a ${x<}", "a $(b <<E)", "a $'\\''"})
    if (!shell::parse(text).odd)
      CAF_ERROR("not odd: " << text);
  for (auto* text :
       {"", "  ", "# a", "a", "a;", "a &", "[ -f x ] && b", "a \"$x\" ${y%.*} $((1+2)) $1 $? $@", "echo }", "\n\na\n\n", "a \\",
        "time a", "a ~/b *.c [x] y[z] y[[:alpha:]]", "((a); b)", "( (a) <<E\nE\n) # b", "a {b,c}"})
    if (!understood(text))
      CAF_ERROR(doubt(text) << ": " << text);
}

CAF_TEST(nesting and size are bounded) {
  auto nest = [](const std::string& open, const std::string& close, int n) {
    std::string out = "a";
    for (int i = 0; i < n; ++i)
      out = open + out + close;
    return out;
  };
  CAF_CHECK(understood(nest("(", ")", 20)));
  for (auto [open, close] : std::vector<std::pair<std::string, std::string>>{{"(", ")"},
                                                                             {"b $(", ")"},
                                                                             {"b $((", "))"},
                                                                             {"b ${x:-", "}"},
                                                                             {"{ ", ";}"},
                                                                             {"if b; then ", "; fi"},
                                                                             {"f() ", ""},
                                                                             {"b $((", ")"}})
    CAF_CHECK(!understood(nest(open, close, 10'000)));
  std::string many;
  for (int i = 0; i < 6000; ++i)
    many += "a;";
  auto line = shell::parse(many);
  CAF_CHECK(!line.doubt.empty());
  CAF_CHECK(line.commands.size() <= shell::max_commands + 1);
}

CAF_TEST(the real shell reads the same words) {
  for (std::string line : {
           "p a b",
           "p 'a b' c",
           "p \"a b\" 'c'",
           "p a\\ b",
           "p a'b'\"c\"d",
           "p \"a\\\"b\\\\c\\d\"",
           "p '' \"\"",
           "p a;p b",
           "p a&&p b",
           "p a | cat; p b",
           "p 'a\nb'",
           "p a\\\nb c",
           "p a #b\np c",
           "p a#b",
           "p 'a'#b",
           "if true; then p a; fi",
           "if false; then :; else p b; fi",
           "for x in 1; do p c; done",
           "case a in a) p d;; esac",
           "case 'a b' in (x|'a b') p e; esac",
           "(p f)",
           "{ p g; }",
           "f() { p h; }; f",
           "p a >&2; p b",
           "p a 2>/dev/null",
           "p a2>/dev/stdout",
           "cat <<E\nx\nE\np y",
           "cat <<'E' >/dev/null\np z\nE\np y",
           "cat <<-E >/dev/null\n\tp z\n\tE\np y",
           "p a>/dev/stdout b",
           "A=1 p x",
           "p A=1",
           "true && { p a; p b; }",
           "! p a",
           "p }",
           "p if fi",
           "p \\$x \\` \\\"",
           "p '$x' '`y`'",
           "p a\\'b",
           "p \"'\"",
           "p '\"'",
           "p \"\\`\"",
           "p \"a\\\nb\"",
           "p 'a\\\nb'",
           "p \\a\\b",
           "p ~x",
           "p \"~\"",
           "p a=~x",
           "p {a,b}",
           "p '*'",
           "p \\*",
           "while p w; do break; done",
           "until p u; do break; done",
           "p a\tb",
           "\n\n p a \n\n p b",
           "p \"#a\"",
           "p \\#a b",
           "p a\\",
           "p $",
           "p a$ b",
           "p \"$\"",
           "p %",
           "p a,b",
           "p -- -x",
           "p é 'ü ö'",
           "p a ; # p b",
           "eval true; p z",
           "p 1>/dev/stdout 2",
           "p a</dev/null b",
           "p a|cat",
           "p a\\;b",
           "p a\\|b",
           "p a\\&b;p c",
           "p 'a;b' \"c|d\"",
       }) {
    if (!understood(line))
      CAF_ERROR(doubt(line) << ": " << line);
    auto said = asked_of_sh(line);
    std::string lines; // without what cat repeats
    for (std::size_t at = 0; at < said.size();) {
      auto end = std::min(said.find('\n', at), said.size() - 1);
      if (line.find("cat <<E") == std::string::npos || said[at] == '<')
        lines += said.substr(at, end + 1 - at);
      at = end + 1;
    }
    if (line.find(">&2") == std::string::npos)
      CAF_CHECK_EQUAL(lines, words_of_p(line));
    else
      CAF_CHECK_EQUAL(lines, "<b>\n");
  }
}
