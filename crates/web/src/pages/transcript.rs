//! A run's transcript: what the agent said and did, line by line.
//!
//! The lines are JSON records of the runner; this page knows the ones worth showing and shows the others as they are.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Html;
use backlog::names::RunId;
use serde::Deserialize;
use serde_json::Value;
use store::TranscriptLine;

use super::{When, cut, task_id};
use crate::Site;
use crate::fault::Fault;

/// The most lines that are shown at once.
const LINES: u64 = 300;
/// The longest headline of a tool call or answer.
const HEADLINE: usize = 120;

/// How one record looks.
struct Entry {
    seq: u64,
    at: When,
    /// The CSS class: who speaks.
    class: &'static str,
    /// A word before the headline.
    who: String,
    headline: String,
    /// What is folded away; empty when the headline says everything.
    detail: String,
}

impl Entry {
    /// `None` for records that are only for machines.
    fn of(line: &TranscriptLine) -> Option<Self> {
        let record: Value = serde_json::from_str(&line.line).unwrap_or(Value::Null);
        let text = |key: &str| record.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (class, who, headline, detail) = match record.get("type").and_then(Value::as_str).unwrap_or_default() {
            "usage" => return None,
            "session" => {
                let model = text("model");
                let model = if model.is_empty() { String::new() } else { format!(" with {model}") };
                ("note", String::new(), format!("The session began{model}."), String::new())
            }
            "text" => ("said", String::new(), text("text"), String::new()),
            "person_message" => ("person", "you".to_owned(), text("text"), String::new()),
            "notice" => ("note", String::new(), text("text"), String::new()),
            "stderr" => ("error", "stderr".to_owned(), text("text"), String::new()),
            "thinking" => folded("thinking", "thinks", &text("text")),
            "tool_use" => tool_use(&text("name"), record.get("input").unwrap_or(&Value::Null)),
            "tool_result" => {
                let failed = record.get("is_error").and_then(Value::as_bool).unwrap_or(false);
                folded(if failed { "error" } else { "result" }, if failed { "failed" } else { "→" }, &text("text"))
            }
            "retry" => ("error", "waits".to_owned(), text("error"), String::new()),
            "permission_asked" => {
                let allowed = record.get("allowed").and_then(Value::as_bool).unwrap_or(false);
                let answer = if allowed { "was allowed" } else { "was not allowed" };
                ("note", String::new(), format!("{} {answer}. {}", text("tool"), text("reason")), String::new())
            }
            "result" => {
                let good = record.get("succeeded").and_then(Value::as_bool).unwrap_or(false);
                let who = if good { "finished" } else { "gave up" };
                (if good { "finish" } else { "error" }, who.to_owned(), text("text"), String::new())
            }
            "raw" => folded("result", "raw", &text("line")),
            _ => folded("result", "raw", &line.line),
        };
        if headline.trim().is_empty() && detail.is_empty() && who.is_empty() {
            return None;
        }
        Some(Self { seq: line.seq, at: When(line.at), class, who, headline, detail })
    }
}

type Looks = (&'static str, String, String, String);

/// The first line, with the whole folded away if there is more.
fn folded(class: &'static str, who: &str, text: &str) -> Looks {
    let text = text.trim_end();
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("(nothing)");
    let lines = text.lines().count();
    let mut headline = cut(first, HEADLINE);
    let whole = headline == text;
    if lines > 1 {
        headline.push_str(&format!(" ({lines} lines)"));
    }
    (class, who.to_owned(), headline, if whole { String::new() } else { text.to_owned() })
}

/// A tool call by what it is about: the command, the file, the pattern.
fn tool_use(name: &str, input: &Value) -> Looks {
    let about = ["command", "file_path", "path", "pattern", "query", "url", "description", "prompt"]
        .iter()
        .find_map(|key| input.get(key).and_then(Value::as_str))
        .map_or_else(|| if input.is_null() { String::new() } else { input.to_string() }, str::to_owned);
    let first = about.lines().next().unwrap_or_default();
    let detail = serde_json::to_string_pretty(input).unwrap_or_default();
    ("tool", name.to_owned(), cut(first, HEADLINE), if input.is_null() { String::new() } else { detail })
}

#[derive(Template)]
#[template(path = "transcript_lines.html")]
struct Lines {
    entries: Vec<Entry>,
}

#[derive(Template)]
#[template(path = "transcript.html")]
struct Whole<'a> {
    run: &'a RunId,
    earlier: Option<u64>,
    lines: String,
    empty: bool,
}

