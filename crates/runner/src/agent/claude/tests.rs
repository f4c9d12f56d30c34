use std::path::Path;

use rstest::rstest;

use super::*;

/// Sessions recorded from the real CLI against a scripted model; only the lines the CLI wrote.
fn transcript(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(format!("{name}.jsonl"));
    std::fs::read_to_string(path).unwrap()
}

fn agent(spec: &SessionSpec) -> ClaudeCode {
    let mut agent = ClaudeCode::new("claude");
    agent.command(&SessionSpec { checkout: "/checkout".into(), ..spec.clone() });
    agent
}

fn feed(agent: &mut ClaudeCode, name: &str) -> Vec<Step> {
    transcript(name).lines().flat_map(|line| agent.on_line(line)).collect()
}

fn exit(code: i32) -> Exit {
    Exit { code: Some(code), signal: None }
}

/// One line for each step, without what differs from recording to recording.
fn story(steps: &[Step]) -> String {
    let line = |step: &Step| match step {
        Step::Event(event) => {
            let mut event = serde_json::to_value(event).unwrap();
            for key in ["id", "model"] {
                event.as_object_mut().unwrap().remove(key);
            }
            format!("  {event}")
        }
        Step::Write(line) => {
            let message: Value = serde_json::from_str(line).unwrap();
            format!("> {}", message["response"]["response"])
        }
        Step::CloseStdin => "> (end of input)".to_owned(),
        Step::Finished => "  (finished)".to_owned(),
    };
    steps.iter().map(|step| line(step).chars().take(90).collect()).collect::<Vec<String>>().join("\n")
}

#[test]
fn a_session_is_told_from_its_start_to_its_result() {
    let mut agent = agent(&SessionSpec::default());
    let steps = feed(&mut agent, "done");
    insta::assert_snapshot!(story(&steps), @r#"
      {"type":"session"}
      {"text":"I will write the file.","type":"text"}
      {"input":{"content":"hello\n","file_path":"/checkout/hello.txt"},"name":"Write","type":"
    > {"behavior":"allow","updatedInput":{"content":"hello\n","file_path":"/checkout/hello.txt
      {"allowed":true,"reason":null,"tool":"Write","type":"permission_asked"}
      {"is_error":false,"text":"File created successfully at: /checkout/hello.txt (file state 
      {"input":{"command":"cat hello.txt"},"name":"Bash","type":"tool_use"}
      {"is_error":false,"text":"hello","type":"tool_result"}
      {"text":"hello.txt is written.","type":"text"}
      {"cache_read_tokens":0,"cache_write_tokens":0,"cost_usd":0.003840000000000001,"input_tok
      {"reason":"completed","succeeded":true,"text":"hello.txt is written.","turns":3,"type":"
    > (end of input)
      (finished)
    "#);
    assert_eq!(agent.outcome(&exit(0), ""), AgentOutcome::Succeeded { summary: "hello.txt is written.".into() });
}

#[test]
fn the_command_line_names_what_the_session_may_do() {
    let spec = SessionSpec {
        prompt: "Fix it".into(),
        model: Some("opus".into()),
        max_turns: Some(7),
        resume: Some("abc".into()),
        gateway: Some(crate::agent::GatewayAddress::bridged()),
        ..SessionSpec::default()
    };
    let command = ClaudeCode::new("claude").command(&spec);
    let line = command.program.args.join(" ");
    let (fixed, chosen) = line.split_once(" --tools ").unwrap();
    assert_eq!(
        fixed,
        "-p --input-format stream-json --output-format stream-json --verbose --replay-user-messages \
         --permission-prompt-tool stdio --setting-sources  --strict-mcp-config"
    );
    assert_eq!(chosen, "Edit,Read,Write,NotebookEdit,Glob,Grep,Bash,TaskStop --model opus --max-turns 7 --resume abc");
    assert!(command.program.env.contains(&("ANTHROPIC_BASE_URL".into(), "http://127.0.0.1:9901".into())));
    assert!(command.program.env.contains(&("ANTHROPIC_API_KEY".into(), "dummy".into())));
    assert!(command.stdin[0].contains("initialize") && command.stdin[1].contains("Fix it"));
    assert!(!command.close_stdin_after_prompt);

    let policy = Policy { commands: false, network: true, ..Policy::default() };
    let args = ClaudeCode::new("claude").command(&SessionSpec { policy, ..SessionSpec::default() }).program.args;
    assert!(args.contains(&"Edit,Read,Write,NotebookEdit,Glob,Grep,WebFetch,WebSearch".to_owned()), "{args:?}");
}

fn failed(reason: &str, retryable: bool) -> AgentOutcome {
    AgentOutcome::Failed { reason: reason.into(), retryable }
}

/// Every row of how the CLI ends; the exit codes are those that were seen.
#[rstest]
#[case("done", 0, "", AgentOutcome::Succeeded { summary: "hello.txt is written.".into() })]
#[case("no_such_tool", 0, "", AgentOutcome::Succeeded { summary: "I could not fetch it.".into() })]
#[case(
    "denied",
    0,
    "",
    failed(
        "The agent was denied what it asked for: Write /checkout/.github/workflows/ci.yml. \
    I may not change that file.",
        false
    )
)]
#[case("api_400", 1, "", failed("The model call failed: API Error: 400 bad thing", false))]
#[case("api_401", 1, "", failed("The model call failed: Invalid API key · Fix external API key", false))]
#[case("api_429", 1, "", AgentOutcome::LimitedByProvider {
    reason: "API Error: Request rejected (429) · Number of requests has exceeded your rate limit".into() })]
#[case("max_turns", 1, "", failed("The agent used up its 2 turns before it was done.", false))]
#[case("max_budget", 1, "", failed("The agent used up its budget before it was done.", false))]
#[case("not_signed_in", 1, "", failed("The model call failed: Not logged in · Please run /login", false))]
#[case("sigterm", 143, "", AgentOutcome::NoResult { reason: "The agent ended without a result (exit code 143).".into() })]
#[case("nothing", 129, "", AgentOutcome::NoResult { reason: "The agent ended without a result (exit code 129).".into() })]
#[case("nothing", 0, "", AgentOutcome::NoResult { reason: "The agent ended without a result (exit code 0).".into() })]
#[case(
    "nothing",
    1,
    "error: unknown option '--nonsense'\n",
    failed("The agent did not start (exit code 1): error: unknown option '--nonsense'", false)
)]
#[case(
    "nothing",
    1,
    "Error: Session ID x is already in use.\n",
    failed("The agent did not start (exit code 1): Error: Session ID x is already in use.", false)
)]
fn the_result_line_decides_and_never_the_exit_code(
    #[case] name: &str,
    #[case] code: i32,
    #[case] stderr: &str,
    #[case] expected: AgentOutcome,
) {
    let mut agent = agent(&SessionSpec::default());
    if name != "nothing" {
        feed(&mut agent, name);
    }
    assert_eq!(agent.outcome(&exit(code), stderr), expected);
}

