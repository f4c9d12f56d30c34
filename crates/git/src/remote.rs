//! Where a mirror fetches from and pushes to.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use crate::error::GitError;

/// A repository on a code host or in a folder of this machine.
#[derive(Clone, Debug)]
pub struct Remote {
    /// `https://host/owner/name.git`, `http://…`, `file:///…` or an absolute path. Never with a password in it.
    pub url: String,
    /// What to log in with; `None` for public repositories and folders.
    pub auth: Option<RemoteAuth>,
}

/// A name and a password (or token) for HTTP basic authentication.
#[derive(Clone, Debug)]
pub struct RemoteAuth {
    /// The user; `x-access-token` for GitHub's tokens.
    pub username: String,
    /// The password or token.
    pub password: SecretString,
}

impl Remote {
    /// A remote without a login.
    #[must_use]
    pub fn public(url: impl Into<String>) -> Self {
        Self { url: url.into(), auth: None }
    }

    /// Refuses what git would take for something else than a web address or a folder, and passwords in addresses.
    pub(crate) fn validated(self) -> Result<Self, GitError> {
        let web = self.url.strip_prefix("https://").or_else(|| self.url.strip_prefix("http://"));
        let reason = match web {
            _ if self.url.bytes().any(|b| b < b' ' || b == 0x7f) => Some("it holds control characters"),
            Some(rest) if rest.split('/').next().is_some_and(|host| host.contains('@')) => {
                Some("it holds a user or a password; give them as the remote's login instead")
            }
            None if !self.url.starts_with('/') && !self.url.starts_with("file:///") => {
                Some("it is neither a http(s) address nor an absolute path")
            }
            _ => None,
        };
        match reason {
            Some(reason) => Err(GitError::InvalidRemote { reason }),
            None => Ok(self),
        }
    }

    /// Whether it is reached over the network, and is no folder of this machine.
    pub(crate) fn is_on_the_network(&self) -> bool {
        ["https://", "http://"].iter().any(|scheme| self.url.starts_with(scheme))
    }

    /// The value of the `Authorization` header, if there is a login.
    pub(crate) fn authorization(&self) -> Option<String> {
        self.auth.as_ref().map(|auth| format!("Basic {}", auth.encoded()))
    }

    /// Every text that must never be shown.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let Some(auth) = &self.auth else { return Vec::new() };
        let password = auth.password.expose_secret().to_owned();
        [auth.encoded(), password].into_iter().filter(|secret| !secret.is_empty()).collect()
    }
}

impl RemoteAuth {
    fn encoded(&self) -> String {
        STANDARD.encode(format!("{}:{}", self.username, self.password.expose_secret()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_and_absolute_paths_without_passwords_are_remotes() {
        for (url, good) in [
            ("https://github.com/acme/shop.git", true),
            ("http://127.0.0.1:8080/acme/shop.git", true),
            ("/srv/git/shop", true),
            ("file:///srv/git/shop", true),
            ("https://me:hunter2@github.com/acme/shop.git", false),
            ("https://hunter2@github.com/acme/shop.git", false),
            ("ext::sh -c id", false),
            ("--upload-pack=id", false),
            ("git@github.com:acme/shop.git", false),
            ("../shop", false),
            ("/srv/a\nb", false),
        ] {
            let refused = Remote::public(url).validated().map(|_| ()).map_err(|e| e.to_string());
            assert_eq!(refused.is_ok(), good, "{url}: {refused:?}");
            assert!(!format!("{refused:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_printed_remote_shows_no_password() {
        let auth = RemoteAuth { username: "me".into(), password: "hunter2".into() };
        let remote = Remote { url: "https://host/a/b".into(), auth: Some(auth) };
        assert!(!format!("{remote:?}").contains("hunter2"));
        assert_eq!(remote.secrets(), ["bWU6aHVudGVyMg==", "hunter2"]);
    }
}