#[derive(Template)]
#[template(path = "transcript_earlier.html")]
struct Earlier<'a> {
    run: &'a RunId,
    task: String,
    earlier: Option<u64>,
    lines: String,
}

fn render(lines: &[TranscriptLine]) -> Result<String, Fault> {
    Ok(Lines { entries: lines.iter().filter_map(Entry::of).collect() }.render()?)
}

/// The transcript's element with its last lines, and the number of the last one.
pub(crate) async fn whole(site: &Site, run: &RunId) -> Result<(String, u64), Fault> {
    let last = last(site, run).await?;
    let after = last.saturating_sub(LINES);
    let lines = site.ctx.store.transcript(run, after, LINES as usize).await?;
    // More may have come since.
    let seq = lines.last().map_or(last, |line| line.seq);
    let earlier = (after > 0).then_some(after);
    let inner = Whole { run, earlier, lines: render(&lines)?, empty: lines.is_empty() }.render()?;
    let html = format!("<div id=\"transcript\" class=\"part\" data-v=\"{run}-{seq}\">{inner}</div>\n");
    Ok((html, seq))
}

/// The lines after `after`, to be put at the end; the whole anew when they are too many.
pub(crate) async fn appended(site: &Site, run: &RunId, after: u64) -> Result<(String, u64), Fault> {
    let lines = site.ctx.store.transcript(run, after, LINES as usize).await?;
    let Some(last) = lines.last().map(|line| line.seq) else { return Ok((String::new(), after)) };
    // The first lines replace the sentence that there are none.
    if lines.len() as u64 == LINES || after == 0 {
        return whole(site, run).await;
    }
    let html = render(&lines)?;
    if html.trim().is_empty() {
        return Ok((String::new(), last));
    }
    Ok((format!("<div hx-swap-oob=\"beforeend:#transcript-lines\">{html}</div>\n"), last))
}

/// The number of the last line; they are numbered from 1 without a gap.
async fn last(site: &Site, run: &RunId) -> Result<u64, Fault> {
    let there = async |seq: u64| -> Result<bool, Fault> {
        Ok(seq == 0 || !site.ctx.store.transcript(run, seq - 1, 1).await?.is_empty())
    };
    let (mut low, mut high) = (0, LINES);
    while there(high).await? {
        (low, high) = (high, high * 2);
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if there(middle).await? { low = middle } else { high = middle }
    }
    Ok(low)
}

#[derive(Deserialize)]
pub(super) struct Before {
    run: String,
    before: u64,
}

/// `/tasks/{id}/transcript?run=…&before=…`: the lines up to a number, to be put above those that are shown.
pub(super) async fn earlier(
    State(site): State<Arc<Site>>,
    Path(id): Path<String>,
    Query(query): Query<Before>,
) -> Result<Html<String>, Fault> {
    let id = task_id(&id)?;
    let run: RunId = query.run.parse().map_err(|_| Fault::NotFound("There is no such run.".to_owned()))?;
    let after = query.before.saturating_sub(LINES);
    let lines = site.ctx.store.transcript(&run, after, (query.before - after) as usize).await?;
    let earlier = (after > 0).then_some(after);
    let page = Earlier { run: &run, task: id.to_string(), earlier, lines: render(&lines)? };
    Ok(Html(page.render()?))
}
