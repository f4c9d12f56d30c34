//! What must not happen: things done twice or lost, money without an end, one broken thing that stops the others.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backlog::event::{Actor, Channel, EventKind};
use backlog::names::RepoName;
use backlog::run::{RunOutcome, RunState};
use backlog::task::{Stage, Task};
use pipeline::approve::{Decision, add, decide};
use pipeline::driver::Driver;
use pipeline::settings::{AgentKind, PromptBy};
use pipeline::{Context, discover, housekeep, propose, verify, worker};
use store::{EventQuery, JobKind};
use testkit::github::Fault;
use tokio_util::sync::CancellationToken;

use crate::story::{FILES, POLICY, Story};

fn app() -> RepoName {
    "me/app".parse().unwrap()
}

fn operator() -> Actor {
    Actor::person("operator", Channel::Dashboard)
}

/// Waits for something that happens in another task.
async fn until(what: &str, happened: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if happened() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it did not happen: {what}");
}

/// Replaces the whole program of the default agent.
fn program(ctx: &Context, text: &str) {
    let path = ctx.settings().agents["default"].program.clone().unwrap();
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

async fn runs(t: &Story, task: &Task) -> Vec<backlog::run::Run> {
    t.ctx.store.runs(Some(&task.id), 0).await.unwrap()
}

/// A task of a person that never was an issue, approved on the dashboard.
async fn approved_without_an_issue(t: &Story) -> Task {
    let task = add(&t.ctx, app(), "Say more", "In the greeting.", None, operator()).await.unwrap();
    decide(&t.ctx, &task.id, Decision::Approve(None), operator()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_place_of_the_prompt_file_leads_nowhere() {
    let t = Story::start().await;
    let mut settings = (*t.ctx.settings()).clone();
    settings.agents.get_mut("default").unwrap().prompt = PromptBy::File;
    t.ctx.set_settings(settings);
    program(&t.ctx, "#!/bin/sh\ngrep -q 'greet the world' \"$1\" && sed -i '/TODO/d' app.py\n");
    t.settle().await;
    let home = t.ctx.paths.runs().join(format!("{}-1/home", t.task().await.id));
    std::fs::create_dir_all(&home).unwrap();
    let precious = t.ctx.paths.data.join("precious");
    std::fs::write(&precious, "mine").unwrap();
    std::os::unix::fs::symlink(&precious, home.join("ccm-prompt.md")).unwrap();
    t.github.label(1, "approved-for-dev", "maintainer");
    t.settle().await;
    assert_eq!(t.stage().await, Stage::InReview, "{}", t.timeline().await);
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "mine");
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_without_capacity_pauses_the_same_run_with_the_same_budget() {
    let t = Story::start().await;
    let mut settings = (*t.ctx.settings()).clone();
    settings.agents.get_mut("default").unwrap().kind = AgentKind::Claude;
    t.ctx.set_settings(settings);
    let said = r#"{"type":"system","subtype":"init","session_id":"s-1"}"#;
    let limited = r#"{"type":"result","subtype":"success","is_error":true,"api_error_status":429,"result":"Too many"}"#;
    let done = r#"{"type":"result","subtype":"success","is_error":false,"result":"Done"}"#;
    let script = format!(
        "#!/bin/sh\nread hello; read prompt\necho '{said}'\ncase \"$*\" in\n\
         *'--resume s-1'*) sed -i '/TODO/d' app.py; echo '{done}';;\n*) echo '{limited}';;\nesac\n"
    );
    program(&t.ctx, &script);
    t.settle().await;
    t.github.label(1, "approved-for-dev", "maintainer");
    t.settle().await;
    assert_eq!(t.stage().await, Stage::Running, "{}", t.timeline().await);
    t.check_invariants().await;
    t.later(Duration::from_secs(900)).await;
    let task = t.task().await;
    assert_eq!(task.state.stage(), Stage::InReview, "{}", t.timeline().await);
    assert_eq!(runs(&t, &task).await.len(), 1);
    assert!(t.timeline().await.contains("provider asks to wait"), "{}", t.timeline().await);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_while_the_base_is_checked_is_no_verdict() {
    let t = Story::start().await;
    t.github.commit("me/app", "Slow", &[("check.sh", "grep -q TODO app.py && sleep 60\ntest ! -f new\n")]).await;
    t.agent("sed -i '/TODO/d' app.py; touch new");
    t.settle().await;
    decide(&t.ctx, &t.task().await.id, Decision::Approve(None), operator()).await.unwrap();
    let now = t.ctx.now();
    let claim = async |kinds: &[JobKind]| {
        t.ctx.store.claim("story:-x", kinds, 9, now, now.plus(worker::LEASE)).await.unwrap().unwrap()
    };
    let run = claim(&[JobKind::Run]).await;
    pipeline::run::run_task(&t.ctx, &run, &CancellationToken::new()).await.unwrap();
    let job = claim(&[JobKind::Verify]).await;
    let folder: PathBuf = t.ctx.paths.runs().join(format!("{}-1/baseline-{}", job.task, job.epoch));
    let stop = CancellationToken::new();
    let stopping = async {
        until("the base is checked", || folder.join("check.sh").exists()).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        stop.cancel();
    };
    let (done, ()) = tokio::join!(verify::verify_run(&t.ctx, &job, &stop), stopping);
    done.unwrap();
    assert_eq!(t.stage().await, Stage::Verifying, "{}", t.timeline().await);
    let jobs = t.ctx.store.jobs().await.unwrap();
    assert!(matches!(jobs.as_slice(), [job] if job.held.is_none() && job.claims == 0), "{jobs:?}");
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_cancelled_is_over_and_leaves_no_folder() {
    let t = Story::start().await;
    t.agent("sleep 60");
    t.settle().await;
    let task = t.task().await;
    decide(&t.ctx, &task.id, Decision::Approve(None), operator()).await.unwrap();
    let cancelling = async {
        until("the agent works", || !t.ctx.live.all().is_empty()).await;
        decide(&t.ctx, &task.id, Decision::Cancel, operator()).await.unwrap();
    };
    let (worked, ()) = tokio::join!(worker::drain(&t.ctx), cancelling);
    assert!(worked.unwrap());
    let run = runs(&t, &task).await.remove(0);
    assert_eq!(run.state, RunState::Finished(RunOutcome::Cancelled));
    assert!(run.finished_at.is_some());
    housekeep::housekeep(&t.ctx).await.unwrap();
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pull_request_of_a_cancelled_task_is_closed_even_if_it_never_was_an_issue() {
    let t = Story::start().await;
    t.agent("echo '# more' >> app.py");
    t.settle().await;
    let task = approved_without_an_issue(&t).await;
    t.settle().await;
    assert_eq!(t.github.pulls().len(), 1, "{}", t.timeline_of(&task.id).await);
    decide(&t.ctx, &task.id, Decision::Cancel, operator()).await.unwrap();
    t.settle().await;
    assert!(!t.github.pulls()[0].issue.open);
    t.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_cancelled_while_it_is_delivered_leaves_no_open_pull_request() {
    let t = Story::start().await;
    t.settle().await;
    t.github.fail(Fault::slow(Duration::from_secs(2)).on("GET /repos/{owner}/{repo}/pulls/{pull_number}"));
    let task = t.task().await;
    decide(&t.ctx, &task.id, Decision::Approve(None), operator()).await.unwrap();
    let cancelling = async {
        until("the pull request is open", || !t.github.pulls().is_empty()).await;
        decide(&t.ctx, &task.id, Decision::Cancel, operator()).await.unwrap();
    };
    let (worked, ()) = tokio::join!(worker::drain(&t.ctx), cancelling);
    assert!(worked.unwrap());
    t.settle().await;
    assert_eq!(t.stage().await, Stage::Cancelled, "{}", t.timeline().await);
    assert!(!t.github.pulls()[0].issue.open);
    t.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_that_is_refused_holds_up_no_other() {
    let t = Story::start().await;
    let many: String = (0..3).map(|n| format!("# TODO: handle the case number {n}\nx = {n}\n")).collect();
    t.github.commit("me/app", "Much to do", &[("many.py", &many)]).await;
    discover::watch(&t.ctx).await.unwrap();
    let repository = t.ctx.store.repositories().await.unwrap().remove(0);
    discover::scan(&t.ctx, &repository, true).await.unwrap();
    t.github.fail(Fault::status(422, "Validation Failed").on("POST /repos/{owner}/{repo}/issues"));
    propose::propose_next(&t.ctx, &app()).await.unwrap_err();
    assert_eq!((t.tasks().await.len(), t.github.issues().len()), (4, 3));
    t.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_that_rest_take_no_turn_from_the_others() {
    let t = Story::start().await;
    t.github.repo("me/aaa").await;
    let mut settings = (*t.ctx.settings()).clone();
    settings.limits.concurrent_repositories = 1;
    t.ctx.set_settings(settings);
    discover::watch(&t.ctx).await.unwrap();
    let mut broken = t.ctx.store.repositories().await.unwrap().remove(0);
    assert_eq!(broken.name.as_str(), "me/aaa");
    (broken.failures, broken.retry_at) = (1, Some(t.ctx.now().plus(Duration::from_secs(86_400))));
    t.ctx.store.put_repository(&broken).await.unwrap();
    let stop = CancellationToken::new();
    let driving = Arc::new(Driver::new()).drive(t.ctx.clone(), stop.clone());
    let reading = async {
        until("the other one is read and proposed to", || !t.github.issues_in("me/app").is_empty()).await;
        stop.cancel();
    };
    tokio::join!(driving, reading);
    t.check_invariants().await;
}

/// Drives the service until `happened`, then drops what is still under way.
async fn driven_until(t: &Story, what: &str, happened: impl Fn() -> bool) {
    let driving = Arc::new(Driver::new()).drive(t.ctx.clone(), CancellationToken::new());
    tokio::select! {
        () = driving => unreachable!("nobody stops it"),
        () = until(what, happened) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_whose_answer_never_comes_starves_no_other() {
    let t = Story::start().await;
    for name in ["me/aaa", "me/bbb", "me/ccc"] {
        t.github.repo(name).await;
        t.github.commit(name, "Begin", &FILES).await;
    }
    let names = ["me/aaa", "me/app", "me/bbb", "me/ccc"];
    let proposed = || names.iter().filter(|name| !t.github.issues_in(name).is_empty()).count();
    t.github.fail(Fault::execute_then_hang().on("GET /repos/{owner}/{repo}/tarball/{ref}").times(1));
    driven_until(&t, "all but the one that hangs are proposed to", || proposed() == names.len() - 1).await;
    let far = t.ctx.progress.far();
    assert_eq!((far.of, far.done), (4, 3), "the one that hangs is still being looked at: {:?}", far.at_work);
    t.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_somebody_pushed_last_is_looked_at_first() {
    let mut t = Story::start().await;
    t.set(|settings| settings.limits.concurrent_repositories = 1).await;
    for name in ["me/zzz", "me/bbb", "me/aaa"] {
        t.clock.advance(Duration::from_secs(3600));
        t.github.repo(name).await;
        t.github.commit(name, "Begin", &FILES).await;
    }
    let names = ["me/aaa", "me/bbb", "me/zzz", "me/app"];
    driven_until(&t, "all are proposed to", || names.iter().all(|name| !t.github.issues_in(name).is_empty())).await;
    let events = t.ctx.store.events(&EventQuery::default()).await.unwrap();
    let read = events.iter().filter(|event| matches!(event.event.kind, EventKind::Scanned { .. }));
    assert_eq!(read.map(|event| event.event.repository.as_str()).collect::<Vec<_>>(), names);
    t.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_comments_bring_no_old_decision_back() {
    let t = Story::start().await;
    t.agent("exit 3");
    t.settle().await;
    t.clock.advance(Duration::from_secs(60));
    t.github.comment(1, "maintainer", "/ccm approve");
    for _ in 0..4 {
        t.later(Duration::from_secs(3600)).await;
    }
    t.github.comment(1, "maintainer", "/ccm retry");
    for _ in 0..4 {
        t.later(Duration::from_secs(3600)).await;
    }
    let before = runs(&t, &t.task().await).await.len();
    for n in 0..1_010 {
        t.github.comment(1, "outsider", &format!("{n}"));
    }
    for _ in 0..3 {
        t.later(Duration::from_secs(3600)).await;
    }
    assert_eq!(t.stage().await, Stage::Failed);
    assert_eq!(runs(&t, &t.task().await).await.len(), before, "{}", t.timeline().await);
    t.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_takes_itself_out_is_told_once_and_starts_no_agent() {
    let t = Story::start().await;
    t.settle().await;
    t.github.commit("me/app", "Not now", &[(".github/ccm.toml", "enabled = false\n")]).await;
    t.github.label(1, "approved-for-dev", "maintainer");
    for _ in 0..4 {
        t.later(Duration::from_secs(900)).await;
    }
    let task = t.task().await;
    assert_eq!((task.state.stage(), runs(&t, &task).await.len()), (Stage::Approved, 0));
    let events = t.ctx.store.events(&EventQuery::default()).await.unwrap();
    let parked = events.iter().filter(|event| matches!(event.event.kind, EventKind::Parked { .. })).count();
    assert_eq!(parked, 1);
    t.github.commit("me/app", "Now", &[(".github/ccm.toml", POLICY)]).await;
    t.later(Duration::from_secs(3600)).await;
    assert_eq!(t.stage().await, Stage::InReview, "{}", t.timeline().await);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_not_valid_stops_agents_but_no_decision_and_is_taken_up_when_mended() {
    let t = Story::start().await;
    t.settle().await;
    t.clock.advance(Duration::from_secs(60));
    t.github.comment(1, "maintainer", "/ccm approve");
    t.github.commit("me/app", "Oops", &[(".github/ccm.toml", "check = 1\n")]).await;
    for _ in 0..12 {
        t.later(Duration::from_secs(3600)).await;
    }
    let task = t.task().await;
    assert_eq!((task.state.stage(), runs(&t, &task).await.len()), (Stage::Approved, 0), "{}", t.timeline().await);
    let parked = t.ctx.store.repositories().await.unwrap().remove(0).parked;
    assert!(parked.is_some_and(|why| why.contains("is not valid in line 1")));
    t.github.commit("me/app", "Mended", &[(".github/ccm.toml", POLICY)]).await;
    t.later(Duration::from_secs(600)).await;
    assert_eq!(t.stage().await, Stage::InReview, "{}", t.timeline().await);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_case_of_the_approval_label_does_not_count() {
    let t = Story::start().await;
    t.settle().await;
    t.github.label(1, "Approved-For-Dev", "maintainer");
    t.settle().await;
    assert_eq!(t.stage().await, Stage::InReview, "{}", t.timeline().await);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_came_before_we_knew_of_the_issue_counts() {
    let t = Story::start().await;
    t.github.commit("me/app", "More", &[("more.py", "# TODO: handle the other case\nx = 1\n")]).await;
    t.github.fail(Fault::execute_then_drop().on("POST /repos/{owner}/{repo}/issues").nth(2));
    t.settle().await;
    assert_eq!(t.github.issues().len(), 2);
    assert_eq!(t.tasks().await.iter().filter(|task| task.state.stage() == Stage::Proposed).count(), 1);
    t.clock.advance(Duration::from_secs(60));
    t.github.label(2, "approved-for-dev", "maintainer");
    t.clock.advance(Duration::from_secs(60));
    t.github.comment(1, "outsider", "Hear, hear.");
    t.later(Duration::from_secs(3600)).await;
    t.later(Duration::from_secs(60)).await;
    assert_eq!(t.github.pulls().len(), 1);
    t.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_host_that_is_away_for_hours_fails_no_task() {
    let t = Story::start().await;
    t.settle().await;
    decide(&t.ctx, &t.task().await.id, Decision::Approve(None), operator()).await.unwrap();
    t.github.fail(Fault::bad_gateway().on("POST /repos/{owner}/{repo}/pulls").forever());
    t.github.fail(Fault::bad_gateway().on("GET /repos/{owner}/{repo}/pulls").forever());
    for _ in 0..12 {
        t.later(Duration::from_secs(3600)).await;
    }
    assert_eq!(t.stage().await, Stage::Verifying, "{}", t.timeline().await);
    t.github.stop_failing();
    for _ in 0..3 {
        t.later(Duration::from_secs(3600)).await;
    }
    assert_eq!((t.stage().await, t.github.pulls().len()), (Stage::InReview, 1), "{}", t.timeline().await);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_does_not_pile_up_packs() {
    let t = Story::start().await;
    let packs = || {
        let folder = t.ctx.paths.mirror(&app()).join("objects/pack");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        names.filter(|path| path.extension().is_some_and(|end| end == "pack")).count()
    };
    for n in 0..3 {
        let many: Vec<(String, String)> = (0..120).map(|file| (format!("f{file}"), format!("{n}"))).collect();
        let files: Vec<(&str, &str)> = many.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        t.github.commit("me/app", "More", &files).await;
        discover::mirror(&t.ctx, &app()).await.unwrap().fetch().await.unwrap();
    }
    t.later(Duration::from_secs(8 * 86_400)).await;
    assert_eq!(packs(), 1);
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_and_sockets_are_for_this_user_only() {
    let t = Story::start().await;
    for folder in [t.ctx.paths.mirrors(), t.ctx.paths.runs()] {
        assert_eq!(std::fs::metadata(&folder).unwrap().mode() & 0o777, 0o700, "{}", folder.display());
    }
    t.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_runs_of_a_task_together_cost_no_more_than_is_granted_for_it() {
    let t = Story::start().await;
    t.settle().await;
    t.github.label(1, "approved-for-dev", "maintainer");
    t.settle().await;
    let mut run = runs(&t, &t.task().await).await.remove(0);
    assert_eq!(run.budget_micro_usd, 5_000_000);
    (run.usage.cost_micro_usd, run.budget_micro_usd) = (12_000_000, 12_000_000);
    let spent = |run| store::Commit { runs: vec![run], ..store::Commit::default() };
    t.ctx.store.commit(spent(run.clone())).await.unwrap();
    t.clock.advance(Duration::from_secs(60));
    t.github.review(2, "maintainer", "CHANGES_REQUESTED", "shorter, please");
    t.agent("echo '# short' >> app.py");
    t.settle().await;
    assert_eq!(runs(&t, &t.task().await).await[1].budget_micro_usd, 3_000_000);
    (run.usage.cost_micro_usd, run.budget_micro_usd) = (15_000_000, 15_000_000);
    t.ctx.store.commit(spent(run)).await.unwrap();
    t.clock.advance(Duration::from_secs(60));
    t.github.review(2, "maintainer", "CHANGES_REQUESTED", "even shorter");
    t.settle().await;
    assert_eq!((t.task().await.state.stage(), runs(&t, &t.task().await).await.len()), (Stage::Failed, 2));
    assert!(t.timeline().await.contains("Raise max_task_usd of its agent, then retry."), "{}", t.timeline().await);
    t.end().await;
}
