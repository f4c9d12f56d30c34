//! Tests against counterparts: real programs that nobody here wrote. `./check fast` leaves this file's binary out.

#![allow(unreachable_pub, reason = "tests have no outside; `pub` says what a module offers to the others")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use testkit::counterparts;

mod browser;
mod claude;
mod dashboard;
mod github;
mod judged;
mod process;
mod script;
mod spoken;
mod webhooks;

#[test]
fn every_counterpart_is_installed() {
    let installed = [
        counterparts::claude(),
        counterparts::node(),
        counterparts::emulate_entry(),
        counterparts::prism_entry(),
        counterparts::openapi(),
        counterparts::graphql_folder(),
        counterparts::ajv(),
        counterparts::webhook_examples(),
        counterparts::webhook_schemas(),
        counterparts::chromium(),
        counterparts::chromedriver(),
        counterparts::bwrap(),
    ];
    let missing: Vec<_> = installed.iter().filter(|path| !path.is_absolute()).collect();
    assert!(missing.is_empty(), "found only by a relative path: {missing:?}");
}
