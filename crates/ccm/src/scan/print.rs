//! Findings and explanations as a table, as lines of JSON, or as SARIF.

use anyhow::Result;
use backlog::finding::Finding;
use backlog::rank::Reason;
use backlog::task::Task;
use backlog::time::Day;
use serde::Serialize;

use super::sarif;
use crate::cli::Format;
use crate::output;

/// How much of a path's end a table shows, in characters.
const MAX_PATH_CHARS: usize = 100;

/// A finding as one line of `--format json`.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    finding: &'a Finding,
    /// Its age in whole days, where known.
    age_days: Option<u64>,
    score: i64,
    reasons: &'a [Reason],
}

/// Why a file was not read, why a tag asks for nothing, or why a date beside it was ignored. One line of `--format json`.
#[derive(Serialize)]
pub(super) struct Explanation {
    pub(super) path: String,
    /// The line of the tag; none for a whole file.
    pub(super) line: Option<u32>,
    pub(super) left_out: String,
    pub(super) text: String,
}

/// Prints what was found, in the order of `tasks`.
pub(super) fn findings(format: Format, tasks: &[Task], today: Day) -> Result<()> {
    let findings: Vec<(&Task, &Finding)> =
        tasks.iter().filter_map(|task| task.finding.as_ref().map(|finding| (task, finding))).collect();
    match format {
        Format::Json => {
            for (task, finding) in findings {
                let age_days = finding.written_on.map(|day| today.days_since(day));
                let line = Line { finding, age_days, score: task.score.points, reasons: &task.score.reasons };
                output::json_line(&line)?;
            }
        }
        Format::Table if tasks.is_empty() => output::remark("Nothing was found."),
        Format::Table => {
            output::line(&table(&findings));
            output::remark(&format!("{} finding{}.", tasks.len(), if tasks.len() == 1 { "" } else { "s" }));
        }
        Format::Sarif => {
            output::json(&sarif::document(&findings.into_iter().map(|(_, finding)| finding).collect::<Vec<_>>()))?;
        }
    }
    Ok(())
}

/// The table of findings. Who wrote them, when, and when they are due are columns only where one says it.
fn table(findings: &[(&Task, &Finding)]) -> String {
    let day = |day: Option<Day>| day.map_or(String::new(), |day| day.to_string());
    let row = |(task, finding): &(&Task, &Finding)| {
        [
            task.score.points.to_string(),
            finding.repository.name().to_owned(),
            format!("{}:{}", end_of(&finding.path), finding.line),
            day(finding.written_on),
            one_line(finding.author.as_deref().unwrap_or_default()),
            day(finding.due),
            finding.title.clone(),
        ]
    };
    let head = ["POINTS", "REPOSITORY", "PLACE", "WRITTEN", "AUTHOR", "DUE", "TITLE"];
    let rows: Vec<[String; 7]> = findings.iter().map(row).collect();
    let shown: Vec<usize> = (0..head.len()).filter(|column| rows.iter().any(|row| !row[*column].is_empty())).collect();
    let head: Vec<&str> = shown.iter().map(|column| head[*column]).collect();
    output::table(&head, rows.iter().map(|row| shown.iter().map(|column| row[*column].clone()).collect()).collect())
}

/// Prints what was left out.
pub(super) fn explanations(format: Format, explanations: &[Explanation]) -> Result<()> {
    if format == Format::Json {
        for explanation in explanations {
            output::json_line(explanation)?;
        }
    } else if !explanations.is_empty() {
        let rows = explanations
            .iter()
            .map(|left| {
                let line = left.line.map_or(String::new(), |line| format!(":{line}"));
                vec![left.left_out.clone(), format!("{}{line}", end_of(&left.path)), left.text.clone()]
            })
            .collect();
        output::line(&output::table(&["LEFT OUT", "PLACE", "TEXT"], rows));
    }
    Ok(())
}

/// Text for a table: line breaks in it would look like further rows.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r', '\t'], "\u{fffd}")
}

/// A path for a table; the start of a long one would move every row.
fn end_of(path: &str) -> String {
    let path = one_line(path);
    match path.char_indices().rev().nth(MAX_PATH_CHARS - 1) {
        Some((from, _)) if from > 0 => format!("…{}", &path[from..]),
        Some(_) | None => path,
    }
}
