use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::fuzz::nested;

/// `name first-last complexity` of every function.
fn shown(path: &str, source: &str) -> String {
    let language = Language::of(path, source.as_bytes()).expect("a language");
    let show = |f: &Function| format!("{} {}-{} {}", f.name, f.first_line, f.last_line, f.complexity);
    functions(language, source.as_bytes()).iter().map(show).collect::<Vec<_>>().join(", ")
}

#[rstest]
#[case(
    "a.rs",
    "impl<'a> A<'a> {\n    fn one<F: Fn(u8) -> u8>(f: F) -> u8\n    where\n        F: Copy,\n    {\n        if a && b { 1 } // if if\n        else { match \"if {\" { 'x' => 1, _ => 2 } }\n    }\n    fn two(&self);\n}\n",
    "one 2-8 5"
)]
#[case(
    "a.rs",
    "fn outer() {\n    fn inner() { for x in y {} }\n    let c = |x| { if x {} };\n}\n",
    "outer 1-4 2, inner 2-2 2"
)]
#[case(
    "a.go",
    "func (r *T[K]) Next(f func(int) error) (int, error) {\n\tif x {\n\t}\n\tgo func() {\n\t\tfor {\n\t\t}\n\t}()\n}\nfunc plain() {}\nvar h = func() {\n}\n",
    "Next 1-8 3, plain 9-9 1, h 10-11 1"
)]
#[case(
    "a.swift",
    "class A {\n  init(x: Int) {\n    guard x > 0 else { return }\n  }\n  func f() -> Int {\n    items.map { $0 }\n    run(x) { y }\n  }\n}\n",
    "init 2-4 2, f 5-8 1"
)]
#[case(
    "a.kt",
    "class A {\n  fun <T : Any> f(x: T) = when (x) {\n    1 -> 2\n  }\n  fun String.g(): Int {\n    return 1\n  }\n}\n",
    "f 2-4 1, String.g 5-7 1"
)]
#[case("a.scala", "object A {\n  def f(x: Int): Int = {\n    x match { case 1 => 2 }\n  }\n}\n", "f 2-4 2")]
#[case("a.zig", "pub fn main() !void {\n    while (true) {}\n}\n", "main 1-3 2")]
#[case(
    "a.js",
    "export default async function load(a, {b} = {}) {\n  return a?.b ?? (a ? b : c)\n}\nconst go = async (x) => {\n  if (x) {}\n}\nclass A {\n  static make(x) {\n    for (let i = 0; i < f(x); i++) {}\n  }\n  get size() { return 1 }\n  arrow = () => {\n  }\n}\nmodule.exports.named = function () {\n}\n",
    "load 1-3 2, go 4-6 2, make 8-10 2, size 11-11 1, arrow 12-13 1, named 15-16 1"
)]
#[case(
    "a.js",
    "describe('if', () => {\n  it('x', function () {\n    if (a) {}\n  })\n  run(1, function named() {\n  }, { key() {\n  } })\n})\nfunction last() {\n}\n",
    "named 5-6 1, key 6-7 1, last 9-10 1"
)]
#[case(
    "a.ts",
    "class A {\n  private async f<T>(x: T): Promise<T> {\n    return /if (x) {/.test(x) || `${x ? {} : 1}`\n  }\n}\nexport const g: Handler<X> = (a: X) => {\n}\n",
    "f 2-4 3, g 6-7 1"
)]
#[case(
    "a.php",
    "<p>if {</p>\n<?php\nclass A {\n  public function f($x) {\n    if ($x and 1) { }\n  }\n}\n?>\n<b>{ function</b>\n",
    "f 4-6 3"
)]
#[case("a.pl", "sub f {\n  my $x = qw{ if };\n  return unless $x;\n}\n", "f 1-4 2")]
#[case(
    "a.sh",
    "function a {\n  if x; then y; fi\n}\nb-c() {\n  cat <<EOF\n}\nif\nEOF\n  x && y\n}\n",
    "a 1-3 2, b-c 4-10 2"
)]
#[case("a.ps1", "function Get-Thing {\n  if ($x) { }\n}\n", "Get-Thing 1-3 2")]
#[case(
    "a.c",
    "#define X(a) do { \\\n  if (a) {\nstatic int\nmain(int argc,\n     char **argv)\n{\n    for_each(x, y) {\n    }\n    return a ? b : c;\n}\nint table[] = { 1 };\nstruct s { int x; };\n",
    "main 3-10 2"
)]
#[case(
    "a.c",
    "void a(void)\n{\n#ifdef X\n    if (x) {\n#else\n    if (y) {\n#endif\n    }\n}\nvoid b(void)\n{\n}\n",
    "a 1-9 3, b 10-12 1"
)]
#[case(
    "a.cpp",
    "namespace n {\nclass A {\n  explicit A(int x) : x_{x}, y_(1) {\n    if (x) {}\n  }\n  bool operator==(const A& o) const { return true; }\n};\ntemplate <typename T>\nstd::vector<T> A::make(int n) noexcept {\n}\nA::~A() {}\n}\n",
    "A 3-5 2, operator== 6-6 1, A::make 8-10 1, A::~A 11-11 1"
)]
#[case("a.m", "- (void)doThing:(int)x with:(int)y {\n  if (x) {}\n}\n", "doThing 1-3 2")]
#[case(
    "a.java",
    "class A {\n  @Override\n  @Named(\"x\")\n  public <T> List<T> f(int x) throws E {\n    new Thread(new Runnable() {\n      public void run() {\n        if (x) {}\n      }\n    });\n    synchronized (x) { }\n    try { } catch (E e) { }\n  }\n  int[] a = { 1 };\n  static { }\n}\n",
    "f 2-12 2, run 6-8 2"
)]
#[case(
    "a.cs",
    "class A {\n  int P { get { return 1; } }\n  public A(int x) : base(x) {\n    foreach (var y in x) { }\n  }\n}\n",
    "A 3-5 2"
)]
#[case("a.dart", "void main() {\n  if (x) {}\n}\n", "main 1-3 2")]
#[case("a.r", "f <- function(x) {\n  if (x) {}\n}\n", "f 1-3 2")]
#[case(
    "a.py",
    "class A:\n    @x\n    async def f(\n        self,\n    ):\n        \"\"\"if\nor\n        \"\"\"\n        if a and b:\n            pass\n\n    def g(self): return 1\n\nx = [\n1]\n",
    "f 3-10 3, g 12-12 1"
)]
#[case(
    "a.py",
    "def outer():\n\tdef inner():\n\t\tfor x in y: pass\n\t\t# or\n\treturn inner\nprint(1)\n",
    "outer 1-5 1, inner 2-3 2"
)]
#[case("a.gd", "func _ready():\n\tif x:\n\t\tpass\n", "_ready 1-3 2")]
#[case(
    "a.rb",
    "class A\n  def self.f?(x)\n    return if x\n    a.each do |y|\n      z\n    end\n  rescue E\n    1\n  end\n  private def g=(v); end\n  def h = 1\n  def ==(o)\n    x || y\n  end\nend\n",
    "self.f? 2-9 3, g= 10-10 1, h 11-11 1, == 12-14 2"
)]
#[case(
    "a.lua",
    "local function f(x)\n  if x then\n  end\nend\nM.g = function()\nend\nfunction M:h() end\n",
    "f 1-4 2, M.g 5-6 1, M:h 7-7 1"
)]
#[case("a.jl", "function f(x)\n    if x\n    end\nend\n", "f 1-4 2")]
#[case(
    "a.ex",
    "defmodule A do\n  def f(x) do\n    case x do\n      1 -> 2\n    end\n  end\n  defp g(x), do: x\nend\n",
    "f 2-6 2, g 7-7 1"
)]
#[case("a.fish", "function do-it\n  if x\n  end\nend\n", "do-it 1-4 2")]
#[case("a.m", "function [a, b] = f(x)\n  if x\n  end\nend\n", "f 1-4 2")]
#[case("a.vb", "Module M\n  Public Function F(x)\n    If x Then\n    End If\n  End Function\nEnd Module\n", "F 2-5 1")]
#[case("a.toml", "a = 1\n", "")]
#[case("a.rs", "", "")]
#[case("a.rs", "fn open() {\n  if x {\n", "open 1-2 2")]
fn functions_with_their_lines_and_complexity(#[case] path: &str, #[case] source: &str, #[case] expected: &str) {
    assert_eq!(shown(path, source), expected);
}

