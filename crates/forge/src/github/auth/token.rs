//! Tokens: what they may do, how long they live, and who makes them.
//!
//! **Wanted properties.** A token of an installation is minted once for all who ask at the same time, renewed before it
//! has ten minutes left (R36), and holds what its scope needs of what the owner granted, nothing else.
//!
//! **Known races.** GitHub may not know a new token for some seconds. [`Client::token`] proves each once before anybody
//! gets it (R26), so that a 404 later means what it says.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backlog::names::{RepoName, digest};
use backlog::time::Timestamp;
use http::header::HeaderValue;
use http::{Method, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::super::client::{Client, Failure, Refusal};
use super::super::governor::Traffic;
use super::super::model;
use super::super::wire::Wire;

/// How long a token of an installation is good.
const LIFE: Duration = Duration::from_secs(3600);
/// How long nothing is asked with a token that was not accepted.
const DEAD: Duration = Duration::from_secs(300);
/// What must be left of one that is given away.
const LEFT: Duration = Duration::from_secs(600);
/// From when on a 401 means that a token is dead rather than new.
const NEW: Duration = Duration::from_secs(60);
/// The waits of a new token that GitHub does not know yet (R26).
const PROOFS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(10), Duration::from_secs(30)];
/// A web token starts so long ago and ends after so long (R35).
const WEB_STARTED: i64 = 60;
const WEB_LIFE: i64 = 540;
/// A clock that differs by less is not worth another try.
const SKEW_MS: i64 = 5_000;
/// How many scopes an installation keeps tokens for.
const KEPT: usize = 1000;

/// Permissions by name: `read` or `write`.
pub(in super::super) type Permissions = BTreeMap<String, String>;

/// A token as it is sent.
#[derive(Debug)]
pub(in super::super) struct Token {
    pub(in super::super) secret: SecretString,
    pub(in super::super) header: HeaderValue,
    /// Names the token without telling it.
    pub(in super::super) hash: String,
    minted_at: Timestamp,
    ends_at: Timestamp,
}

impl Token {
    fn new(wire: &Wire, secret: SecretString, minted_at: Timestamp, life: Duration) -> Result<Arc<Self>, String> {
        if secret.expose_secret().trim().is_empty() {
            return Err("the token is empty".to_owned());
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {}", secret.expose_secret()))
            .map_err(|_| "the token holds a character that no token has, such as a line end".to_owned())?;
        header.set_sensitive(true);
        let ends_at = minted_at.plus(life);
        wire.keep_secret(&secret, ends_at);
        let hash = digest(&["github token", secret.expose_secret()]);
        Ok(Arc::new(Self { secret, header, hash, minted_at, ends_at }))
    }

    /// One that somebody else renews.
    pub(in super::super) fn lasting(wire: &Wire, secret: SecretString) -> Result<Arc<Self>, String> {
        Self::new(wire, secret, wire.clock.now(), Duration::from_secs(100 * 365 * 24 * 3600))
    }
}

/// What a token of an installation is for; decides what it may do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) enum Scope {
    /// Looking at everything of the installation.
    Read,
    /// Looking at security alerts.
    Alerts,
    /// Writing issues, comments and labels.
    Issues,
    /// Writing pull requests of one repository, and merging there.
    Pulls(String),
    /// Pushing to one repository.
    Push(String),
}

impl Scope {
    /// What a request to the API needs.
    pub(in super::super) fn of(method: &Method, url: &Url) -> Self {
        let parts: Vec<&str> = url.path().split('/').skip_while(|part| *part != "repos").collect();
        match (method, parts.as_slice()) {
            (_, ["repos", _, _, "dependabot" | "code-scanning" | "secret-scanning", ..]) => Self::Alerts,
            (&Method::GET | &Method::HEAD, _) => Self::Read,
            (_, ["repos", _, name, "pulls", ..]) => Self::Pulls((*name).to_owned()),
            (_, ["repos", ..]) => Self::Issues,
            _ => Self::Read,
        }
    }

