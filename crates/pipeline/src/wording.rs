//! All words that people read on a code host, in commits and on timelines. Pure.
//!
//! Texts are finished sentences that say what to do next. Text that comes from outside (a comment in code, an
//! issue) is quoted and cannot break out: no hidden marker, no mention, no closing keyword of its own.

#[cfg(test)]
mod tests;

use backlog::event::{Actor, Event, EventKind};
use backlog::expect::Expected;
use backlog::finding::{Finding, Source};
use backlog::names::RepoName;
use backlog::room::Full;
use backlog::run::Run;
use backlog::task::{Proposal, Task, TaskState};
use backlog::time::Timestamp;

use crate::progress::Far;

/// The longest title, in characters; GitHub takes 256.
const TITLE: usize = 250;
/// The longest line of a timeline, in characters.
const LINE: usize = 1_000;
/// The longest name of a person, in characters.
const NAME: usize = 80;
/// The most of a log in a comment, in bytes.
const LOG: usize = 6_000;

/// Dollars of micro-USD: `$0.42`, and `$0.0042` below a cent.
#[must_use]
pub fn usd(micro: u64) -> String {
    let usd = micro as f64 / 1_000_000.0;
    if micro != 0 && micro < 10_000 { format!("${usd:.4}") } else { format!("${usd:.2}") }
}

/// Makes a text a finished sentence: a capital first, a full stop last.
#[must_use]
pub fn sentence(text: &str) -> String {
    let text = text.trim();
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return String::new() };
    let mut out: String = first.to_uppercase().collect();
    out.push_str(chars.as_str());
    if !out.ends_with(['.', '!', '?', ':', '…']) {
        out.push('.');
    }
    out
}

/// `1 file`, `2 files`.
fn count(n: u64, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

/// What a person sees of `text`: without invisible characters, and with no beginning of a hidden comment.
#[must_use]
pub fn visible(text: &str) -> String {
    forge::sanitize::sanitize(&text.replace("<!--", "<! --"))
}

/// What a person sees of `text` as one line of at most `max` characters.
#[must_use]
pub fn one_line(text: &str, max: usize) -> String {
    let text = visible(&text.replace('\r', " ")).split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= max {
        return text;
    }
    let mut cut: String = text.chars().take(max.saturating_sub(1)).collect();
    cut.truncate(cut.trim_end().len());
    cut.push('…');
    cut
}

/// The longest run of backticks in `text`.
fn backticks(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// `text` in a code fence that it cannot close.
#[must_use]
pub fn fenced(text: &str, language: &str) -> String {
    let text = visible(text);
    let fence = "`".repeat(backticks(&text).max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}", text.trim_end())
}

/// `text` as code within a line, which it cannot close.
#[must_use]
pub fn code(text: &str) -> String {
    let text = one_line(text, 300);
    match backticks(&text) {
        0 if text.is_empty() => "` `".to_owned(),
        0 => format!("`{text}`"),
        n => format!("{0} {text} {0}", "`".repeat(n + 1)),
    }
}

/// Text from outside, without hidden comments, tags, images, live mentions and references that could close an issue.
#[must_use]
pub fn tame(text: &str) -> String {
    let text = unlinked(&visible(text)).replace('@', "@\u{200b}").replace("![", "!\u{200b}[");
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(next) if c == '<' && (next.is_ascii_alphabetic() || matches!(next, '/' | '!' | '?')) => {
                out.push_str("&lt;")
            }
            _ => out.push(c),
        }
    }
    out
}

/// `text` without live references to issues and pull requests.
fn unlinked(text: &str) -> String {
    ["#", "GH-", "gh-", "/issues/", "/pull/"]
        .iter()
        .fold(text.to_owned(), |text, mark| text.replace(mark, &format!("{mark}\u{200b}")))
}

