use proptest::prelude::*;
use rstest::rstest;

use super::*;

#[test]
fn an_empty_file_narrows_nothing() {
    let policy = RepositoryPolicy::parse("").unwrap();
    assert_eq!(policy, RepositoryPolicy::default());
    let operator = Verification::default();
    assert_eq!(policy.diff(&operator), DiffPolicy::default());
    assert_eq!(policy.caps(&Proposals::default()).per_repository, 5);
    assert_eq!(policy.narrow(AgentSettings::default()), AgentSettings::default());
}

#[test]
fn a_whole_file_is_read() {
    let text = r#"
        enabled = true
        agent = "codex"
        checks = ["make test"]
        protected_paths = ["migrations/"]
        max_files = 5
        max_lines = 100
        max_cost_usd = 1.5
        max_minutes = 10
        max_open_proposals = 2
        [sources]
        todo = false
    "#;
    let policy = RepositoryPolicy::parse(text).unwrap();
    let diff = policy.diff(&Verification::default());
    assert_eq!((diff.max_files, diff.max_lines), (5, 100));
    assert_eq!(diff.protecting("migrations/1.sql"), Some("migrations/"));
    assert_eq!(diff.protecting(".github/ccm.toml"), Some(".github/"));
    let agent = policy.narrow(AgentSettings::default());
    assert_eq!((agent.budget_micro_usd(), agent.max_minutes), (1_500_000, 10));
    assert_eq!((policy.caps(&Proposals::default()).per_repository, policy.sources.todo), (2, Some(false)));
}

#[test]
fn a_wrong_file_is_refused_with_its_line() {
    let texts = [
        "max_files = 3\nmax_file = 5\n",
        "[sources]\ntodos = true\n",
        "\n\nmax_files = \"many\"\n",
        "max_files = \n",
        "max_cost_usd = nan",
        "max_cost_usd = -1.0",
        "max_minutes = 0",
        "checks = [\"make\", \" \"]",
        "protected_paths = [\"\"]",
    ];
    let sentences: Vec<String> = texts.iter().map(|text| RepositoryPolicy::parse(text).unwrap_err()).collect();
    insta::assert_snapshot!(sentences.join("\n"), @r#"
    The repository's .github/ccm.toml is not valid in line 2: unknown field `max_file`, expected one of `enabled`, `agent`, `checks`, `protected_paths`, `max_files`, `max_lines`, `max_cost_usd`, `max_minutes`, `max_open_proposals`, `sources`. Mend it and push.
    The repository's .github/ccm.toml is not valid in line 2: unknown field `todos`, expected one of `todo`, `stale-issue`, `issue-label`, `ci`, `security-alert`, `dependency`, `hotspot`, `sarif`. Mend it and push.
    The repository's .github/ccm.toml is not valid in line 3: invalid type: string "many", expected u64. Mend it and push.
    The repository's .github/ccm.toml is not valid in line 1: string values must be quoted, expected literal string. Mend it and push.
    The repository's .github/ccm.toml is not valid: `max_cost_usd` must be more than 0; `enabled = false` takes the repository out. Mend it and push.
    The repository's .github/ccm.toml is not valid: `max_cost_usd` must be more than 0; `enabled = false` takes the repository out. Mend it and push.
    The repository's .github/ccm.toml is not valid: `max_minutes` must be more than 0; `enabled = false` takes the repository out. Mend it and push.
    The repository's .github/ccm.toml is not valid: a check in `checks` is empty. Mend it and push.
    The repository's .github/ccm.toml is not valid: a path in `protected_paths` is empty. Mend it and push.
    "#);
}

#[rstest]
#[case("[rank]\nrisks = 1")]
#[case("[limits]\nruns = 1")]
#[case("[proposals]\nlabels = \"x\"")]
#[case("[agents.default]\nmodels = \"x\"")]
#[case("[sandbox]\nkinds = \"none\"")]
#[case("[verification]\nfiles = 1")]
#[case("[sources.todo]\ntag = []")]
fn the_operators_sections_refuse_unknown_keys(#[case] text: &str) {
    fn refused<T: serde::de::DeserializeOwned>(value: &toml::Value) -> bool {
        value.clone().try_into::<T>().is_err_and(|error| error.message().contains("unknown field"))
    }
    let file: toml::Table = toml::from_str(text).unwrap();
    let (section, value) = file.iter().next().unwrap();
    assert!(match section.as_str() {
        "rank" => refused::<RankPolicy>(value),
        "limits" => refused::<Limits>(value),
        "proposals" => refused::<Proposals>(value),
        "agents" => refused::<BTreeMap<String, AgentSettings>>(value),
        "sandbox" => refused::<SandboxSettings>(value),
        "verification" => refused::<Verification>(value),
        "sources" => refused::<Sources>(value),
        other => panic!("there is no section {other}"),
    });
}

#[test]
fn settings_turn_into_limits() {
    let limits = Limits::default();
    assert_eq!((limits.scan_every(), limits.poll_every()), (Duration::from_secs(600), Duration::from_secs(60)));
    assert_eq!(Verification::default().retry(), RetryPolicy::default());
    let cost = |max_cost_usd| AgentSettings { max_cost_usd, ..AgentSettings::default() }.budget_micro_usd();
    assert_eq!([cost(0.1), cost(0.0), cost(f64::NAN), cost(-5.0)], [100_000, 0, 0, 0]);
}

proptest! {
    #[test]
    fn a_repository_never_widens_what_the_operator_allows(
        files in any::<(u64, Option<u64>)>(),
        lines in any::<(u64, Option<u64>)>(),
        minutes in any::<(u64, Option<u64>)>(),
        usd in any::<(f64, Option<f64>)>(),
        open in any::<(usize, Option<usize>)>(),
        own in prop::collection::vec("[a-c/*.]{0,6}", 0..4),
        path in "[a-c/.]{1,8}",
    ) {
        let policy = RepositoryPolicy {
            max_files: files.1,
            max_lines: lines.1,
            max_minutes: minutes.1,
            max_cost_usd: usd.1,
            max_open_proposals: open.1,
            protected_paths: own,
            ..RepositoryPolicy::default()
        };
        let protected_paths = vec!["a/".to_owned(), "*.b".to_owned()];
        let operator = Verification { protected_paths, max_files: files.0, max_lines: lines.0, ..Verification::default() };
        let narrow = policy.diff(&operator);
        prop_assert!(narrow.max_files <= files.0 && narrow.max_lines <= lines.0);
        let wide = RepositoryPolicy::default().diff(&operator);
        prop_assert!(wide.protecting(&path).is_none() || narrow.protecting(&path).is_some());
        let proposals = Proposals { max_open_per_repository: open.0, ..Proposals::default() };
        prop_assert!(policy.caps(&proposals).per_repository <= open.0);
        let agent = AgentSettings { max_cost_usd: usd.0, max_minutes: minutes.0, ..AgentSettings::default() };
        let budget = agent.budget_micro_usd();
        let narrowed = policy.narrow(agent);
        prop_assert!(narrowed.max_minutes <= minutes.0 && narrowed.budget_micro_usd() <= budget);
    }
}
