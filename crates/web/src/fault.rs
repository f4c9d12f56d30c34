//! What a handler can fail with, and how people and programs are told.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pipeline::approve::DecideError;
use pipeline::wording::sentence;
use serde::Serialize;
use store::StoreError;
use utoipa::ToSchema;

/// Why a request was not done. Each variant is a stable `code` of the API.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The task's state does not allow it.
    #[error("{0}")]
    InvalidState(String),
    /// It is not possible, with the reason.
    #[error("{0}")]
    Refused(String),
    /// No session and no token.
    #[error("Sign in first, or send the API token as `Authorization: Bearer …`.")]
    Unauthorized,
    /// It may not come from there.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The request itself is wrong.
    #[error("{1}")]
    BadRequest(StatusCode, String),
    /// Too much at once.
    #[error("{0}")]
    Busy(&'static str),
    /// Something of ours failed; the details are in the log only.
    #[error("Something failed on the service's side. Its log says what; try again.")]
    Internal(#[source] anyhow::Error),
}

impl Fault {
    /// There is no such task.
    pub(crate) fn no_task(id: &str) -> Self {
        Self::NotFound(format!("There is no task {id}."))
    }

    /// The HTTP status and the stable code.
    pub(crate) fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::InvalidState(_) => (StatusCode::CONFLICT, "invalid_state"),
            Self::Refused(_) => (StatusCode::UNPROCESSABLE_ENTITY, "refused"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "refused"),
            Self::BadRequest(status, _) => (*status, "bad_request"),
            Self::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "refused"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    /// Writes what people are not told to the log.
    pub(crate) fn log(&self) {
        if let Self::Internal(error) = self {
            tracing::error!(error = format!("{error:#}"), "a request failed");
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<anyhow::Error> for Fault {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

impl From<askama::Error> for Fault {
    fn from(error: askama::Error) -> Self {
        Self::Internal(error.into())
    }
}

impl From<DecideError> for Fault {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::NotFound(id) => Self::no_task(id.as_str()),
            DecideError::Invalid(invalid) => Self::InvalidState(sentence(&invalid.to_string())),
            DecideError::Refused(why) => Self::Refused(sentence(&why)),
            DecideError::Other(error) => Self::Internal(error),
        }
    }
}

/// The API's one error envelope.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorEnvelope {
    error: ErrorBody,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// `not_found`, `invalid_state`, `refused`, `unauthorized`, `bad_request` or `internal`.
    code: &'static str,
    /// A sentence for people.
    message: String,
}

/// A fault of the API.
pub(crate) struct ApiFault(pub(crate) Fault);

impl<E: Into<Fault>> From<E> for ApiFault {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for ApiFault {
    fn into_response(self) -> Response {
        self.0.log();
        let (status, code) = self.0.kind();
        let body = ErrorEnvelope { error: ErrorBody { code, message: self.0.to_string() } };
        let mut response = (status, Json(body)).into_response();
        if matches!(self.0, Fault::Unauthorized) {
            let scheme = axum::http::HeaderValue::from_static("Bearer");
            response.headers_mut().insert(axum::http::header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
