//! The lexical rules that languages are made of: comments, strings and the quirks no table can hold.

/// Where a comment marker counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// Wherever code is.
    Anywhere,
    /// At the start of a line or after white space: YAML.
    AfterSpace,
    /// Between white space, so that ARM's `#8` is a number: assemblers.
    Loose,
    /// Not before `[`, which makes an attribute of it: PHP.
    NotBeforeBracket,
    /// Where a word may start, so not in `$#` or `a#b`: shells.
    WordStart,
    /// Only white space before it on its line.
    LineStart,
    /// The very first byte of a line.
    Column1,
    /// Not after `$`: Perl's `$#list`.
    NotAfterDollar,
    /// Dashes that are no part of a longer operator such as `-->`: Haskell.
    NotOperator,
}

/// A comment that ends with its line.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) open: &'static str,
    pub(crate) at: At,
}

/// A comment with an end marker.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) open: &'static str,
    pub(crate) close: &'static str,
    pub(crate) nested: bool,
    pub(crate) at: At,
}

/// How a string holds its own delimiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escape {
    /// Not at all.
    None,
    /// After this byte, which takes the meaning from any byte.
    Byte(u8),
    /// Written twice.
    Doubled,
    /// Nix's `''` strings: `'''`, `''$` and `''\`.
    NixIndented,
}

/// A place inside a string that holds code again.
#[derive(Debug)]
pub(crate) enum Hole {
    /// Code up to the matching bracket: `${ … }` of JavaScript.
    Code { open: &'static str, up: u8, down: u8 },
    /// No code, but brackets to be balanced: `${x#"y"}` of shells.
    Braces { open: &'static str },
}

/// A string.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) open: &'static str,
    pub(crate) close: &'static str,
    pub(crate) escape: Escape,
    /// Whether it may span lines; one that may not ends with its line, which is how the lexer gets over stray quotes.
    pub(crate) multiline: bool,
    /// Whether a quote right after a word or a closing bracket is no string: `don't`, MATLAB's transpose.
    pub(crate) not_after_word: bool,
    pub(crate) holes: &'static [Hole],
}

/// How heredocs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heredoc {
    /// `<<EOF`, `<<-EOF`, `<< 'EOF'`.
    Shell,
    /// `<<EOF`, `<<~EOF`, `<<"EOF"` without a space: Ruby, Perl, HCL.
    Tight,
    /// `<<<EOF`.
    Php,
}

/// What needs code of its own in the lexer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quirk {
    /// `r"…"`, `br#"…"#` and friends.
    RustRaw,
    /// `R"x(…)x"`.
    CppRaw,
    /// `'a'` is a character, `'a` is none.
    Char,
    /// The same, but a quote after a word belongs to the word: `foldl'`.
    CharNotAfterWord,
    /// This byte makes a character literal of the next: `?"`, `$%`.
    CharPrefix(u8),
    /// `/…/` where an operand may start.
    Regex,
    /// The same in Ruby, where one may begin a line and span many.
    RubyRegex,
    /// `` $` `` and `$'` of Ruby and Perl.
    DollarQuote,
    /// `<<EOF`.
    Heredoc(Heredoc),
    /// `${…}` in code.
    ShellBraces,
    /// `[==[ … ]==]`, and with `--` before it a comment.
    LongBracket,
    /// `%w[…]` and friends.
    Percent,
    /// `q{…}`, `s/…/…/` and friends.
    PerlQuote,
    /// Perl's `=head1 … =cut`, which is documentation.
    Pod,
    /// `__END__` and `__DATA__`.
    EndMarker,
    /// OCaml's `{id|…|id}`.
    OcamlQuoted,
    /// `url(//…)` without quotes.
    CssUrl,
    /// A backslash takes the meaning from the next byte, in code too.
    Backslash,
}

/// Languages that hold other languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Markup {
    /// `<script>` and `<style>`.
    Html,
    /// HTML around `<?php … ?>`.
    Php,
    /// Prose with comments of HTML, and code in fences.
    Markdown,
}

/// Everything the lexer knows about a language. Longer markers come before their prefixes.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) line: &'static [Line],
    pub(crate) block: &'static [Block],
    pub(crate) strings: &'static [Text],
    pub(crate) quirks: &'static [Quirk],
    pub(crate) markup: Option<Markup>,
}

