use proptest::prelude::*;
use rstest::rstest;

use super::comments;
use crate::fuzz::lexed;
use crate::language::Language;

/// The comments of `source`, as text.
fn texts(path: &str, source: &str) -> Vec<String> {
    let language = Language::of(path, source.as_bytes()).expect("a known language");
    comments(language, source.as_bytes(), true)
        .iter()
        .map(|comment| source[comment.start..comment.end].to_owned())
        .collect()
}

#[rstest]
#[case::rust_lifetime_and_char("a.rs", "fn f<'a>(x: &'a str) { let q = '\"'; } // yes", &["// yes"])]
#[case::rust_escaped_char("a.rs", r"let q = '\''; let r = '\u{2f}'; // yes", &["// yes"])]
#[case::rust_raw("a.rs", "let a = r#\"// \" no\"#; let b = br\"\\\"; // yes", &["// yes"])]
#[case::rust_raw_name("a.rs", "let r#type = 1; /* yes */", &["/* yes */"])]
#[case::rust_nested("a.rs", "/* a /* b */ c */ x // yes", &["/* a /* b */ c */", "// yes"])]
#[case::c_not_nested("a.c", "/* a /* b */ x; // yes", &["/* a /* b */", "// yes"])]
#[case::c_quote_in_char("a.c", "char c = '\"'; // yes\nchar *s = \"// no\";", &["// yes"])]
#[case::c_continued_string("a.c", "char *s = \"a\\\n// no\"; // yes", &["// yes"])]
#[case::c_apostrophe("a.c", "#error don't\nint x; // yes", &["// yes"])]
#[case::cpp_raw("a.cpp", "auto s = R\"x(// no )\" \" )x\"; auto t = u8R\"(/*)\"; // yes", &["// yes"])]
#[case::cpp_separator("a.cpp", "int x = 1'000'000; // yes", &["// yes"])]
#[case::csharp_verbatim("a.cs", "var s = @\"c:\\\"; // yes\nvar t = @\"a\"\"// no\n// no\";", &["// yes"])]
#[case::java_text_block("A.java", "String s = \"\"\"\n // no \"\n \"\"\"; // yes", &["// yes"])]
#[case::kotlin_raw("a.kt", "val s = \"\"\"\\\"\"\" // yes", &["// yes"])]
#[case::swift_raw("a.swift", "let s = #\"\"// no\"#; // yes", &["// yes"])]
#[case::go_raw("a.go", "s := `\\` // yes\nr := '`' // also", &["// yes", "// also"])]
#[case::zig_lines("a.zig", "const s =\n  \\\\ // no \"\n  ; // yes", &["// yes"])]
#[case::js_regex("a.js", "const a = /\\/\\//; const b = /\"/; const c = /[/\"]/; // yes", &["// yes"])]
#[case::js_division("a.js", "const x = a / b; // yes\nconst y = (a) / 2; /* also */", &["// yes", "/* also */"])]
#[case::js_regex_after_return("a.js", "return /'/.test(x) // yes", &["// yes"])]
#[case::js_regex_after_comment("a.js", "x = // one\n /'/ // two", &["// one", "// two"])]
#[case::js_template("a.js", "`// no ${f(`${x} // no`) /* yes */ + {a: 1}} // no` // also", &["/* yes */", "// also"])]
#[case::js_stray_backtick("a.js", "// one\n` stray\nf() // two", &["// one", "// two"])]
#[case::jsx("a.jsx", "<p>Don't</p>\n{/* yes */}\n<br /> // also", &["/* yes */", "// also"])]
#[case::css_url("a.scss", "a { b: url(//x.y/z) } // yes", &["// yes"])]
#[case::css_plain("a.css", "a { b: \"/*\" } /* yes */ // no", &["/* yes */"])]
#[case::python_docstring("a.py", "\"\"\"# no\n# no \"\"\"\nx = '#' # yes", &["# yes"])]
#[case::ruby("a.rb", "x = \"#{a ? \"#\" : '#'} # no\" # yes\n=begin\nalso\n=end\ny = ?# # too", &["# yes", "=begin\nalso\n=end", "# too"])]
#[case::ruby_heredoc("a.rb", "a(<<~X, <<-'Y') # yes\n # no\n X\n # no\n Y\n# also", &["# yes", "# also"])]
#[case::ruby_percent_and_regex("a.rb", "a = %w[# a]; b =~ /#/; c = 5 % 2 # yes", &["# yes"])]
#[case::ruby_globals("a.rb", "a = $` + $' # yes\nb = $\" # also", &["# yes", "# also"])]
#[case::ruby_regex_over_lines("a.rb", "A = /\n  \\A # no \"\n/ix # yes\nb = a /\n 2 # also", &["# yes", "# also"])]
#[case::ruby_regex_at_line_start("a.rb", "def f(a)\n  /#{a}?/i\nend # yes", &["# yes"])]
#[case::php_attribute("b.php", "<?php\n#[A(1)] // yes\n# also", &["// yes", "# also"])]
#[case::assembly("a.s", "add x0, x1, #8\n# yes\nmov eax, 1 # also\nldr r0, [r1] @ too", &["# yes", "# also", "@ too"])]
#[case::ruby_shift("a.rb", "a <<B\n# yes", &["# yes"])]
#[case::ruby_end("a.rb", "# yes\n__END__\n# no", &["# yes"])]
#[case::perl("a.pl", "my $n = $#list; s#a#b#; m/#/; my @w = qw(# #); # yes\n=head1 X\n# no\n=cut\n# also", &["# yes", "# also"])]
#[case::perl_globals("a.pl", "f($') if $` =~ /x/; # yes", &["# yes"])]
#[case::perl_apostrophe_package("a.pl", "$main'x = 1; # yes", &["# yes"])]
#[case::php("a.php", "<!-- one --> # no\n<?php $a = '#'; // two ?> // no <?= 1 /* three */ ?>\n<p># no", &["<!-- one -->", "// two ", "/* three */"])]
#[case::php_heredoc("a.php", "<?php $a = <<<EOT\n// no ?>\n  EOT; // yes", &["// yes"])]
#[case::shell_hash("a.sh", "echo ${x#y} $# a#b \\# '# no' \"# no\" $((16#ff)) ${x/ #/} # yes", &["# yes"])]
#[case::shell_substitution("a.sh", "x=\"$(f \"a # no\") # no\" # yes\ny=\"${x:-\"#\"}\"", &["# yes"])]
#[case::shell_heredoc("a.sh", "cat <<EOF <<-'X' # yes\n# no\nEOF\n\t# no\n\tX\n# also", &["# yes", "# also"])]
#[case::shell_here_string("a.sh", "cat <<<EOF\n# yes", &["# yes"])]
#[case::shell_shift("a.sh", "(( x = 1 << y ))\n# yes", &["# yes"])]
#[case::shell_ansi_quote("a.sh", "IFS=$'\\'# no' # yes", &["# yes"])]
#[case::powershell("a.ps1", "$a = \"`\"# no\" <# yes\n #> # also\n$b = @'\n# no '\n'@", &["<# yes\n #>", "# also"])]
#[case::yaml("a.yml", "a: b#no\nb: 'it''s # no' # yes\nc: don't # also\n# too", &["# yes", "# also", "# too"])]
#[case::toml("a.toml", "a = 'c:\\' # yes\nb = '''\n# no''' # also", &["# yes", "# also"])]
#[case::ini("a.ini", "; yes\na = b;no\n# also", &["; yes", "# also"])]
#[case::dockerfile("Dockerfile", "FROM x\nRUN echo a # no\n  # yes", &["# yes"])]
#[case::makefile("Makefile", "a: # yes\n\techo '# no' \\# $${x#y}", &["# yes"])]
#[case::cmake("CMakeLists.txt", "set(a \"# no\") # yes\n#[[ also\n]] b", &["# yes", "#[[ also\n]]"])]
#[case::lua("a.lua", "a = [==[ -- no ]] ]==] --[[ yes\n]] b = '-- no' -- also", &["--[[ yes\n]]", "-- also"])]
#[case::sql("a.sql", "select 'it''s -- no' -- yes\n/* also */", &["-- yes", "/* also */"])]
#[case::haskell("a.hs", "f' = '\"' {- a {- b -} c -} --> no\n-- yes\nx |-- no", &["{- a {- b -} c -}", "-- yes"])]
#[case::ocaml("a.ml", "let f (x : 'a) = '\"', {|(* no *)|} (* a (* b *) *)", &["(* a (* b *) *)"])]
#[case::erlang("a.erl", "f() -> $\", $%, \"% no\". % yes", &["% yes"])]
#[case::elixir("a.ex", "@doc \"\"\"\n# no\n\"\"\"\nx = ?# # yes", &["# yes"])]
#[case::clojure("a.clj", "(f \\\" \"; no\") ; yes", &["; yes"])]
#[case::emacs("a.el", "(eq c ?\") (eq d ?\\;) ; yes", &["; yes"])]
#[case::julia("a.jl", "b = a' # yes\nc = 'x' #= also =#", &["# yes", "#= also =#"])]
#[case::matlab("a.m", "% one\nb = a'; c = 'it''s % no'; % two", &["% one", "% two"])]
#[case::terraform("a.tf", "a = \"${f(\"# no\")} # no\" # yes\nb = <<-EOT\n# no\nEOT\n// also", &["# yes", "// also"])]
#[case::nix("a.nix", "a = ''\n # no ''${x} ''' # no\n''; # yes", &["# yes"])]
#[case::vim("a.vim", "\" yes\nlet a = \"no\"", &["\" yes"])]
#[case::pascal("a.pas", "x := 'it''s { no'; { yes } // also", &["{ yes }", "// also"])]
#[case::fortran("a.f90", "print *, 'a ! no' ! yes", &["! yes"])]
#[case::fixed_fortran("a.f", "C yes\n      CALL X ! also", &["C yes", "! also"])]
#[case::tex("a.tex", "50\\% no % yes", &["% yes"])]
#[case::html("a.html", "<!-- one --><script>a // two\n</script><style>/* three */</style> // no", &["<!-- one -->", "// two", "/* three */"])]
#[case::html_data("a.html", "<script type=\"application/json\">// no</script><!-- yes -->", &["<!-- yes -->"])]
#[case::vue("a.vue", "<template><!-- one --></template>\n<script lang=\"ts\">\n// two\n</script>\n<style lang=\"scss\">// three\n</style>", &["<!-- one -->", "// two", "// three"])]
#[case::svelte("a.svelte", "<script>let a = '</'; // one\n</script>{#if x}<!-- two -->{/if}", &["// one", "<!-- two -->"])]
#[case::markdown("a.md", "# no\n<!-- yes --> `<!-- no -->`\n```rust\nf(); // also\n```\n~~~\n// no <!-- no -->\n~~~\n<!-- too\n-->", &["<!-- yes -->", "// also", "<!-- too\n-->"])]
#[case::markdown_open("a.md", "<!-- no\n```js\n// yes", &["// yes"])]
#[case::windows_lines("a.rs", "// yes\r\nlet s = \"a\\\r\n// no\";\r\n", &["// yes"])]
fn only_comments_are_comments(#[case] path: &str, #[case] source: &str, #[case] expected: &[&str]) {
    assert_eq!(texts(path, source), expected);
}

