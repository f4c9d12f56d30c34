//! A way between a client and a server that can be cut at any byte.
//!
//! **Definition.** [`Scissors`] listens on a loopback port and passes on what arrives, both ways. Once it has been told
//! to, it stops for good after the n-th byte in one direction and tells whoever waits.
//!
//! **Wanted properties.** Exactly so many bytes arrive on the other side, whatever the sizes of reads and writes; after
//! the cut no byte passes in either direction, on any connection, until [`Scissors::mend`].
//!
//! **Design.** One lock holds the count of each direction over all connections since the last order. Whoever passes bytes
//! on takes them from the count first. A cut closes the connections only when the test has let go of its client
//! ([`Scissors::mend`]): a process that dies sees nothing of it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The way that bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server: requests.
    There,
    /// From the server to the client: answers.
    Back,
}

/// See the module. It ends when dropped.
#[derive(Debug)]
pub struct Scissors {
    address: SocketAddr,
    line: Arc<Line>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Line {
    counts: Mutex<Counts>,
    /// How often the line was mended; connections of an earlier one are closed.
    age: watch::Sender<u64>,
    cut: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Counts {
    there: usize,
    back: usize,
    order: Option<(Way, usize)>,
    over: bool,
}

impl Line {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of so many bytes may pass, and whether the line is to be cut after them. `None` when it is already.
    fn take(&self, way: Way, bytes: usize) -> Option<(usize, bool)> {
        let mut counts = self.counts();
        if counts.over {
            return None;
        }
        let order = counts.order;
        let passed = if way == Way::There { &mut counts.there } else { &mut counts.back };
        let before = *passed;
        *passed += bytes;
        counts.over = order.is_some_and(|(ordered, n)| ordered == way && before + bytes >= n);
        match order {
            Some((_, n)) if counts.over => Some((n.saturating_sub(before), true)),
            _ => Some((bytes, false)),
        }
    }
}

impl Scissors {
    /// A whole line to the server at `url`, such as `http://127.0.0.1:4000`.
    ///
    /// # Panics
    /// When `url` names no address, or no port can be had.
    pub async fn before(url: &str) -> Self {
        let target: SocketAddr =
            url.trim_start_matches("http://").trim_end_matches('/').parse().expect("the address of a server");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let line =
            Arc::new(Line { counts: Mutex::default(), age: watch::Sender::new(0), cut: watch::Sender::new(false) });
        let server = tokio::spawn(accept(listener, target, Arc::clone(&line)));
        Self { address, line, server }
    }

    /// Where a client finds the server through it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Counts anew from here on, and cuts after the `n`-th byte of this way.
    pub fn cut_after(&self, way: Way, n: usize) {
        *self.line.counts() = Counts { order: Some((way, n)), ..Counts::default() };
    }

    /// Returns when the line is cut.
    ///
    /// # Panics
    /// Never: the line lives as long as this.
    pub async fn cut(&self) {
        let mut cut = self.line.cut.subscribe();
        cut.wait_for(|cut| *cut).await.expect("the line lives as long as its scissors");
    }

    /// Closes what was cut; new connections pass whole. Counts anew.
    pub fn mend(&self) {
        self.line.age.send_modify(|age| *age += 1);
        *self.line.counts() = Counts::default();
        self.line.cut.send_replace(false);
    }

    /// The bytes of requests and of answers since the last order or mending.
    #[must_use]
    pub fn passed(&self) -> (usize, usize) {
        let counts = self.line.counts();
        (counts.there, counts.back)
    }
}

impl Drop for Scissors {
    fn drop(&mut self) {
        self.server.abort();
        self.line.age.send_modify(|age| *age += 1);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, line: Arc<Line>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let line = Arc::clone(&line);
        tokio::spawn(async move {
            let mut age = line.age.subscribe();
            age.mark_unchanged();
            let Ok(server) = TcpStream::connect(target).await else { return };
            let (client_reads, client_writes) = client.into_split();
            let (server_reads, server_writes) = server.into_split();
            tokio::select! {
                _ = age.changed() => {}
                _ = async {
                    tokio::join!(
                        pass(client_reads, server_writes, Way::There, &line),
                        pass(server_reads, client_writes, Way::Back, &line),
                    )
                } => {}
            }
        });
    }
}

/// Passes bytes on until there are none or the line is cut; then it holds its end of the connection open.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Way, line: &Line) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        let Some((allowed, last)) = line.take(way, read) else { return std::future::pending().await };
        let written = to.write_all(&buffer[..allowed]).await;
        if last {
            // Told only now: what was allowed has been passed on.
            line.cut.send_replace(true);
            return std::future::pending().await;
        }
        if written.is_err() || read == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers every byte with its double.
    async fn doubler() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    while let Ok(byte) = client.read_u8().await {
                        client.write_all(&[byte, byte]).await.unwrap();
                    }
                });
            }
        });
        url
    }

    async fn say(scissors: &Scissors, words: &[u8]) -> Vec<u8> {
        let mut client = TcpStream::connect(scissors.address).await.unwrap();
        client.write_all(words).await.unwrap();
        let mut heard = Vec::new();
        let mut buffer = [0; 64];
        loop {
            tokio::select! {
                biased;
                read = client.read(&mut buffer) => match read.unwrap() {
                    0 => return heard,
                    read => heard.extend_from_slice(&buffer[..read]),
                },
                () = scissors.cut() => {
                    // What was passed on before the cut is on its way.
                    scissors.mend();
                }
            }
            if heard.len() == 2 * words.len() {
                return heard;
            }
        }
    }

    #[tokio::test]
    async fn it_cuts_after_exactly_so_many_bytes_of_either_way() {
        let url = doubler().await;
        let scissors = Scissors::before(&url).await;
        assert_eq!(say(&scissors, b"abc").await, b"aabbcc");
        assert_eq!(scissors.passed(), (3, 6));
        for n in 1..6 {
            scissors.cut_after(Way::Back, n);
            assert_eq!(say(&scissors, b"abc").await, b"aabbcc"[..n], "{n} bytes back");
        }
        scissors.cut_after(Way::There, 2);
        let heard = say(&scissors, b"abc").await;
        assert!(b"aabb".starts_with(&heard), "no byte after the second arrived: {heard:?}");
        assert_eq!(say(&scissors, b"abc").await, b"aabbcc", "mended");
    }
}
