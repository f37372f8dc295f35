// SPDX-License-Identifier: Apache-2.0
// Part of Conclave. See LICENSE.

// Lists of commands: each simple command counts, whatever runs it.

#define CAF_SUITE protocols.command_filter

#include "protocols/command_filter.hpp"

#include "caf/test/unit_test.hpp"
#include "protocols/command_forms.hpp"

#include <string>
#include <vector>

using namespace conclave;
using path_policy::denial;

namespace {

std::string judged(const command_filter& f, const std::string& command) {
  auto fault = f.judge(command);
  if (!fault)
    return {};
  CAF_CHECK(fault->code == denial::command);
  CAF_CHECK(!fault->text.empty());
  return fault->text;
}

void all_denied(const command_filter& f, const std::vector<std::string>& commands) {
  for (auto& c : commands)
    if (!f.judge(c))
      CAF_ERROR("allowed: " << c);
}

void all_allowed(const command_filter& f, const std::vector<std::string>& commands) {
  for (auto& c : commands)
    if (auto fault = f.judge(c))
      CAF_ERROR("denied: " << c << ": " << fault->text);
}

} // namespace

CAF_TEST(an allow list holds for every command of a line) {
  command_filter f({"python.*", "ls( -l)?"}, {}, false);
  all_allowed(f, {"python x", "python3 -m venv .venv", "ls", "ls -l", "ls; python x", "python 'a;b'", "python \"a\nb\"",
                  "python $X", "python 'curl y'", " python x ", "(python x)", "if ls; then python x; fi"});
  all_denied(f, {"python x; curl y",
                 "python x && curl y",
                 "python x\ncurl y",
                 "python x | curl y",
                 "python x & curl y",
                 "python x &>f curl y",
                 "python x &>>f curl y",
                 "python $(curl y)",
                 "python `curl y`",
                 "python <<E\n$(curl y)\nE",
                 "python ${x:-$(curl y)}",
                 "lsof",
                 "xpython",
                 "A=1 ls",
                 "LD_PRELOAD=x python x",
                 "ls -l x",
                 "/bin/ls",
                 "env python x",
                 "ls > f",
                 "python() { curl y; }; python",
                 "sh -c 'python x'",
                 "\"$x\" y",
                 "python 'x",
                 "f() { curl y; }; ls",
                 "python x; eval \"$y\"",
                 "> f",
                 "{ ls; } > f",
                 "python x; 'curl' y",
                 "python x; cu\\rl y"});
}

CAF_TEST(a wrapper that is allowed does not allow what it runs) {
  command_filter f({"env.*", "xargs.*", "sh -c .*", "ls.*", "find .*", "eval .*", "timeout .*"}, {}, false);
  all_allowed(f, {"env ls", "env A=1 ls x", "ls | xargs ls", "sh -c 'ls; ls x'", "find . -exec ls {} ;", "find . -name x",
                  "eval 'ls x'", "xargs", "timeout 5 ls", "timeout -k 1 5 ls"});
  all_denied(f, {"env rm x", "env A=1 rm x", "ls | xargs rm", "xargs -n 1 -I {} rm {}", "sh -c 'rm x'", "sh -c 'ls; rm x'",
                 "sh -c \"$x\"", "find . -exec rm {} \\;", "find . -execdir rm {} +", "eval 'rm x'", "eval \"$x\"", "env -S 'rm x'",
                 "timeout 5 rm x", "env --what ls", "sh -c 'sh -c \"rm x\"'", "env env env rm x", "xargs $x ls", "env $x"});
}

