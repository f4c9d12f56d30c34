//! What people see.

use backlog::event::EventKind;
use backlog::finding::{Finding, Fingerprint, Source};
use backlog::names::RunId;
use backlog::run::CheckResult;
use backlog::task::Stage;

use super::*;

const EVIL: &str = r#"<script>alert("x")</script>'"&"#;

#[tokio::test]
async fn the_board_and_the_list_say_why_a_repository_is_parked_and_what_mends_it() {
    let visit = Visit::signed_in().await;
    for n in 1..=5 {
        let mut parked = repository(&format!("acme/app{n}"));
        parked.parked = Some(format!("It is archived. Unarchive number {n}."));
        visit.ctx.store.put_repository(&parked).await.unwrap();
    }
    let (board, list) = (visit.page("/").await, visit.page("/repositories").await);
    for n in 1..=5 {
        let reason = format!("It is archived. Unarchive number {n}.");
        assert_eq!((board.contains(&reason), list.contains(&reason)), (n <= 3, true), "{n}");
    }
    assert!(board.contains("And 2 more"), "{board}");
    let one = visit.page("/?repository=acme/app5").await;
    assert!(one.contains("number 5") && !one.contains("number 1"), "{one}");
    visit.stop().await;
}

#[tokio::test]
async fn nothing_from_outside_becomes_markup() {
    let visit = Visit::signed_in().await;
    let mut task = sample::task(EVIL);
    task.body = EVIL.to_owned();
    task.score.reasons[0].name = EVIL.to_owned();
    task.finding = Some(Finding {
        fingerprint: Fingerprint::of(&Source::Todo, "TODO", EVIL, 0),
        source: Source::Todo,
        kind: EVIL.to_owned(),
        repository: task.repository.clone(),
        commit: None,
        path: EVIL.to_owned(),
        line: 3,
        end_line: 3,
        title: EVIL.to_owned(),
        text: EVIL.to_owned(),
        author: Some(EVIL.to_owned()),
        written_on: Some("2026-10-17".parse().unwrap()),
        owner: None,
        issue: None,
        due: Some("2027-02-01".parse().unwrap()),
        url: String::new(),
        interest: 0,
        group: None,
    });
    let task = visit.store(&sample::at(task, Stage::Running)).await;
    let mut run = sample::run(&task, &format!("diff --git a/x b/{EVIL}\n@@ -1 +1 @@\n+{EVIL}\n"));
    (run.agent, run.sandbox, run.objections) = (EVIL.to_owned(), EVIL.to_owned(), vec![EVIL.to_owned()]);
    let check =
        CheckResult { name: EVIL.to_owned(), command: EVIL.to_owned(), log: EVIL.to_owned(), ..run.checks[0].clone() };
    run.checks = vec![check];
    let events = vec![sample::event(&task, EventKind::Messaged { text: EVIL.to_owned() })];
    visit.ctx.store.commit(Commit { runs: vec![run.clone()], events, ..Commit::default() }).await.unwrap();
    let lines: Vec<String> = ["text", "thinking", "tool_use", "tool_result", "stderr", "notice", "result", "raw", EVIL]
        .iter()
        .map(|kind| serde_json::json!({"type": kind, "text": EVIL, "line": EVIL, "name": EVIL, "input": {"command": EVIL}}))
        .map(|line| line.to_string())
        .chain([EVIL.to_owned()])
        .collect();
    visit.ctx.store.append_transcript(&run.id, sample::NOW, &lines).await.unwrap();
    let mut parked = repository("acme/app");
    (parked.parked, parked.path) = (Some(EVIL.to_owned()), Some(EVIL.to_owned()));
    visit.ctx.store.put_repository(&parked).await.unwrap();

    let path = format!("/tasks/{}", task.id);
    let search = "/?q=%3Cscript%3Ealert%28%22x%22%29%3C%2Fscript%3E%27%22%26";
    for path in ["/", search, &path, "/repositories", "/sign-in?code=%22%3E%3Cscript%3E&next=%2F%22%3E%3Cscript%3E"] {
        let page = visit.page(path).await;
        assert!(!page.contains("<script>") && !page.contains("alert(\"x\")"), "{path}: {page}");
        assert!(!page.contains(r#"'"&"#), "{path}");
    }
    assert!(visit.page(&path).await.contains("on 2026-10-17, due 2027-02-01"));
    let json: Value = serde_json::from_str(&visit.page(&format!("/api/v1{path}")).await).unwrap();
    assert_eq!(
        (&json["author"], &json["written_on"], &json["due"]),
        (&EVIL.into(), &"2026-10-17".into(), &"2027-02-01".into())
    );
    let mut socket = visit.socket(&format!("/live?view=task&task={}", task.id), &visit.address).await.unwrap();
    let pushed = heard_about(&mut socket, "task-diff").await;
    assert!(pushed.contains("alert(") && !pushed.contains("<script>"), "{pushed}");
    visit.stop().await;
}

#[tokio::test]
async fn an_approval_binds_what_was_shown() {
    let visit = Visit::signed_in().await;
    let task = visit.store(&sample::at(sample::task("Mend the parser"), Stage::Proposed)).await;
    let path = format!("/tasks/{}", task.id);
    let shown = |page: &str| {
        let rest = page.split_once(r#"name="content" value=""#).expect("the page carries the hash").1;
        rest.split_once('"').unwrap().0.to_owned()
    };
    let stale = shown(&visit.page(&path).await);
    let mut edited = task.clone();
    edited.body = "Do something else.".to_owned();
    let edited = visit.store(&sample::at(edited, Stage::Proposed)).await;

    let refused = visit.post(&format!("{path}/approve"), &[("content", &stale)]).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = refused.text().await.unwrap();
    assert!(page.contains("The text has changed since you read it. Read it again, then approve."), "{page}");
    assert_eq!(visit.ctx.store.task(&task.id).await.unwrap(), Some(edited));

    let done = visit.post(&format!("{path}/approve"), &[("content", &shown(&page))]).await;
    assert_eq!((done.status(), location(&done)), (StatusCode::SEE_OTHER, path.as_str()));
    let task = visit.ctx.store.task(&task.id).await.unwrap().unwrap();
    assert_eq!((task.state.stage(), visit.ctx.store.jobs().await.unwrap().len()), (Stage::Approved, 1));
    visit.stop().await;
}

#[tokio::test]
async fn a_task_has_the_buttons_that_its_state_allows() {
    let visit = Visit::signed_in().await;
    let mut table = String::new();
    for stage in Stage::ALL {
        let mut task = sample::task(stage.as_str());
        task.repository = "local/app".parse().unwrap();
        let task = visit.store(&sample::at(task, stage)).await;
        let page = visit.page(&format!("/tasks/{}", task.id)).await;
        let buttons: Vec<&str> = ["approve", "reject", "cancel", "retry", "merge", "options", "message"]
            .into_iter()
            .filter(|action| page.contains(&format!(r#"action="/tasks/{}/{action}""#, task.id)))
            .collect();
        table.push_str(&format!("{stage}: {}\n", buttons.join(" ")));
    }
    insta::assert_snapshot!(table, @r"
    found: approve reject options
    proposed: approve reject options
    approved: cancel options
    running: cancel message
    verifying: cancel
    in_review: cancel merge options
    done: 
    failed: cancel retry options
    rejected: 
    obsolete: 
    cancelled: 
    ");
    visit.stop().await;
}

#[tokio::test]
async fn options_and_own_tasks_are_taken_or_explained() {
    let visit = Visit::signed_in().await;
    let added = visit.post("/tasks", &[("repository", "acme/app"), ("title", "My own"), ("body", "")]).await;
    let path = location(&added).to_owned();
    assert!(visit.page(&path).await.contains("My own"));
    let set = visit.post(&format!("{path}/options"), &[("agent", "careful"), ("budget", "2.5")]).await;
    assert_eq!(set.status(), StatusCode::SEE_OTHER);
    let page = visit.page(&path).await;
    assert!(page.contains("<option selected>careful</option>") && page.contains(r#"value="2.50""#), "{page}");
    for (action, fields, status, says) in [
        ("options", [("agent", "nobody"), ("budget", "")], 422, "No agent is called `nobody`"),
        ("options", [("agent", ""), ("budget", "lots")], 422, "The budget is an amount in dollars"),
        ("retry", [("", ""), ("", "")], 409, "A task that is found cannot be"),
        ("message", [("text", "hi"), ("", "")], 422, "No agent is at work on this task"),
        ("nonsense", [("", ""), ("", "")], 404, "There is no such button."),
    ] {
        let answer = visit.post(&format!("{path}/{action}"), &fields).await;
        assert_eq!(answer.status().as_u16(), status, "{action}");
        assert!(answer.text().await.unwrap().contains(says), "{action}: {says}");
    }
    let refused = visit.post("/tasks", &[("repository", "acme/app"), ("title", " "), ("body", "kept")]).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let page = refused.text().await.unwrap();
    assert!(page.contains("A task needs a title.") && page.contains(">kept</textarea>"), "{page}");
    visit.stop().await;
}

#[tokio::test]
async fn the_board_shows_the_best_and_says_how_many_more() {
    let visit = Visit::signed_in().await;
    assert!(visit.page("/").await.contains("Nothing found yet"));
    visit.ctx.store.remove_repository(&"acme/app".parse().unwrap()).await.unwrap();
    assert!(visit.page("/").await.contains("No repository is watched yet"));
    let tasks = (0..60).map(|n| sample::task(&format!("Task {n}"))).collect();
    visit.ctx.store.commit(Commit { tasks, ..Commit::default() }).await.unwrap();
    let page = visit.page("/").await;
    assert_eq!(page.matches(r#"<li class="card">"#).count(), 50);
    assert!(page.contains("10 more, ranked lower."), "{page}");
    let page = visit.page("/?q=task+59").await;
    assert_eq!(page.matches(r#"<li class="card">"#).count(), 1);
    visit.store(&sample::at(sample::task("No, thanks"), Stage::Rejected)).await;
    assert!(visit.page("/").await.contains("1 rejected"));
    assert!(visit.page("/?closed=1").await.contains("No, thanks"));
    visit.stop().await;
}

#[tokio::test]
async fn a_card_says_what_and_why() {
    let visit = Visit::signed_in().await;
    let task = visit.store(&sample::task("Mend the parser")).await;
    let page = visit.page("/").await;
    let card = page.split_once(r#"<li class="card">"#).unwrap().1.split_once("</li>\n</ul>").unwrap().0;
    let card: Vec<&str> = card.lines().filter(|line| !line.trim().is_empty()).collect();
    insta::assert_snapshot!(card.join("\n").replace(task.id.as_str(), "ID"), @r#"
    <a class="title" href="/tasks/ID">Mend the parser</a>
    <p class="meta"><span class="points" title="Points: more is earlier">100</span><span class="where">acme/app</span></p>
    <ul class="reasons"><li>+100 person</li></ul>
    <p class="meta age"><time datetime="2026-01-01T00:00:00Z">2026-01-01 00:00 UTC</time></p>
    "#);
    visit.stop().await;
}

#[tokio::test]
async fn a_long_transcript_begins_near_its_end() {
    let visit = Visit::signed_in().await;
    let task = visit.store(&sample::at(sample::task("One"), Stage::InReview)).await;
    visit.ctx.store.commit(Commit { runs: vec![sample::run(&task, "")], ..Commit::default() }).await.unwrap();
    let run = RunId::of(&task.id, 1);
    let lines: Vec<String> = (1..=750).map(|n| format!(r#"{{"type":"text","text":"line {n}."}}"#)).collect();
    visit.ctx.store.append_transcript(&run, sample::NOW, &lines).await.unwrap();
    let page = visit.page(&format!("/tasks/{}", task.id)).await;
    assert!(page.contains("line 750.") && page.contains("line 451.") && !page.contains("line 450."));
    let earlier = visit.page(&format!("/tasks/{}/transcript?run={run}&before=450", task.id)).await;
    assert!(earlier.contains("line 450.") && earlier.contains("line 151.") && earlier.contains("before=150"));
    visit.stop().await;
}

#[tokio::test]
async fn the_health_page_shows_what_is_measured() {
    let visit = Visit::signed_in().await;
    let page = visit.page("/health").await;
    for part in
        ["event loop", "Queues", "<td>verify</td>", "Sandbox", "none: the whole network", "Memory", "Operations"]
    {
        assert!(page.contains(part), "{part}");
    }
    // As housekeeping measures it, and as looks count themselves.
    ::metrics::gauge!("ccm_mirrors_bytes").set(1_610_612_736.0);
    ::metrics::counter!("ccm_looks_total", "way" => "archive").increment(7_001);
    let page = visit.page("/health").await;
    for part in ["<dt>Mirrors</dt><dd>1.50 of 20 GiB</dd>", "<dt>Looks by archive</dt><dd>7001</dd>", "Looks by git"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    ::metrics::gauge!("ccm_mirrors_bytes").set(30_000_000_000.0);
    assert!(visit.page("/health").await.contains("27.94 of 20 GiB <span class=\"tag bad\">over</span>"));
    visit.stop().await;
}

#[tokio::test]
async fn the_ranking_says_what_counts_and_what_tasks_took() {
    let visit = Visit::signed_in().await;
    let page = visit.page("/ranking").await;
    assert!(page.contains("Nothing is known yet") && page.contains("a person asks for it"), "{page}");
    for n in 0..5 {
        let task = visit.store(&sample::at(sample::task(&format!("Task {n}")), Stage::Done)).await;
        visit.ctx.store.commit(Commit { runs: vec![sample::run(&task, "")], ..Commit::default() }).await.unwrap();
    }
    let page = visit.page("/ranking").await;
    for part in ["<code>experience</code>", "Tasks of", ">person<", ">5<", "$0.42", "4 min 12 s"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let next = visit.store(&sample::task("One more")).await;
    let said = "About $0.42 and 5 min of an agent&#39;s work; 5 of the last 5 tasks of person were merged.";
    let page = visit.page(&format!("/tasks/{}", next.id)).await;
    assert!(page.contains(said), "{page}");
    let (_, json) = visit.api("GET", &format!("/api/v1/tasks/{}", next.id), None).await;
    assert_eq!(json["expected"]["cost_usd"], 0.42, "{json}");
    assert_eq!((&json["expected"]["merged"], &json["expected"]["tasks"]), (&5.into(), &5.into()), "{json}");
    visit.stop().await;
}