/// A title from outside for places where a code host closes issues by keyword: plain unless it has such a keyword.
fn harmless(title: &str) -> String {
    let lower = title.to_lowercase();
    let closes = lower.split(|c: char| !c.is_alphanumeric()).any(|word| {
        matches!(word, "close" | "closes" | "closed" | "fix" | "fixes" | "fixed" | "resolve" | "resolves" | "resolved")
    });
    if closes { unlinked(title) } else { title.to_owned() }
}

/// The task's title as one plain line, with the number of further findings that it is about.
fn title(task: &Task, max: usize) -> String {
    let more = match task.more.len() {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    let title = one_line(&task.title, max.saturating_sub(more.len()));
    if title.is_empty() { format!("Task {}", task.id) } else { format!("{title}{more}") }
}

/// `, line 7` or `, lines 7–9`; nothing for what is about a whole file.
pub(crate) fn lines(finding: &Finding) -> String {
    match (finding.line, finding.end_line) {
        (0, _) => String::new(),
        (from, to) if to > from => format!(", lines {from}–{to}"),
        (line, _) => format!(", line {line}"),
    }
}

/// Who wrote what was found and when, and by when it is to be done, as far as that is known: `written by Ada on
/// 2026-01-31, due 2027-01-31`. Plain text.
#[must_use]
pub fn origin(finding: &Finding) -> String {
    told_of(finding, |name| one_line(name, NAME))
}

fn told_of(finding: &Finding, name: impl Fn(&str) -> String) -> String {
    let by = finding.author.as_ref().map(|author| format!(" by {}", name(author)));
    let on = finding.written_on.map(|day| format!(" on {day}"));
    let verb = if finding.source == Source::Todo { "written" } else { "opened" };
    let begun = (by.is_some() || on.is_some()).then(|| [Some(verb.to_owned()), by, on].into_iter().flatten().collect());
    let due = finding.due.map(|day| format!("due {day}"));
    [begun, due].into_iter().flatten().collect::<Vec<String>>().join(", ")
}

/// What a proposal quotes: what was found, or what a person asked for.
pub(crate) fn subject(task: &Task) -> String {
    let texts = task.members().map(|finding| finding.text.as_str()).filter(|text| !text.trim().is_empty());
    match texts.collect::<Vec<_>>().as_slice() {
        [] if task.body.trim().is_empty() => task.title.clone(),
        [] => task.body.clone(),
        texts => texts.join("\n\n"),
    }
}

/// The findings of a task that are about a file.
pub(crate) fn placed(task: &Task) -> impl Iterator<Item = &Finding> {
    task.members().filter(|finding| !finding.path.is_empty())
}

/// The quotes of what is asked for, each with its place in the code, and where there is more about it.
fn asked(task: &Task) -> String {
    let quote = |finding: &Finding| {
        let quote = match finding.path.as_str() {
            "" if finding.text.trim().is_empty() => fenced(&finding.title, "text"),
            "" => fenced(&finding.text, "text"),
            path => {
                let origin = told_of(finding, code);
                let comma = if origin.is_empty() { "" } else { ", " };
                format!("In {}{}{comma}{origin}:\n\n{}", code(path), lines(finding), fenced(&finding.text, ""))
            }
        };
        match address(&finding.url) {
            Some(url) => format!("{quote}\n\nMore about it: {url}"),
            None => quote,
        }
    };
    let quotes: Vec<String> = task.members().map(quote).collect();
    if quotes.is_empty() { fenced(&subject(task), "text") } else { quotes.join("\n\n") }
}

/// An address of the web, if it is one and nothing else.
fn address(url: &str) -> Option<&str> {
    let fits = url.starts_with("https://") || url.starts_with("http://");
    (fits && url.len() <= 500 && url.bytes().all(|b| b.is_ascii_graphic() && !b"<>()[]`\"'".contains(&b)))
        .then_some(url)
}

/// The reasons of a task's score, as a list.
fn reasons(task: &Task) -> String {
    let mut text = format!("{WHY} {} points.\n\n", task.score.points);
    for reason in &task.score.reasons {
        text.push_str(&format!("- {:+} {}\n", reason.points, tame(&one_line(&reason.name, 200))));
    }
    text
}

/// So many minutes or hours; less than one counts as one.
fn minutes(millis: u64) -> String {
    match millis.div_ceil(60_000).max(1) {
        minutes @ ..60 => format!("{minutes} min"),
        minutes => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

/// What a task is likely to take, in one sentence.
#[must_use]
pub fn expected(of: &Expected) -> String {
    let (cost, time, Expected { merged, tasks, like, .. }) = (usd(of.cost_micro_usd), minutes(of.millis), of);
    format!("About {cost} and {time} of an agent's work; {merged} of the last {tasks} tasks of {like} were merged.")
}

const LIKELY: &str = "**What it takes:**";
const WHY: &str = "**Why this one:**";
const DECIDE: &str = "**To have it done**";
const DECIDE_END: &str = "voids an approval.";

/// Title and body of the issue (or card) that asks for approval.
#[must_use]
pub fn proposal(task: &Task) -> (String, String) {
    (title(task, TITLE), format!("{}\n\n{}", asked(task), reasons(task)))
}

/// The sticky comment on a person's issue that is proposed as a task.
#[must_use]
pub fn proposal_on_issue(task: &Task, approval_label: &str, likely: Option<&Expected>) -> String {
    format!(
        "An agent could work on this issue.\n\n{}{}\n{DECIDE}, somebody with write access sets the label `{approval_label}` \
         or comments `/ccm approve`. To have it never proposed again, comment `/ccm reject`. Title and text of this issue \
         are what will be done, without the comments: edit them first if need be, because a later edit {DECIDE_END}\n",
        reasons(task),
        takes(likely)
    )
}

/// What the sticky comment on a person's issue says of a task that has ended. `None` while it goes on, and for one that
/// failed, which is told as on our own issues.
#[must_use]
pub fn standing_on_issue(task: &Task) -> Option<String> {
    match &task.state {
        TaskState::Obsolete { .. } => {
            let why = match task.source {
                Source::StaleIssue => "somebody has written here, or it is closed",
                _ => "its label is gone, or it is closed",
            };
            Some(format!("This is no longer proposed as a task for an agent: {why}.\n"))
        }
        TaskState::Rejected { by, .. } => {
            Some(format!("No agent works on this issue: {} said no. It is not proposed again.\n", cell(by.name())))
        }
        TaskState::Cancelled { by, .. } => {
            Some(format!("The work on this issue was stopped by {}.\n", cell(by.name())))
        }
        TaskState::Done { work, .. } => {
            let pull = work.pull.as_ref().and_then(|pull| address(&pull.url)).unwrap_or("a pull request");
            Some(format!("Done with {pull}.\n"))
        }
        TaskState::Found
        | TaskState::Proposed { .. }
        | TaskState::Approved { .. }
        | TaskState::Running { .. }
        | TaskState::Verifying { .. }
        | TaskState::InReview { .. }
        | TaskState::Failed { .. } => None,
    }
}

/// What a proposal's `body` asks for: without its reasons, what it takes, and how to decide.
pub(crate) fn order(body: &str) -> String {
    let is_reason = |line: &str| {
        let points = line.strip_prefix("- +").or_else(|| line.strip_prefix("- -"));
        points.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let mut kept = Vec::new();
    let mut reasons = false;
    for line in body.lines().map(str::trim_end) {
        if line.starts_with(WHY) {
            reasons = true;
        } else if !(line.starts_with(LIKELY) || line.starts_with(DECIDE) && line.ends_with(DECIDE_END)) {
            reasons = reasons && (line.is_empty() || is_reason(line));
            if !reasons {
                kept.push(line);
            }
        }
    }
    kept.join("\n").trim().to_owned()
}

/// The end of a proposal that is an issue: what it is likely to take, and how to say yes or no.
#[must_use]
pub fn how_to_decide(approval_label: &str, likely: Option<&Expected>) -> String {
    format!(
        "{}\n{DECIDE}, somebody with write access sets the label `{approval_label}` or comments `/ccm approve`. To have \
         it never proposed again, close this issue or comment `/ccm reject`. What stands here is what will be done: \
         edit it first if need be, because a later edit {DECIDE_END}\n",
        takes(likely)
    )
}

/// What a task is likely to take, where that is known.
fn takes(likely: Option<&Expected>) -> String {
    likely.map_or(String::new(), |likely| format!("\n{LIKELY} {}\n", expected(likely)))
}

/// The message of the commit that the service makes.
#[must_use]
pub fn commit_message(task: &Task, run: &Run) -> String {
    let mut text = format!("{}\n\n", harmless(&title(task, 72)).replace('@', "@\u{200b}"));
    for finding in placed(task) {
        let what = if finding.source == Source::Todo { "Works off the comment in" } else { "Works on" };
        let path = unlinked(&one_line(&finding.path, 300)).replace('@', "@\u{200b}");
        text.push_str(&format!("{what} {path}{}.\n", lines(finding)));
    }
    if placed(task).next().is_some() {
        text.push('\n');
    }
    text.push_str(&format!("Task: {}\nRun: {}\nAgent: {}\n", task.id, run.id, run.agent));
    text
}

/// The message of a merge from the dashboard.
#[must_use]
pub fn merge_message(task: &Task, by: &str) -> String {
    let title = harmless(&title(task, TITLE)).replace('@', "@\u{200b}");
    format!("Merge task {}: {title}\n\nMerged by {by} on the dashboard.\n", task.id)
}

/// Title and body of the pull request; `cost_micro_usd` is that of all runs of the task.
#[must_use]
pub fn pull_request(
    task: &Task,
    proposal: &Proposal,
    approved_by: &str,
    run: &Run,
    cost_micro_usd: u64,
) -> (String, String) {
    let mut body = match &proposal.issue {
        Some(issue) if issue.repository == task.repository => format!("Closes #{}.\n\n", issue.number),
        Some(issue) => format!("For {}#{}.\n\n", issue.repository, issue.number),
        None => match task.born_of() {
            Some(number) => format!("Closes #{number}.\n\n"),
            None => format!("{}\n\n", asked(task)),
        },
    };
    let (added, removed) = run.files.iter().fold((0u64, 0u64), |(added, removed), file| {
        (added.saturating_add(file.added), removed.saturating_add(file.removed))
    });
    let files = count(run.files.len() as u64, "file");
    body.push_str(&format!("{files} changed, {} added and {removed} removed.\n\n", count(added, "line")));
    if run.checks.is_empty() {
        body.push_str(
            "**No checks were run:** none are configured and none were recognised. Name some as `checks` in \
             `.github/ccm.toml`.\n",
        );
    } else {
        body.push_str("**Checked** on exactly this commit, in a fresh checkout:\n\n");
        for check in &run.checks {
            let mark = if check.passed { "passed" } else { "did not pass" };
            body.push_str(&format!("- {} {mark} in {:.1} s\n", code(&check.name), check.millis as f64 / 1000.0));
        }
    }
    body.push_str(&format!(
        "\n<details><summary>Where this comes from</summary>\n\n\
         | | |\n|---|---|\n| Task | `{}` |\n| Run | `{}` |\n| Agent | `{}` |\n| Approved by | {} |\n| Cost | {} |\n| Sandbox | {} |\n\n\
         </details>\n\nIs something missing? Request changes in a review, or comment `/ccm revise` with what is wanted, and \
         the agent takes it up.\n",
        task.id,
        run.id,
        cell(&run.agent),
        cell(approved_by),
        usd(cost_micro_usd),
        cell(&run.sandbox),
    ));
    (harmless(&title(task, TITLE)), body)
}

/// Text from outside in a cell of a table.
fn cell(text: &str) -> String {
    tame(&one_line(text, 200)).replace('|', "\\|")
}

/// The sticky comment on a proposal whose task failed. What follows the first line of `reason` is quoted as a log.
#[must_use]
pub fn failed_comment(reason: &str) -> String {
    let (first, log) = reason.trim().split_once('\n').unwrap_or((reason, ""));
    let log = match crate::prompt::tail(log.trim_end(), LOG) {
        "" => String::new(),
        log => format!("\n\n{}", fenced(log, "text")),
    };
    format!(
        "This could not be done. {}{log}\n\nComment `/ccm retry` to have it tried again, or close this issue.\n",
        tame(&sentence(&one_line(first, LINE)))
    )
}

/// The sticky comment on a proposal whose work went away.
#[must_use]
pub fn obsolete_comment(task: &Task) -> String {
    let what = match (&task.source, task.more.is_empty()) {
        (Source::Todo, true) => "The comment is gone from the code",
        (Source::Todo, false) => "The comments are gone from the code",
        (Source::Ci, _) => "The check is no longer red",
        (Source::SecurityAlert, true) => "The alert is no longer open",
        (Source::SecurityAlert, false) => "The alerts are no longer open",
        (
            Source::StaleIssue
            | Source::IssueLabel
            | Source::Dependency
            | Source::Hotspot
            | Source::Sarif(_)
            | Source::Person,
            _,
        ) => "What this was about is gone",
    };
    format!("{what}, so there is nothing left to do here.\n")
}

/// Why nothing more is proposed in a repository: a cap is reached.
#[must_use]
pub fn full(full: Full, repository: &RepoName) -> String {
    match full {
        Full::Pulls(most) => {
            let pulls =
                if most == 1 { "1 pull request waits".to_owned() } else { format!("{most} pull requests wait") };
            format!("{pulls} for people, and no more may here. Merge or close some, and the next tasks are proposed.")
        }
        Full::Repository(0) => "The settings allow no proposal here. Approve what was found on the board.".to_owned(),
        Full::Repository(most) => {
            let open = count(most as u64, "open proposal");
            format!("It has {open}, and no more may be. Decide about some, and the next ones come.")
        }
        Full::Owner(most) => {
            let (owner, open) = (repository.owner(), count(most as u64, "open proposal"));
            format!(
                "The repositories of {owner} have {open}, and no more may be. Decide about some, and the next ones come."
            )
        }
    }
}

/// Why nothing (more) is proposed in a repository: the places that its owner has left go to better tasks.
#[must_use]
pub fn better_elsewhere(owner: &str) -> String {
    format!(
        "The places that the repositories of {owner} have left go to better tasks in others of them. Decide about some \
         proposals, and the next ones come."
    )
}

/// Why nothing (more) is proposed in a repository yet: the best of all its owner's repositories come first.
#[must_use]
pub fn others_first(owner: &str) -> String {
    format!(
        "The best tasks of all repositories of {owner} are proposed first, and some of them are still to be looked at."
    )
}

/// Why a repository is left alone: what one of its guides says to agents.
#[must_use]
pub fn unwelcome(path: &str, said: &str) -> String {
    format!(
        "It does not welcome the work of agents. Its {} says: “{}” If it is yours and you decide otherwise, name it in \
         `[proposals] ignore_ai_policy`.",
        one_line(path, 100),
        one_line(said, 310)
    )
}

/// How far the first look at all repositories has come; `None` once it is over.
#[must_use]
pub fn far(far: &Far) -> Option<String> {
    let now: Vec<&str> = far.at_work.iter().take(3).map(RepoName::as_str).collect();
    let more = far.at_work.len().saturating_sub(now.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let now = if now.is_empty() { String::new() } else { format!(" Now: {}{more}.", now.join(", ")) };
    far.is_under_way().then(|| {
        format!(
            "Looked at {} of {} since the start.{now}",
            far.done,
            if far.of == 1 { "1 repository".to_owned() } else { format!("{} repositories", far.of) }
        )
    })
}

/// Why nothing is proposed for now: it is a quiet hour.
#[must_use]
pub fn quiet(until: Timestamp) -> String {
    format!("Quiet hours: nothing is proposed before {until}.")
}

/// Why an unknown command was not understood.
#[must_use]
pub fn unknown_command(text: &str) -> String {
    let typed = format!("/ccm {}", one_line(text, 80).replace('`', "'"));
    format!(
        "`{}` is not a command here. Use approve, reject, retry, cancel, agent NAME or budget USD.",
        typed.trim_end()
    )
}

/// Why a bot's wish was not taken up.
#[must_use]
pub fn refused_bot(login: &str) -> String {
    format!("{login} is not a person, and only people decide.")
}

/// Why somebody's wish was not taken up.
#[must_use]
pub fn refused_outsider(login: &str) -> String {
    format!("{login} has no write access to this repository, so this does not count.")
}

/// One line of a timeline, without its time.
#[must_use]
pub fn event(event: &Event) -> String {
    let who = match &event.event.actor {
        Actor::Service => "ccm".to_owned(),
        Actor::Agent { name } => format!("agent {name}"),
        Actor::Person { login, channel } => format!("{login} ({})", channel_words(*channel)),
    };
    let line = match &event.event.kind {
        EventKind::Found => "found in the code".to_owned(),
        EventKind::Added => format!("added by {who}"),
        EventKind::Proposed { url: Some(url) } => format!("proposed: {url}"),
        EventKind::Proposed { url: None } => "proposed on the dashboard".to_owned(),
        EventKind::Edited => "the text of the proposal changed; it needs approval as it is now".to_owned(),
        EventKind::Approved => format!("approved by {who}"),
        EventKind::Refused { why } => format!("{who} was refused: {why}"),
        EventKind::Rejected => format!("rejected by {who}"),
        EventKind::Obsolete => "the work is gone".to_owned(),
        EventKind::RunStarted { run } => format!("run {run} started"),
        EventKind::RunFinished { run, outcome, cost_micro_usd } => {
            format!("run {run} ended: {}, {}", outcome.replace('_', " "), usd(*cost_micro_usd))
        }
        EventKind::Checked { name, passed: true } => format!("check passed: {name}"),
        EventKind::Checked { name, passed: false } => format!("check did not pass: {name}"),
        EventKind::Judged { good: true, .. } => "verified".to_owned(),
        EventKind::Judged { good: false, reasons } => format!("not good: {}", reasons.join(" ")),
        EventKind::Delivered { url } => format!("in review: {url}"),
        EventKind::RevisionAsked { why } => format!("back to the agent: {why}"),
        EventKind::Retried { why } => format!("tried again: {why}"),
        EventKind::Merged => format!("merged by {who}"),
        EventKind::PullClosed => format!("closed without a merge by {who}"),
        EventKind::Cancelled => format!("cancelled by {who}"),
        EventKind::Failed { reason } => format!("failed: {reason}"),
        EventKind::Changed { what } => format!("{who} chose {what}"),
        EventKind::Messaged { text } => format!("{who} said to the agent: {text}"),
        EventKind::Watched => "watched from now on".to_owned(),
        EventKind::Parked { reason } => format!("parked: {reason}"),
        EventKind::Scanned { findings } => format!("read: {}", count(*findings, "finding")),
    };
    one_line(&line, LINE)
}

fn channel_words(channel: backlog::event::Channel) -> &'static str {
    use backlog::event::Channel;
    match channel {
        Channel::Label => "by label",
        Channel::Comment => "by comment",
        Channel::Dashboard => "on the dashboard",
        Channel::Api => "by API",
        Channel::Cli => "on the command line",
        Channel::Policy => "by policy",
        Channel::Forge => "on the code host",
    }
}
