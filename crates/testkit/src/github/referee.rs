//! The referee: writes down every arrival and says which of GitHub's rules were broken.
//!
//! **Definition.** The rules are the published limits, each over a sliding window of virtual time: points a minute (900
//! REST, 2,000 GraphQL), requests at once (100), work (90 s of answering in 60 s, GraphQL 60 s), content (80 a minute and
//! 500 an hour for everything that acts as one bot), searches (30 and 9 a minute), tokens (2,000 an hour for an App); and
//! that an announced pause is kept, an empty budget left alone, a creation not repeated blindly ([`repeats`]), a merge
//! sent with the head that it means, and one mutation sent at a time.
//!
//! **Design.** Every rule is judged when a request arrives or leaves, in constant time on average, so that hundreds of
//! thousands of requests cost what they should. The log may be cut to the last so many ([`Referee::keep`]); rules do not
//! read it.
//!
//! **Known races.** A request that arrives while a pause is in force is a violation, except for as many late ones as the
//! test tolerates ([`Referee::tolerate`]): requests that were on their way when the pause was announced cannot be told
//! from disobedience.

mod repeats;
mod windows;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use backlog::time::Timestamp;

use super::faults;
use repeats::Repeats;
use windows::{Account, Identity};

/// How many requests an actor may have open at once.
const CONCURRENT: usize = 100;

/// What a request is to the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Looks only: 1 point.
    Read,
    /// Changes something: 5 points.
    Write,
    /// Makes something that people are notified of: 5 points, and counts as content.
    Content,
    /// Reads through GraphQL: 1 point of its own pool.
    Query,
    /// Changes something through GraphQL: 5 points.
    Mutation,
    /// As [`Kind::Content`], through GraphQL.
    ContentMutation,
    /// Searches issues, repositories or users.
    Search,
    /// Searches code.
    CodeSearch,
    /// Makes an access token: 5 points, and counted per App.
    Mint,
    /// Git over HTTP: outside the API's limits.
    Git,
}

impl Kind {
    fn points(self) -> u64 {
        match self {
            Self::Read | Self::Query | Self::Search | Self::CodeSearch => 1,
            Self::Write | Self::Content | Self::Mutation | Self::ContentMutation | Self::Mint => 5,
            Self::Git => 0,
        }
    }

    /// Whether people are notified of it.
    pub(super) fn is_content(self) -> bool {
        matches!(self, Self::Content | Self::ContentMutation)
    }

    /// Whether it goes through GraphQL.
    pub(super) fn is_graphql(self) -> bool {
        matches!(self, Self::Query | Self::Mutation | Self::ContentMutation)
    }

    /// Whether it changes something that is not a credential.
    pub(super) fn is_write(self) -> bool {
        matches!(self, Self::Write | Self::Content | Self::Mutation | Self::ContentMutation)
    }

    /// The bucket of the primary limit that it is taken from.
    pub(super) fn resource(self) -> &'static str {
        match self {
            Self::Query | Self::Mutation | Self::ContentMutation => "graphql",
            Self::Search => "search",
            Self::CodeSearch => "code_search",
            Self::Read | Self::Write | Self::Content | Self::Mint | Self::Git => "core",
        }
    }
}

/// One request as it arrived, and how it ended.
#[derive(Clone, Debug)]
pub struct Request {
    /// Number of arrival, from 1.
    pub arrival: u64,
    /// HTTP method.
    pub method: String,
    /// Template of the route, such as `/repos/{owner}/{repo}/issues`; the plain path when no route fits.
    pub route: &'static str,
    /// Path and query as sent.
    pub path: String,
    /// Whose limits it is taken from: the login behind the token, `anonymous`, or `unknown` for a bad token.
    pub actor: String,
    /// Who is seen to act; limits on content are counted by it, over all actors that act as the same bot.
    pub identity: String,
    /// Virtual time of arrival.
    pub at: Timestamp,
    /// Whether it asked "only if changed".
    pub conditional: bool,
    /// What it is to the limits.
    pub kind: Kind,
    /// Status that was sent; `None` while it runs or when no answer was sent.
    pub status: Option<u16>,
    /// Whether it really did its work, whatever was answered.
    pub executed: bool,
    /// How long it took, in virtual time or in the latency that was ordered, whichever is longer.
    pub took: Duration,
    pub(super) marker: Option<String>,
}

/// What the referee learns from an answer.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) status: Option<u16>,
    pub(super) executed: bool,
    /// How long the server waited on purpose, in either time.
    pub(super) waited: Duration,
    /// How long the answer told the caller to be silent.
    pub(super) silence: Option<Duration>,
    /// How long the answer told everybody who acts as this bot to make nothing.
    pub(super) no_content: Option<Duration>,
    /// Until when the answer said that nothing is left of the resource.
    pub(super) empty_until: Option<Timestamp>,
}

