//! Which languages have functions that can be found, and how.

use crate::language::Language;

/// How a language writes functions.
pub(super) struct Syntax {
    /// The language's name in the table of languages.
    name: &'static str,
    /// The words that begin a function.
    pub(super) openers: &'static [&'static str],
    pub(super) shape: Shape,
}

pub(super) enum Shape {
    /// Bodies in `{ }`.
    Braces(Braces),
    /// Bodies that are indented.
    Lines {
        /// Whether a line with `end` closes one.
        end: bool,
    },
}

/// What differs between languages with braces.
#[derive(Clone, Copy)]
pub(super) struct Braces {
    /// Whether `name(…) {` is a function, without any word for it: in classes only, or anywhere.
    pub(super) bare: Bare,
    /// Whether `name = (…) => {` is one.
    pub(super) arrows: bool,
    /// Whether a line break ends a statement.
    pub(super) lines: bool,
    /// Whether `=>` forks: the arms of a `match`.
    pub(super) arms: bool,
    /// Whether lines with `#` are a preprocessor's, and fields are initialised in `{ }` before a body.
    pub(super) c: bool,
    /// Whether names may hold `-`.
    pub(super) dashes: bool,
}

/// Where a function needs no word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bare {
    Nowhere,
    OutsideFunctions,
    Anywhere,
}

const PLAIN: Braces = Braces { bare: Bare::Nowhere, arrows: false, lines: false, arms: false, c: false, dashes: false };
const LINES: Braces = Braces { lines: true, ..PLAIN };
const MATCHING: Braces = Braces { arms: true, ..PLAIN };
const CLASSES: Braces = Braces { bare: Bare::OutsideFunctions, ..PLAIN };
const C: Braces = Braces { c: true, ..CLASSES };
const SCRIPT: Braces = Braces { bare: Bare::Anywhere, arrows: true, lines: true, ..PLAIN };
const SHELL: Braces = Braces { bare: Bare::Anywhere, lines: true, dashes: true, ..PLAIN };

const fn braces(name: &'static str, openers: &'static [&'static str], braces: Braces) -> Syntax {
    Syntax { name, openers, shape: Shape::Braces(braces) }
}
const fn indented(name: &'static str, openers: &'static [&'static str]) -> Syntax {
    Syntax { name, openers, shape: Shape::Lines { end: false } }
}
const fn ended(name: &'static str, openers: &'static [&'static str]) -> Syntax {
    Syntax { name, openers, shape: Shape::Lines { end: true } }
}

static TABLE: [Syntax; 47] = [
    braces("Rust", &["fn"], MATCHING),
    braces("Zig", &["fn"], MATCHING),
    braces("WGSL", &["fn"], PLAIN),
    braces("V", &["fn"], LINES),
    braces("Gleam", &["fn"], LINES),
    braces("Go", &["func"], LINES),
    braces("Swift", &["func"], Braces { bare: Bare::OutsideFunctions, ..LINES }),
    braces("Kotlin", &["fun"], LINES),
    braces("Scala", &["def"], LINES),
    braces("Move", &["fun"], PLAIN),
    braces("Solidity", &["function"], CLASSES),
    braces("JavaScript", &["function"], SCRIPT),
    braces("JSX", &["function"], SCRIPT),
    braces("TypeScript", &["function"], SCRIPT),
    braces("TSX", &["function"], SCRIPT),
    braces("PHP", &["function"], PLAIN),
    braces("Perl", &["sub"], PLAIN),
    braces("Awk", &["function"], LINES),
    braces("R", &["function"], LINES),
    braces("PowerShell", &["function"], Braces { dashes: true, ..LINES }),
    braces("Shell", &["function"], SHELL),
    braces("C", &[], C),
    braces("C++", &[], C),
    braces("CUDA", &[], C),
    braces("Objective-C", &[], C),
    braces("GLSL", &[], C),
    braces("HLSL", &[], C),
    braces("Metal", &[], C),
    braces("C#", &[], CLASSES),
    braces("Java", &[], CLASSES),
    braces("D", &[], CLASSES),
    braces("Dart", &[], CLASSES),
    braces("Groovy", &[], Braces { lines: true, ..CLASSES }),
    indented("Python", &["def"]),
    indented("Starlark", &["def"]),
    indented("Mojo", &["def", "fn"]),
    indented("GDScript", &["func"]),
    indented("Nim", &["proc", "func", "method", "iterator", "template", "macro"]),
    ended("Ruby", &["def"]),
    ended("Crystal", &["def"]),
    ended("Lua", &["function"]),
    ended("Julia", &["function", "macro"]),
    ended("Elixir", &["def", "defp", "defmacro", "defmacrop"]),
    ended("fish", &["function"]),
    ended("MATLAB", &["function"]),
    ended("Vim script", &["function", "function!", "def"]),
    ended("Visual Basic", &["Sub", "Function"]),
];

/// How `language` writes functions; `None` when that is not known.
pub(super) fn of(language: &Language) -> Option<&'static Syntax> {
    TABLE.iter().find(|syntax| syntax.name == language.name)
}

#[test]
fn every_row_names_a_language() {
    for syntax in &TABLE {
        assert!(Language::all().any(|language| language.name == syntax.name), "{}", syntax.name);
    }
}
