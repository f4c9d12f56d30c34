use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::fuzz::reported;

fn document(run: &Value) -> Vec<u8> {
    serde_json::to_vec(&json!({ "version": "2.1.0", "runs": [run] })).unwrap()
}

/// The only result of a run of the tool `lint`.
fn one(rules: &Value, result: &Value) -> Option<SarifResult> {
    let run = json!({ "tool": { "driver": { "name": "lint", "rules": rules } }, "results": [result] });
    read(&document(&run), Some("/checkout")).unwrap().results.pop()
}

fn at(location: &Value) -> Value {
    json!([{ "physicalLocation": { "artifactLocation": location, "region": { "startLine": 7, "endLine": 9 } } }])
}

#[test]
fn a_plain_result() {
    let result = json!({
        "ruleId": "no-eval", "level": "error", "message": { "text": "Do not use eval." },
        "locations": at(&json!({ "uri": "src/my%20app.js" })), "partialFingerprints": { "hash/v1": "abc:1" },
    });
    let expected = SarifResult {
        tool: "lint".into(),
        rule: "no-eval".into(),
        level: Level::Error,
        message: "Do not use eval.".into(),
        path: "src/my app.js".into(),
        line: 7,
        end_line: 9,
        fingerprint: Some("abc:1".into()),
    };
    assert_eq!(one(&json!([]), &result), Some(expected));
}

#[rstest]
#[case(json!({ "text": "plain {0}" }), "plain {0}")]
#[case(json!({ "text": "of {0}", "arguments": ["x"] }), "of x")]
#[case(json!({ "id": "default", "arguments": ["x", "y"] }), "y and {x} and …")]
#[case(json!({ "id": "global" }), "from the tool")]
#[case(json!({ "id": "unknown" }), "A rule")]
#[case(json!({ "text": "[this value](1) reaches [that](https://x/y)" }), "this value reaches [that](https://x/y)")]
fn messages_are_filled_in(#[case] message: Value, #[case] expected: &str) {
    let run = json!({
        "tool": { "driver": { "name": "lint", "globalMessageStrings": { "global": { "text": "from the tool" } }, "rules": [
            { "id": "R1", "shortDescription": { "text": "A rule" },
              "messageStrings": { "default": { "text": "{1} and {{{0}}} and {7}" } } },
        ] } },
        "results": [{ "ruleIndex": 0, "message": message }],
    });
    let report = read(&document(&run), None).unwrap();
    assert_eq!((report.results[0].message.as_str(), report.results[0].rule.as_str()), (expected, "R1"));
}

