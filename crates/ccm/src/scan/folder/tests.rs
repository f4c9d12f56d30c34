use std::fs;
use std::path::Path;

use ::scan::{MAX_FILE_BYTES, Selection, TodoOptions};

use super::{Folder, list, read_file};
use crate::scan::files::{Look, Report};

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn read(root: &Path) -> Report {
    let options = TodoOptions::default();
    Look { options: &options, selection: Selection::default(), only: None, explain: true }
        .read(list(root), Folder(root))
}

fn found(report: &Report) -> Vec<&str> {
    report.found.iter().map(|file| file.path.as_str()).collect()
}

#[test]
fn ignored_and_attributed_files_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    for path in ["src/a.rs", "gen/b.rs", "vendor/ours/c.rs", "vendor/theirs/d.rs", "out/e.rs"] {
        write(dir.path(), path, "// TODO: x");
    }
    write(dir.path(), ".ignore", "out/");
    write(dir.path(), ".gitattributes", "gen/** linguist-generated\nvendor/ours/** -linguist-vendored\n");
    let report = read(dir.path());
    assert_eq!(found(&report), ["src/a.rs", "vendor/ours/c.rs"]);
    assert_eq!(report.skipped["generated"], 1);
    assert_eq!(
        report.skipped_files,
        [("gen/b.rs".to_owned(), "generated"), ("vendor/theirs/d.rs".to_owned(), "vendored")]
    );
}

#[test]
fn named_files_only_and_with_all_attributes() {
    let dir = tempfile::tempdir().unwrap();
    for path in ["a.rs", "b.rs", "c.rs"] {
        write(dir.path(), path, "// TODO: x");
    }
    write(dir.path(), ".gitattributes", "b.rs linguist-generated");
    let (options, only) = (TodoOptions::default(), ["a.rs", "b.rs"].map(str::to_owned));
    let look = Look { options: &options, selection: Selection::default(), only: Some(&only), explain: false };
    assert_eq!(found(&look.read(list(dir.path()), Folder(dir.path()))), ["a.rs"]);
}

#[test]
fn tags_left_out_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.rs", "let s = \"TODO: x\";\n// the TODO comments are gone\n");
    let report = read(dir.path());
    let reasons: Vec<String> =
        report.left_out.iter().map(|(_, left)| format!("{} {}", left.line, left.reason)).collect();
    assert_eq!(reasons, ["1 not in a comment", "2 speaks about tags"]);
}

/// A file of 2 GiB, one line of 100 MB, a path with line breaks, links out of the folder, a pipe nobody writes to.
#[test]
#[expect(clippy::disallowed_methods, reason = "mkfifo ends by itself")]
fn hostile_folders_are_bounded_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), "secret.rs", "// TODO: outside");
    fs::File::create(dir.path().join("huge.rs")).unwrap().set_len(2 << 30).unwrap();
    fs::write(dir.path().join("long.rs"), vec![b'x'; 100_000_000]).unwrap();
    write(dir.path(), "odd\n\u{1b}[31m.rs", "// TODO: inside");
    std::os::unix::fs::symlink(outside.path(), dir.path().join("folder")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("secret.rs"), dir.path().join("link.rs")).unwrap();
    std::os::unix::fs::symlink(".", dir.path().join("loop")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(dir.path().join("pipe.rs")).status().unwrap();
    assert!(pipe.success());
    let report = read(dir.path());
    assert_eq!(found(&report), ["odd\n\u{1b}[31m.rs"]);
    assert_eq!((report.skipped["too large"], report.skipped["symbolic link"]), (2, 3));
    assert_eq!(report.skipped["no plain file"], 1);
}

#[test]
fn a_path_that_is_no_utf8_is_read_and_shown_as_well_as_possible() {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9.rs")), "// TODO: x").unwrap();
    assert_eq!(found(&read(dir.path())), ["caf\u{fffd}.rs"]);
}

/// Root may list every folder, so the missing right is played by a folder that is gone.
#[test]
fn a_folder_that_cannot_be_listed_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let closed = dir.path().join("closed");
    let report = read(&closed);
    assert_eq!((report.files, report.skipped["unreadable folder"]), (0, 1));
    write(dir.path(), "closed/a.rs", "// TODO: x");
    assert_eq!(read(&closed).skipped.len(), 0);
}

/// Between the listing and the reading.
#[test]
#[expect(clippy::disallowed_methods, reason = "mkfifo ends by itself")]
fn what_has_become_a_pipe_or_a_link_is_neither_waited_for_nor_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (pipe, link) = (dir.path().join("pipe.rs"), dir.path().join("link.rs"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    write(dir.path(), "target.rs", "// TODO: x");
    std::os::unix::fs::symlink("target.rs", &link).unwrap();
    let mut buffer = Vec::new();
    assert_eq!(read_file(&pipe, &mut buffer), Err("no plain file"));
    assert_eq!(read_file(&link, &mut buffer), Err("unreadable"));
    assert!(buffer.is_empty());
}

#[test]
fn a_file_that_grew_is_read_no_further_than_a_file_may_be() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.rs");
    let file = fs::File::create(&path).unwrap();
    let mut buffer = Vec::new();
    file.set_len(MAX_FILE_BYTES).unwrap();
    assert_eq!((read_file(&path, &mut buffer), buffer.len() as u64), (Ok(()), MAX_FILE_BYTES));
    file.set_len(MAX_FILE_BYTES + 1).unwrap();
    assert_eq!(read_file(&path, &mut buffer), Err("too large"));
    assert!(buffer.is_empty());
}