#[rstest]
#[case("api_500", true)]
#[case("refused", true)]
#[case("sigint", true)]
fn what_may_go_better_next_time_says_so(#[case] name: &str, #[case] expected: bool) {
    let mut agent = agent(&SessionSpec::default());
    feed(&mut agent, name);
    let outcome = agent.outcome(&exit(1), "");
    assert!(matches!(outcome, AgentOutcome::Failed { retryable, .. } if retryable == expected), "{outcome:?}");
}

#[test]
fn an_overloaded_provider_is_a_limit_and_its_retries_are_told() {
    let mut agent = agent(&SessionSpec::default());
    let steps = feed(&mut agent, "api_529");
    let retries = steps.iter().filter(|step| matches!(step, Step::Event(AgentEvent::Retry { status: Some(529), .. })));
    assert_eq!(retries.count(), 2);
    assert!(matches!(agent.outcome(&exit(1), ""), AgentOutcome::LimitedByProvider { .. }));
}

#[test]
fn killed_before_the_result_is_no_failure_of_the_agent() {
    let mut agent = agent(&SessionSpec::default());
    let killed = Exit { code: None, signal: Some(9) };
    assert_eq!(
        agent.outcome(&killed, ""),
        AgentOutcome::NoResult { reason: "The agent ended without a result (signal 9).".into() }
    );
}

