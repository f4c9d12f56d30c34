//! Findings as SARIF 2.1.0, for code hosts and editors that read it.

use backlog::finding::{Finding, Source};
use serde_json::{Map, Value, json};

/// The findings as SARIF 2.1.0.
pub(super) fn document(findings: &[&Finding]) -> Value {
    let mut kinds: Vec<(&str, &Source)> =
        findings.iter().map(|finding| (finding.kind.as_str(), &finding.source)).collect();
    kinds.sort_unstable();
    kinds.dedup_by_key(|(kind, _)| *kind);
    let rules: Vec<_> = kinds
        .iter()
        .map(|(kind, source)| {
            let text = match source {
                Source::Todo => format!("A comment that says {kind}"),
                source => format!("Found by {source}: {kind}"),
            };
            json!({ "id": kind, "shortDescription": { "text": text } })
        })
        .collect();
    let results: Vec<_> = findings
        .iter()
        .map(|finding| {
            let mut result = json!({
                "ruleId": finding.kind,
                "level": "note",
                "message": { "text": finding.text },
                "partialFingerprints": { "ccm/v1": finding.fingerprint },
                "locations": [{ "physicalLocation": {
                    "artifactLocation": { "uri": uri(&finding.path) },
                    "region": { "startLine": finding.line.max(1), "endLine": finding.end_line.max(1) },
                } }],
            });
            let told = json!({ "author": finding.author, "writtenOn": finding.written_on, "due": finding.due });
            let told: Map<String, Value> = told
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            if !told.is_empty() {
                result["properties"] = Value::Object(told);
            }
            result
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{ "tool": { "driver": { "name": "ccm", "version": env!("CARGO_PKG_VERSION"), "rules": rules } }, "results": results }],
    })
}

/// A path as a relative URI reference: everything outside RFC 3986's unreserved characters and `/` is escaped.
fn uri(path: &str) -> String {
    path.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"-._~/".contains(&b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}
