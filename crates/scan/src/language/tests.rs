use std::collections::HashSet;

use rstest::rstest;

use super::Language;

#[rstest]
#[case("src/main.rs", "", Some("Rust"))]
#[case("a/Makefile", "", Some("Makefile"))]
#[case("Makefile.am", "", Some("Makefile"))]
#[case("docker/Dockerfile.dev", "", Some("Dockerfile"))]
#[case("app.Dockerfile", "", Some("Dockerfile"))]
#[case("config.h.in", "", Some("C"))]
#[case("A.CPP", "", Some("C++"))]
#[case("index.blade.php", "", Some("PHP"))]
#[case("bin/tool", "#!/usr/bin/env -S python3.12 -u\n", Some("Python"))]
#[case("bin/tool", "#!/bin/bash\n", Some("Shell"))]
#[case("bin/tool", "plain", None)]
#[case("x.m", "#import <A.h>\n", Some("Objective-C"))]
#[case("x.m", "\n% a script\n", Some("MATLAB"))]
#[case("x.ts", "<?xml version=\"1.0\"?>", Some("XML"))]
#[case("x.ts", "export {}", Some("TypeScript"))]
#[case("README.md", "", Some("Markdown"))]
#[case("README.rst", "", None)]
#[case("data.json", "", None)]
#[case("", "", None)]
fn the_name_or_the_first_line_tells_the_language(#[case] path: &str, #[case] head: &str, #[case] name: Option<&str>) {
    assert_eq!(Language::of(path, head.as_bytes()).map(|language| language.name), name);
}

#[test]
fn every_name_on_disk_belongs_to_one_language() {
    let (mut extensions, mut names) = (HashSet::new(), HashSet::new());
    for language in Language::all() {
        assert!(names.insert(language.name), "{} twice", language.name);
        for extension in language.extensions {
            assert!(extensions.insert(*extension), ".{extension} twice");
            assert_eq!(*extension, extension.to_lowercase());
        }
        assert!(language.file_names.iter().all(|name| *name == name.to_lowercase()), "{}", language.name);
    }
    assert!(names.len() >= 60, "{}", names.len());
}
