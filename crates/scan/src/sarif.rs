//! Results of other tools, as SARIF 2.1.0 writes them.
//!
//! **Definition.** A [`Report`] holds the results of every run in a document that say that something is wrong and that
//! nobody suppressed, each with what is needed to make a finding of it.
//!
//! **Wanted properties.** The bytes are a stranger's. Nothing here panics; size, nesting and the number of runs, rules and
//! results are bounded, and so is every text. A path is one inside the repository or there is none: absolute ones and
//! those with `..` are refused.
//!
//! **Design.** `document` is the form of the part that is read, everything else is skipped while parsing. `message` fills
//! templates, `place` resolves addresses against their bases. Names and numbers of sections are those of the standard.
//!
//! **Not read.** External property files, and overrides of rules by an invocation.

mod document;
mod message;
mod place;
#[cfg(test)]
mod tests;

use document::{Document, Rule, Run, Stated, Tool};
pub use place::MAX_PATH_BYTES;
use place::{Place, Places};

/// The largest document that is read, in bytes.
pub const MAX_SARIF_BYTES: usize = 32 << 20;
/// The most results of one run; the others are counted only.
pub const MAX_RESULTS: usize = 5_000;
/// The most runs of one document.
pub const MAX_RUNS: usize = 20;
/// The longest message, in characters.
const MAX_MESSAGE_CHARS: usize = 4_000;
/// The longest name of a rule or a tool, and the longest fingerprint, in characters.
const MAX_NAME_CHARS: usize = 200;

/// How bad a result is (§3.27.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// It is not about something wrong.
    None,
    /// A small thing.
    Note,
    /// A problem.
    Warning,
    /// A serious problem.
    Error,
}

impl Level {
    /// The word that SARIF has for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SarifResult {
    /// The tool's name, at most 200 characters.
    pub tool: String,
    /// The rule's id, at most 200 characters; empty when the tool names none.
    pub rule: String,
    /// How bad it is.
    pub level: Level,
    /// What is wrong, filled in and in plain text, at most 4,000 characters.
    pub message: String,
    /// The path from the repository's root with `/`; empty when it is about no file.
    pub path: String,
    /// The first line, from 1; 0 when it is about no line.
    pub line: u32,
    /// The last line, at least `line`.
    pub end_line: u32,
    /// What the tool says identifies it, where that is a code and not a sentence.
    pub fingerprint: Option<String>,
}

/// What a document says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The results, in the order of the document.
    pub results: Vec<SarifResult>,
    /// How many results were left out because they name a place outside the repository.
    pub outside: usize,
    /// How many results were left out because there were more than [`MAX_RESULTS`] in their run.
    pub too_many: usize,
}

/// Why a document cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableSarif {
    /// It is larger than [`MAX_SARIF_BYTES`].
    #[error("it is larger than 32 MiB; let the tool report less")]
    TooLarge,
    /// It is no JSON of the form that SARIF has.
    #[error("it is no SARIF: {0}")]
    NotSarif(String),
    /// It is of another version of SARIF.
    #[error("it is SARIF {0}; let the tool write version 2.1.0")]
    Version(String),
}

