//! Tests against counterparts: real programs that nobody here wrote. `./check fast` leaves this file's binary out.

use testkit::counterparts;

#[test]
fn every_counterpart_is_installed() {
    let installed = [
        counterparts::claude(),
        counterparts::node(),
        counterparts::emulate_entry(),
        counterparts::prism_entry(),
        counterparts::openapi(),
        counterparts::chromium(),
        counterparts::chromedriver(),
        counterparts::bwrap(),
    ];
    let missing: Vec<_> = installed.iter().filter(|path| !path.is_absolute()).collect();
    assert!(missing.is_empty(), "found only by a relative path: {missing:?}");
}