const fn line(open: &'static str) -> Line {
    at(open, At::Anywhere)
}
const fn at(open: &'static str, at: At) -> Line {
    Line { open, at }
}
const fn block(open: &'static str, close: &'static str) -> Block {
    Block { open, close, nested: false, at: At::Anywhere }
}
const fn nested(open: &'static str, close: &'static str) -> Block {
    Block { open, close, nested: true, at: At::Anywhere }
}
/// One line, backslash escapes.
const fn short(quote: &'static str) -> Text {
    Text { open: quote, close: quote, escape: Escape::Byte(b'\\'), multiline: false, not_after_word: false, holes: &[] }
}
/// Many lines, backslash escapes.
const fn long(quote: &'static str) -> Text {
    Text { multiline: true, ..short(quote) }
}
/// Many lines, no escapes.
const fn raw(open: &'static str, close: &'static str) -> Text {
    Text { open, close, escape: Escape::None, multiline: true, not_after_word: false, holes: &[] }
}
/// One line, the quote doubled.
const fn doubled(quote: &'static str) -> Text {
    Text { escape: Escape::Doubled, ..short(quote) }
}
const fn with_holes(text: Text, holes: &'static [Hole]) -> Text {
    Text { holes, ..text }
}

const SLASHES: &[Line] = &[line("//")];
const HASH: &[Line] = &[line("#")];
const SLASH_STAR: &[Block] = &[block("/*", "*/")];
const NESTED_SLASH_STAR: &[Block] = &[nested("/*", "*/")];
const PARENTHESIS_STAR: &[Block] = &[nested("(*", "*)")];
const DOLLAR_BRACE: &[Hole] = &[Hole::Code { open: "${", up: b'{', down: b'}' }];
const HASH_BRACE: &[Hole] = &[Hole::Code { open: "#{", up: b'{', down: b'}' }];
const SHELL_HOLES: &[Hole] = &[Hole::Code { open: "$(", up: b'(', down: b')' }, Hole::Braces { open: "${" }];

pub(super) const NOTHING: Rules = Rules { line: &[], block: &[], strings: &[], quirks: &[], markup: None };
/// `//`, `/* */`, strings of one line, characters.
pub(super) const C: Rules = Rules {
    line: SLASHES,
    block: SLASH_STAR,
    strings: &[short("\"")],
    quirks: &[Quirk::CppRaw, Quirk::Char],
    ..NOTHING
};
pub(super) const RUST: Rules =
    Rules { block: NESTED_SLASH_STAR, strings: &[long("\"")], quirks: &[Quirk::RustRaw, Quirk::Char], ..C };
pub(super) const CSHARP: Rules = Rules {
    strings: &[
        raw("\"\"\"", "\"\"\""),
        Text { open: "@\"", close: "\"", escape: Escape::Doubled, multiline: true, not_after_word: false, holes: &[] },
        Text { open: "@$\"", close: "\"", escape: Escape::Doubled, multiline: true, not_after_word: false, holes: &[] },
        short("\""),
    ],
    quirks: &[Quirk::Char],
    ..C
};
pub(super) const JAVA: Rules = Rules { strings: &[long("\"\"\""), short("\"")], quirks: &[Quirk::Char], ..C };
pub(super) const KOTLIN: Rules =
    Rules { block: NESTED_SLASH_STAR, strings: &[raw("\"\"\"", "\"\"\""), short("\"")], ..JAVA };
pub(super) const SWIFT: Rules =
    Rules { block: NESTED_SLASH_STAR, strings: &[raw("#\"", "\"#"), long("\"\"\""), short("\"")], quirks: &[], ..C };
pub(super) const GROOVY: Rules =
    Rules { strings: &[long("\"\"\""), long("'''"), short("\""), short("'")], quirks: &[], ..C };
pub(super) const GO: Rules = Rules { strings: &[raw("`", "`"), short("\"")], quirks: &[Quirk::Char], ..C };
pub(super) const D: Rules =
    Rules { block: &[nested("/+", "+/"), block("/*", "*/")], strings: &[raw("`", "`"), long("\"")], ..GO };
