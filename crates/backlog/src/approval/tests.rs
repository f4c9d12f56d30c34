use rstest::rstest;

use super::*;

fn unknown(text: &str) -> Option<CommentCommand> {
    Some(CommentCommand::Unknown(text.to_owned()))
}

#[rstest]
#[case("/ccm approve", Some(CommentCommand::Approve))]
#[case("/ccm reject", Some(CommentCommand::Reject))]
#[case("/ccm retry", Some(CommentCommand::Retry))]
#[case("/ccm cancel", Some(CommentCommand::Cancel))]
#[case("/ccm agent codex", Some(CommentCommand::Agent("codex".to_owned())))]
#[case("/ccm budget $2.50", Some(CommentCommand::Budget(2_500_000)))]
#[case("  /ccm\tapprove  ", Some(CommentCommand::Approve))]
#[case("Looks fine.\r\n/ccm approve\r\n", Some(CommentCommand::Approve))]
#[case("/ccm approve\n/ccm reject", Some(CommentCommand::Approve))]
#[case("> quoted\n\n/ccm reject", Some(CommentCommand::Reject))]
#[case("```\n/ccm reject\n```\n/ccm approve", Some(CommentCommand::Approve))]
#[case("```one line``` of code\n/ccm approve", Some(CommentCommand::Approve))]
// Not in quotes and not in code.
#[case("> /ccm approve", None)]
#[case(">/ccm approve", None)]
#[case("> > /ccm approve", None)]
#[case("`/ccm approve`", None)]
#[case("    /ccm approve", None)]
#[case("\t/ccm approve", None)]
#[case("```\n/ccm approve\n```", None)]
#[case("```sh\n/ccm approve", None)]
#[case("~~~\n/ccm approve\n~~~", None)]
#[case("````\n```\n/ccm approve\n````", None)]
#[case("```\n~~~\n/ccm approve\n```", None)]
#[case("```\n``` not the end\n/ccm approve\n```", None)]
// Not a command of ours.
#[case("", None)]
#[case("please /ccm approve", None)]
#[case("/ccmx approve", None)]
#[case("/ccm-approve", None)]
#[case("/CCM approve", None)]
#[case("- /ccm approve", None)]
// Not understood.
#[case("/ccm", unknown(""))]
#[case("/ccm approve please", unknown("approve please"))]
#[case("/ccm Approve", unknown("Approve"))]
#[case("/ccm agent", unknown("agent"))]
#[case("/ccm agent a b", unknown("agent a b"))]
#[case("/ccm budget much", unknown("budget much"))]
#[case("/ccm revise: sort them", unknown("revise: sort them"))]
fn a_command_is_a_line_of_its_own(#[case] comment: &str, #[case] expected: Option<CommentCommand>) {
    assert_eq!(CommentCommand::parse(comment), expected, "{comment:?}");
}

#[test]
fn what_is_not_understood_is_kept_cut() {
    for text in ["x".repeat(100_000), format!("agent {}", "x".repeat(100_000))] {
        let Some(CommentCommand::Unknown(kept)) = CommentCommand::parse(&format!("/ccm {text}")) else {
            panic!("{} is a command", &text[..10]);
        };
        assert_eq!(kept.len(), 80);
    }
}

#[rstest]
#[case("5", Some(5_000_000))]
#[case("$0.75", Some(750_000))]
#[case("2.50", Some(2_500_000))]
#[case(".5", Some(500_000))]
#[case("0.000001", Some(1))]
#[case("10000", Some(10_000_000_000))]
#[case("10000.01", None)]
#[case("0", None)]
#[case("0.0000001", None)]
#[case("-1", None)]
#[case("+1", None)]
#[case("1e3", None)]
#[case("1e9", None)]
#[case("NaN", None)]
#[case("inf", None)]
#[case("infinity", None)]
#[case("5usd", None)]
#[case("5,50", None)]
#[case("1.2.3", None)]
#[case("$$5", None)]
#[case("$", None)]
#[case(".", None)]
#[case("", None)]
fn an_amount_is_written_plainly(#[case] text: &str, #[case] expected: Option<u64>) {
    assert_eq!(parse_usd(text), expected, "{text:?}");
}

#[test]
fn an_amount_of_any_length_is_no_danger() {
    assert_eq!(parse_usd(&"9".repeat(10_000)), None);
    assert_eq!(parse_usd(&format!("0.{}", "3".repeat(10_000))), Some(333_333));
}

#[rstest]
#[case("Title", "one\r\ntwo", true)]
#[case(" Title\n", "\n one\ntwo \r\n", true)]
#[case("Title", "one\n two", false)]
#[case("Title", "one  \ntwo", false)]
#[case("Title", "one\n\ntwo", false)]
#[case("title", "one\ntwo", false)]
#[case("Titleone", "\ntwo", false)]
fn line_ends_and_outer_space_do_not_count(#[case] title: &str, #[case] body: &str, #[case] same: bool) {
    assert_eq!(ContentHash::of(title, body) == ContentHash::of("Title", "one\ntwo"), same, "{title:?} {body:?}");
}

/// Stored approvals are compared with it: it must never change.
#[test]
fn the_hash_of_a_content_is_pinned() {
    insta::assert_snapshot!(ContentHash::of("Title", "Body").as_str(), @"ecc17b1fe23f0f8a070b58c2f367d6d88b4391d4aa0a854ab86c6a64ed903854");
}

#[test]
fn who_may_push_may_decide() {
    use Permission::{Admin, Maintain, None, Read, Triage, Write};
    let order = [None, Read, Triage, Write, Maintain, Admin];
    assert!(order.is_sorted());
    assert_eq!(order.map(Permission::may_decide), [false, false, false, true, true, true]);
    assert_eq!(serde_json::to_string(&order).unwrap(), r#"["none","read","triage","write","maintain","admin"]"#);
}