    fn wants(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Read => &[
                ("metadata", "read"),
                ("contents", "read"),
                ("issues", "read"),
                ("pull_requests", "read"),
                ("checks", "read"),
                ("statuses", "read"),
                ("actions", "read"),
            ],
            Self::Alerts => &[
                ("metadata", "read"),
                ("vulnerability_alerts", "read"),
                ("security_events", "read"),
                ("secret_scanning_alerts", "read"),
            ],
            Self::Issues => &[("metadata", "read"), ("issues", "write")],
            Self::Pulls(_) => &[("metadata", "read"), ("contents", "write"), ("pull_requests", "write")],
            Self::Push(_) => &[("metadata", "read"), ("contents", "write")],
        }
    }

    fn repository(&self) -> Option<&str> {
        match self {
            Self::Read | Self::Alerts | Self::Issues => None,
            Self::Pulls(name) | Self::Push(name) => Some(name),
        }
    }
}

/// Whether a level of permission is enough.
pub(super) fn covers(granted: Option<&String>, wanted: &str) -> bool {
    granted.is_some_and(|granted| granted == wanted || granted == "write" || granted == "admin")
}

/// Signs an App's web tokens (R35).
pub(in super::super) struct Signer {
    id: String,
    key: EncodingKey,
    /// How far GitHub's clock is ahead of ours.
    skew_ms: AtomicI64,
    current: Mutex<Option<Arc<Token>>>,
}

impl Signer {
    pub(in super::super) fn new(id: String, private_key: &SecretString) -> Result<Self, String> {
        let key = EncodingKey::from_rsa_pem(private_key.expose_secret().as_bytes())
            .map_err(|_| "the App's private key is no RSA key in PEM form".to_owned())?;
        Ok(Self { id, key, skew_ms: AtomicI64::new(0), current: Mutex::default() })
    }

    /// The App's id or client id.
    pub(in super::super) fn id(&self) -> &str {
        &self.id
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Token>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn token(&self, wire: &Wire) -> Result<Arc<Token>, Failure> {
        let now = wire.clock.now();
        let mut current = self.current();
        if let Some(token) = current.as_ref().filter(|token| token.ends_at > now.plus(NEW)) {
            return Ok(Arc::clone(token));
        }
        let seconds = now.0.saturating_add(self.skew_ms.load(Ordering::Relaxed)) / 1000;
        let issued = seconds - WEB_STARTED;
        let claims = json!({ "iat": issued, "exp": issued + WEB_LIFE, "iss": self.id });
        let signed = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key)
            .map_err(|error| Failure::Unexpected(format!("the App's key signs nothing: {error}")))?;
        let life = Duration::from_secs((WEB_LIFE - WEB_STARTED).unsigned_abs());
        let token = Token::new(wire, signed.into(), now, life).map_err(Failure::Unexpected)?;
        *current = Some(Arc::clone(&token));
        Ok(token)
    }

    /// Whether another token may do better: GitHub's clock shows another time.
    fn resets(&self, refusal: &Refusal, now: Timestamp) -> bool {
        let Some(at) = refusal.date.filter(|_| refusal.status == StatusCode::UNAUTHORIZED) else { return false };
        let skew = at.0 - now.0;
        let old = self.skew_ms.swap(skew, Ordering::Relaxed);
        if (skew - old).abs() < SKEW_MS {
            return false;
        }
        tracing::warn!(seconds = skew / 1000, "GitHub's clock differs from this machine's; set this machine's clock");
        *self.current() = None;
        true
    }
}

type Kept = Arc<tokio::sync::Mutex<Option<Arc<Token>>>>;

/// Mints the tokens of one installation.
pub(in super::super) struct Minter {
    /// Who calls with the App's web token.
    pub(super) app: Arc<Client>,
    pub(super) owner: String,
    id: AtomicU64,
    granted: Mutex<Permissions>,
    kept: Mutex<HashMap<Scope, Kept>>,
}

impl Minter {
    pub(super) fn new(app: Arc<Client>, owner: String, id: u64, granted: Permissions) -> Self {
        let (id, granted) = (AtomicU64::new(id), Mutex::new(granted));
        Self { app, owner, id, granted, kept: Mutex::default() }
    }

    pub(super) fn granted(&self) -> MutexGuard<'_, Permissions> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The installation's id, as far as known.
    pub(in super::super) fn id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    /// The id of the App that is installed.
    pub(in super::super) fn app_id(&self) -> &str {
        if let Bearer::App(signer) = &self.app.bearer { signer.id() } else { "" }
    }

    fn kept(&self, scope: &Scope) -> Kept {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT && !kept.contains_key(scope) {
            kept.clear();
        }
        Arc::clone(kept.entry(scope.clone()).or_default())
    }