pub(super) const ZIG: Rules = Rules {
    block: &[],
    strings: &[Text { close: "\n", ..raw("\\\\", "\n") }, short("\"")],
    quirks: &[Quirk::Char],
    ..C
};
/// `//` and `/* */` and both quotes on one line: schema and shader languages.
pub(super) const SIMPLE_C: Rules = Rules { strings: &[short("\""), short("'")], quirks: &[], ..C };
pub(super) const VERILOG: Rules = Rules { strings: &[short("\"")], quirks: &[], ..C };
pub(super) const JAVASCRIPT: Rules =
    Rules { strings: &[with_holes(long("`"), DOLLAR_BRACE), short("\""), short("'")], quirks: &[Quirk::Regex], ..C };
pub(super) const CSS: Rules = Rules { line: &[], quirks: &[Quirk::CssUrl], ..SIMPLE_C };
pub(super) const SCSS: Rules = Rules { quirks: &[Quirk::CssUrl], ..SIMPLE_C };
pub(super) const HCL: Rules = Rules {
    line: &[line("#"), line("//")],
    strings: &[with_holes(short("\""), DOLLAR_BRACE)],
    quirks: &[Quirk::Heredoc(Heredoc::Tight)],
    ..C
};
pub(super) const NIX: Rules = Rules {
    line: HASH,
    block: SLASH_STAR,
    strings: &[
        Text { escape: Escape::NixIndented, holes: DOLLAR_BRACE, ..raw("''", "''") },
        with_holes(long("\""), DOLLAR_BRACE),
    ],
    ..NOTHING
};
pub(super) const PHP: Rules = Rules {
    line: &[line("//"), at("#", At::NotBeforeBracket)],
    block: SLASH_STAR,
    strings: &[long("\""), long("'")],
    quirks: &[Quirk::Heredoc(Heredoc::Php)],
    markup: Some(Markup::Php),
};
pub(super) const PYTHON: Rules =
    Rules { line: HASH, strings: &[long("\"\"\""), long("'''"), short("\""), short("'")], ..NOTHING };
pub(super) const TOML: Rules = Rules {
    line: HASH,
    strings: &[long("\"\"\""), raw("'''", "'''"), short("\""), Text { escape: Escape::None, ..short("'") }],
    ..NOTHING
};
pub(super) const RUBY: Rules = Rules {
    line: HASH,
    block: &[Block { at: At::Column1, ..block("=begin", "\n=end") }],
    strings: &[with_holes(long("\""), HASH_BRACE), long("'"), with_holes(long("`"), HASH_BRACE)],
    quirks: &[
        Quirk::EndMarker,
        Quirk::DollarQuote,
        Quirk::CharPrefix(b'?'),
        Quirk::Heredoc(Heredoc::Tight),
        Quirk::Percent,
        Quirk::RubyRegex,
    ],
    ..NOTHING
};
pub(super) const PERL: Rules = Rules {
    line: &[at("#", At::NotAfterDollar)],
    strings: &[long("\""), Text { not_after_word: true, ..long("'") }],
    quirks: &[
        Quirk::EndMarker,
        Quirk::DollarQuote,
        Quirk::Pod,
        Quirk::Heredoc(Heredoc::Tight),
        Quirk::PerlQuote,
        Quirk::Regex,
    ],
    ..NOTHING
};
pub(super) const ELIXIR: Rules = Rules {
    line: HASH,
    strings: &[
        with_holes(long("\"\"\""), HASH_BRACE),
        long("'''"),
        with_holes(long("\""), HASH_BRACE),
        with_holes(short("'"), HASH_BRACE),
        short("~r/"),
    ],
    quirks: &[Quirk::CharPrefix(b'?')],
    ..NOTHING
};
pub(super) const SHELL: Rules = Rules {
    line: &[at("#", At::WordStart)],
    strings: &[with_holes(long("\""), SHELL_HOLES), Text { open: "$'", ..long("'") }, raw("'", "'")],
    quirks: &[Quirk::Backslash, Quirk::ShellBraces, Quirk::Heredoc(Heredoc::Shell)],
    ..NOTHING
};
pub(super) const POWERSHELL: Rules = Rules {
    line: &[at("#", At::WordStart)],
    block: &[block("<#", "#>")],
    strings: &[
        raw("@\"\n", "\n\"@"),
        raw("@'\n", "\n'@"),
        Text { escape: Escape::Byte(b'`'), ..short("\"") },
        doubled("'"),
    ],
    ..NOTHING
};
pub(super) const BATCH: Rules = Rules {
    line: &[
        at("::", At::LineStart),
        at("@rem ", At::LineStart),
        at("@REM ", At::LineStart),
        at("rem ", At::LineStart),
        at("REM ", At::LineStart),
    ],
    ..NOTHING
};
/// `#` and both quotes on one line: R, Makefiles and small configuration languages.
pub(super) const HASHED: Rules = Rules { line: HASH, strings: &[short("\""), short("'")], ..NOTHING };
pub(super) const AWK: Rules = Rules { strings: &[short("\"")], quirks: &[Quirk::Regex], ..HASHED };
pub(super) const TCL: Rules =
    Rules { line: &[at("#", At::WordStart)], strings: &[short("\"")], quirks: &[Quirk::Backslash], ..NOTHING };
