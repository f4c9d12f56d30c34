//! The paces that the client keeps.

use std::time::Duration;

/// What GitHub allows at most at once, of reads and writes together. No setting goes above it.
const PUBLISHED_CONCURRENCY: usize = 100;

/// The paces that the client keeps, for each actor. The defaults stay well below what GitHub publishes; lower is always
/// fine. What several processes share, they share by these numbers.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Requests under way at once at the start, 1 to 100 (R18).
    pub concurrency: usize,
    /// The most that clean answers raise it to, 1 to 100.
    pub concurrency_most: usize,
    /// From the start of one write to the start of the next (R19).
    pub write_spacing: Duration,
    /// The same for a write that notifies people.
    pub notice_spacing: Duration,
    /// Points a minute over REST: a read is one, a write five (R16). GitHub allows 900.
    pub points_per_minute: u64,
    /// Points a minute over GraphQL. GitHub allows 2,000.
    pub graphql_points_per_minute: u64,
    /// Sum of response times a minute, REST and GraphQL together (R17). GitHub allows 90 s of computing.
    pub work_per_minute: Duration,
    /// The same for GraphQL alone. GitHub allows 60 s.
    pub graphql_work_per_minute: Duration,
    /// Issues, comments, pull requests and merges a minute (R20). GitHub allows 80.
    pub content_per_minute: usize,
    /// Issues, comments, pull requests and merges an hour. GitHub allows 500.
    pub content_per_hour: usize,
    /// Pull requests an hour at the start; a limit answer halves it, each hour without one adds a tenth.
    pub pulls_per_hour: usize,
    /// The most that quiet hours raise it to.
    pub pulls_per_hour_most: usize,
    /// From the start of one merge of a repository to the start of the next (R21).
    pub merge_spacing: Duration,
    /// From the start of one search to the start of the next (R22). GitHub allows 30 a minute.
    pub search_spacing: Duration,
    /// The same for a search in code. GitHub allows 9 a minute.
    pub code_search_spacing: Duration,
    /// Tokens minted an hour, by one App. GitHub allows 2,000.
    pub mints_per_hour: usize,
    /// Percent of a window at which background work stops (R4).
    pub background_floor: u64,
    /// Percent of a window below which the rest is spread over its time (R5).
    pub spread_below: u64,
    /// How many requests may go at once while the rest is spread.
    pub burst: u32,
    /// How many operations may wait at once; more are sent away with a time to come back.
    pub waiting: usize,
    /// Waits up to this are slept; longer ones are returned as `Limited`.
    pub patience: Duration,
    /// For one request from start to end, body included. GitHub itself gives up after 10 s.
    pub request_timeout: Duration,
    /// For a connection.
    pub connect_timeout: Duration,
    /// The longest body, in bytes.
    pub body_bytes: usize,
    /// How often a read is tried.
    pub tries: u32,
    /// The unit of the growing, random delay between tries of a read.
    pub backoff: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 10,
            concurrency_most: 25,
            write_spacing: Duration::from_secs(1),
            notice_spacing: Duration::from_secs(3),
            points_per_minute: 450,
            graphql_points_per_minute: 1_000,
            work_per_minute: Duration::from_secs(45),
            graphql_work_per_minute: Duration::from_secs(30),
            content_per_minute: 40,
            content_per_hour: 300,
            pulls_per_hour: 60,
            pulls_per_hour_most: 150,
            merge_spacing: Duration::from_secs(60),
            search_spacing: Duration::from_millis(2_100),
            code_search_spacing: Duration::from_secs(7),
            mints_per_hour: 1_000,
            background_floor: 20,
            spread_below: 50,
            burst: 20,
            waiting: 10_000,
            patience: Duration::from_secs(5),
            request_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(5),
            body_bytes: 32 << 20,
            tries: 4,
            backoff: Duration::from_secs(1),
        }
    }
}

impl Limits {
    /// With what cannot be, such as no request at all or more at once than GitHub allows, put right.
    #[must_use]
    pub(super) fn sane(mut self) -> Self {
        self.concurrency_most = self.concurrency_most.clamp(1, PUBLISHED_CONCURRENCY);
        self.concurrency = self.concurrency.clamp(1, self.concurrency_most);
        self.content_per_minute = self.content_per_minute.max(1);
        self.content_per_hour = self.content_per_hour.max(1);
        self.pulls_per_hour = self.pulls_per_hour.max(1);
        self.pulls_per_hour_most = self.pulls_per_hour_most.max(self.pulls_per_hour);
        self.mints_per_hour = self.mints_per_hour.max(1);
        self.burst = self.burst.max(1);
        // Less than one write a minute is none at all.
        self.points_per_minute = self.points_per_minute.max(5);
        self.graphql_points_per_minute = self.graphql_points_per_minute.max(5);
        self
    }
}
