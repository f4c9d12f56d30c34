//! Who acts: a person's token, or an App in the accounts where it is installed.
//!
//! **Definition.** [`Credential`] is what the configuration gives. [`Auth`] gives the client of the actor that works in
//! a repository: with a token always the same one, with an App that of the installation that owns the repository.
//!
//! **Wanted properties.** No token does more than its use needs, none is asked for twice at once, none reaches a text;
//! a suspended, removed or renewed installation stops the work in its account only, with a reason.
//!
//! **Design.** `token` is what is sent and who makes it: a personal token, a web token that the App signs, or a token
//! of an installation, minted for a scope. `app` knows the installations.

mod app;
mod token;

use std::sync::Arc;

use backlog::names::RepoName;
use secrecy::SecretString;

pub use app::NEEDED;
pub(super) use app::{App, Installed, not_installed};
pub(super) use token::{Bearer, Minter, Scope, Signer, Token};

use super::client::{Account, Client, Failure};
use super::wire::Wire;

/// What the service acts with.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A token of a person or a machine account.
    Token(SecretString),
    /// A GitHub App.
    App {
        /// Its id or client id.
        id: String,
        /// Its private key, as PEM.
        private_key: SecretString,
    },
}

/// See the module.
pub(super) enum Auth {
    Token(Arc<Client>),
    App(App),
}

impl Auth {
    /// `Err` says in a sentence why this cannot be a credential.
    pub(super) fn new(wire: &Arc<Wire>, credential: Credential) -> Result<Self, String> {
        match credential {
            Credential::Token(secret) => {
                let token = Token::lasting(wire, secret)?;
                Ok(Self::Token(Arc::new(Client::new(Arc::clone(wire), Bearer::Fixed(token)))))
            }
            Credential::App { id, private_key } => Ok(Self::App(App::new(wire, Signer::new(id, &private_key)?))),
        }
    }

    /// The client of the actor that works in a repository.
    pub(super) async fn client_of(&self, repository: &RepoName) -> Result<Arc<Client>, Failure> {
        match self {
            Self::Token(client) => Ok(Arc::clone(client)),
            Self::App(app) => app.client_of(repository.owner()).await,
        }
    }

    /// The account that acts.
    pub(super) async fn us(&self) -> Result<&Account, Failure> {
        match self {
            Self::Token(client) => client.account().await,
            Self::App(app) => app.us().await,
        }
    }

    /// The client of the App itself, which acts for no account.
    pub(super) fn app(&self) -> Option<&Client> {
        match self {
            Self::Token(_) => None,
            Self::App(app) => Some(&app.client),
        }
    }

    /// The clients of all actors that are known.
    pub(super) fn clients(&self) -> Vec<Arc<Client>> {
        match self {
            Self::Token(client) => vec![Arc::clone(client)],
            Self::App(app) => app.clients(),
        }
    }
}

#[cfg(test)]
mod tests;