    /// Forgets a token that GitHub does not take any more. `false` when it is so new that GitHub may not know it yet.
    fn drops(&self, token: &Token, now: Timestamp) -> bool {
        if now.since(token.minted_at) < NEW {
            return false;
        }
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, kept| match kept.try_lock() {
            Ok(kept) => kept.as_ref().is_none_or(|kept| kept.hash != token.hash),
            // Somebody is minting a new one.
            Err(_) => true,
        });
        true
    }

    /// What to ask for, or what is missing.
    fn order(&self, scope: &Scope) -> Result<Value, Failure> {
        let granted = self.granted();
        let mut asked = serde_json::Map::new();
        for (name, level) in scope.wants() {
            match (covers(granted.get(*name), level), *level) {
                (true, _) => drop(asked.insert((*name).to_owned(), (*level).into())),
                // What cannot be read is missed where it is asked for.
                (false, "read") => {}
                (false, _) => return Err(self.refuses(&format!("it lacks the permission {name}: {level}"))),
            }
        }
        let mut order = json!({ "permissions": asked });
        if let Some(repository) = scope.repository() {
            order["repositories"] = json!([repository]);
        }
        Ok(order)
    }

    pub(super) fn refuses(&self, why: &str) -> Failure {
        refused(&self.owner, why)
    }
}

/// What stops all work in an account until somebody mends it.
pub(super) fn refused(owner: &str, why: &str) -> Failure {
    Failure::Refused(Refusal {
        status: StatusCode::FORBIDDEN,
        what: format!("working in {owner} with the GitHub App"),
        said: format!("{why}; mend that in GitHub's settings of {owner} under \"GitHub Apps\""),
        needs: None,
        date: None,
    })
}

type Minting<'a> = Pin<Box<dyn Future<Output = Result<Arc<Token>, Failure>> + Send + 'a>>;

/// Where a client's tokens come from.
pub(in super::super) enum Bearer {
    Fixed(Arc<Token>),
    App(Signer),
    Installation(Minter),
}

impl Client {
    /// The token for a scope, minted when none is there that lives long enough.
    pub(in super::super) async fn token(&self, scope: &Scope) -> Result<Arc<Token>, Failure> {
        let minter = match &self.bearer {
            Bearer::Fixed(token) => return self.accepted().map(|()| Arc::clone(token)),
            Bearer::App(signer) => return signer.token(&self.wire),
            Bearer::Installation(minter) => minter,
        };
        let kept = minter.kept(scope);
        let mut kept = kept.lock().await;
        if let Some(token) = kept.as_ref().filter(|token| token.ends_at > self.wire.clock.now().plus(LEFT)) {
            return Ok(Arc::clone(token));
        }
        let token = self.minted(minter, scope).await?;
        self.prove(&token).await?;
        *kept = Some(Arc::clone(&token));
        Ok(token)
    }

    fn not_accepted(&self) -> MutexGuard<'_, Option<(String, Timestamp)>> {
        self.not_accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails without a request while a token was not accepted just now: GitHub blocks who asks on with a bad one.
    fn accepted(&self) -> Result<(), Failure> {
        let now = self.wire.clock.now();
        match self.not_accepted().as_ref().filter(|(_, until)| *until > now) {
            None => Ok(()),
            Some((said, _)) => {
                let (status, what) = (StatusCode::UNAUTHORIZED, "asking GitHub".to_owned());
                Err(Failure::Refused(Refusal { status, what, said: said.clone(), needs: None, date: None }))
            }
        }
    }

    /// What people should know of the token.
    pub(in super::super) fn notice(&self) -> Option<String> {
        let (said, until) = self.accepted().is_err().then(|| self.not_accepted().clone()).flatten()?;
        Some(format!(
            "GitHub does not accept the token ({said}). Put a good one into the variable that the configuration names, \
             and restart ccm. Nothing is asked of GitHub before {until}."
        ))
    }

    /// A token of its own for one push.
    pub(in super::super) async fn token_to_push(&self, repository: &RepoName) -> Result<Arc<Token>, Failure> {
        let scope = Scope::Push(repository.name().to_owned());
        self.account().await?;
        let Bearer::Installation(minter) = &self.bearer else { return self.token(&scope).await };
        let token = self.minted(minter, &scope).await?;
        self.prove(&token).await?;
        Ok(token)
    }

