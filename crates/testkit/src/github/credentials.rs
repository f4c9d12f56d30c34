//! Who sends a request, from its `Authorization` header.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::ANONYMOUS;
use super::apps::{self, Grant};
use super::call::Answer;
use super::hub::Hub;
use super::serve::Arrived;

/// The caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Actor {
    /// A token of this user.
    Known(String),
    /// A web token of this App.
    App(u64),
    /// A token of an installation.
    Installation(Box<Grant>),
    /// No credentials at all.
    Anonymous,
    /// Credentials that are not valid.
    Unknown,
    /// Credentials that are refused with this answer.
    Refused(Answer),
}

impl Actor {
    /// The login, if there is one.
    pub(super) fn login(&self) -> Option<&str> {
        match self {
            Self::Known(login) => Some(login),
            Self::Installation(grant) => Some(&grant.bot),
            Self::App(_) | Self::Anonymous | Self::Unknown | Self::Refused(_) => None,
        }
    }

    /// Who is seen to act; limits on what is made are kept under it, for all installations of an App together.
    pub(super) fn identity(&self) -> &str {
        self.login().unwrap_or_else(|| self.name())
    }

    /// The name under which limits are kept: limits belong to the user or the installation, not to the token.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Known(login) => login,
            Self::App(_) => "app",
            Self::Installation(grant) => &grant.name,
            Self::Anonymous => ANONYMOUS,
            Self::Unknown | Self::Refused(_) => "unknown",
        }
    }
}

/// Reads `Bearer`, `token` and `Basic` (the password is the token).
pub(super) fn actor(hub: &Hub, arrived: &Arrived) -> Actor {
    let header = arrived.header("authorization");
    if header.is_empty() {
        return Actor::Anonymous;
    }
    let token = match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token") => {
            Some(token.trim().to_owned())
        }
        Some((scheme, pair)) if scheme.eq_ignore_ascii_case("basic") => password(pair.trim()),
        _ => None,
    };
    let Some(token) = token else { return Actor::Unknown };
    let world = hub.world();
    match world.tokens.get(&token) {
        Some(login) => Actor::Known(login.clone()),
        None => apps::caller(&world, &token, hub.clock.now()).unwrap_or(Actor::Unknown),
    }
}

fn password(pair: &str) -> Option<String> {
    let pair = String::from_utf8(STANDARD.decode(pair).ok()?).ok()?;
    Some(pair.split_once(':')?.1.to_owned())
}
