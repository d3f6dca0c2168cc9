//! What the API answers, and Fly's words for what it refuses.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// An answer, good or bad.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Option<Value>,
    pub(crate) retry_after: Option<u64>,
}

impl Answer {
    pub(crate) fn ok(body: Value) -> Self {
        Self { status: 200, body: Some(body), retry_after: None }
    }

    pub(crate) fn nothing() -> Self {
        Self { status: 204, body: None, retry_after: None }
    }

    /// `{"error": "…"}`: the shape of all refusals.
    pub(crate) fn refused(status: u16, error: impl Into<String>) -> Self {
        Self { status, body: Some(json!({ "error": error.into() })), retry_after: None }
    }

    /// What was asked does not fit: 400.
    pub(crate) fn invalid(what: impl std::fmt::Display) -> Self {
        Self::refused(400, format!("invalid_argument: {what}"))
    }

    pub(crate) fn no_machine() -> Self {
        Self::refused(404, "not_found: machine not found")
    }

    /// The machine is not in a state for this: 412.
    pub(crate) fn precondition(what: impl std::fmt::Display) -> Self {
        Self::refused(412, format!("failed_precondition: {what}"))
    }

    /// The status code of the error is what clients go by. Source: `CapacityScope` in fly-go `flaps/flaps_error.go`.
    pub(crate) fn no_capacity(region: &str) -> Self {
        let error = format!("insufficient resources available to create a machine in {region}");
        let body = json!({ "error": error, "status": "insufficient_capacity" });
        Self { status: 422, body: Some(body), retry_after: None }
    }

    pub(crate) fn too_often(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self { retry_after: Some(seconds.max(1)), ..Self::refused(429, "rate limit exceeded") }
    }

    /// A refusal that was told to the simulator, in words that Fly has for it.
    pub(crate) fn told(status: u16, error: Option<String>, retry_after: Option<u64>) -> Self {
        let words = match status {
            400 => "invalid_argument: told to refuse this",
            401 => "unauthenticated: invalid token",
            403 => "unauthorized",
            404 => "not_found",
            408 => "deadline_exceeded: request timed out",
            409 => "aborted: could not reserve resource for machine: insufficient memory available to fulfill request",
            412 => "failed_precondition: insufficient resources to create new machine with existing volume",
            422 => "unprocessable: told to refuse this",
            429 => "rate limit exceeded",
            503 => "unavailable: told to refuse this",
            _ => "internal: told to refuse this",
        };
        let retry_after = retry_after.or((status == 429).then_some(1));
        Self { retry_after, ..Self::refused(status, error.unwrap_or_else(|| words.to_owned())) }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let body = self.body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if self.status != 204 {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