#[test]
fn an_open_comment_reaches_to_the_end() {
    assert_eq!(texts("a.c", "x /* y\nz"), ["/* y\nz"]);
    assert_eq!(texts("a.rs", "/* /* */"), ["/* /* */"]);
    assert_eq!(texts("a.html", "<!-- <script>// yes"), ["// yes"]);
}

/// Openings that never close, in every language, as long as a file may be.
#[test]
fn hostile_files_take_linear_time() {
    let openings = [
        "/*", "(*", "{-", "<!--", "`${", "\"${", "\"$(", "<<A\n", "<<<A\n", "[=[", "--[[", "%w(", "q{", "s{a}", "/[",
        "R\"(", "r#\"", "{a|", "url(", "${", "'", "\"", "\"\"\"", "<script ", "<script>", "<?php ", "{#", "=begin\n",
        "@\"\n", "?\\", "#[",
    ];
    let before = std::time::Instant::now();
    for opening in openings {
        let source = opening.repeat(20_000 / opening.len());
        for language in Language::all() {
            lexed(language, source.as_bytes());
        }
    }
    assert!(before.elapsed().as_secs() < 120, "{:?} for {} openings", before.elapsed(), openings.len());
}

fn scraps() -> impl Strategy<Value = Vec<u8>> {
    let scrap = prop::sample::select(vec![
        "\"",
        "'",
        "`",
        "/",
        "//",
        "/*",
        "*/",
        "#",
        "\n",
        "\\",
        "${",
        "$(",
        "}",
        ")",
        "{",
        "(",
        "<<EOF",
        "EOF",
        "r#\"",
        "\"#",
        "R\"x(",
        ")x\"",
        "'''",
        "\"\"\"",
        "--",
        "[[",
        "]]",
        "--[=[",
        "]=]",
        "{-",
        "-}",
        "(*",
        "*)",
        "<!--",
        "-->",
        "<script>",
        "</script>",
        "<style>",
        "</style>",
        "<?php",
        "?>",
        "=begin",
        "=end",
        "%w[",
        "q{",
        "s/",
        "''",
        "é",
        " ",
        "a",
        "\r\n",
        "TODO",
        "=pod",
        "=cut",
        "__END__",
        "{|",
        "|}",
        "url(",
        "?",
        "$",
        "%",
        ";",
        "!",
        "@\"",
        "\u{0}",
    ]);
    prop::collection::vec(scrap, 0..60).prop_map(|scraps| scraps.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_are_lexed(source in prop::collection::vec(any::<u8>(), 0..300)) {
        for language in Language::all() {
            lexed(language, &source);
        }
    }

    #[test]
    fn any_scraps_of_code_are_lexed(source in scraps()) {
        for language in Language::all() {
            lexed(language, &source);
        }
    }
}
