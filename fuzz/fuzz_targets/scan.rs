//! Any bytes, in any language: nothing panics or hangs, comments come in order and never overlap, requests lie inside
//! the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use scan::{Language, Selection, TodoOptions, comments};

fuzz_target!(|data: &[u8]| {
    let Some((first, source)) = data.split_first() else { return };
    let languages: Vec<&Language> = Language::all().filter(|language| !language.extensions.is_empty()).collect();
    let language = languages[usize::from(*first) % languages.len()];
    let mut last = 0;
    for comment in comments(language, source, true) {
        assert!(last <= comment.start && comment.start < comment.body_start);
        assert!(comment.body_start <= comment.body_end && comment.body_end <= comment.end);
        assert!(comment.end <= source.len());
        last = comment.end;
    }
    let lines = source.split(|byte| *byte == b'\n').count();
    let path = format!("a.{}", language.extensions[0]);
    let options = TodoOptions::default().with_markdown_fences(true);
    for todo in Selection::default().todos(&path, source, &options).unwrap_or_default() {
        assert!(0 < todo.line && todo.line <= todo.end_line && todo.end_line as usize <= lines);
        assert!(todo.title.chars().count() <= 120 && todo.text.chars().count() <= 4_000);
    }
    let _ = Selection::default().left_out(&path, source, &options);
});