/// Reads the document `bytes`. Absolute paths below `root`, such as `/checkout`, are paths of the repository; without a
/// root those below an absolute base that the document itself names are.
///
/// # Errors
///
/// [`UnreadableSarif`] when it is too large, no SARIF, or of another version.
pub fn read(bytes: &[u8], root: Option<&str>) -> Result<Report, UnreadableSarif> {
    if bytes.len() > MAX_SARIF_BYTES {
        return Err(UnreadableSarif::TooLarge);
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let document: Document =
        serde_json::from_slice(bytes).map_err(|error| UnreadableSarif::NotSarif(error.to_string()))?;
    if document.version != "2.1.0" {
        return Err(UnreadableSarif::Version(cut(&document.version, 20)));
    }
    let mut report = Report::default();
    for run in document.runs.map(|runs| runs.items).unwrap_or_default() {
        of_run(&run, root, &mut report);
    }
    Ok(report)
}

fn of_run(run: &Run, root: Option<&str>, report: &mut Report) {
    let Some(results) = &run.results else { return };
    report.too_many += results.more;
    let tool = cut(run.tool.driver.name.trim(), MAX_NAME_CHARS);
    let places = Places::of(run, root);
    for stated in results.items.iter().filter(|stated| counts(stated)) {
        let (path, line, end_line) = match places.of_result(stated) {
            Place::Inside(path, line, end_line) => (path, line, end_line),
            Place::Nowhere => (String::new(), 0, 0),
            Place::Outside => {
                report.outside += 1;
                continue;
            }
        };
        let rule = rule(&run.tool, stated);
        report.results.push(SarifResult {
            tool: tool.clone(),
            rule: cut(rule_id(stated, rule).unwrap_or_default(), MAX_NAME_CHARS),
            level: level(stated, rule),
            message: cut(message::of(stated, rule, &run.tool.driver).trim(), MAX_MESSAGE_CHARS),
            path,
            line,
            end_line,
            fingerprint: fingerprint(stated),
        });
    }
}

/// Whether a result says that something is wrong now (§3.27.9, §3.27.24) and nobody has suppressed it (§3.35).
fn counts(stated: &Stated) -> bool {
    let fails = stated.kind.as_deref().is_none_or(|kind| matches!(kind, "fail" | "open" | "review"));
    let absent = stated.baseline_state.as_deref() == Some("absent");
    let suppressions = stated.suppressions.as_ref().map(|list| list.items.as_slice()).unwrap_or_default();
    let accepted = |status: &Option<String>| status.as_deref().is_none_or(|status| status == "accepted");
    let suppressed = !suppressions.is_empty() && suppressions.iter().all(|one| accepted(&one.status));
    fails && !absent && !suppressed
}

/// The rule of a result (§3.52): by its index in its component, or by its id, where `A/b` is a case of `A`.
fn rule<'a>(tool: &'a Tool, stated: &Stated) -> Option<&'a Rule> {
    let reference = stated.rule.as_ref();
    let component = reference.and_then(|reference| reference.tool_component.as_ref()).and_then(|part| part.index);
    let component = match component {
        Some(index) => tool.extensions.as_ref()?.items.get(index)?,
        None => &tool.driver,
    };
    let rules = &component.rules.as_ref()?.items;
    if let Some(index) = reference.and_then(|reference| reference.index).or(stated.rule_index) {
        return rules.get(usize::try_from(index).ok()?);
    }
    let id = rule_id(stated, None)?;
    let named = |id: &str| rules.iter().find(|rule| rule.id.as_deref() == Some(id));
    named(id).or_else(|| named(id.rsplit_once('/')?.0))
}

fn rule_id<'a>(stated: &'a Stated, rule: Option<&'a Rule>) -> Option<&'a str> {
    let by_reference = || stated.rule.as_ref().and_then(|reference| reference.id.as_deref());
    stated.rule_id.as_deref().or_else(by_reference).or_else(|| rule?.id.as_deref())
}

/// The level as stated, or as the rule has it by default, or a warning (§3.27.10).
fn level(stated: &Stated, rule: Option<&Rule>) -> Level {
    let by_rule = || rule?.default_configuration.as_ref()?.level.as_deref();
    let word = match stated.kind.as_deref() {
        Some("open" | "review") if stated.level.is_none() => Some("none"),
        _ => stated.level.as_deref().or_else(by_rule),
    };
    match word {
        Some("none") => Level::None,
        Some("note") => Level::Note,
        Some("error") => Level::Error,
        Some(_) | None => Level::Warning,
    }
}

/// The first code that identifies a result (§3.27.16, §3.27.17). Some tools write a sentence there, such as that one has
/// to sign in first.
fn fingerprint(stated: &Stated) -> Option<String> {
    let both = [&stated.fingerprints, &stated.partial_fingerprints];
    let codes = both.into_iter().flatten().flat_map(|codes| codes.values());
    let is_code = |code: &&String| {
        !code.is_empty() && code.chars().count() <= MAX_NAME_CHARS && !code.chars().any(char::is_whitespace)
    };
    codes.map(|code| &code.0).find(is_code).cloned()
}

/// The first `chars` characters of a text.
fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}