#[test]
fn the_innermost_function_around_a_line() {
    let source = "x = 1\ndef outer():\n    def inner():\n        pass\n    return inner\n\ndef next(): pass\n";
    let functions = functions(Language::of("a.py", b"").unwrap(), source.as_bytes());
    let name = |line| enclosing(&functions, line).map(|function| function.name.as_str());
    let names: Vec<_> = (0..=8).map(name).collect();
    let (outer, inner, next) = (Some("outer"), Some("inner"), Some("next"));
    assert_eq!(names, [None, None, outer, inner, inner, outer, None, next, None]);
}

fn scraps() -> impl Strategy<Value = Vec<u8>> {
    let scrap = prop::sample::select(vec![
        "fn f",
        "func ",
        "function ",
        "function! ",
        "def f",
        "sub f",
        "class A",
        "new ",
        "f",
        "(x)",
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        "<T>",
        ";",
        ",",
        ":",
        "=",
        "=>",
        "->",
        "\n",
        "\n    ",
        "\n  ",
        "\t",
        " ",
        "end",
        "if ",
        "&&",
        " ? ",
        "\"",
        "'",
        "/*",
        "*/",
        "//",
        "#",
        "#define x \\\n",
        "\\",
        "`",
        "${",
        "<<EOF\n",
        "EOF\n",
        "<?php ",
        "?>",
        "operator",
        "é",
        "::",
        "~",
        "-",
        "\r\n",
        "rescue",
        "else",
        "\u{0}",
    ]);
    prop::collection::vec(scrap, 0..50).prop_map(|scraps| scraps.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_bytes_have_sound_functions(source in prop::collection::vec(any::<u8>(), 0..300)) {
        for language in Language::all() {
            nested(language, &source);
        }
    }

    #[test]
    fn any_scraps_have_sound_functions(source in scraps()) {
        for language in Language::all() {
            nested(language, &source);
        }
    }
}

#[test]
fn large_and_deep_files_are_read_in_one_pass() {
    for (path, unit) in
        [("a.js", "f({"), ("a.c", "{"), ("a.js", "a(function f() {"), ("a.py", "(\n"), ("a.rs", "fn f() {")]
    {
        let source = unit.repeat(1_000_000 / unit.len());
        let found = functions(Language::of(path, b"").unwrap(), source.as_bytes());
        assert!(found.len() <= source.len() / unit.len());
    }
    assert_eq!(functions(Language::of("a.rs", b"").unwrap(), &vec![b'{'; (1 << 20) + 1]), []);
    let nested: String = (0..1_000).map(|depth| format!("{}def f():\n", " ".repeat(depth))).collect();
    assert_eq!(functions(Language::of("a.py", b"").unwrap(), nested.as_bytes()).len(), 1_000);
}
