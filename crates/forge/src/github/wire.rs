//! The way to one host.
//!
//! **Definition.** [`Wire`] is what all actors of a host share: the HTTP client and its bounds, the host's address, and
//! the secrets that no text may tell.
//!
//! **Wanted properties.** A credential goes to one origin only and stands in no error; every body has a bound.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backlog::time::{Clock, Timestamp};
use bytes::Bytes;
use http::HeaderValue;
use http::header::LINK;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::client::{Answer, Failure};
use super::governor::{Breaker, Governor, Limits, Sleep};
use super::route::Routes;
use crate::Ledger;

/// See the module.
pub(super) struct Wire {
    pub(super) http: reqwest::Client,
    pub(super) api_url: Url,
    pub(super) user_agent: HeaderValue,
    pub(super) limits: Limits,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) clock: Arc<dyn Clock>,
    sleep: Arc<dyn Sleep>,
    breaker: Arc<Breaker>,
    secrets: Mutex<Vec<(SecretString, Timestamp)>>,
    pub(super) routes: Routes,
}

impl Wire {
    /// The way to this host; `Err` says in a sentence why there is none.
    pub(super) fn new(
        api_url: Url,
        user_agent: &str,
        limits: Limits,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        sleep: Arc<dyn Sleep>,
    ) -> Result<Self, String> {
        let user_agent = HeaderValue::from_str(user_agent)
            .map_err(|_| "the contact holds a character that no header has".to_owned())?;
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(limits.connect_timeout)
            .pool_idle_timeout(Duration::from_secs(30));
        if is_loopback(&api_url) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| format!("the HTTP client cannot start: {error}"))?;
        Ok(Self {
            http,
            api_url,
            user_agent,
            limits,
            ledger,
            clock,
            sleep,
            breaker: Arc::default(),
            secrets: Mutex::default(),
            routes: Routes::default(),
        })
    }

    /// A new actor's governor.
    pub(super) fn governor(&self) -> Governor {
        let (ledger, clock) = (Arc::clone(&self.ledger), Arc::clone(&self.clock));
        Governor::new(self.limits.clone(), ledger, Arc::clone(&self.breaker), clock, Arc::clone(&self.sleep))
    }

    /// The address of an API path with its query.
    pub(super) fn url(&self, segments: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.api_url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Sends and reads the whole body, up to the bounds of time and of `most` bytes (R33).
    pub(super) async fn receive(
        &self,
        request: reqwest::RequestBuilder,
        what: &str,
        most: usize,
    ) -> Result<Answer, Failure> {
        let late = self.limits.request_timeout;
        tokio::select! {
            biased;
            answer = self.receive_whole(request, what, most) => answer,
            () = self.sleep.deadline(late) => Err(Failure::Ambiguous(format!("{what} took longer than {late:?}"))),
        }
    }

    async fn receive_whole(
        &self,
        request: reqwest::RequestBuilder,
        what: &str,
        most: usize,
    ) -> Result<Answer, Failure> {
        let broken = |error: reqwest::Error| {
            let why = self.redact(&format!("{what}: {}", chain(&error.without_url())));
            Failure::Ambiguous(why)
        };
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_builder() => {
                return Err(Failure::Unexpected(self.redact(&chain(&error.without_url()))));
            }
            Err(error) if error.is_connect() => {
                return Err(Failure::NotSent(self.redact(&format!("{what}: {}", chain(&error.without_url())))));
            }
            Err(error) => return Err(broken(error)),
        };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > most {
                return Err(Failure::Unexpected(format!("the answer to {what} is longer than {most} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body: Bytes::from(body),
            what: what.to_owned(),
            token: None,
        })
    }

    /// An address from a header, if it stays on the origin that the credentials belong to.
    pub(super) fn same_origin(&self, from: &Url, to: &str) -> Result<Url, Failure> {
        let url = from.join(to).ok().filter(|url| url.origin() == self.api_url.origin());
        url.ok_or_else(|| {
            Failure::Unexpected(format!(
                "GET {} leads to another host; that is refused, the token stays here",
                from.path()
            ))
        })
    }

    /// The next page, from the `Link` header (R44).
    pub(super) fn next_page(&self, url: &Url, answer: &Answer) -> Result<Option<Url>, Failure> {
        match answer.header(LINK).and_then(next_link) {
            Some(next) => self.same_origin(url, next).map(Some),
            None => Ok(None),
        }
    }

    /// From now on, for as long as it opens anything, no text tells this secret.
    pub(super) fn keep_secret(&self, secret: &SecretString, until: Timestamp) {
        let now = self.clock.now();
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.retain(|(_, until)| *until > now);
        secrets.push((secret.clone(), until));
    }

    /// Lets time pass.
    pub(super) async fn sleep(&self, time: Duration) {
        self.sleep.sleep(time).await;
    }

    /// `text` without any secret, by value (R37).
    pub(super) fn redact(&self, text: &str) -> String {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.iter().fold(text.to_owned(), |text, (secret, _)| text.replace(secret.expose_secret(), "[token]"))
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

/// The address of `rel="next"` in a `Link` header.
fn next_link(header: &str) -> Option<&str> {
    header.split('<').skip(1).find_map(|link| {
        let (address, rest) = link.split_once('>')?;
        let mut parameters = rest.split([';', ',']).map(str::trim);
        parameters.any(|parameter| matches!(parameter, "rel=\"next\"" | "rel=next")).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r44_the_next_page_is_found_in_every_link_header() {
        let table = [
            (r#"<https://h/a?page=2>; rel="next", <https://h/a?page=9>; rel="last""#, Some("https://h/a?page=2")),
            (r#"<https://h/a?page=1>; rel="prev", <https://h/a?page=3>; rel="next""#, Some("https://h/a?page=3")),
            (r#"<https://h/a?q=a,b;c&page=2>;rel="next""#, Some("https://h/a?q=a,b;c&page=2")),
            (r"<https://h/a?page=2>; title=x; rel=next", Some("https://h/a?page=2")),
            (r#"<https://h/a?page=1>; rel="first""#, None),
            (r#"<https://h/a?rel="next">; rel="last""#, None),
            ("nonsense", None),
            ("<unclosed", None),
            ("", None),
        ];
        for (header, expected) in table {
            assert_eq!(next_link(header), expected, "{header}");
        }
    }

    #[test]
    fn only_the_own_machine_is_loopback() {
        let table = [
            ("http://127.0.0.1:1/api/v3", true),
            ("http://localhost/", true),
            ("http://[::1]:8/", true),
            ("https://api.github.com", false),
            ("https://localhost.example.org", false),
        ];
        for (url, expected) in table {
            assert_eq!(is_loopback(&url.parse().unwrap()), expected, "{url}");
        }
    }
}
