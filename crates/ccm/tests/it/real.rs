//! The real program in real time, in a process of its own.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use backlog::time::{Clock, Timestamp};
use tokio::process::{Child, Command};

/// The longest any step may take; the client paces its writes in real time here.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The time of this machine.
pub struct RealClock;

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "the service under test runs in a process of its own, in real time")]
    fn now(&self) -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_millisecond())
    }
}

/// The program with a data folder below `dir`, where its configuration is.
pub fn ccm(dir: &Path, token: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ccm"));
    command.args(["--data-dir", "data"]).args(arguments).current_dir(dir).env_clear();
    command.env("PATH", std::env::var("PATH").unwrap()).env("HOME", dir).env("GITHUB_TOKEN", token);
    command
}

/// The service, until it is killed.
pub fn serve(dir: &Path, token: &str) -> Child {
    let mut command = ccm(dir, token, &["serve"]);
    command.stderr(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