#[test]
fn an_interrupt_is_a_request_and_its_result_names_it() {
    let mut agent = agent(&SessionSpec::default());
    let asked = agent.interrupt();
    assert!(matches!(&asked[..], [Step::Write(line)] if line.contains(r#""subtype":"interrupt""#)), "{asked:?}");
    let steps = feed(&mut agent, "interrupt");
    assert!(steps.contains(&Step::Finished));
    assert_eq!(agent.outcome(&exit(1), ""), failed("The agent was asked to stop and stopped.", false));
}

#[test]
fn a_session_that_cannot_be_resumed_is_named_so_that_a_new_one_is_started() {
    let id = "11111111-1111-4111-8111-111111111111";
    let mut agent = agent(&SessionSpec { resume: Some(id.into()), ..SessionSpec::default() });
    feed(&mut agent, "resume_unknown");
    assert_eq!(agent.outcome(&exit(1), ""), AgentOutcome::UnknownSession { id: id.into() });
}

#[test]
fn a_resumed_session_counts_only_its_own_cost() {
    let usage = |name| {
        let mut total = Usage::default();
        for step in feed(&mut agent(&SessionSpec::default()), name) {
            if let Step::Event(AgentEvent::Usage(usage)) = step {
                total.add(&usage);
            }
        }
        (total.cost_usd, total.input_tokens, total.output_tokens)
    };
    let (first, ..) = usage("done");
    assert!((first - 0.00384).abs() < 1e-9, "{first}");
    let (second, input, output) = usage("resumed");
    assert!((second - 0.00128).abs() < 1e-9, "{second}");
    assert_eq!((input, output), (120, 40));
    let (both, input, _) = usage("two_messages");
    assert!((both - 0.00256).abs() < 1e-9, "{both}");
    assert_eq!(input, 240);
}

#[test]
fn a_message_that_is_not_taken_up_yet_keeps_the_session_open() {
    let finished_at = |name: &str, messages: usize| {
        let mut agent = agent(&SessionSpec::default());
        for _ in 0..messages {
            agent.message("Also do this.");
        }
        let steps = feed(&mut agent, name);
        let results: Vec<bool> = steps
            .windows(2)
            .filter(|pair| matches!(pair[0], Step::Event(AgentEvent::Result { .. })))
            .map(|pair| pair[1] == Step::CloseStdin)
            .collect();
        (results, steps.last() == Some(&Step::Finished))
    };
    // One turn each: open after the first result, closed after the second.
    assert_eq!(finished_at("two_messages", 1), (vec![false, true], true));
    // Taken up in the middle of the turn: one result for both.
    assert!(finished_at("message_while_working", 1).1);
    // Sent but never echoed: still open.
    assert!(!finished_at("done", 1).1);
}

#[test]
fn a_tool_is_answered_by_the_policy() {
    let policy = Policy { protected: vec!["hello.txt".into()], ..Policy::default() };
    let mut agent = agent(&SessionSpec { policy, ..SessionSpec::default() });
    let steps = feed(&mut agent, "done");
    let written: Vec<&String> =
        steps.iter().filter_map(|s| if let Step::Write(line) = s { Some(line) } else { None }).collect();
    assert_eq!(written.len(), 1);
    assert!(
        written[0].contains(r#""behavior":"deny""#) && written[0].contains("hello.txt is protected"),
        "{written:?}"
    );
    let asked = steps.iter().find(|s| matches!(s, Step::Event(AgentEvent::PermissionAsked { .. })));
    assert!(matches!(asked, Some(Step::Event(AgentEvent::PermissionAsked { allowed: false, .. }))), "{asked:?}");
}

#[rstest]
#[case("not json at all")]
#[case("[1,2]")]
#[case(r#"{"type":"something_new","x":1}"#)]
#[case(r#"{"no":"type"}"#)]
#[case(r#"{"type":"assistant","message":"odd"}"#)]
fn what_is_not_known_is_kept_as_it_came(#[case] line: &str) {
    let mut agent = agent(&SessionSpec::default());
    assert_eq!(agent.on_line(line), [Step::Event(AgentEvent::Raw { line: line.into() })]);
}

#[test]
fn a_request_that_we_do_not_offer_is_declined_rather_than_left_hanging() {
    let mut agent = agent(&SessionSpec::default());
    let steps = agent.on_line(r#"{"request":{"subtype":"hook_callback"},"request_id":"r1","type":"control_request"}"#);
    assert!(
        matches!(&steps[..], [Step::Write(line)] if line.contains(r#""request_id":"r1""#) && line.contains("error"))
    );
}

#[test]
fn a_result_that_does_not_say_whether_it_is_an_error_is_no_success() {
    let mut agent = agent(&SessionSpec::default());
    agent.on_line(r#"{"type":"result","subtype":"success","result":"done"}"#);
    assert_eq!(agent.outcome(&exit(0), ""), failed("The agent broke off: done", true));
}