pub(super) const MAKE: Rules = Rules { line: &[at("#", At::WordStart)], quirks: &[Quirk::Backslash], ..HASHED };
pub(super) const CMAKE: Rules = Rules {
    block: &[block("#[[", "]]")],
    strings: &[long("\"")],
    quirks: &[Quirk::Backslash, Quirk::LongBracket],
    ..HASHED
};
pub(super) const HASH_AT_LINE_START: Rules = Rules { line: &[at("#", At::LineStart)], ..NOTHING };
pub(super) const INI: Rules = Rules { line: &[at(";", At::AfterSpace), at("#", At::AfterSpace)], ..NOTHING };
pub(super) const PROPERTIES: Rules = Rules { line: &[at("#", At::LineStart), at("!", At::LineStart)], ..NOTHING };
pub(super) const YAML: Rules = Rules {
    line: &[at("#", At::AfterSpace)],
    strings: &[Text { not_after_word: true, ..short("\"") }, Text { not_after_word: true, ..doubled("'") }],
    ..NOTHING
};
pub(super) const GRAPHQL: Rules = Rules { line: HASH, strings: &[long("\"\"\""), short("\"")], ..NOTHING };
pub(super) const JULIA: Rules = Rules {
    line: HASH,
    block: &[nested("#=", "=#")],
    strings: &[long("\"\"\""), long("\"")],
    quirks: &[Quirk::CharNotAfterWord],
    ..NOTHING
};
pub(super) const NIM: Rules = Rules {
    line: HASH,
    block: &[nested("##[", "]##"), nested("#[", "]#")],
    strings: &[raw("\"\"\"", "\"\"\""), short("\"")],
    quirks: &[Quirk::Char],
    ..NOTHING
};
pub(super) const COFFEESCRIPT: Rules = Rules {
    block: &[block("###", "###")],
    strings: &[with_holes(long("\"\"\""), HASH_BRACE), long("'''"), with_holes(long("\""), HASH_BRACE), long("'")],
    quirks: &[Quirk::Regex],
    ..HASHED
};
pub(super) const SQL: Rules = Rules {
    line: &[line("--")],
    block: NESTED_SLASH_STAR,
    strings: &[doubled("'"), doubled("\""), doubled("`")],
    ..NOTHING
};
pub(super) const LUA: Rules =
    Rules { line: &[line("--")], strings: &[short("\""), short("'")], quirks: &[Quirk::LongBracket], ..NOTHING };
pub(super) const HASKELL: Rules = Rules {
    line: &[at("--", At::NotOperator)],
    block: &[nested("{-", "-}")],
    strings: &[short("\"")],
    quirks: &[Quirk::CharNotAfterWord],
    ..NOTHING
};
pub(super) const ELM: Rules = Rules { strings: &[long("\"\"\""), short("\"")], ..HASKELL };
pub(super) const LEAN: Rules = Rules { block: &[nested("/-", "-/")], strings: &[long("\"")], ..HASKELL };
pub(super) const ADA: Rules =
    Rules { line: &[line("--")], strings: &[doubled("\"")], quirks: &[Quirk::Char], ..NOTHING };