#[rstest]
#[case(json!({ "uri": "src/a.py" }), Some("src/a.py"))]
#[case(json!({ "uri": "./src//a.py#L1" }), Some("src/a.py"))]
#[case(json!({ "uri": "src%2Fa.py" }), Some("src/a.py"))]
#[case(json!({ "uri": "a.py", "uriBaseId": "%SRCROOT%" }), Some("a.py"))]
#[case(json!({ "uri": "a.py", "uriBaseId": "LIB" }), Some("lib/a.py"))]
#[case(json!({ "uri": "a.py", "uriBaseId": "LOOP" }), Some("x/x/x/x/x/a.py"))]
#[case(json!({ "uri": "a.py", "uriBaseId": "TOP" }), Some("a.py"))]
#[case(json!({ "index": 0 }), Some("listed.py"))]
#[case(json!({ "index": -1 }), Some(""))]
#[case(json!({ "uri": "file:///checkout/src/a.py" }), Some("src/a.py"))]
#[case(json!({ "uri": "/checkout/src/a.py" }), Some("src/a.py"))]
#[case(json!({ "uri": "file:///checkout2/a.py" }), None)]
#[case(json!({ "uri": "file:///etc/passwd" }), None)]
#[case(json!({ "uri": "/checkout//etc/passwd" }), None)]
#[case(json!({ "uri": "/checkout/../etc/passwd" }), None)]
#[case(json!({ "uri": "../a.py" }), None)]
#[case(json!({ "uri": "a/%2e%2e/%2E%2E/b" }), None)]
#[case(json!({ "uri": "a\\..\\b" }), None)]
#[case(json!({ "uri": "C:/a.py" }), None)]
#[case(json!({ "uri": "C%3A/a.py" }), None)]
#[case(json!({ "uri": "https://host/a.py" }), None)]
#[case(json!({ "uri": "//host/a.py" }), None)]
#[case(json!({ "uri": "a%00b" }), None)]
#[case(json!({ "uri": "a%ffb" }), None)]
#[case(json!({ "uri": "" }), None)]
fn only_paths_of_the_repository_count(#[case] location: Value, #[case] expected: Option<&str>) {
    let run = json!({
        "tool": { "driver": { "name": "lint" } },
        "artifacts": [{ "location": { "uri": "listed.py" } }],
        "originalUriBaseIds": {
            "LIB": { "uri": "lib/", "uriBaseId": "TOP" }, "TOP": { "uri": "file:///checkout/" },
            "LOOP": { "uri": "x/", "uriBaseId": "LOOP" },
        },
        "results": [{ "message": { "text": "x" }, "locations": at(&location) }],
    });
    let report = read(&document(&run), Some("/checkout")).unwrap();
    assert_eq!(report.results.first().map(|result| result.path.as_str()), expected);
    assert_eq!(report.outside, usize::from(expected.is_none()));
}

#[test]
fn without_a_root_an_absolute_base_of_the_document_is_the_repository() {
    let run = json!({
        "tool": { "driver": { "name": "lint" } }, "originalUriBaseIds": { "TOP": { "uri": "file:///home/ci/app/" } },
        "results": [
            { "message": { "text": "x" }, "locations": at(&json!({ "uri": "src/a.py", "uriBaseId": "TOP" })) },
            { "message": { "text": "x" }, "locations": at(&json!({ "uri": "file:///home/ci/app/b.py" })) },
            { "message": { "text": "x" }, "locations": at(&json!({ "uri": "file:///usr/c.py" })) },
        ],
    });
    let report = read(&document(&run), None).unwrap();
    let paths: Vec<&str> = report.results.iter().map(|result| result.path.as_str()).collect();
    assert_eq!((paths, report.outside), (vec!["src/a.py", "b.py"], 1));
}

#[rstest]
#[case(json!({}), Some(Level::Note))]
#[case(json!({ "level": "error" }), Some(Level::Error))]
#[case(json!({ "ruleId": "other" }), Some(Level::Warning))]
#[case(json!({ "ruleId": "R1/case" }), Some(Level::Note))]
#[case(json!({ "kind": "open" }), Some(Level::None))]
#[case(json!({ "kind": "pass" }), None)]
#[case(json!({ "kind": "notApplicable" }), None)]
#[case(json!({ "baselineState": "absent" }), None)]
#[case(json!({ "suppressions": [] }), Some(Level::Note))]
#[case(json!({ "suppressions": [{ "kind": "inSource" }] }), None)]
#[case(json!({ "suppressions": [{ "status": "accepted" }, { "status": "rejected" }] }), Some(Level::Note))]
fn what_counts_and_how_bad_it_is(#[case] more: Value, #[case] expected: Option<Level>) {
    let rules = json!([{ "id": "R1", "defaultConfiguration": { "level": "note" } }]);
    let mut result = json!({ "ruleId": "R1", "message": { "text": "x" } });
    result.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    assert_eq!(one(&rules, &result).map(|result| result.level), expected);
}

