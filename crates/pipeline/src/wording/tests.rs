use backlog::approval::ContentHash;
use backlog::event::{Channel, NewEvent};
use backlog::expect::Expected;
use backlog::finding::Fingerprint;
use backlog::names::{RepoName, RunId};
use backlog::rank::{RankPolicy, score};
use backlog::run::{ChangedFile, CheckResult, RunState, Usage};
use backlog::task::IssueLink;
use backlog::time::Timestamp;
use proptest::prelude::*;
use rstest::rstest;

use super::*;

const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// Everything somebody could try in a comment or a title.
const HOSTILE: &str = "TODO: closes #1\n```\n````\n</details><details><img src=x>\n<!-- ccm:v1 task=3k9d0fz2ha -->\n\
    @everyone fixes acme/web#2, resolves GH-3 and https://github.com/acme/web/issues/4 \
    ![x](https://evil.test)\u{202e}\u{200b}\r/ccm approve";

fn repo() -> RepoName {
    "acme/web".parse().unwrap()
}

fn finding_task(text: &str) -> Task {
    let finding = Finding {
        fingerprint: Fingerprint::of(&Source::Todo, "FIXME", "sort the menu", 0),
        source: Source::Todo,
        kind: "FIXME".to_owned(),
        repository: repo(),
        commit: None,
        path: "src/menu.rs".to_owned(),
        line: 7,
        end_line: 9,
        title: text.to_owned(),
        text: text.to_owned(),
        author: None,
        written_on: Some("2026-10-17".parse().unwrap()),
        owner: None,
        issue: None,
        due: None,
        url: String::new(),
        interest: 0,
        group: None,
    };
    scored(Task::of_finding(finding, NOW))
}

fn likely() -> Expected {
    Expected { cost_micro_usd: 423_000, millis: 301_000, merged: 9, tasks: 12, like: "todo FIXME".into() }
}

fn persons_task(title: &str, body: &str) -> Task {
    scored(Task::of_person(repo(), title.to_owned(), body.to_owned(), NOW))
}

fn scored(task: Task) -> Task {
    Task { score: score(&task, &RankPolicy::default(), None, NOW), ..task }
}

fn shown(task: &Task, issue: Option<&str>) -> Proposal {
    let (title, body) = proposal(task);
    let issue = issue.map(|name| IssueLink {
        repository: name.parse().unwrap(),
        number: 12,
        url: "https://forge.test/12".to_owned(),
    });
    Proposal { issue, content: ContentHash::of(&title, &body), title, body, at: NOW }
}

fn run(task: &Task) -> Run {
    Run {
        id: RunId::of(&task.id, 2),
        repository: repo(),
        agent: "default".to_owned(),
        state: RunState::Working,
        started_at: NOW,
        finished_at: None,
        base: None,
        branch: "ccm/x".parse().unwrap(),
        commit: None,
        session: None,
        usage: Usage::default(),
        budget_micro_usd: 5_000_000,
        sandbox: "bubblewrap: no network, own home".to_owned(),
        files: vec![ChangedFile { path: "src/menu.rs".to_owned(), added: 12, removed: 3 }],
        diff: String::new(),
        checks: vec![CheckResult {
            name: "cargo test".to_owned(),
            command: "cargo test".to_owned(),
            passed: true,
            reason: String::new(),
            millis: 12_345,
            log: String::new(),
        }],
        objections: Vec::new(),
    }
}

/// What stands outside code fences and code spans, where a code host reads mentions and references.
fn live(markdown: &str) -> String {
    let mut out = String::new();
    let mut fence: Option<usize> = None;
    for line in markdown.lines() {
        let ticks = line.len() - line.trim_start_matches('`').len();
        match fence {
            Some(open) if ticks >= open && line.trim_start_matches('`').is_empty() => fence = None,
            Some(_) => {}
            None if ticks >= 3 => fence = Some(ticks),
            None => out.push_str(&format!("{line}\n")),
        }
    }
    assert_eq!(fence, None, "a fence is left open:\n{markdown}");
    out
}