/// A request that was written down and is still open.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub(super) arrival: u64,
    actor: String,
    identity: String,
    kind: Kind,
    at: Timestamp,
    marker: Option<String>,
    path: String,
}

/// How writes must behave when a test demands it.
#[derive(Clone, Copy, Debug)]
struct WriteManners {
    gap: Duration,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Referee {
    log: VecDeque<Request>,
    kept: usize,
    arrivals: u64,
    open: usize,
    counts: BTreeMap<(String, &'static str), usize>,
    accounts: BTreeMap<String, Account>,
    identities: BTreeMap<String, Identity>,
    repeats: Repeats,
    tolerated: usize,
    manners: Option<WriteManners>,
    content_is_free: bool,
    broken: Vec<String>,
    /// The most that was seen of what is counted in windows, where it is too much.
    excess: BTreeMap<(String, &'static str), (u64, u64)>,
}

impl Default for Referee {
    fn default() -> Self {
        Self {
            log: VecDeque::new(),
            kept: usize::MAX,
            arrivals: 0,
            open: 0,
            counts: BTreeMap::new(),
            accounts: BTreeMap::new(),
            identities: BTreeMap::new(),
            repeats: Repeats::default(),
            tolerated: 0,
            manners: None,
            content_is_free: false,
            broken: Vec::new(),
            excess: BTreeMap::new(),
        }
    }
}

impl Referee {
    /// Forgets the pauses that were announced `within` this time before `now`: whoever was told has died and told nobody.
    pub(super) fn unheard(&mut self, now: Timestamp, within: Duration) {
        for account in self.accounts.values_mut() {
            account.silent.forget(now, within);
            account.empty.values_mut().for_each(|pause| pause.forget(now, within));
        }
        self.identities.values_mut().for_each(|identity| identity.blocked.forget(now, within));
    }

    /// How many requests per pause may still arrive because they were on their way.
    pub(super) fn tolerate(&mut self, late: usize) {
        self.tolerated = late;
    }

    /// How many of the last requests are kept to look at.
    pub(super) fn keep(&mut self, last: usize) {
        self.kept = last;
        self.shorten();
    }

    /// From now on writes of one actor must come one at a time and start at least this far apart.
    pub(super) fn demand_manners(&mut self, gap: Duration) {
        self.manners = Some(WriteManners { gap });
    }

    /// Writes down something that is wrong by itself.
    pub(super) fn object(&mut self, violation: String) {
        self.broken.push(violation);
    }

    /// A request arrives.
    pub(super) fn arrive(&mut self, mut request: Request) -> Ticket {
        self.arrivals += 1;
        self.open += 1;
        request.arrival = self.arrivals;
        let ticket = Ticket {
            arrival: request.arrival,
            actor: request.actor.clone(),
            identity: request.identity.clone(),
            kind: request.kind,
            at: request.at,
            marker: request.marker.clone(),
            path: request.path.clone(),
        };
        if request.kind != Kind::Git {
            self.judge_pauses(&request);
            self.judge_windows(&request);
            self.judge_writes(&request);
        }
        let account = self.accounts.entry(request.actor.clone()).or_default();
        if matches!(request.kind, Kind::Read | Kind::Query | Kind::Search) {
            account.looks += 1;
        }
        if let Some(marker) = &request.marker {
            self.repeats.arrive(&request, marker, account.looks);
        }
        *self.counts.entry((request.method.clone(), request.route)).or_default() += 1;
        self.log.push_back(request);
        self.shorten();
        ticket
    }

    fn shorten(&mut self) {
        while self.log.len() > self.kept {
            self.log.pop_front();
        }
    }

    /// Whether the request comes while its actor, or everybody, should be silent.
    fn judge_pauses(&mut self, request: &Request) {
        let free = request.route == "/rate_limit";
        let account = self.accounts.entry(request.actor.clone()).or_default();
        let identity = self.identities.entry(request.identity.clone()).or_default();
        let pauses = [
            (Some(&mut account.silent), "a pause was in force"),
            (account.empty.get_mut(request.kind.resource()).filter(|_| !free), "the budget was used up"),
            (Some(&mut identity.blocked).filter(|_| request.kind.is_content()), "making content was blocked"),
        ];
        for (pause, why) in pauses {
            let Some(pause) = pause else { continue };
            if request.at < pause.until {
                pause.late += 1;
                if pause.late > self.tolerated {
                    let Request { arrival, method, path, actor, at, .. } = request;
                    let until = pause.until;
                    self.broken.push(format!(
                        "request {arrival} ({method} {path}) by {actor} was sent at {at} although {why} until {until}"
                    ));
                }
            }
        }
    }

    /// Counts the request, and sees whether that is too much.
    fn judge_windows(&mut self, request: &Request) {
        let account = self.accounts.entry(request.actor.clone()).or_default();
        account.open += 1;
        if account.open > CONCURRENT {
            let (actor, open) = (&request.actor, account.open);
            self.broken.push(format!("{actor} had {open} requests open at once, {CONCURRENT} are allowed"));
        }
        let mut found = account.arrive(request.kind, request.at);
        for (what, seen, allowed) in found.drain(..) {
            self.exceeded(&request.actor, what, seen, allowed);
        }
        if request.kind.is_content() {
            let identity = self.identities.entry(request.identity.clone()).or_default();
            for (what, seen, allowed) in identity.arrive(request.at) {
                self.exceeded(&request.identity, what, seen, allowed);
            }
        }
    }

    fn exceeded(&mut self, who: &str, what: &'static str, seen: u64, allowed: u64) {
        let most = self.excess.entry((who.to_owned(), what)).or_insert((seen, allowed));
        most.0 = most.0.max(seen);
    }

    fn judge_writes(&mut self, request: &Request) {
        let Some(manners) = self.manners.filter(|_| request.kind.is_write()) else { return };
        let account = self.accounts.entry(request.actor.clone()).or_default();
        let Request { arrival, method, path, actor, .. } = request;
        if account.open_writes > 0 {
            self.broken.push(format!("request {arrival} ({method} {path}) by {actor} was a second write at once"));
        }
        if let Some(last) = account.last_write.filter(|last| request.at.since(*last) < manners.gap) {
            let (apart, gap) = (request.at.since(last), manners.gap);
            self.broken.push(format!(
                "request {arrival} ({method} {path}) by {actor} came {apart:?} after the write before, {gap:?} were demanded"
            ));
        }
        account.open_writes += 1;
        account.last_write = Some(request.at);
    }

    /// A request is over.
    pub(super) fn leave(&mut self, ticket: &Ticket, now: Timestamp, verdict: &Verdict) {
        let took = now.since(ticket.at).max(verdict.waited);
        self.open -= 1;
        let first = self.arrivals - self.log.len() as u64 + 1;
        let at = ticket.arrival.checked_sub(first).and_then(|at| usize::try_from(at).ok());
        if let Some(request) = at.and_then(|at| self.log.get_mut(at)) {
            request.status = verdict.status;
            request.executed = verdict.executed;
            request.took = took;
        }
        if let Some(marker) = &ticket.marker {
            self.broken.extend(self.repeats.leave(ticket.arrival, &ticket.path, marker, verdict));
        }
        if ticket.kind == Kind::Git {
            return;
        }
        let account = self.accounts.entry(ticket.actor.clone()).or_default();
        account.open = account.open.saturating_sub(1);
        if ticket.kind.is_write() {
            account.open_writes = account.open_writes.saturating_sub(1);
        }
        if let Some(wait) = verdict.silence {
            account.silent.prolong(now, now.plus(wait));
        }
        if let Some(until) = verdict.empty_until.filter(|until| *until > now) {
            account.empty.entry(ticket.kind.resource()).or_default().prolong(now, until);
        }
        for (what, seen, allowed) in account.leave(ticket.kind, now, took) {
            self.exceeded(&ticket.actor, what, seen, allowed);
        }
        if let Some(wait) = verdict.no_content {
            let identity = self.identities.entry(ticket.identity.clone()).or_default();
            identity.blocked.prolong(now, now.plus(wait));
        }
    }

    /// Whether a bot tried to make more content than GitHub lets it, counting the last arrival.
    pub(super) fn content_exceeded(&mut self, identity: &str, now: Timestamp) -> bool {
        !self.content_is_free && self.identities.get_mut(identity).is_some_and(|identity| identity.is_over(now))
    }

    /// Lets everybody make content without limit; breaking the published ones is still written down.
    pub(super) fn free_content(&mut self) {
        self.content_is_free = true;
    }

    /// How many requests arrived.
    pub(super) fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// How many requests are being answered, git included.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// The requests that are kept, in order of arrival.
    pub(super) fn log(&self) -> Vec<Request> {
        self.log.iter().cloned().collect()
    }

    /// Requests of one route (see [`super::Fault::on`]).
    pub(super) fn matching(&self, filter: &str) -> Vec<Request> {
        self.log.iter().filter(|r| faults::matches(filter, &r.method, r.route)).cloned().collect()
    }

    /// How many requests each route had.
    pub(super) fn counts(&self) -> BTreeMap<String, usize> {
        self.counts.iter().map(|((method, route), count)| (format!("{method} {route}"), *count)).collect()
    }

    /// Every rule that was broken so far, as sentences.
    pub(super) fn violations(&self) -> Vec<String> {
        let mut found = self.broken.clone();
        for ((who, what), (most, allowed)) in &self.excess {
            found.push(format!("{who} used {most} {what}, {allowed} are allowed"));
        }
        found
    }
}

/// The hidden marker in a body: its first HTML comment.
pub(super) fn marker(body: &str) -> Option<String> {
    let start = body.find("<!--")?;
    let end = body[start..].find("-->")?;
    Some(body[start..start + end + 3].to_owned())
}

#[cfg(test)]
mod tests;
