//! The life of the service: signals, a bad reload, a folder that is served already.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::bad_input::{ccm, sample};

/// The longest anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// `ccm serve app`, and what it says.
pub struct Served {
    child: Child,
    said: Lines<BufReader<ChildStderr>>,
}

impl Served {
    /// Serves `app` until it says that it does.
    pub async fn start(dir: &Path) -> Self {
        let mut served = Self::of(dir, &["app"]);
        served.says("Sign in once with").await;
        served
    }

    /// Serves these folders.
    pub fn of(dir: &Path, paths: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ccm"));
        command.args(["--data-dir", "data", "serve"]).args(paths).current_dir(dir).env_clear().env("HOME", dir);
        command.env("PATH", std::env::var("PATH").unwrap()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, said }
    }

    /// Ends it with SIGTERM.
    pub async fn stop(self) {
        self.signal(Signal::TERM);
        assert_eq!(self.ends().await, Some(0));
    }

    /// Reads what it says up to a line with these words.
    pub async fn says(&mut self, words: &str) {
        let reading = async {
            while let Some(line) = self.said.next_line().await.unwrap() {
                if line.contains(words) {
                    return;
                }
            }
            panic!("it ended without saying: {words}");
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("it does not say: {words}"));
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap(), signal).unwrap();
    }

    /// Waits for its end and gives the exit code.
    async fn ends(mut self) -> Option<i32> {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends by itself").unwrap().code()
    }
}

/// Adds a task as soon as the repository is watched, and gives its id.
pub async fn added(dir: &Path) -> String {
    let add = ["--data-dir", "data", "add", "Write a changelog", "--repo", "local/app"];
    let adding = async {
        loop {
            let added = ccm(dir, &add, &[]).await;
            if added.status.success() {
                return String::from_utf8(added.stdout).unwrap().trim().to_owned();
            }
        }
    };
    tokio::time::timeout(PATIENCE, adding).await.expect("the repository comes to be watched")
}

#[tokio::test]
async fn a_signal_ends_the_service_with_its_code() {
    for (signal, code) in [(Signal::TERM, 0), (Signal::INT, 130)] {
        let dir = tempfile::tempdir().unwrap();
        sample(dir.path()).await;
        std::fs::write(dir.path().join("ccm.toml"), "[server]\nlisten = \"127.0.0.1:0\"\n").unwrap();
        let served = Served::start(dir.path()).await;
        served.signal(signal);
        assert_eq!(served.ends().await, Some(code));
    }
}

#[tokio::test]
async fn a_bad_reload_keeps_the_last_good_configuration() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path()).await;
    let file = dir.path().join("ccm.toml");
    std::fs::write(&file, "[server]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    let mut served = Served::start(dir.path()).await;
    std::fs::write(&file, "[limits]\nconcurrent_rnus = 3\n").unwrap();
    served.signal(Signal::HUP);
    served.says("The configuration is not valid, the last good one stays").await;
    served.says("did you mean `concurrent_runs`?").await;
    std::fs::write(&file, "[limits]\nconcurrent_runs = 3\n").unwrap();
    served.signal(Signal::HUP);
    served.says("The configuration was read again.").await;
    served.signal(Signal::TERM);
    assert_eq!(served.ends().await, Some(0));
}

#[tokio::test]
async fn a_data_folder_is_served_once_and_the_command_line_works_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    sample(dir.path()).await;
    std::fs::write(dir.path().join("ccm.toml"), "[server]\nlisten = \"127.0.0.1:0\"\n").unwrap();
    let served = Served::start(dir.path()).await;
    let second = ccm(dir.path(), &["--data-dir", "data", "serve", "app"], &[]).await;
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("another ccm serves the data folder") && said.contains("--data-dir"), "{said}");
    let id = added(dir.path()).await;
    let list = ccm(dir.path(), &["--data-dir", "data", "tasks"], &[]).await;
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(list.contains(&id) && list.contains("Write a changelog"), "{list}");
    served.signal(Signal::TERM);
    assert_eq!(served.ends().await, Some(0));
}
