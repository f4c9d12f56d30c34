//! The way from inside a sandbox to the gateway.
//!
//! Inside there is no network but the loopback of its own. The bridge listens there on a port that agents take for the
//! model's API, copies bytes to the gateway's Unix socket, runs the agent as its child and ends with it. The binary
//! calls [`run`] for its hidden subcommand [`SUBCOMMAND`].

use std::io;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use std::os::unix::process::ExitStatusExt;

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use crate::process;

/// The port that the bridge listens on inside the sandbox.
pub const PORT: u16 = 9901;

/// The subcommand by which a program offers the bridge:
/// `sandbox-bridge --socket PATH --port PORT -- PROGRAM [ARGUMENT]…`.
pub const SUBCOMMAND: &str = "sandbox-bridge";

/// Most connections at once; more wait to be accepted.
const CONNECTIONS: usize = 64;

/// Pause after a connection could not be accepted, for instance for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens on `127.0.0.1:port`, runs `command`, and returns its exit code (128 + signal when a signal ended it).
///
/// # Errors
/// When the port cannot be listened on or the command cannot be started.
pub async fn run(socket: &Path, port: u16, command: &[String]) -> io::Result<i32> {
    let (program, args) =
        command.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no command to run"))?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let mut child = process::inheriting(program, args)?;
    tokio::select! {
        status = forward_signals(&mut child) => Ok(code_of(status?)),
        never = accept(&listener, socket) => match never {},
    }
}

/// What the arguments after [`SUBCOMMAND`] ask for: socket, port and command; `None` when they are not understood.
#[must_use]
pub fn parse(args: &[String]) -> Option<(&Path, u16, &[String])> {
    match args {
        [socket_flag, socket, port_flag, port, dashes, command @ ..]
            if socket_flag == "--socket" && port_flag == "--port" && dashes == "--" && !command.is_empty() =>
        {
            Some((Path::new(socket), port.parse().ok()?, command))
        }
        _ => None,
    }
}

async fn accept(listener: &TcpListener, socket: &Path) -> std::convert::Infallible {
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let permit = Arc::clone(&free).acquire_owned().await;
        match listener.accept().await {
            Ok((connection, _)) => {
                let socket = socket.to_owned();
                tokio::spawn(async move {
                    // A broken connection is the two ends' matter; each sees it close.
                    let _ = copy(connection, &socket).await;
                    drop(permit);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn copy(mut inside: TcpStream, socket: &Path) -> io::Result<()> {
    let mut outside = UnixStream::connect(socket).await?;
    inside.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut inside, &mut outside).await?;
    Ok(())
}

async fn forward_signals(child: &mut Child) -> io::Result<ExitStatus> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        let passed_on = tokio::select! {
            status = child.wait() => return status,
            _ = terminate.recv() => Signal::TERM,
            _ = interrupt.recv() => Signal::INT,
            _ = hangup.recv() => Signal::HUP,
        };
        if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            // It fails only when the child is gone, which the next turn sees.
            let _ = kill_process(pid, passed_on);
        }
    }
}

fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