pub(super) const OCAML: Rules = Rules {
    block: PARENTHESIS_STAR,
    strings: &[long("\"")],
    quirks: &[Quirk::OcamlQuoted, Quirk::CharNotAfterWord],
    ..NOTHING
};
pub(super) const FSHARP: Rules = Rules {
    line: SLASHES,
    block: PARENTHESIS_STAR,
    strings: &[
        raw("\"\"\"", "\"\"\""),
        Text { open: "@\"", close: "\"", escape: Escape::Doubled, multiline: true, not_after_word: false, holes: &[] },
        long("\""),
    ],
    quirks: &[Quirk::CharNotAfterWord],
    ..NOTHING
};
pub(super) const PASCAL: Rules =
    Rules { line: SLASHES, block: &[block("{", "}"), block("(*", "*)")], strings: &[doubled("'")], ..NOTHING };
pub(super) const ERLANG: Rules =
    Rules { line: &[line("%")], strings: &[long("\""), short("'")], quirks: &[Quirk::CharPrefix(b'$')], ..NOTHING };
pub(super) const PROLOG: Rules = Rules {
    line: &[line("%")],
    block: SLASH_STAR,
    strings: &[short("\""), Text { not_after_word: true, ..short("'") }],
    ..NOTHING
};
pub(super) const TEX: Rules = Rules { line: &[line("%")], quirks: &[Quirk::Backslash], ..NOTHING };
pub(super) const MATLAB: Rules = Rules {
    line: &[line("%"), line("#")],
    block: &[Block { at: At::LineStart, ..block("%{\n", "%}") }],
    strings: &[Text { not_after_word: true, ..doubled("\"") }, Text { not_after_word: true, ..doubled("'") }],
    ..NOTHING
};
/// `;`, strings of many lines, `\;` is a character.
pub(super) const LISP: Rules = Rules {
    line: &[line(";")],
    block: &[nested("#|", "|#")],
    strings: &[long("\"")],
    quirks: &[Quirk::Backslash],
    ..NOTHING
};
pub(super) const CLOJURE: Rules = Rules { block: &[], ..LISP };
pub(super) const EMACS_LISP: Rules = Rules { block: &[], quirks: &[Quirk::CharPrefix(b'?'), Quirk::Backslash], ..LISP };
pub(super) const VIM: Rules = Rules { line: &[at("\"", At::LineStart), at("#", At::LineStart)], ..NOTHING };
pub(super) const FORTRAN: Rules = Rules { line: &[line("!")], strings: &[doubled("\""), doubled("'")], ..NOTHING };
pub(super) const FIXED_FORTRAN: Rules =
    Rules { line: &[line("!"), at("C ", At::Column1), at("c ", At::Column1), at("*", At::Column1)], ..FORTRAN };
pub(super) const ASSEMBLY: Rules = Rules {
    line: &[line("//"), line(";"), at("#", At::Loose), at("@", At::Loose), at("!", At::Loose)],
    block: SLASH_STAR,
    strings: &[short("\"")],
    quirks: &[Quirk::Char],
    ..NOTHING
};
pub(super) const VISUAL_BASIC: Rules = Rules {
    line: &[line("'"), at("REM ", At::LineStart), at("Rem ", At::LineStart)],
    strings: &[doubled("\"")],
    ..NOTHING
};
pub(super) const AUTOHOTKEY: Rules =
    Rules { line: &[at(";", At::AfterSpace)], block: SLASH_STAR, strings: &[short("\"")], ..NOTHING };
const ANGLE: Block = block("<!--", "-->");
pub(super) const XML: Rules = Rules { block: &[ANGLE], markup: Some(Markup::Html), ..NOTHING };
/// HTML with the comments of the template languages that usually fill it.
pub(super) const HTML: Rules = Rules {
    block: &[
        ANGLE,
        block("<%--", "--%>"),
        block("<%#", "%>"),
        block("{#", "#}"),
        block("{{!--", "--}}"),
        block("{{/*", "*/}}"),
    ],
    markup: Some(Markup::Html),
    ..NOTHING
};
pub(super) const MARKDOWN: Rules = Rules { block: &[ANGLE], markup: Some(Markup::Markdown), ..NOTHING };
