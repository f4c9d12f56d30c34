//! A scripted agent in a temporary folder, with limits short enough for tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use backlog::time::{Clock, Timestamp};
use runner::agent::{CommandAgent, PromptBy};
use runner::sandbox::{Bubblewrap, NoSandbox};
use runner::{
    Agent, AgentEvent, Confinement, Inbox, Kind, Limits, RunSpec, Sandbox, SessionEnd, SessionSpec, processes_of,
    run_session,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Time stands still: nothing here is about the calendar.
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp(1_000)
    }
}

/// A marker that no other test, and no other test run on this machine, uses.
pub(crate) fn marker() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The sandbox of this kind; a machine without bubblewrap is told how to get it.
pub(crate) fn sandbox(kind: Kind) -> Box<dyn Sandbox> {
    match kind {
        Kind::Bubblewrap => {
            let installed = ["/usr/bin/bwrap", "/usr/local/bin/bwrap"].iter().any(|path| Path::new(path).exists());
            assert!(installed, "bubblewrap is missing; run: sudo apt-get install --yes bubblewrap");
            Box::new(Bubblewrap::new())
        }
        Kind::None => Box::new(NoSandbox),
    }
}

/// A checkout, a home and a confinement for one run.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) confinement: Confinement,
    pub(crate) limits: Limits,
    pub(crate) cancel: CancellationToken,
    pub(crate) inbox: Vec<Inbox>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["checkout", "home"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mut confinement = Confinement::new(marker(), folder.path().join("checkout"));
        confinement.home = Some(folder.path().join("home"));
        let limits = Limits {
            silence: Duration::from_secs(20),
            turn: Duration::from_secs(20),
            total: Duration::from_secs(20),
            grace: Duration::from_millis(300),
            output_bytes: 1 << 20,
        };
        Self { folder, confinement, limits, cancel: CancellationToken::new(), inbox: Vec::new() }
    }

    pub(crate) fn checkout(&self) -> PathBuf {
        self.confinement.checkout.clone()
    }

    /// Runs `script` as the agent's program.
    pub(crate) async fn script(&self, kind: Kind, script: &str) -> (SessionEnd, Vec<AgentEvent>) {
        let agent = CommandAgent::new("bash", vec!["-c".into(), script.into()], PromptBy::Stdin);
        self.run(kind, Box::new(agent)).await
    }

    pub(crate) fn spec(&self) -> RunSpec {
        RunSpec {
            session: SessionSpec { prompt: "Fix the typo.".into(), ..SessionSpec::default() },
            confinement: self.confinement.clone(),
            limits: self.limits,
        }
    }

    /// Runs `agent` and checks what must hold after every session: nothing of it is alive.
    pub(crate) async fn run(&self, kind: Kind, agent: Box<dyn Agent>) -> (SessionEnd, Vec<AgentEvent>) {
        let spec = RunSpec {
            session: SessionSpec { prompt: "Fix the typo.".into(), ..SessionSpec::default() },
            confinement: self.confinement.clone(),
            limits: self.limits,
        };
        let (say, inbox) = mpsc::channel(8);
        for message in &self.inbox {
            say.send(message.clone()).await.unwrap();
        }
        let (events, mut received) = mpsc::channel(4);
        let collecting = tokio::spawn(async move {
            let mut all = Vec::new();
            while let Some(event) = received.recv().await {
                all.push(event);
            }
            all
        });
        let sandbox = sandbox(kind);
        let end = run_session(spec, agent, sandbox.as_ref(), inbox, events, self.cancel.clone(), Arc::new(Still))
            .await
            .unwrap();
        assert_eq!(processes_of(&self.confinement.run), [], "processes outlived their session");
        (end, collecting.await.unwrap())
    }
}

/// The texts an agent said, one a line.
pub(crate) fn said(events: &[AgentEvent]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        AgentEvent::Text { text } => Some(text.as_str()),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}
