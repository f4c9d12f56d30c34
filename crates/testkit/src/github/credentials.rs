//! Who sends a request, from its `Authorization` header.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::ANONYMOUS;
use super::hub::Hub;
use super::serve::Arrived;

/// The caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Actor {
    /// A token of this user.
    Known(String),
    /// No credentials at all.
    Anonymous,
    /// Credentials that are not valid.
    Unknown,
}

impl Actor {
    /// The login, if there is one.
    pub(super) fn login(&self) -> Option<&str> {
        match self {
            Self::Known(login) => Some(login),
            Self::Anonymous | Self::Unknown => None,
        }
    }

    /// The name under which limits are kept: limits belong to the user, not to the token.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Known(login) => login,
            Self::Anonymous => ANONYMOUS,
            Self::Unknown => "unknown",
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
    let login = token.and_then(|token| hub.world().tokens.get(&token).cloned());
    login.map_or(Actor::Unknown, Actor::Known)
}

fn password(pair: &str) -> Option<String> {
    let pair = String::from_utf8(STANDARD.decode(pair).ok()?).ok()?;
    Some(pair.split_once(':')?.1.to_owned())
}
