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
fn files_of_one_class_are_in_one_language() {
    let names = ["a.rs", "b.rs", "Makefile", "Makefile.am", "x.h.in", "y.h.in", "z.h", "a.in", "tool", "other", "a.ts"];
    let heads = ["", "<?xml?>", "#!/bin/sh\n", "% a script", "#import <A.h>"];
    for (one, other) in names.iter().flat_map(|one| names.map(|other| (*one, other))) {
        if Language::class(one) == Language::class(&format!("folder.h/{other}")) {
            for head in heads {
                let name = |path| Language::of(path, head.as_bytes()).map(|language| language.name);
                assert_eq!(name(one), name(other), "{one} {other} {head}");
            }
        }
    }
    assert_eq!(Language::class("src/a.rs"), Language::class("lib/B.rs"));
    assert_ne!(Language::class("a.h.in"), Language::class("a.in"));
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