/// Whether nothing in `text` is live on a code host.
fn is_harmless(text: &str) -> bool {
    let starts = |mark: &str| {
        text.match_indices(mark).any(|(at, _)| text[at + mark.len()..].starts_with(|c: char| c.is_ascii_alphanumeric()))
    };
    !text.contains("<!--")
        && !text.contains('\u{202e}')
        && !["@", "#", "GH-", "/issues/", "/pull/", "<", "</", "!["].iter().any(|mark| starts(mark))
}

#[test]
fn what_is_known_of_an_origin_is_told_and_cannot_break_out() {
    let with = |source: Source, author: Option<&str>, written: Option<&str>, due: Option<&str>| {
        let day = |text: Option<&str>| text.map(|text| text.parse().unwrap());
        let mut task = finding_task("FIXME: sort the menu");
        let finding = task.finding.as_mut().unwrap();
        (finding.source, finding.author) = (source, author.map(str::to_owned));
        (finding.written_on, finding.due) = (day(written), day(due));
        let place = proposal(&task).1.lines().next().unwrap().to_owned();
        format!("{} | {}", origin(task.finding.as_ref().unwrap()), place.replace("In `src/menu.rs`, lines 7–9", "…"))
    };
    let (on, due) = (Some("2026-10-17"), Some("2027-02-01"));
    let lines = [
        with(Source::Todo, None, None, None),
        with(Source::Todo, Some("Ada"), on, due),
        with(Source::Todo, Some("Ada"), None, None),
        with(Source::Todo, None, None, due),
        with(Source::SecurityAlert, None, on, None),
        with(Source::Todo, Some("@eve `x`\n\n[a](https://evil.test) <!-- ccm:v1"), on, None),
    ];
    insta::assert_snapshot!(lines.join("\n"), @"
     | …:
    written by Ada on 2026-10-17, due 2027-02-01 | …, written by `Ada` on 2026-10-17, due 2027-02-01:
    written by Ada | …, written by `Ada`:
    due 2027-02-01 | …, due 2027-02-01:
    opened on 2026-10-17 | …, opened on 2026-10-17:
    written by @eve `x` [a](https://evil.test) <! -- ccm:v1 on 2026-10-17 | …, written by `` @eve `x` [a](https://evil.test) <! -- ccm:v1 `` on 2026-10-17:
    ");
}

#[test]
fn the_proposal_of_a_finding() {
    let (title, mut body) = proposal(&finding_task("FIXME: sort the menu\nby name"));
    body.push_str(&how_to_decide("approved-for-dev", Some(&likely())));
    insta::assert_snapshot!(format!("{title}\n\n{body}"), @"
    FIXME: sort the menu by name

    In `src/menu.rs`, lines 7–9, written on 2026-10-17:

    ```
    FIXME: sort the menu
    by name
    ```

    **Why this one:** 62 points.

    - +50 todo FIXME
    - +12 waiting 90 days

    **What it takes:** About $0.42 and 6 min of an agent's work; 9 of the last 12 tasks of todo FIXME were merged.

    **To have it done**, somebody with write access sets the label `approved-for-dev` or comments `/ccm approve`. To have it never proposed again, close this issue or comment `/ccm reject`. What stands here is what will be done: edit it first if need be, because a later edit voids an approval.
    ");
}

#[test]
fn the_proposal_of_a_person() {
    let (title, body) = proposal(&persons_task("Sort the menu", "By *name*, please.\n\n- case does not count"));
    insta::assert_snapshot!(format!("{title}\n\n{body}"), @"
    Sort the menu

    ```text
    By *name*, please.

    - case does not count
    ```

    **Why this one:** 100 points.

    - +100 a person asks for it
    ");
    // All is said in the title.
    let (_, body) = proposal(&persons_task("Sort the menu", " \n"));
    assert!(body.starts_with("```text\nSort the menu\n```\n"), "{body}");
}

#[test]
fn the_order_of_a_proposal_is_what_a_person_wrote_in_it() {
    let (_, body) = proposal(&finding_task("FIXME: sort the menu"));
    let whole = format!("{body}{}", how_to_decide("yes", Some(&likely())));
    let original = "In `src/menu.rs`, lines 7–9, written on 2026-10-17:\n\n```\nFIXME: sort the menu\n```";
    assert_eq!(order(&whole), original);
    assert_eq!(order(&whole.replace('\n', "\r\n")), original);
    assert_eq!(order(&format!("{whole}\nNot the footer.\n")), format!("{original}\n\nNot the footer."));
    let between = whole.replace("**Why", "Only in English.\n\n**Why");
    assert_eq!(order(&between), format!("{original}\n\nOnly in English."));
    assert_eq!(order("Something else."), "Something else.");
}

#[test]
fn the_pull_request_of_an_issue() {
    let task = finding_task("FIXME: sort the menu");
    let (title, body) = pull_request(&task, &shown(&task, Some("acme/web")), "ada", &run(&task), 420_000);
    insta::assert_snapshot!(format!("{title}\n\n{body}"), @"
    FIXME: sort the menu

    Closes #12.

    1 file changed, 12 lines added and 3 removed.

    **Checked** on exactly this commit, in a fresh checkout:

    - `cargo test` passed in 12.3 s

    <details><summary>Where this comes from</summary>

    | | |
    |---|---|
    | Task | `czvbw6bqmt` |
    | Run | `czvbw6bqmt-2` |
    | Agent | `default` |
    | Approved by | ada |
    | Cost | $0.42 |
    | Sandbox | bubblewrap: no network, own home |

    </details>

    Is something missing? Request changes in a review, or comment `/ccm revise` with what is wanted, and the agent takes it up.
    ");
}

#[test]
fn the_pull_request_without_checks_for_an_issue_elsewhere_and_for_none() {
    let task = finding_task("FIXME: sort the menu");
    let unchecked = Run { checks: Vec::new(), files: Vec::new(), ..run(&task) };
    let (_, elsewhere) = pull_request(&task, &shown(&task, Some("acme/backlog")), "ada", &unchecked, 420_000);
    insta::assert_snapshot!(elsewhere.split("\n<details>").next().unwrap(), @"
    For acme/backlog#12.

    0 files changed, 0 lines added and 0 removed.

    **No checks were run:** none are configured and none were recognised. Name some as `checks` in `.github/ccm.toml`.
    ");
    let (_, none) = pull_request(&task, &shown(&task, None), "ada", &run(&task), 420_000);
    insta::assert_snapshot!(none.split("\n\n1 file").next().unwrap(), @"
    In `src/menu.rs`, lines 7–9, written on 2026-10-17:

    ```
    FIXME: sort the menu
    ```
    ");
}

#[test]
fn the_messages_of_commit_and_merge() {
    let task = finding_task("FIXME: sort the menu by name, then by price, and keep the cheapest of all at the end");
    insta::assert_snapshot!(commit_message(&task, &run(&task)), @"
    FIXME: sort the menu by name, then by price, and keep the cheapest of a…

    Works off the comment in src/menu.rs, lines 7–9.

    Task: czvbw6bqmt
    Run: czvbw6bqmt-2
    Agent: default
    ");
    insta::assert_snapshot!(merge_message(&task, "ada"), @"
    Merge task czvbw6bqmt: FIXME: sort the menu by name, then by price, and keep the cheapest of all at the end

    Merged by ada on the dashboard.
    ");
    let persons = persons_task("Sort the menu", "");
    insta::assert_snapshot!(commit_message(&persons, &run(&persons)).replace(persons.id.as_str(), "<id>"), @"
    Sort the menu

    Task: <id>
    Run: <id>-2
    Agent: default
    ");
}

/// A task that is proposed on a person's issue.
fn issue_task() -> Task {
    let task = finding_task("It is slow.\n\nFixes #1, says @everyone");
    let finding = task.finding.clone().map(|finding| Finding {
        source: Source::StaleIssue,
        path: String::new(),
        issue: Some(12),
        interest: 5,
        ..finding
    });
    scored(Task { source: Source::StaleIssue, kind: String::new(), finding, ..task })
}

#[test]
fn a_persons_issue_is_told_how_things_stand() {
    let task = issue_task();
    let proposed = proposal_on_issue(&task, "approved-for-dev", Some(&likely()));
    for words in
        ["+10 5 reactions and replies", "**What it takes:** About $0.42", "`approved-for-dev`", "without the comments"]
    {
        assert!(proposed.contains(words), "{words}: {proposed}");
    }
    assert!(!proposed.contains("@everyone"), "{proposed}");
    let by = || Actor::person("ada", Channel::Comment);
    let said = [
        TaskState::Obsolete { proposal: None },
        TaskState::Rejected { by: by(), proposal: None, pull: None },
        TaskState::Cancelled { by: by(), proposal: None, pull: None },
    ]
    .map(|state| standing_on_issue(&Task { state, ..task.clone() }).unwrap_or_default());
    assert_eq!(
        said.concat(),
        "This is no longer proposed as a task for an agent: somebody has written here, or it is closed.\n\
         No agent works on this issue: ada said no. It is not proposed again.\n\
         The work on this issue was stopped by ada.\n"
    );
    assert_eq!(standing_on_issue(&task), None, "it goes on");
}

#[test]
fn only_an_address_of_the_web_is_shown_as_one() {
    for (url, shown) in [
        ("https://forge.test/acme/web/security/dependabot/7", true),
        ("https://forge.test/a) [b](https://evil.test", false),
        ("javascript:alert(1)", false),
        ("https://forge.test/a b", false),
        ("", false),
    ] {
        let task = finding_task("FIXME: sort the menu");
        let finding = task.finding.clone().map(|finding| Finding { url: url.to_owned(), ..finding });
        let (_, body) = proposal(&Task { finding, ..task });
        assert_eq!(body.contains("More about it: "), shown, "{url}");
    }
}

#[test]
fn comments_say_what_to_do_next() {
    let comments = [
        failed_comment("the run's budget of $5.00 is spent. Give it more, then retry"),
        failed_comment("The check `test` did not pass. The end of its output:\nassert failed\n```\n@everyone"),
        obsolete_comment(&finding_task("TODO: a")),
        obsolete_comment(&Task { source: Source::Ci, ..finding_task("TODO: a") }),
        unknown_command("approve please"),
        unknown_command(""),
        refused_bot("robot"),
        refused_outsider("stranger"),
    ];
    insta::assert_snapshot!(comments.join("\n---\n"), @"
    This could not be done. The run's budget of $5.00 is spent. Give it more, then retry.

    Comment `/ccm retry` to have it tried again, or close this issue.

    ---
    This could not be done. The check `test` did not pass. The end of its output:

    ````text
    assert failed
    ```
    @everyone
    ````

    Comment `/ccm retry` to have it tried again, or close this issue.

    ---
    The comment is gone from the code, so there is nothing left to do here.

    ---
    The check is no longer red, so there is nothing left to do here.

    ---
    `/ccm approve please` is not a command here. Use approve, reject, retry, cancel, agent NAME or budget USD.
    ---
    `/ccm` is not a command here. Use approve, reject, retry, cancel, agent NAME or budget USD.
    ---
    robot is not a person, and only people decide.
    ---
    stranger has no write access to this repository, so this does not count.
    ");
}

#[test]
fn a_log_in_a_comment_is_bounded() {
    let comment = failed_comment(&format!("The check did not pass.\n{}", "a line of the log\n".repeat(100_000)));
    assert!(comment.len() < 7_000, "{}", comment.len());
}

#[test]
fn every_event_has_its_line() {
    let run = || "3k9d0fz2ha-1".parse().unwrap();
    let words = || "Some words.".to_owned();
    let kinds = [
        EventKind::Found,
        EventKind::Added,
        EventKind::Proposed { url: Some("https://forge.test/12".to_owned()) },
        EventKind::Proposed { url: None },
        EventKind::Edited,
        EventKind::Approved,
        EventKind::Refused { why: words() },
        EventKind::Rejected,
        EventKind::Obsolete,
        EventKind::RunStarted { run: run() },
        EventKind::RunFinished { run: run(), outcome: "over_budget".to_owned(), cost_micro_usd: 4_200 },
        EventKind::Checked { name: "cargo test".to_owned(), passed: true },
        EventKind::Checked { name: "cargo test".to_owned(), passed: false },
        EventKind::Judged { good: true, reasons: vec![] },
        EventKind::Judged { good: false, reasons: vec!["One.".to_owned(), "Two.".to_owned()] },
        EventKind::Delivered { url: "https://forge.test/34".to_owned() },
        EventKind::RevisionAsked { why: "grace asks for a change".to_owned() },
        EventKind::Retried { why: words() },
        EventKind::Merged,
        EventKind::PullClosed,
        EventKind::Cancelled,
        EventKind::Failed { reason: words() },
        EventKind::Changed { what: "agent codex".to_owned() },
        EventKind::Messaged { text: "Only\nin English.".to_owned() },
        EventKind::Watched,
        EventKind::Parked { reason: words() },
        EventKind::Scanned { findings: 1 },
        EventKind::Scanned { findings: 2 },
    ];
    let lines: Vec<String> = kinds.into_iter().map(|kind| line(Actor::person("ada", Channel::Label), kind)).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    found in the code
    added by ada (by label)
    proposed: https://forge.test/12
    proposed on the dashboard
    the text of the proposal changed; it needs approval as it is now
    approved by ada (by label)
    ada (by label) was refused: Some words.
    rejected by ada (by label)
    the work is gone
    run 3k9d0fz2ha-1 started
    run 3k9d0fz2ha-1 ended: over budget, $0.0042
    check passed: cargo test
    check did not pass: cargo test
    verified
    not good: One. Two.
    in review: https://forge.test/34
    back to the agent: grace asks for a change
    tried again: Some words.
    merged by ada (by label)
    closed without a merge by ada (by label)
    cancelled by ada (by label)
    failed: Some words.
    ada (by label) chose agent codex
    ada (by label) said to the agent: Only in English.
    watched from now on
    parked: Some words.
    read: 1 finding
    read: 2 findings
    ");
}

#[test]
fn every_channel_has_its_words() {
    let channels = [Channel::Comment, Channel::Dashboard, Channel::Api, Channel::Cli, Channel::Policy, Channel::Forge];
    let people = channels.map(|channel| Actor::person("ada", channel));
    let others = [Actor::Service, Actor::Agent { name: "codex".to_owned() }];
    let lines: Vec<String> = people.into_iter().chain(others).map(|actor| line(actor, EventKind::Cancelled)).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    cancelled by ada (by comment)
    cancelled by ada (on the dashboard)
    cancelled by ada (by API)
    cancelled by ada (on the command line)
    cancelled by ada (by policy)
    cancelled by ada (on the code host)
    cancelled by ccm
    cancelled by agent codex
    ");
}

fn line(actor: Actor, kind: EventKind) -> String {
    event(&Event { seq: 1, event: NewEvent { at: NOW, repository: repo(), task: None, actor, kind } })
}

#[test]
fn a_line_of_a_timeline_is_one_line_and_bounded() {
    let long = line(Actor::Service, EventKind::Messaged { text: "many words\n".repeat(10_000) });
    assert_eq!((long.lines().count(), long.chars().count() <= 1_000, long.ends_with('…')), (1, true, true));
}

#[test]
fn hostile_text_does_not_get_out_of_its_quote() {
    let task = Task { title: HOSTILE.to_owned(), ..finding_task(HOSTILE) };
    let persons = persons_task(HOSTILE, HOSTILE);
    let hostile = Run { agent: HOSTILE.to_owned(), sandbox: HOSTILE.to_owned(), ..run(&task) };
    let bodies = [
        proposal(&task).1,
        proposal(&persons).1,
        pull_request(&task, &shown(&task, None), HOSTILE, &hostile, 420_000).1,
        failed_comment(HOSTILE),
    ];
    for body in bodies {
        // Outside quotes there are our own tags and our own reference only.
        let own = live(&body).replace("<details><summary>", "").replace("</summary>", "").replace("</details>", "");
        assert!(is_harmless(&own), "{own}");
        assert!(!body.contains("<!--"), "{body}");
    }
    for line in [commit_message(&task, &hostile), merge_message(&task, "ada")] {
        let title = line.lines().next().unwrap();
        assert!(!title.contains("#1") && !title.contains("@everyone"), "{title}");
    }
    insta::assert_snapshot!(live(&proposal(&task).1), @"
    In `src/menu.rs`, lines 7–9, written on 2026-10-17:


    **Why this one:** 62 points.

    - +50 todo FIXME
    - +12 waiting 90 days
    ");
}

#[test]
fn a_hostile_path_and_check_stay_code() {
    let mut task = finding_task("FIXME: sort");
    if let Some(finding) = &mut task.finding {
        finding.path = "a`b\n@everyone\n\nSigned-off-by: eve/#1".to_owned();
    }
    insta::assert_snapshot!(proposal(&task).1.lines().next().unwrap(), @"In `` a`b @everyone Signed-off-by: eve/#1 ``, lines 7–9, written on 2026-10-17:");
    let message = commit_message(&task, &run(&task));
    assert!(!message.contains("\nSigned-off-by") && !message.contains("@e") && !message.contains("#1"), "{message}");
    let checks = vec![CheckResult { name: "`@everyone`\n# big".to_owned(), ..run(&task).checks[0].clone() }];
    let (_, body) = pull_request(&task, &shown(&task, None), "ada", &Run { checks, ..run(&task) }, 420_000);
    assert!(body.contains("\n- `` `@everyone` # big `` passed in 12.3 s\n"), "{body}");
}

#[rstest]
#[case("TODO(#12): sort the menu", "TODO(#12): sort the menu")]
#[case("Tell @ada about <b> & \"x\"", "Tell @ada about <b> & \"x\"")]
#[case("two\nlines\r\nand\u{202e} a bidi mark", "two lines and a bidi mark")]
#[case("an <!-- html --> comment", "an <! -- html --> comment")]
#[case(" \n ", "Task <id>")]
fn a_title_is_plain(#[case] given: &str, #[case] expected: &str) {
    let task = Task { title: given.to_owned(), ..finding_task("FIXME: sort") };
    assert_eq!(proposal(&task).0, expected.replace("<id>", task.id.as_str()));
}

#[rstest]
#[case("TODO(#12): sort the menu", "TODO(#12): sort the menu")]
#[case("FIXME: see #12", "FIXME: see #12")]
#[case("TODO: fixes #12", "TODO: fixes #\u{200b}12")]
#[case("Closes: acme/web#3", "Closes: acme/web#\u{200b}3")]
#[case("resolve GH-3", "resolve GH-\u{200b}3")]
#[case("fixed https://x/issues/4", "fixed https://x/issues/\u{200b}4")]
fn a_pull_requests_title_closes_nothing(#[case] given: &str, #[case] expected: &str) {
    let task = Task { title: given.to_owned(), ..finding_task("FIXME: sort") };
    assert_eq!(pull_request(&task, &shown(&task, None), "ada", &run(&task), 420_000).0, expected);
}

#[test]
fn a_title_of_ten_thousand_letters_is_cut() {
    let task = Task { title: "é".repeat(10_000), ..finding_task("FIXME: sort") };
    let (title, _) = proposal(&task);
    assert_eq!((title.chars().count(), title.ends_with('…')), (250, true));
    assert_eq!(commit_message(&task, &run(&task)).lines().next().unwrap().chars().count(), 72);
}

#[rstest]
#[case(0, "$0.00")]
#[case(1, "$0.0000")]
#[case(4_200, "$0.0042")]
#[case(10_000, "$0.01")]
#[case(420_000, "$0.42")]
#[case(12_345_678, "$12.35")]
fn money_is_shown_in_dollars(#[case] micro: u64, #[case] expected: &str) {
    assert_eq!(usd(micro), expected);
}

#[rstest]
#[case("it failed", "It failed.")]
#[case("  Really? ", "Really?")]
#[case("the end of the log:", "The end of the log:")]
#[case("élan", "Élan.")]
#[case("`x` is gone", "`x` is gone.")]
#[case("", "")]
fn a_sentence_is_finished(#[case] given: &str, #[case] expected: &str) {
    assert_eq!(sentence(given), expected);
}

proptest! {
    #[test]
    fn a_quote_cannot_be_closed_by_what_is_in_it(text in "[`~a\n\r \u{200b}<!-]{0,60}") {
        let quoted = fenced(&text, "text");
        prop_assert_eq!(live(&format!("{quoted}\nafter")), "after\n");
        let span = code(&text);
        let ticks = span.len() - span.trim_start_matches('`').len();
        let inner = &span[ticks..span.len() - ticks];
        prop_assert!(span.lines().count() == 1 && (backticks(inner) < ticks), "{span}");
    }

    #[test]
    fn tamed_text_is_harmless(text in "(@ada|#1|GH-1|<b>|</b>|<!-- x|!\\[x|/issues/1|/pull/2|\u{200b}|`| |a|<|!|@|#){0,12}") {
        let tamed = tame(&text);
        prop_assert!(is_harmless(&tamed), "{tamed:?}");
    }
}
