//! What browsers can ask for.

mod live;
mod owner;
mod sample;
mod upload;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;

use self::owner::Owner;
use crate::app::App;
use crate::page;

/// No script and no style but the two files of ours, no frame, no other host.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

pub(crate) fn router(app: Arc<App>) -> Router {
    let asset = |kind: &'static str, content: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-cache")], content) })
    };
    Router::new()
        .route("/", get(index))
        .route("/port", get(|| async { Html(page::port::page().into_string()) }))
        .route("/live", get(live::open))
        .route("/upload", get(upload::open))
        .route("/sample.mkv", get(sample::send))
        .route("/videos/{video}/{image}", get(image))
        .route("/app.js", asset("text/javascript; charset=utf-8", include_str!("../assets/app.js")))
        .route("/style.css", asset("text/css; charset=utf-8", include_str!("../assets/style.css")))
        .route("/icon.svg", asset("image/svg+xml", include_str!("../assets/icon.svg")))
        .layer(from_fn(guarded))
        .with_state(app)
}

async fn guarded(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let guards: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in guards {
        response.headers_mut().insert(name, header::HeaderValue::from_static(value));
    }
    response
}

async fn index(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Failure> {
    let owner = Owner::of(&headers);
    let kept = match &owner {
        Some(owner) => app.db.gallery(owner.id()).await?,
        None => Vec::new(),
    };
    let page = Html(page::index::page(&app.cli, &kept).into_string());
    let cookie = [(header::SET_COOKIE, owner.unwrap_or_else(Owner::new).cookie())];
    Ok((cookie, [(header::CACHE_CONTROL, "no-store")], page).into_response())
}

async fn image(
    State(app): State<Arc<App>>,
    Path((video, image)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let number = image.strip_suffix(".jpg").and_then(|number| number.parse().ok());
    let (Some(owner), Some(number)) = (Owner::of(&headers), number) else {
        return Ok(StatusCode::NOT_FOUND.into_response());
    };
    let headers =
        [(header::CONTENT_TYPE, "image/jpeg"), (header::CACHE_CONTROL, "private, max-age=31536000, immutable")];
    Ok(match app.db.thumbnail(owner.id(), &video, number).await? {
        Some(jpeg) => (headers, jpeg).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

/// Something that is no fault of who asked: it is logged, and not told.
struct Failure(anyhow::Error);

impl From<anyhow::Error> for Failure {
    fn from(err: anyhow::Error) -> Self {
        Self(err)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        tracing::error!(err = format!("{:#}", self.0), "a request failed");
        (StatusCode::INTERNAL_SERVER_ERROR, "the server failed; its log says how").into_response()
    }
}
