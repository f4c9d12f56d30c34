use proptest::prelude::*;
use rstest::rstest;

use super::{InvalidTag, MAX_TAGS, Reason, Todo, TodoOptions};
use crate::{Language, Selection};

fn todos(path: &str, source: &[u8], options: &TodoOptions) -> Vec<Todo> {
    Selection::default().todos(path, source, options).unwrap_or_default()
}

fn read(path: &str, source: &str) -> Vec<Todo> {
    todos(path, source.as_bytes(), &TodoOptions::default())
}

fn one(source: &str) -> Todo {
    let mut found = read("a.rs", source);
    assert_eq!(found.len(), 1, "{source}: {found:?}");
    found.remove(0)
}

/// `KIND title` of what a comment asks for.
fn requests(comment: &str) -> Vec<String> {
    read("a.rs", comment).into_iter().map(|todo| format!("{} {}", todo.kind, todo.title)).collect()
}

#[rstest]
#[case("// TODO: x y", "TODO x y")]
#[case("//TODO: x y", "TODO x y")]
#[case("// TODO x y", "TODO x y")]
#[case("// TODO - x y", "TODO x y")]
#[case("// TODO, x y", "TODO x y")]
#[case("// TODO : x y", "TODO x y")]
#[case("// TODO! x y", "TODO x y")]
#[case("// - TODO: x y", "TODO x y")]
#[case("// * [ ] TODO: x y", "TODO x y")]
#[case("// 1. TODO: x y", "TODO x y")]
#[case("// [TODO] x y", "TODO x y")]
#[case("// (TODO: x y)", "TODO x y")]
#[case("// **TODO**: x y", "TODO x y")]
#[case("/* XXX x y */", "XXX x y")]
#[case("/** @todo x y */", "TODO x y")]
#[case("/// \\todo x y", "TODO x y")]
#[case("/** @TODO x y */", "TODO x y")]
#[case("// HACK: x y", "HACK x y")]
#[case("// BUG: x y", "BUG x y")]
#[case("// FIXME(bob): x y", "FIXME x y")]
#[case("// FIXME (bob): x y", "FIXME x y")]
#[case("// FIXME (maybe later) x y", "FIXME (maybe later) x y")]
#[case("// TODO/FIXME: x y", "TODO FIXME: x y")]
#[case("// Returns the size. TODO: x y", "TODO x y")]
#[case("// f(); // TODO: x y", "TODO x y")]
#[case("// Text before.\n//\n// TODO x y", "TODO x y")]
#[case("// Text before.\n// TODO x y", "TODO x y")]
#[case("// TODO is this x y?", "TODO is this x y?")]
#[case("let x = 1; // TODO: x y", "TODO x y")]
#[case("// Copyright 2026 XXX Inc.\n//\n// TODO: x y", "TODO x y")]
#[case("// Text before\n// TODO x y z", "TODO x y z")]
#[case("// Returns the size. TODO x y", "TODO x y")]
#[case("/** @deprecated TODO x y */", "TODO x y")]
#[case("// @ts-expect-error - TODO x y", "TODO x y")]
#[case("// TODO/MAYBE: x y", "TODO MAYBE: x y")]
#[case("// WARNING/TODO: x y", "TODO x y")]
#[case("// f(), // TODO x y", "TODO x y")]
#[case("// TODO: .gitignore, *all* of it", "TODO .gitignore, *all* of it")]
#[case("// TODO -- x y", "TODO x y")]
#[case("// **TODO:** x y", "TODO x y")]
#[case("// TODO... x y", "TODO x y")]
#[case("// UGLY HACK:\n// x y", "HACK x y")]
#[case("//! <!-- TODO: x y -->", "TODO x y -->")]
#[case("// todo: x y", "TODO x y")]
#[case("// Todo: x y", "TODO x y")]
#[case("//todo(bob): x y", "TODO x y")]
#[case("// Hack: x y", "HACK x y")]
#[case("// Todo in v6: x y", "TODO in v6: x y")]
#[case("// fixme later, x y", "FIXME later, x y")]
#[case("// TODO-v2: x y", "TODO v2: x y")]
#[case("/** <p>TODO: x y */", "TODO x y")]
#[case("// TODO:: x y", "TODO x y")]
#[case("// TODO(b/12). X y", "TODO X y")]
#[case("// XXX Are these x?", "XXX Are these x?")]
#[case("// XXX Note that x y", "XXX Note that x y")]
#[case("// TODO tags? x?", "TODO tags? x?")]
fn requests_are_found(#[case] comment: &str, #[case] expected: &str) {
    assert_eq!(requests(comment), [expected]);
}