    /// Ends a token of [`Client::token_to_push`]. One that somebody gave us is not ours to end.
    pub(in super::super) async fn revoke(&self, secret: &SecretString) -> Result<(), Failure> {
        let Bearer::Installation(_) = &self.bearer else { return Ok(()) };
        let now = self.wire.clock.now();
        let token = Token::new(&self.wire, secret.clone(), now, LIFE).map_err(Failure::Unexpected)?;
        let permit = self.governor.admit(Traffic::Mint).await?;
        let url = self.wire.url(&["installation", "token"], &[]);
        Box::pin(self.exchange(&permit, &token, Method::DELETE, &url, None, None)).await.map(drop)
    }

    /// Whether a refusal is the token's fault and another token may do better (R35, R36).
    pub(in super::super) fn renews(&self, token: &Token, refusal: &Refusal) -> bool {
        let now = self.wire.clock.now();
        match &self.bearer {
            _ if refusal.status != StatusCode::UNAUTHORIZED => false,
            Bearer::Fixed(_) => {
                let said = refusal.said.clone();
                tracing::error!(said, "GitHub does not accept the token; put a good one in its place and restart");
                *self.not_accepted() = Some((said, now.plus(DEAD)));
                false
            }
            Bearer::App(signer) => signer.resets(refusal, now),
            Bearer::Installation(minter) => minter.drops(token, now),
        }
    }

    /// As [`Client::mint`]; the App's client, which mints, has tokens itself.
    fn minted<'a>(&'a self, minter: &'a Minter, scope: &'a Scope) -> Minting<'a> {
        Box::pin(self.mint(minter, scope))
    }

    async fn mint(&self, minter: &Minter, scope: &Scope) -> Result<Arc<Token>, Failure> {
        let order = minter.order(scope)?;
        let mut id = minter.id();
        let mut rediscovered = false;
        let answer = loop {
            let url = self.wire.url(&["app", "installations", &id.to_string(), "access_tokens"], &[]);
            match minter.app.edit(Traffic::Mint, Method::POST, &url, Some(&order)).await {
                Err(Failure::Refused(refusal)) => match refusal.status {
                    StatusCode::NOT_FOUND if !rediscovered => {
                        rediscovered = true;
                        id = self.rediscover(minter).await?;
                    }
                    StatusCode::NOT_FOUND => return Err(minter.refuses("it is gone")),
                    StatusCode::FORBIDDEN if refusal.said.contains("suspended") => {
                        return Err(minter.refuses("it is suspended"));
                    }
                    StatusCode::UNPROCESSABLE_ENTITY => return Err(minter.refuses(&refusal.said)),
                    _ => return Err(Failure::Refused(refusal)),
                },
                answer => break answer?,
            }
        };
        let made: model::InstallationToken = answer.json()?;
        Token::new(&self.wire, made.token.into(), self.wire.clock.now(), LIFE).map_err(Failure::Unexpected)
    }

    /// The new id of an installation that was made again (R38).
    async fn rediscover(&self, minter: &Minter) -> Result<u64, Failure> {
        let url = self.wire.url(&["users", &minter.owner, "installation"], &[]);
        match minter.app.get_json::<model::Installation>(&url).await {
            Ok(found) => {
                minter.id.store(found.id, Ordering::Relaxed);
                *minter.granted() = found.permissions;
                Ok(found.id)
            }
            Err(Failure::Refused(refusal)) if refusal.status == StatusCode::NOT_FOUND => {
                Err(minter.refuses("the App is not installed there any more"))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Waits until GitHub knows a new token (R26).
    async fn prove(&self, token: &Arc<Token>) -> Result<(), Failure> {
        let url = self.wire.url(&["installation", "repositories"], &[("per_page", "1")]);
        let mut waits = PROOFS.iter();
        loop {
            let permit = self.governor.admit(Traffic::Read).await?;
            let proved = Box::pin(self.exchange(&permit, token, Method::GET, &url, None, None)).await;
            drop(permit);
            let new = |refusal: &Refusal| matches!(refusal.status.as_u16(), 401 | 403 | 404);
            let suspended = |refusal: &Refusal| refusal.said.contains("suspended");
            match (proved, waits.next()) {
                (Err(Failure::Refused(refusal)), Some(wait)) if new(&refusal) && !suspended(&refusal) => {
                    self.wire.sleep(*wait).await;
                }
                (Err(Failure::NotSent(_) | Failure::Ambiguous(_)), Some(wait)) => self.wire.sleep(*wait).await,
                (proved, _) => return proved.map(drop),
            }
        }
    }
}
