//! Answers that come from here and not from the model API, in the API's own envelope.

use std::io;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde_json::json;

use crate::ledger::Spent;
use crate::price::usd;

/// The body of every answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Why a request was not answered by the model API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The guard of a loopback port is missing or wrong.
    Stranger,
    /// A call that does not exist here.
    Path,
    /// The body is no question: what is wrong.
    Body(&'static str),
    /// The body is larger than this many bytes.
    TooLarge(usize),
    /// The body did not arrive in time.
    Slow,
    /// The model is not allowed.
    Model(String),
    /// What would make the API reach out.
    ReachesOut(&'static str),
    /// The budget is spent.
    Spent(Spent),
    /// The open requests left no room in the budget for too long.
    NoRoom,
    /// The model API cannot be reached.
    Unreachable,
    /// The model API did not answer in time.
    Silent,
}

impl Refusal {
    /// The label of the metric.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Stranger | Self::Path => "refused_path",
            Self::Body(_) | Self::TooLarge(_) | Self::Slow => "refused_body",
            Self::Model(_) => "refused_model",
            Self::ReachesOut(_) => "refused_reach",
            Self::Spent(_) | Self::NoRoom => "refused_budget",
            Self::Unreachable => "upstream_unreachable",
            Self::Silent => "upstream_timeout",
        }
    }

    /// Status and error type. Agents repeat a request on 408, 409, 429 and from 500 on, and take 401 and 403 for a
    /// wrong key; 402 and 400 end a run with the message.
    fn status(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Stranger => (StatusCode::NOT_FOUND, "not_found_error"),
            Self::Path | Self::Model(_) | Self::ReachesOut(_) => (StatusCode::FORBIDDEN, "permission_error"),
            Self::Body(_) => (StatusCode::BAD_REQUEST, "invalid_request_error"),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "request_too_large"),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "timeout_error"),
            Self::Spent(_) => (StatusCode::PAYMENT_REQUIRED, "billing_error"),
            Self::NoRoom => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error"),
            Self::Unreachable => (StatusCode::BAD_GATEWAY, "api_error"),
            Self::Silent => (StatusCode::GATEWAY_TIMEOUT, "timeout_error"),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Stranger => "Nothing is served at this address.".to_owned(),
            Self::Path => "This way out serves only POST /v1/messages, POST /v1/messages/count_tokens and \
                           GET /v1/models."
                .to_owned(),
            Self::Body(wrong) => format!("The request is no question to a model: {wrong}."),
            Self::TooLarge(most) => format!("The request is larger than {} MiB.", most / (1024 * 1024)),
            Self::Slow => "The request's body did not arrive in time.".to_owned(),
            Self::Model(model) => {
                format!("The model {model} is not allowed for this run; the configuration lists those that are.")
            }
            Self::ReachesOut(what) => {
                format!("The request holds {what}, which would reach out of the sandbox; that is switched off.")
            }
            Self::Spent(Spent { budget, usage }) => format!(
                "The run's budget of {} is spent ({} for {} {}). Raise the budget to go on.",
                usd(*budget),
                usd(usage.cost_micro_usd),
                usage.requests,
                if usage.requests == 1 { "request" } else { "requests" }
            ),
            Self::NoRoom => "The requests in progress leave no room in the run's budget.".to_owned(),
            Self::Unreachable => "The model API cannot be reached from here.".to_owned(),
            Self::Silent => "The model API did not answer in time.".to_owned(),
        }
    }

    fn envelope(&self) -> String {
        json!({"type": "error", "error": {"type": self.status().1, "message": self.message()}}).to_string()
    }

    /// The answer to the request.
    pub(crate) fn response(&self) -> Response<Body> {
        let mut response = Response::new(whole(self.envelope().into()));
        *response.status_mut() = self.status().0;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.status().0.is_client_error() && *self != Self::NoRoom {
            let no = HeaderValue::from_static("false");
            response.headers_mut().insert(HeaderName::from_static("x-should-retry"), no);
        }
        response
    }

    /// The last event of a stream that is cut.
    pub(crate) fn event(&self) -> Bytes {
        format!("event: error\ndata: {}\n\n", self.envelope()).into()
    }
}

/// A body of known content.
pub(crate) fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::Refusal;
    use crate::ledger::{Spent, Usage};

    #[test]
    fn a_spent_budget_says_how_much_and_what_to_do() {
        let usage = Usage { cost_micro_usd: 5_012_500, requests: 12, ..Usage::default() };
        let refusal = Refusal::Spent(Spent { budget: 5_000_000, usage });
        insta::assert_snapshot!(refusal.envelope(), @r#"{"error":{"message":"The run's budget of 5.00 USD is spent (5.0125 USD for 12 requests). Raise the budget to go on.","type":"billing_error"},"type":"error"}"#);
        let response = refusal.response();
        assert_eq!(response.status(), 402);
        assert_eq!(response.headers()["x-should-retry"], "false");
    }
}