#[rstest]
#[case("let x = \"// TODO: x\";")]
#[case("let todo = TODO; fn fixme() {}")]
#[case("// the TODO comments are gone")]
#[case("// TODO comments are gone")]
#[case("// TODOs: none")]
#[case("// no TODO left")]
#[case("// no TODO: all done")]
#[case("// this TODO(bob): is done")]
#[case("// see the TODO: it explains")]
#[case("// a \"TODO: x\" string")]
#[case("// \"TODO: x\" is what it prints")]
#[case("// `TODO: x`")]
#[case("// writes `// TODO: x` there")]
#[case("// 'TODO'")]
#[case("// TODO, FIXME and XXX are tags")]
#[case("// TODO/FIXME comments")]
#[case("// TODO is a word")]
#[case("// https://x.y/TODO: z")]
#[case("// https://x.y/?q=TODO:z")]
#[case("// TODO.md lists them")]
#[case("// TODO-list")]
#[case("// TODO_LIST: x")]
#[case("// MY_TODO: x")]
#[case("// MYTODO: x")]
#[case("// XXX-XXX-XXX")]
#[case("// XXX.XXX.XXX")]
#[case("// Tag::TODO::parse")]
#[case("// TODO::parse")]
#[case("// TODO = 1")]
#[case("// { TODO: 1 }")]
#[case("// case TODO: f()")]
#[case("// BUG();")]
#[case("// BUG(x);")]
#[case("// BUG(x).y")]
#[case("// TODO are tags")]
#[case("// calls BUG() then")]
#[case("// BUG fixes")]
#[case("// BUG 4711: was slow")]
#[case("// todo!()")]
#[case("// todo: Todo,")]
#[case("// todo: true")]
#[case("// todo list")]
#[case("// todo::parse(x)")]
#[case("// hack around a bug in the linker")]
#[case("// Bug 4711: was slow")]
#[case("// Bug: https://x.y/4711")]
#[case("// it is all\n// todo: as ever")]
#[case("// send the word\n// TODO there")]
#[case("// write\n// TODO there and everywhere")]
#[case("// like this,\n// TODO there and everywhere")]
#[case("// $TODO: x")]
#[case("// <TODO>")]
#[case("// ```\n// // TODO: an example\n// ```")]
#[case("// Copyright XXX\n// Licensed under XXX terms\n// XXX all rights reserved")]
#[case("// text // see TODO")]
fn noise_is_not(#[case] comment: &str) {
    assert_eq!(requests(comment), [""; 0]);
}

type Head<'a> = (Option<&'a str>, Option<u64>, Option<&'a str>, &'a str);

#[rstest]
#[case("TODO(bob): x", (Some("bob"), None, None, "x"))]
#[case("TODO(@bob): x", (Some("bob"), None, None, "x"))]
#[case("TODO(#12): x", (None, Some(12), None, "x"))]
#[case("TODO(12): x", (None, Some(12), None, "x"))]
#[case("TODO(GH-12) x", (None, Some(12), None, "x"))]
#[case("TODO(bob, #12): x", (Some("bob"), Some(12), None, "x"))]
#[case("TODO(#12, bob, 2027-01-01): x", (Some("bob"), Some(12), Some("2027-01-01"), "x"))]
#[case("TODO(by 2027-01-01): x", (None, None, Some("2027-01-01"), "x"))]
#[case("TODO(bob, 12): x", (Some("bob"), None, None, "x"))]
#[case("TODO #12: x", (None, Some(12), None, "x"))]
#[case("TODO: #12 x", (None, Some(12), None, "x"))]
#[case("TODO: #12abc x", (None, None, None, "#12abc x"))]
#[case("TODO @bob: x", (Some("bob"), None, None, "x"))]
#[case("TODO[#12]: x", (None, Some(12), None, "x"))]
#[case("TODO: due 2027-01-01", (None, None, Some("2027-01-01"), "due 2027-01-01"))]
#[case("TODO: remove by 2027-13-01", (None, None, None, "remove by 2027-13-01"))]
#[case("TODO(2027-01-01): x", (None, None, Some("2027-01-01"), "x"))]
#[case("TODO(2027-02-30): x", (None, None, None, "x"))]
#[case("TODO: x, by 2027-02-30 or due 2027-03-01", (None, None, Some("2027-03-01"), "x, by 2027-02-30 or due 2027-03-01"))]
#[case("TODO(rust-lang/rust#12): x", (None, None, None, "x"))]
#[case("TODO(this may well be wrong) x", (None, None, None, "(this may well be wrong) x"))]
#[case("TODO(99999999999999999999999): x", (None, None, None, "x"))]
fn the_head_is_read(#[case] text: &str, #[case] expected: Head) {
    let todo = one(&format!("// {text}"));
    let due = todo.due.map(|day| day.to_string());
    assert_eq!((todo.owner.as_deref(), todo.issue, due.as_deref(), todo.title.as_str()), expected);
}

