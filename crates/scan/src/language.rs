//! Which language a file is written in.
//!
//! **Definition.** A [`Language`] is one row of the table in `language/table.rs`: its names on disk and a reference to
//! its lexical rules in `language/rules.rs`.
//!
//! **Wanted properties.** Adding a language is adding a row. A file belongs to at most one language; prose belongs
//! to none, since it speaks about work more often than it asks for it. Markdown is there for its comments.
//!
//! **Design.** Full file names win over extensions, extensions over the `#!` line. A few extensions are shared by two
//! languages; the first bytes decide.

mod rules;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::LazyLock;

pub(crate) use rules::{At, Block, Escape, Heredoc, Hole, Markup, Quirk, Rules, Text};
pub(crate) use table::LANGUAGES;

/// A programming, markup or configuration language, as far as telling its comments from the rest goes.
#[derive(Debug)]
pub struct Language {
    /// The name people use, such as `Rust` or `C++`.
    pub name: &'static str,
    /// File name extensions in lower case, without the dot.
    pub extensions: &'static [&'static str],
    /// Whole file names in lower case, such as `makefile`.
    pub file_names: &'static [&'static str],
    /// Programs that a `#!` line names, without a version, such as `python`.
    pub interpreters: &'static [&'static str],
    pub(crate) rules: &'static Rules,
}

/// Suffixes that templates of a file carry after the extension that says what they hold: `config.h.in`.
const TEMPLATE_SUFFIXES: [&str; 7] = ["in", "tmpl", "tpl", "template", "example", "sample", "dist"];

static BY_EXTENSION: LazyLock<HashMap<&'static str, &'static Language>> =
    LazyLock::new(|| index(|language| language.extensions));
static BY_FILE_NAME: LazyLock<HashMap<&'static str, &'static Language>> =
    LazyLock::new(|| index(|language| language.file_names));
static BY_INTERPRETER: LazyLock<HashMap<&'static str, &'static Language>> =
    LazyLock::new(|| index(|language| language.interpreters));

fn index(keys: fn(&Language) -> &'static [&'static str]) -> HashMap<&'static str, &'static Language> {
    LANGUAGES.iter().flat_map(|language| keys(language).iter().map(move |key| (*key, language))).collect()
}

impl Language {
    /// The language of the file at `path` (with `/`) that begins with `first_bytes`; `None` when it is not in the table.
    #[must_use]
    pub fn of(path: &str, first_bytes: &[u8]) -> Option<&'static Self> {
        let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        Self::of_name(&name, first_bytes).or_else(|| of_shebang(first_bytes))
    }

    /// The part of a file's name that [`Self::of`] goes by: files of the same class and the same bytes are in the same
    /// language.
    pub(crate) fn class(path: &str) -> String {
        let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
        if BY_FILE_NAME.contains_key(name.as_str()) {
            return name;
        }
        let Some((stem, extension)) = name.rsplit_once('.') else { return String::new() };
        let named = matches!(stem, "dockerfile" | "containerfile" | "makefile");
        let known = BY_EXTENSION.contains_key(extension) && !named;
        if known || !(named || TEMPLATE_SUFFIXES.contains(&extension)) {
            return format!(".{extension}");
        }
        if named { name } else { format!("{}.{extension}", Self::class(stem)) }
    }

    /// Every language of the table.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        LANGUAGES.iter()
    }

    /// The language that people call `name`, by its name, an extension or a program: `rust`, `js`, `bash`.
    pub(crate) fn called(name: &str) -> Option<&'static Self> {
        let name = name.to_lowercase();
        let by_name = || LANGUAGES.iter().find(|language| language.name.to_lowercase() == name);
        let by_other = || BY_EXTENSION.get(name.as_str()).or_else(|| BY_INTERPRETER.get(name.as_str())).copied();
        by_name().or_else(by_other)
    }

    fn named(name: &str) -> Option<&'static Self> {
        LANGUAGES.iter().find(|language| language.name == name)
    }

    fn of_name(name: &str, first_bytes: &[u8]) -> Option<&'static Self> {
        if let Some(language) = BY_FILE_NAME.get(name) {
            return Some(language);
        }
        let (stem, extension) = name.rsplit_once('.')?;
        match extension {
            "m" if !is_objective_c(first_bytes) => return Self::named("MATLAB"),
            "ts" if is_xml(first_bytes) => return Self::named("XML"),
            _ if stem == "dockerfile" || stem == "containerfile" => return Self::named("Dockerfile"),
            _ if stem == "makefile" && !BY_EXTENSION.contains_key(extension) => return Self::named("Makefile"),
            _ => {}
        }
        if let Some(language) = BY_EXTENSION.get(extension) {
            return Some(language);
        }
        if TEMPLATE_SUFFIXES.contains(&extension) { Self::of_name(stem, first_bytes) } else { None }
    }
}

fn of_shebang(first_bytes: &[u8]) -> Option<&'static Language> {
    let line = first_bytes.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(&line[..line.len().min(200)]).ok()?;
    let program = line
        .split_whitespace()
        .map(|word| word.rsplit('/').next().unwrap_or(word))
        .find(|word| *word != "env" && !word.starts_with('-') && !word.contains('='))?;
    let program = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    BY_INTERPRETER.get(program).copied()
}

/// MATLAB shares `.m`, and begins with `%` or a `function`; everything else is Objective-C.
fn is_objective_c(first_bytes: &[u8]) -> bool {
    let mut lines =
        first_bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_start).filter(|line| !line.is_empty());
    !lines.next().is_some_and(|line| {
        [&b"%"[..], b"function", b"classdef", b"clear", b"clc", b"close all"]
            .iter()
            .any(|start| line.starts_with(start))
    })
}

/// Qt keeps translations in XML files whose extension is TypeScript's.
fn is_xml(first_bytes: &[u8]) -> bool {
    let start = first_bytes.trim_ascii_start();
    start.starts_with(b"<?xml") || start.starts_with(b"<!DOCTYPE")
}
