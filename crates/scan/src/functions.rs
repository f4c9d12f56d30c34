//! Where the functions of a file are, and how many ways lead through each.
//!
//! **Definition.** A [`Function`] is a stretch of lines with a name: from the first line of its head to the line that ends
//! its body. Its *complexity* is one more than the number of places in its code where the way forks: words such as `if`,
//! `while` and `case`, the operators `&&` and `||`, a `?` between blanks, and the arms of a `match`. What a function inside
//! it does is counted there only.
//!
//! **Wanted properties.** Comments and literals count for nothing. Any bytes are fine: no panic, linear time. Two functions
//! lie one inside the other, or one after the other with at most one line in common.
//!
//! **Design.** The lexer blanks everything that is no code. A row of `table` says which of two ways reads the rest:
//! `braces` follows `{ }` and judges what stands before a brace; `lines` follows the indentation, also where `end` closes
//! a body, since people and formatters indent such code by its nesting.
//!
//! **Verdict on ambiguity.** Nothing is parsed. A head that no rule knows makes no function, and its code counts for the
//! function around it. Preprocessors may leave a brace open; in C and its kin one at the start of a line puts that right.

mod braces;
mod lines;
mod table;
#[cfg(test)]
mod tests;
mod tokens;

use serde::{Deserialize, Serialize};

use crate::language::Language;
use crate::lexer;
use crate::skip::MAX_FILE_BYTES;
use table::Shape;

/// The longest name, in characters.
const MAX_NAME_CHARS: usize = 100;

/// One function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Its name as the code writes it, such as `parse` or `Parser::next`; at most 100 characters.
    pub name: String,
    /// The first line of its head, from 1.
    pub first_line: u32,
    /// The line that ends its body.
    pub last_line: u32,
    /// One more than the number of forks in it.
    pub complexity: u32,
}

/// The functions in `source`, by their first line, outer ones first. None for a language whose functions are not known,
/// and for a file larger than [`MAX_FILE_BYTES`].
#[must_use]
pub fn functions(language: &Language, source: &[u8]) -> Vec<Function> {
    if source.len() as u64 > MAX_FILE_BYTES {
        return Vec::new();
    }
    let Some(syntax) = table::of(language) else { return Vec::new() };
    let Some(code) = lexer::code(language, source) else { return Vec::new() };
    let mut found = match &syntax.shape {
        Shape::Braces(braces) => braces::functions(&code, syntax.openers, *braces),
        Shape::Lines { end } => lines::functions(&code, syntax.openers, *end),
    };
    // The outer of two that begin together ends later.
    found.sort_by_key(|function| (function.first_line, u32::MAX - function.last_line));
    found
}

/// The innermost of `functions` (in their order) that the line, from 1, is in.
#[must_use]
pub fn enclosing(functions: &[Function], line: u32) -> Option<&Function> {
    let begun = functions.partition_point(|function| function.first_line <= line);
    functions[..begun].iter().rev().find(|function| function.last_line >= line)
}

/// A name of the right length.
fn name(text: &[u8]) -> Option<String> {
    let name: String = String::from_utf8_lossy(text).chars().take(MAX_NAME_CHARS).collect();
    (!name.is_empty()).then_some(name)
}