/// The text, and the first and the last line.
#[rstest]
#[case::line_comments("// TODO: a\n// b\nf();", "TODO: a\nb", (1, 2))]
#[case::empty_line("// TODO: a\n//\n// b", "TODO: a", (1, 1))]
#[case::ruler("// TODO: a\n// -----\n// b", "TODO: a", (1, 1))]
#[case::gap("// TODO: a\n\n// b", "TODO: a", (1, 1))]
#[case::other_column("// TODO: a\n  // b", "TODO: a", (1, 1))]
#[case::other_marker("/// TODO: a\n// b", "TODO: a", (1, 1))]
#[case::after_code("f(); // TODO: a\n     // b\ng();", "TODO: a\nb", (1, 2))]
#[case::each_after_code("f(); // TODO: a\ng(); // b", "TODO: a", (1, 1))]
#[case::block("/*\n * TODO: a\n * b\n *\n * c\n */", "TODO: a\nb", (2, 3))]
#[case::block_without_stars("/* TODO: a\n   b */", "TODO: a\nb", (1, 2))]
#[case::box_("/********\n * TODO: a    *\n ********/", "TODO: a", (2, 2))]
#[case::hanging("// TODO: a\n//       b\n// c", "TODO: a\nb", (1, 2))]
#[case::code("// TODO: a\n// let x = f();\n", "TODO: a", (1, 1))]
#[case::module("// TODO\n// mod x;\n", "TODO", (1, 1))]
#[case::attribute("// TODO: a\n// #[test]\n", "TODO: a", (1, 1))]
#[case::label("/// TODO: a\n/// @param x b", "TODO: a", (1, 1))]
#[case::safety("// TODO: a\n// SAFETY: b", "TODO: a", (1, 1))]
#[case::eslint("// TODO: a\n// eslint-disable-next-line no-console", "TODO: a", (1, 1))]
#[case::typescript("// TODO: a\n// @ts-expect-error b", "TODO: a", (1, 1))]
#[case::noqa("// TODO: a\n// noqa: E501", "TODO: a", (1, 1))]
#[case::item_of_a_list("// - TODO: a\n// - b", "- TODO: a", (1, 1))]
#[case::windows("// TODO: a\r\n// b\r\n", "TODO: a\nb", (1, 2))]
fn lines_that_continue_belong_to_it(#[case] source: &str, #[case] text: &str, #[case] lines: (u32, u32)) {
    let todo = one(source);
    assert_eq!((todo.text.as_str(), (todo.line, todo.end_line)), (text.trim_start_matches("- "), lines));
}

#[test]
fn the_next_tag_begins_the_next_request() {
    assert_eq!(requests("// TODO: a\n// FIXME b\n// c\n// XXX: d"), ["TODO a", "FIXME b c", "XXX d"]);
    assert_eq!(requests("// TODO: remove the\n// TODO comments here"), ["TODO remove the TODO comments here"]);
}