CAF_TEST(forms that take their command from an option or behind one) {
  command_filter only({"env.*", "xargs.*", "(ba)?sh .*", "ls.*", "time.*", "trap.*", "setpriv.*", "flock.*"}, {}, false);
  command_filter but({}, {"touch.*"}, false);
  for (auto* line : {"env --split-string='touch a'",
                     "env --split='touch a'",
                     "env --split-string 'touch a'",
                     "env -S'touch a'",
                     "env -vS'touch a'",
                     "env -S 'touch a'",
                     "env -S 'A=1 touch' a",
                     "env - touch a",
                     "env -i - touch a",
                     "env -i A=1 touch a",
                     "xargs --replace touch a",
                     "xargs --max-lines touch a",
                     "xargs -n1 touch",
                     "time -f %e touch a",
                     "time -o f touch a",
                     "time -ap touch a",
                     "time -p touch a",
                     "time touch a",
                     "sh -c - 'touch a'",
                     "bash -c - 'touch a'",
                     "bash -c + 'touch a'",
                     "bash -co errexit 'touch a'",
                     "bash -oc errexit 'touch a'",
                     "bash -Oc extglob 'touch a'",
                     "bash -o errexit -c 'touch a'",
                     "bash -c -- 'touch a'",
                     "bash -c 'x=(a b); touch a'",
                     "bash -c 'x=( $(touch a) )'",
                     "bash -c 'for ((i=0;i<1;i++)); do touch a; done'",
                     "bash -c 'for ((i=0;i<1;i++)) { touch a; }'",
                     "bash -c 'coproc N { touch a; }; wait'",
                     "bash -c 'coproc N ( touch a )'",
                     "bash -c 'x[0]=1 touch a'",
                     "bash -c '{fd}>o touch a'",
                     "bash -c '{touch,a}'",
                     "trap -- 'touch a' 0",
                     "trap 'touch a' 0",
                     "setpriv --no-new-privs touch a",
                     "setpriv --reuid 1 touch a",
                     "flock f -oc 'touch a'",
                     "flock -o f touch a"}) {
    all_denied(only, {line});
    all_denied(but, {line});
  }
  for (auto* line : {"prlimit --nofile=10 touch a", "unshare -r touch a", "/lib64/ld-linux-x86-64.so.2 /bin/touch a",
                     "setarch x86_64 touch a", "ld.so --preload x /bin/touch a", "runuser -c 'touch a'"})
    all_denied(command_filter({}, {"(.*/)?touch.*"}, false), {line});
  all_allowed(only, {"env - ls", "env -S 'ls x' y", "env -i A=1 ls", "time -f %e ls", "time -p ls", "bash -c 'ls' a b",
                     "bash -o errexit -c 'ls'", "bash -co errexit 'ls'", "trap -- 'ls' 0", "xargs --replace=R ls R"});
  all_allowed(but, {"bash -c 'x=(a b); ls \"${x[0]}\"'", "bash -c '{ls,a}; ls'", "bash -c 'x[0]=1 ls'", "env - ls touch",
                    "time -f %e ls touch", "awk '{print $1, touched}' f"});
}

CAF_TEST(a block list finds a command however it is started) {
  command_filter f({}, {"rm.*"}, false);
  all_denied(f, {"rm",
                 "rm x",
                 "echo a &>f rm x",
                 "sh <<E\nrm x\nE",
                 "bash -s a <<'E'\nls; rm x\nE",
                 "true; bash -e <<-E && ls\n\trm x\n\tE",
                 "bash <<<'rm x'",
                 "ssh-agent rm x",
                 "ssh-agent -a s -t 9 rm x",
                 "dbus-run-session rm x",
                 "dbus-run-session --dbus-daemon d -- rm x",
                 " rm x",
                 "\trm x",
                 "true;rm x",
                 "true; rm x",
                 "command rm x",
                 "command -p rm x",
                 "\\rm x",
                 "r\\m x",
                 "'rm' x",
                 "r''m x",
                 "env rm x",
                 "env -i A=1 rm x",
                 "env -u A rm x",
                 "xargs rm",
                 "xargs -0 -n1 rm -f",
                 "echo x | xargs -I{} rm {}",
                 "/bin/rm x",
                 "nohup rm x",
                 "setsid rm x",
                 "nice -n 5 rm x",
                 "nice -5 rm x",
                 "timeout 5 rm x",
                 "time rm x",
                 "exec rm x",
                 "builtin rm",
                 "busybox rm x",
                 "sudo -u a rm x",
                 "stdbuf -oL rm x",
                 "find . -exec rm {} +",
                 "sh -c 'rm x'",
                 "bash -lc 'rm x'",
                 "sh -e -c 'rm x'",
                 "eval rm x",
                 "eval 'rm x'",
                 "trap 'rm x' EXIT",
                 "alias a='rm x'",
                 "echo $(rm x)",
                 "echo `rm x`",
                 "(rm x)",
                 "{ rm x; }",
                 "if rm x; then :; fi",
                 "f() { rm x; }",
                 "A=1 rm x",
                 "rm x > f",
                 "$'\\x72m' x",
                 "rm 'a\nb'",
                 "env env rm x",
                 "su -c 'rm x'",
                 "env --what rm x",
                 "rmdir x",
                 "flock f rm x",
                 "flock f -c 'rm x'",
                 "watch rm x",
                 "r\\\nm x",
                 "cat <<E\n$(rm x)\nE",
                 "true && rm x",
                 "! rm x",
                 "a | rm x",
                 "rm \xFF",
                 "rm $'\\xff'"});
  all_allowed(f, {"echo rm x", "ls farm", "grep 'rm x' f", "cat <<E\nrm x\nE", "echo 'a; rm x'", "command -v rm", "arm x", "./norm",
                  "git rm-x", "echo \"rm\"", "ls # rm x"});
}

