//! One run's address: accepts connections until it is closed.
//!
//! **Design.** A task accepts; each connection is served in a `JoinSet` of that task. Closing stops the task, which
//! drops all connections and with them their answers, so that every open request is settled before
//! [`RunGateway::close`] returns. The socket file is removed with the [`RunGateway`].

use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backlog::names::RunId;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use url::Url;

use crate::GatewayError;
use crate::ledger::{Ledger, Usage};
use crate::relay::{self, Run, Upstream};

/// Bytes of a socket path: the system's 108 with the closing zero.
pub(crate) const MAX_SOCKET_PATH: usize = 107;
const MAX_HEAD_BYTES: usize = 64 * 1024;
const HEAD_TIME: Duration = Duration::from_secs(30);
const PAUSE_AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// Where a run's gateway shall listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// On a Unix socket at this path, which must not exist yet (a dead socket there is replaced).
    Unix(PathBuf),
    /// On a free port of 127.0.0.1, under a random path.
    Loopback,
}

/// Where a run's gateway listens.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// A Unix socket.
    Unix(PathBuf),
    /// A base URL with the random path that guards it: as good as a password for this run's budget.
    Loopback(Url),
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => f.debug_tuple("Unix").field(path).finish(),
            Self::Loopback(url) => f.debug_tuple("Loopback").field(&url.port()).finish(),
        }
    }
}

/// The way out of one run; dropping it closes it.
pub struct RunGateway {
    run: Arc<Run>,
    address: Address,
    /// Sending or dropping it stops `server`.
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

impl fmt::Debug for RunGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunGateway")
            .field("run", &self.run.id)
            .field("address", &self.address)
            .field("usage", &self.usage())
            .finish_non_exhaustive()
    }
}

impl RunGateway {
    /// What the run has used so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.run.ledger.usage()
    }

    /// The usage, now and after each change.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Usage> {
        self.run.ledger.subscribe()
    }

    /// Sets the whole run's budget, in micro-USD; a lower one than the present changes nothing.
    pub fn raise_budget(&self, micro_usd: u64) {
        self.run.ledger.raise_budget(micro_usd);
    }

    /// Where the agent finds it.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Ends all connections, removes the socket file and returns the final usage, hung-up requests included.
    pub async fn close(mut self) -> Usage {
        drop(self.stop.take());
        if let Some(server) = self.server.take() {
            // Only a panic in the accept loop is an error here, and the usage is right all the same.
            let _ended = server.await;
        }
        self.usage()
    }
}

impl Drop for RunGateway {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.address {
            // It may be gone already, with the folder of the run.
            let _gone = std::fs::remove_file(path);
        }
    }
}

pub(crate) async fn open(
    upstream: Arc<Upstream>,
    id: RunId,
    budget: u64,
    at: Listen,
) -> Result<RunGateway, GatewayError> {
    let (listener, address, guard) = match at {
        Listen::Unix(path) => (Listener::Unix(bind_unix(&path).await?), Address::Unix(path), None),
        Listen::Loopback => {
            let (listener, url, guard) = bind_loopback().await?;
            (Listener::Loopback(listener), Address::Loopback(url), Some(guard))
        }
    };
    let permits = Arc::new(Semaphore::new(upstream.config.limits.concurrent));
    let run = Arc::new(Run { id, upstream, ledger: Arc::new(Ledger::new(budget)), permits, guard });
    let (stop, stopped) = oneshot::channel();
    let server = tokio::spawn(accept(listener, Arc::clone(&run), stopped));
    Ok(RunGateway { run, address, stop: Some(stop), server: Some(server) })
}

async fn bind_unix(path: &Path) -> Result<UnixListener, GatewayError> {
    let length = path.as_os_str().as_bytes().len();
    if length > MAX_SOCKET_PATH {
        return Err(GatewayError::PathTooLong { path: path.to_owned(), length });
    }
    let failed = |source| GatewayError::Listen { at: path.display().to_string(), source };
    if is_dead_socket(path).await {
        std::fs::remove_file(path).map_err(failed)?;
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Whether a socket file is left from a process that is gone.
async fn is_dead_socket(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refuses = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && UnixStream::connect(path).await.err().is_some_and(refuses)
}

async fn bind_loopback() -> Result<(TcpListener, Url, String), GatewayError> {
    let failed = |source| GatewayError::Listen { at: "loopback".to_owned(), source };
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| GatewayError::Random)?;
    let guard = hex::encode(random);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let url = Url::parse(&format!("http://127.0.0.1:{port}/{guard}")).expect("digits make a valid URL");
    Ok((listener, url, guard))
}

enum Listener {
    Unix(UnixListener),
    Loopback(TcpListener),
}

enum Connection {
    Unix(UnixStream),
    Loopback(TcpStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<Connection> {
        match self {
            Self::Unix(listener) => Ok(Connection::Unix(listener.accept().await?.0)),
            Self::Loopback(listener) => Ok(Connection::Loopback(listener.accept().await?.0)),
        }
    }
}

async fn accept(listener: Listener, run: Arc<Run>, mut stopped: oneshot::Receiver<()>) {
    let most = run.upstream.config.limits.connections;
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            _ = &mut stopped => break,
            _ = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept(), if connections.len() < most => accepted,
        };
        match accepted {
            Ok(Connection::Unix(stream)) => drop(connections.spawn(serve(stream, Arc::clone(&run)))),
            Ok(Connection::Loopback(stream)) => drop(connections.spawn(serve(stream, Arc::clone(&run)))),
            Err(error) => {
                tracing::warn!(run = %run.id, %error, "a connection of the run could not be accepted");
                tokio::time::sleep(PAUSE_AFTER_FAILED_ACCEPT).await;
            }
        }
    }
    connections.shutdown().await;
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, run: Arc<Run>) {
    let service = service_fn(|request| {
        let run = Arc::clone(&run);
        async move { Ok::<_, std::convert::Infallible>(relay::answer(&run, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(run = %run.id, %error, "a connection of the run ended early");
    }
}