#[rstest]
#[case("// TODO\nfn foo() {", "TODO at `fn foo() {`")]
#[case("// TODO:\n\n#[test]", "TODO at `#[test]`")]
#[case("foo(); // ok // TODO", "TODO at `foo();`")]
#[case("// \"a\", // TODO\nfoo();", "TODO at `\"a\",`")]
#[case("foo(); // TODO", "TODO at `foo();`")]
#[case("/* TODO */ foo();", "TODO at `foo();`")]
#[case("fn foo() {\n    // TODO\n}", "TODO at `fn foo() {`")]
#[case("// TODO", "TODO at a comment without code around it")]
fn a_bare_tag_speaks_of_its_code(#[case] source: &str, #[case] title: &str) {
    let todo = one(source);
    assert_eq!((todo.title.as_str(), todo.is_bare()), (title, true));
}

#[test]
fn a_title_is_the_first_sentence() {
    assert_eq!(one("// TODO: handle the empty list. It is rare, but\n// it happens.").title, "handle the empty list");
    assert_eq!(one("// TODO: use e.g. a map\n// instead.").title, "use e.g. a map instead");
}

#[test]
fn titles_and_texts_have_limits() {
    let lines = "// word word word word word word word word\n".repeat(500);
    let todo = one(&format!("// TODO: begin\n{lines}"));
    assert_eq!((todo.text.chars().count(), todo.end_line), (4_000, 501));
    assert!(todo.title.chars().count() <= 120 && todo.title.ends_with('…'), "{}", todo.title);
}

#[test]
fn own_tags_are_looked_for() {
    let options = TodoOptions::new(vec!["OPTIMIZE".to_owned(), "TODO_LATER".to_owned()]).unwrap();
    let found = todos("a.py", b"# OPTIMIZE: x\n# TODO: y\n# TODO_LATER: z", &options);
    let kinds: Vec<_> = found.iter().map(|todo| todo.kind.as_str()).collect();
    assert_eq!(kinds, ["OPTIMIZE", "TODO_LATER"]);
}

#[test]
fn odd_tags_and_too_many_are_refused() {
    assert_eq!(TodoOptions::new(vec!["TO DO".to_owned()]).unwrap_err(), InvalidTag::NoWord("TO DO".to_owned()));
    assert_eq!(TodoOptions::new(vec![String::new()]).unwrap_err(), InvalidTag::NoWord(String::new()));
    assert_eq!(TodoOptions::new(Vec::new()).unwrap_err(), InvalidTag::Count(0));
    assert_eq!(TodoOptions::new(vec!["A".to_owned(); MAX_TAGS + 1]).unwrap_err(), InvalidTag::Count(33));
    assert!(TodoOptions::new(vec!["A".to_owned(); MAX_TAGS]).is_ok());
}

#[test]
fn files_in_unknown_languages_ask_for_nothing() {
    assert_eq!(read("photo.jpeg", "// TODO: x"), []);
}

#[test]
fn fences_of_markdown_are_read_when_wanted() {
    let source = "TODO: prose\n<!-- TODO: one -->\n```js\nf() // TODO: two\n```\n";
    let titles = |options: &TodoOptions| -> Vec<String> {
        todos("a.md", source.as_bytes(), options).into_iter().map(|todo| todo.title).collect()
    };
    assert_eq!(titles(&TodoOptions::default()), ["one"]);
    assert_eq!(titles(&TodoOptions::default().with_markdown_fences(true)), ["one", "two"]);
}

#[rstest]
#[case("let x = \"// TODO: x\";", Reason::NotAComment)]
#[case("let TODO = 1;", Reason::NotAComment)]
#[case("// MY_TODO: x", Reason::Name)]
#[case("// see https://x.y/TODO", Reason::Name)]
#[case("// see TODO.md", Reason::Name)]
#[case("// ```\n// // TODO: x\n// ```", Reason::Example)]
#[case("// Copyright XXX\n// Licensed under terms", Reason::Licence)]
#[case("// a \"TODO: x\" string", Reason::Quoted)]
#[case("// writes `// TODO: x` there", Reason::Quoted)]
#[case("// BUG();", Reason::Code)]
#[case("// TODO = 1", Reason::Code)]
#[case("// TODO comments are gone", Reason::AboutTags)]
#[case("// there is no TODO left", Reason::InASentence)]
#[case("// it's the usual TODO", Reason::InASentence)]
#[case("// say 'the TODO' there", Reason::Quoted)]
#[case("// works around a bug in the linker", Reason::InASentence)]
#[case("// TODO(2027-02-30): x", Reason::NoDate)]
#[case("// TODO(bob, by 2027/01/31): x", Reason::NoDate)]
#[case("// TODO: x, due 31.1.2027", Reason::NoDate)]
fn what_is_left_out_has_a_reason(#[case] source: &str, #[case] reason: Reason) {
    let left = Selection::default().left_out("a.rs", source.as_bytes(), &TodoOptions::default()).unwrap();
    assert_eq!(left.iter().map(|left| left.reason).collect::<Vec<_>>(), [reason], "{left:?}");
}

