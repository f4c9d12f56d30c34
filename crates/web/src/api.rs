//! The REST interface, `/api/v1`.
//!
//! **Wanted properties.** Every route is in the OpenAPI description, because both come from one list; every error has
//! the one envelope with a stable `code`; every list has a bound; times are RFC 3339 in UTC and money is in US dollars.

#[expect(unused_qualifications, reason = "the macro of the description writes them")]
mod events;
#[expect(unused_qualifications, reason = "the macro of the description writes them")]
mod runs;
#[expect(unused_qualifications, reason = "the macro of the description writes them")]
mod tasks;
mod views;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::routing::any;
use axum::{Json, Router};
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Site;
use crate::fault::{ApiFault, Fault};

pub(crate) type Answer<T> = Result<Json<T>, ApiFault>;

#[derive(OpenApi)]
#[openapi(
    info(title = "Claude Code Manager", description = "Tasks, runs, repositories and events of one service."),
    modifiers(&Token),
    security(("token" = []))
)]
struct Description;

/// The bearer token in the description.
struct Token;

impl Modify for Token {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("The API token.")).build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

fn described() -> OpenApiRouter<Arc<Site>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(tasks::list, tasks::create))
        .routes(routes!(tasks::get))
        .routes(routes!(tasks::approve))
        .routes(routes!(tasks::reject))
        .routes(routes!(tasks::cancel))
        .routes(routes!(tasks::retry))
        .routes(routes!(tasks::message))
        .routes(routes!(tasks::agent))
        .routes(routes!(tasks::budget))
        .routes(routes!(tasks::merge))
        .routes(routes!(runs::get))
        .routes(routes!(runs::transcript))
        .routes(routes!(runs::repositories))
        .routes(routes!(events::list))
        .routes(routes!(description))
}

/// The routes.
pub(crate) fn router() -> Router<Arc<Site>> {
    let (router, _) = described().split_for_parts();
    router.route("/api/{*path}", any(unknown)).method_not_allowed_fallback(wrong_method)
}

/// The OpenAPI description of the REST interface.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (_, openapi) = described().split_for_parts();
    openapi
}

/// This description.
#[utoipa::path(get, path = "/api/v1/openapi.json", responses((status = 200, description = "OpenAPI", body = Object)))]
async fn description(State(_site): State<Arc<Site>>) -> Json<utoipa::openapi::OpenApi> {
    Json(openapi())
}

async fn unknown() -> ApiFault {
    ApiFault(Fault::NotFound("There is no such route; /api/v1/openapi.json lists them.".to_owned()))
}

async fn wrong_method() -> ApiFault {
    let why = "This route does not take that method; /api/v1/openapi.json lists them.".to_owned();
    ApiFault(Fault::BadRequest(StatusCode::METHOD_NOT_ALLOWED, why))
}

/// A JSON body; an empty one stands for `{}`.
pub(crate) struct Input<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Input<T> {
    type Rejection = ApiFault;
    async fn from_request(request: Request, state: &S) -> Result<Self, ApiFault> {
        let json = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let json = json.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("application/json"));
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|refused| ApiFault(Fault::BadRequest(refused.status(), refused.body_text())))?;
        if !json && !body.is_empty() {
            let why = "The body has to be JSON, with `Content-Type: application/json`.".to_owned();
            return Err(ApiFault(Fault::BadRequest(StatusCode::UNSUPPORTED_MEDIA_TYPE, why)));
        }
        let body = if body.is_empty() { &b"{}"[..] } else { &body[..] };
        let read = serde_json::from_slice(body);
        read.map(Self).map_err(|error| bad(format!("The body is not what this route takes: {error}.")))
    }
}

/// A request that is wrong.
pub(crate) fn bad(why: String) -> ApiFault {
    ApiFault(Fault::BadRequest(StatusCode::BAD_REQUEST, why))
}

/// The query of a request, with the one error envelope.
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> axum::extract::FromRequestParts<S> for Asked<T> {
    type Rejection = ApiFault;
    async fn from_request_parts(parts: &mut axum::http::request::Parts, _: &S) -> Result<Self, ApiFault> {
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        query.map(|query| Self(query.0)).map_err(|error| bad(format!("The query is not valid: {}.", error.body_text())))
    }
}

/// That something was done, where there is nothing more to say.
#[derive(Serialize, ToSchema)]
pub(crate) struct Done {
    done: bool,
}

impl Done {
    pub(crate) const DONE: Json<Self> = Json(Self { done: true });
}