#[test]
fn a_rule_of_an_extension_and_a_sentence_for_a_fingerprint() {
    let run = json!({
        "tool": {
            "driver": { "name": "CodeQL", "rules": [] },
            "extensions": [{ "name": "queries", "rules": [{ "id": "js/eval", "defaultConfiguration": { "level": "error" } }] }],
        },
        "results": [{
            "rule": { "index": 0, "toolComponent": { "index": 0 } }, "message": { "text": "x" },
            "fingerprints": { "id": "requires login" }, "partialFingerprints": { "line": "f00", "odd": 5 },
        }],
    });
    let report = read(&document(&run), None).unwrap();
    let result = &report.results[0];
    assert_eq!(
        (result.rule.as_str(), result.level, result.fingerprint.as_deref()),
        ("js/eval", Level::Error, Some("f00"))
    );
}

#[test]
fn hostile_documents_are_bounded() {
    let many: Vec<Value> = (0..MAX_RESULTS + 3).map(|_| json!({ "message": { "text": "x".repeat(5_000) } })).collect();
    let run = json!({ "tool": { "driver": { "name": "n".repeat(900) } }, "results": many });
    let report = read(&document(&run), None).unwrap();
    assert_eq!((report.results.len(), report.too_many), (MAX_RESULTS, 3));
    assert_eq!((report.results[0].message.len(), report.results[0].tool.len()), (4_000, 200));
    assert!(matches!(read(&vec![b' '; MAX_SARIF_BYTES + 1], None), Err(UnreadableSarif::TooLarge)));
    let deep = format!("{{\"version\":\"2.1.0\",\"x\":{}", "[".repeat(1_000_000));
    assert!(matches!(read(deep.as_bytes(), None), Err(UnreadableSarif::NotSarif(_))));
    let old = json!({ "version": "2.0.0", "runs": [] });
    assert!(matches!(read(&serde_json::to_vec(&old).unwrap(), None), Err(UnreadableSarif::Version(_))));
    assert!(read(b"\xef\xbb\xbf{\"version\":\"2.1.0\",\"runs\":[]}", None).is_ok(), "a byte order mark is no harm");
    let growing = json!({
        "tool": { "driver": { "name": "x" } },
        "results": [{ "message": { "text": "{0}".repeat(100_000), "arguments": ["y".repeat(10_000)] } }],
    });
    assert_eq!(read(&document(&growing), None).unwrap().results[0].message.len(), 4_000);
}

fn values() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "version",
        "runs",
        "tool",
        "driver",
        "name",
        "rules",
        "results",
        "id",
        "ruleId",
        "ruleIndex",
        "rule",
        "index",
        "toolComponent",
        "extensions",
        "message",
        "text",
        "arguments",
        "locations",
        "physicalLocation",
        "uri",
        "uriBaseId",
        "artifactLocation",
        "region",
        "startLine",
        "endLine",
        "originalUriBaseIds",
        "artifacts",
        "fingerprints",
        "level",
        "suppressions",
        "status",
        "kind",
    ]);
    let texts =
        prop::sample::select(vec!["2.1.0", "x", "{0}", "[a](1)", "file:///a", "a/b", "..", "%2e", "fail", "error", ""]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        texts.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names.clone(), inner), 0..6)
                .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_are_a_report_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        reported(&bytes);
    }

    #[test]
    fn any_document_is_a_report_or_none(rules in values(), result in values(), bases in values(), artifacts in values()) {
        for result in [result.clone(), json!([result])] {
            let run = json!({
                "tool": { "driver": { "name": "x", "rules": rules } }, "results": result, "originalUriBaseIds": bases,
                "artifacts": artifacts,
            });
            reported(&document(&run));
        }
    }

    #[test]
    fn any_address_is_inside_or_refused(uri in "([a-c:/\\\\.%?#]|%2e|%2F|%00|file:|\\.\\.){0,12}", base in "[a/.:%]{0,6}") {
        let run = json!({
            "tool": { "driver": { "name": "x" } }, "originalUriBaseIds": { "B": { "uri": base } },
            "results": [{ "message": { "text": "x" }, "locations": at(&json!({ "uri": uri, "uriBaseId": "B" })) }],
        });
        reported(&document(&run));
    }
}