#[test]
fn reported_lines_and_other_words_are_not_explained() {
    let source = "// TODO: x\n// that was a bug\ndebug(); // TODO: y\nlet debug = hackathon;\n\
                  // TODO: as of 2027-02-30, by 1.2.3 and 10/2027, due 2027-01-31\n";
    let left = Selection::default().left_out("a.rs", source.as_bytes(), &TodoOptions::default()).unwrap();
    assert_eq!(left.iter().map(|left| (left.line, left.reason)).collect::<Vec<_>>(), [(2, Reason::Continues)]);
}

#[test]
fn explanations_are_bounded() {
    for line in ["let s = \"TODO\";\n", "f(); // TODO(2027-02-30): x\n"] {
        let source = line.repeat(2_000);
        let left = Selection::default().left_out("a.rs", source.as_bytes(), &TodoOptions::default()).unwrap();
        assert_eq!(left.len(), 1_000);
    }
}

#[test]
fn bytes_that_are_no_text_do_no_harm() {
    let found = todos("a.c", b"// TODO: \xff\xfe x\n/* TODO \xc3", &TodoOptions::default());
    assert_eq!(found.len(), 2);
}

/// Many tags in one line, none of which may be looked back from too far.
#[test]
fn hostile_comments_take_linear_time() {
    let before = std::time::Instant::now();
    for (path, scrap) in
        [("a.c", "/* TODO */ "), ("a.py", "# `TODO: "), ("a.rs", "// x TODO("), ("a.rs", "// TODO\n/**/")]
    {
        let _ = read(path, &scrap.repeat(100_000 / scrap.len()));
    }
    assert!(before.elapsed().as_secs() < 60, "{:?}", before.elapsed());
}

proptest! {
    #[test]
    fn any_scraps_in_any_language_are_read(
        scraps in "(TODO|todo|FIXME: |XXX|//|/\\*|\\*/|#|<!--|-->|```|<script>|<\\?php|--|%|[(:#)@ \\[\\]`\"'é/-]|[a-z]{1,5}|\n){0,60}",
        pick in any::<prop::sample::Index>(),
    ) {
        let languages: Vec<_> = Language::all().filter(|language| !language.extensions.is_empty()).collect();
        let path = format!("a.{}", languages[pick.index(languages.len())].extensions[0]);
        let options = TodoOptions::default().with_markdown_fences(true);
        let lines = u32::try_from(scraps.split('\n').count()).unwrap();
        for todo in todos(&path, scraps.as_bytes(), &options) {
            prop_assert!(0 < todo.line && todo.line <= todo.end_line && todo.end_line <= lines, "{:?}", todo);
        }
        let left = Selection::default().left_out(&path, scraps.as_bytes(), &options).unwrap_or_default();
        prop_assert!(left.iter().all(|left| 0 < left.line && left.line <= lines));
    }

    #[test]
    fn any_comment_is_read_within_its_limits(comment in "(// |/\\* |\\*/|TODO|FIXME|[(:#)@ \\[\\]`\"é/-]|[a-z]{1,5}|\n){0,60}") {
        let lines = comment.split('\n').count();
        let mut last = 0;
        for todo in read("a.rs", &comment) {
            prop_assert!(last < todo.line && todo.line <= todo.end_line && todo.end_line as usize <= lines, "{:?}", todo);
            prop_assert!(!todo.title.is_empty() && todo.title.chars().count() <= 120 && !todo.title.contains('\n'));
            prop_assert!(todo.text.chars().count() <= 4_000);
            last = todo.end_line - u32::from(comment.contains("/*"));
        }
    }
}