CAF_TEST(an assignment in front allows nothing and hides nothing) {
  command_filter only({"python.*", "echo.*", "(CC=\\w+ )?make( > f)?", "ls"}, {}, false);
  all_allowed(only, {"python x", "CC=gcc make", "CC=gcc make > f", "echo=1", "for x in 1; do ls; done"});
  all_denied(only, {"python=1 rm f", "echo=1 touch g", "echo=2 rm f", "echo+=x rm f", "python3=x\nrm f", "FOO=1 python x",
                    "python=1 PATH=. python x", "PATH=. python x", "LD_PRELOAD=x ls", "CC=gcc ls", "CC=gcc PATH=. make",
                    "PATH=.; ls", "echo=1 PATH=.; echo x", "python=1 > f", "for PATH in .; do ls; done"});
  command_filter but({}, {"rm.*", "mv x y > f", "LD_PRELOAD=.*"}, false);
  all_denied(but, {"A=1 rm x", "A=1 B=2 rm x", "A=1 /bin/rm x", "A=1 mv x y > f", "/bin/mv x y > f", "A=1 LD_PRELOAD=x ls",
                   "LD_PRELOAD=x", "A=1 LD_PRELOAD=x"});
  all_allowed(but, {"A=1 ls", "x=1 ls > f", "A=rm ls"});
  std::string many;
  for (int i = 0; i < 10'000; ++i)
    many += "a=1 ";
  all_denied(but, {many + "ls"});
}

CAF_TEST(a document is commands where one of the line runs what it reads) {
  command_filter only({".*sh.*", "cat.*", "<<.*", "while .*", "env.*", "xargs.*", "find.*", "true", "exec.*", "eval.*", "[.g] ?.*"},
                      {}, false);
  command_filter but({}, {"rm( .*)?"}, false);
  for (std::string line : {"env sh <<E",
                           "command sh <<E",
                           "exec sh <<E",
                           "timeout 5 sh <<E",
                           "timeout --foreground 5 sh <<E",
                           "env -S sh <<E",
                           "eval sh <<E",
                           "eval \"$(cat)\" <<E",
                           "find . -exec sh ';' <<E",
                           "{ sh; } <<E",
                           "(sh) <<E",
                           "while sh; do break; done <<E",
                           "if true; then sh; fi <<E",
                           "case x in x) sh;; esac <<E",
                           "for x in 1; do sh; done <<E",
                           "g() { sh; } <<E",
                           "g() { sh; }; g <<E",
                           "sh -c sh <<E",
                           "sh -c 'true; sh' <<E",
                           "sh /dev/stdin -c true <<E",
                           "sh -s a <<E",
                           "sh - <<E",
                           "sh 3<<E <&3",
                           "sh /dev/fd/3 3<<E",
                           "sh -- /proc/self/fd/0 <<E",
                           "cd /dev; sh ./stdin <<E",
                           "sh $empty <<E",
                           "bash --rcfile /dev/fd/3 -i x 3<<E",
                           "bash -o posix <<E",
                           "BASH_ENV=/dev/fd/3 bash x 3<<E",
                           "fish <<E",
                           "su <<E",
                           "script f <<E",
                           "chroot . <<E",
                           "unshare -r <<E",
                           ". /dev/stdin <<E",
                           "source /dev/fd/0 <<E",
                           "command . \"$x\" <<E",
                           "xargs -I@ sh -c @ <<E",
                           "xargs -I@ @ <<E",
                           "xargs env <<E",
                           "xargs -n 2 timeout 5 <<E",
                           "parallel <<E",
                           "cat <<E | sh",
                           "cat <<E | sh 2>&1 | cat",
                           "cat <<E | while read c; do $c; done",
                           "cat <<E | while read c; do eval \"$c\"; done",
                           "true & cat <<X <<-E | sh\nx\nX",
                           "bash <(cat <<E"}) {
    auto whole =
        line + "\n" + (line.find("<<-") != std::string::npos ? "\t" : "") + "rm f\nE" + (line.ends_with("(cat <<E") ? "\n)" : "");
    all_denied(only, {whole});
    all_denied(but, {whole});
  }
  all_denied(but, {"exec <<E\nrm f\nE\nsh",
                   "cat > g <<E\nrm f\nE\nsh < g",
                   "bash -c 'nohup bash <<< \"rm f\"'",
                   "bash -c 'cat <<< \"rm f\" | bash'",
                   "bash -c 'cat <<<x\nrm f\nx'",
                   "sh <<E\n\\\\rm f\nE",
                   "sh <<E\nr\\\nm f\nE",
                   "sh <<A\ncat <<B | sh\nrm f\nB\nA",
                   "sh <<E\n'\nrm f\nE",
                   "x=$(cat <<E\nrm f\nE\n); $x",
                   "set -- $(cat <<E\nrm f\nE\n); \"$@\"",
                   "x=sh; $x <<E\nrm f\nE",
                   "$0 -s <<E\nrm f\nE",
                   "cat <<E | \"$SHELL\"\nrm f\nE",
                   "$0 -c 'rm f'",
                   "echo | split --filter='rm f' -",
                   "split --filter 'rm f' x",
                   "split --fil='rm f' x",
                   "sg root 'rm f'",
                   "sg root -c 'rm f'",
                   "i386 rm f",
                   "logsave g rm f"});
  all_denied(only, {"sh <<E\n$x\nE", "sh <<E\ncat '$(cat g)'\nE"});
  all_allowed(only, {"sh <<'E'\ncat '$x'\nE", "{ sh; } <<E\ncat x\nE", "cat <<E\nrm f\nE", "sh -c true <<E\nrm f\nE"});
  all_allowed(but, {"cat > f <<EOF\nrm f\n'\nEOF", "python3 - <<EOF\nrm = 1\nprint('rm x')\nEOF",
                    "cat > a.sh <<E\nrm f\nE\nsh a.sh", "cat > a.sh <<E\nrm f\nE\nbash -e ./a.sh x; . ./a.sh",
                    "cat > f <<'E'\nrm f\nE\nenv A=1 timeout 5 make", "cat > f <<'E'\nrm f\nE\nbash -c 'make'",
                    "xargs -I{} cp {} d <<E\nrm\nE", "timeout --foreground 5 python3 - <<E\nrm\nE", "$PY - <<E\nrm\nE",
                    "{ cat; ls; } <<E\nrm f\nE", "while read x; do echo $x; done <<E\nrm f\nE", "exec > log; cat > f <<E\nrm f\nE",
                    "(flock -n 9; cat > f <<E\nrm f\nE\n) 9> l", "sh -c 'true' <<E\nrm f\nE", "git commit -F - <<E\nrm f\nE",
                    "split --filter='ls' x", "split -l 5 x rm"});
}

CAF_TEST(what is data to one shell and a command to another is found) {
  command_filter only({"bash .*", "echo .*", "sh.*", "x=.*"}, {}, false), but({}, {"rm f|touch a"}, false);
  for (std::string line : {"((x=1<<2))\nrm f\n", "((x=1<<2))\nrm f\n2\n", "((1 #$(rm f)\n))", "echo $[1<<2]\nrm f\n",
                           "a[1<<2]=1\nrm f\n", "a[ 1 << 2 ]=1\nrm f\n", "a[1\n<<2]=1\nrm f\n", "a[ #$(rm f)\n]=1", "a[0]+=1 rm f",
                           "a[1 2]=3 rm f", "echo \"${x#'}\"'}\"; rm f #'", "echo $\\\n(rm f)", "echo ${x:-<(rm f)}",
                           "echo $(cat <<A)\nrm f\nA\n", "echo $'\\'; rm f #'"}) {
    std::string quoted;
    for (auto c : line)
      quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    all_denied(only, {line, "bash -c '" + quoted + "'"});
    all_denied(but, {line, "bash -c '" + quoted + "'"});
  }
  all_allowed(but, {"((cd a; ls); cat rm)", "bash -c '((i++)); echo \"rm f\"'", "bash -c 'x[1]=2; ls a[bc] x[[:alpha:]]*'",
                    "[ -f x ] && cat > f <<E\nrm f\nE", "if [ \"$#\" -gt 1 ]; then cat <<E\nrm f\nE\nfi # rm f",
                    "x=$((1<<2))\necho 'rm f'"});
}

CAF_TEST(what is more than is looked at is not run where something is blocked) {
  command_filter but({}, {"rm.*"}, false), words({}, {}, true);
  std::string envs, commands, assigned;
  for (int i = 0; i < 100; ++i)
    envs += "env ";
  for (int i = 0; i < 30'000; ++i)
    commands += "a;";
  for (int i = 0; i < 100; ++i)
    assigned += "x[0]=1 ";
  all_denied(but, {envs + "rm x", commands + "rm x", "bash -c '" + assigned + "rm x'"});
  all_denied(words, {envs + "sudo x", commands + "sudo x", "bash -c '" + assigned + "sudo x'"});
}

CAF_TEST(a denial names the simple command and the pattern) {
  command_filter f({}, {"curl .*"}, false);
  auto text = judged(f, "ls; env curl http://x");
  CAF_CHECK(text.find("env curl http://x") == std::string::npos);
  CAF_CHECK(text.find("command curl http://x is") != std::string::npos);
  CAF_CHECK(text.find("curl .*") != std::string::npos);
  auto long_text = judged(f, "curl " + std::string(5000, 'x'));
  CAF_CHECK(long_text.size() < 400);
  auto allowed = judged(command_filter({"ls"}, {}, false), "ls; rm x");
  CAF_CHECK(allowed.find("command rm x is not run") != std::string::npos);
  CAF_CHECK(allowed.find("allowed") != std::string::npos);
}

CAF_TEST(a pattern that cannot be used is told and never opens anything) {
  CAF_CHECK(command_filter::check("git (log|diff).*").empty());
  for (auto* p : {"", "(", "a(?=b)", "(a)\\1", "[", "*"})
    CAF_CHECK(!command_filter::check(p).empty());
  CAF_CHECK(!command_filter::check(std::string(1001, 'a')).empty());
  CAF_CHECK(command_filter::check(std::string(1000, 'a')).empty());
  all_denied(command_filter({"("}, {}, false), {"ls"});
  all_denied(command_filter({}, {"("}, false), {"ls"});
  all_allowed(command_filter({}, {}, false), {"rm -rf /", "'", "$x"});
}

CAF_TEST(a pattern takes linear time) {
  command_filter f({"(a*)*b", "(.*)*(.*)*x"}, {"(a|aa)+c"}, false);
  all_denied(f, {std::string(60'000, 'a')}); // a backtracking engine would not come back
}

CAF_TEST(dangerous words are whole commands and only without a sandbox) {
  command_filter with({}, {}, true), without({}, {}, false);
  std::vector<std::string> bad{"sudo id",
                               "s''udo id",
                               "s\\udo id",
                               "$'\\x73udo' id",
                               "su",
                               "su -",
                               "env sudo id",
                               "true; su root",
                               "chmod 777 x",
                               "/bin/chown a b",
                               "dd if=a of=b",
                               "rm -rf /",
                               "rm -fr /",
                               "rm -r -f ~",
                               "rm -rf /*",
                               "rm -rf ~/",
                               "rm -rf $HOME",
                               "rm -rf \"${HOME}\"",
                               "rm --recursive /",
                               "rm -R /usr",
                               "rm -rf ..",
                               "find / -delete",
                               "mv x /dev/null",
                               "echo x > /dev/sda",
                               ":(){ :|:& };:",
                               "f() { f | f & }; f",
                               "f() { f & f; }; f",
                               "b(){ b|b;};b",
                               "sh -c 'sudo id'",
                               "xargs sudo"};
  all_denied(with, bad);
  all_allowed(without, bad);
  all_allowed(with, {"echo confirm the format", "grep -su x", "git log --author=su", "echo sudo", "echo 'use chmod'",
                     "rm -rf build", "rm x", "rm /x", "rm -rf ./x", "rm -rf /a/b", "find . -delete", "mv a b", "f() { g; f; }; f",
                     "model run", "perform it", "git add su"});
}

CAF_TEST(forms are bounded) {
  std::string deep = "rm";
  for (int i = 0; i < 100; ++i)
    deep = "env " + deep;
  auto forms = shell::all_forms(deep);
  CAF_CHECK(!forms.doubt.empty());
  CAF_CHECK(forms.commands.size() < 20);
  all_denied(command_filter({"env.*"}, {}, false), {deep});
}
