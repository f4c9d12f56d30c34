//! All words that people read on a code host, in commits and on timelines. Pure.
//!
//! Texts are finished sentences that say what to do next. Text that comes from outside (a comment in code, an
//! issue) is quoted and cannot break out: no hidden marker, no mention, no closing keyword of its own.

use backlog::event::{Actor, Event, EventKind};
use backlog::finding::Source;
use backlog::run::Run;
use backlog::task::{Proposal, Task};

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
    if !out.ends_with(['.', '!', '?']) {
        out.push('.');
    }
    out
}

/// `text` in a code fence that it cannot close.
#[must_use]
pub fn fenced(text: &str, language: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}", text.trim_end())
}

/// Text from outside, without hidden comments, live mentions and closing keywords.
#[must_use]
pub fn tame(text: &str) -> String {
    text.replace("<!--", "&lt;!--").replace('@', "@\u{200b}").replace('#', "#\u{200b}")
}

/// Title and body of the issue (or card) that asks for approval.
#[must_use]
pub fn proposal(task: &Task) -> (String, String) {
    let mut body = String::new();
    match &task.finding {
        Some(finding) if !finding.path.is_empty() => {
            body.push_str(&format!("In `{}`, line {}:\n\n", finding.path, finding.line));
            body.push_str(&fenced(&finding.text, ""));
            body.push('\n');
        }
        Some(_) | None => {
            let text = if task.body.trim().is_empty() { &task.title } else { &task.body };
            body.push_str(&fenced(text, "text"));
            body.push('\n');
        }
    }
    body.push_str(&format!("\n**Why this one:** {} points.\n\n", task.score.points));
    for reason in &task.score.reasons {
        body.push_str(&format!("- {:+} {}\n", reason.points, tame(&reason.name)));
    }
    (tame(&task.title).chars().take(250).collect(), body)
}

/// The end of a proposal that is an issue: how to say yes or no.
#[must_use]
pub fn how_to_decide(approval_label: &str) -> String {
    format!(
        "\n**To have it done**, somebody with write access approves: set the label `{approval_label}`, or comment \
         `/ccm approve`. Close this issue, or comment `/ccm reject`, and it is not proposed again. Editing this text \
         voids an approval.\n"
    )
}

/// The message of the commit that the service makes.
#[must_use]
pub fn commit_message(task: &Task, run: &Run) -> String {
    let title: String = task.title.chars().take(72).collect();
    let mut text = format!("{title}\n\n");
    if let Some(finding) = &task.finding
        && !finding.path.is_empty()
    {
        text.push_str(&format!("Works off the comment in {}, line {}.\n\n", finding.path, finding.line));
    }
    text.push_str(&format!("Task: {}\nRun: {}\nAgent: {}\n", task.id, run.id, run.agent));
    text
}

/// The message of a merge from the dashboard.
#[must_use]
pub fn merge_message(task: &Task, by: &str) -> String {
    format!("Merge task {}: {}\n\nMerged by {by} on the dashboard.\n", task.id, task.title)
}

/// Title and body of the pull request.
#[must_use]
pub fn pull_request(task: &Task, proposal: &Proposal, approved_by: &str, run: &Run) -> (String, String) {
    let mut body = String::new();
    if let Some(issue) = &proposal.issue {
        if issue.repository == task.repository {
            body.push_str(&format!("Closes #{}.\n\n", issue.number));
        } else {
            body.push_str(&format!("For {}#{}.\n\n", issue.repository, issue.number));
        }
    }
    body.push_str(&format!("{} files changed.\n\n", run.files.len()));
    if run.checks.is_empty() {
        body.push_str("**No checks were run:** none are configured and none were recognised.\n");
    } else {
        body.push_str("**Checked** on exactly this commit, in a fresh checkout:\n\n");
        for check in &run.checks {
            let mark = if check.passed { "passed" } else { "did not pass" };
            body.push_str(&format!("- `{}` {mark} in {:.1} s\n", tame(&check.name), check.millis as f64 / 1000.0));
        }
    }
    body.push_str(&format!(
        "\n<details><summary>Where this comes from</summary>\n\n\
         | | |\n|---|---|\n| Task | `{}` |\n| Run | `{}` |\n| Agent | `{}` |\n| Approved by | {} |\n| Cost | {} |\n| Sandbox | {} |\n\n\
         </details>\n\nComment `/ccm revise` with a request, or ask for changes in a review, and the agent takes it up.\n",
        task.id,
        run.id,
        tame(&run.agent),
        tame(approved_by),
        usd(run.usage.cost_micro_usd),
        tame(&run.sandbox),
    ));
    (tame(&task.title).chars().take(250).collect(), body)
}

/// The sticky comment on a proposal whose task failed.
#[must_use]
pub fn failed_comment(reason: &str) -> String {
    format!(
        "This could not be done. {}\n\nComment `/ccm retry` to have it tried again, or close this issue.\n",
        tame(&sentence(reason))
    )
}

/// The sticky comment on a proposal whose work went away.
#[must_use]
pub fn obsolete_comment(source: &Source) -> String {
    let what = match source {
        Source::Todo => "The comment is gone from the code",
        Source::StaleIssue
        | Source::IssueLabel
        | Source::Ci
        | Source::SecurityAlert
        | Source::Dependency
        | Source::Hotspot
        | Source::Sarif(_)
        | Source::Person => "What this was about is gone",
    };
    format!("{what}, so there is nothing left to do here.\n")
}

/// Why an unknown command was not understood.
#[must_use]
pub fn unknown_command(text: &str) -> String {
    format!(
        "`/ccm {}` is not a command; there are approve, reject, retry, cancel, agent NAME and budget USD.",
        text.replace('`', "'")
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
        Actor::Person { login, channel } => format!("{login} (by {})", channel_word(*channel)),
    };
    match &event.event.kind {
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
        EventKind::Watched => "is watched".to_owned(),
        EventKind::Parked { reason } => format!("parked: {reason}"),
        EventKind::Scanned { findings } => format!("read: {findings} findings"),
    }
}

fn channel_word(channel: backlog::event::Channel) -> &'static str {
    use backlog::event::Channel;
    match channel {
        Channel::Label => "label",
        Channel::Comment => "comment",
        Channel::Dashboard => "dashboard",
        Channel::Api => "API",
        Channel::Cli => "command line",
        Channel::Policy => "policy",
        Channel::Forge => "code host",
    }
}
