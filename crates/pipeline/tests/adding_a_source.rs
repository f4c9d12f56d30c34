//! The example of CONTRIBUTING.md is this file's module, compiled, and below a hundred lines.

#[path = "adding_a_source/no_readme.rs"]
mod no_readme;

use pipeline::discover::source::Source as _;

#[test]
fn the_guide_shows_the_example_as_it_is() {
    let (guide, example) = (include_str!("../../../CONTRIBUTING.md"), include_str!("adding_a_source/no_readme.rs"));
    let shown = guide.lines().map(|line| line.strip_prefix("   ").unwrap_or(line)).collect::<Vec<_>>().join("\n");
    assert!(shown.contains(example.trim_end()), "copy tests/adding_a_source/no_readme.rs into CONTRIBUTING.md");
    assert!(example.lines().count() < 100);
    assert_eq!(no_readme::NoReadme.name().to_string(), "sarif:no-readme");
}
