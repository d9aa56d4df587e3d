//! What is at which path, who may ask for it, and what every response says.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use hyper::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, ORIGIN,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};
use vrft_messages::Turn;

use crate::Options;
use crate::ask::{self, Policy};
use crate::body::{self, say};
use crate::chat::{self, Refused};
use crate::robot::Robot;

/// The page for a browser.
const PAGE: &str = include_str!("page.html");

/// What the page may load: itself, and pictures that it has.
const PAGE_POLICY: &str = "default-src 'self' 'unsafe-inline'; img-src 'self' data: blob:";

const NO_POLICY: &str = "this page shows what a robot answers: there is no policy to ask";

/// Nothing is kept by a browser, guessed at, or shown within somebody else's page.
const COMMON: [(HeaderName, HeaderValue); 4] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// What all requests are answered from.
pub(crate) struct Shared {
    pub(crate) options: Options,
    /// How long a client is waited for.
    pub(crate) patience: Duration,
    /// The policy that may be asked.
    pub(crate) policy: Option<Arc<Policy>>,
    /// The robot whose answers are shown.
    pub(crate) robot: Option<Arc<Robot>>,
}

type Served = State<Arc<Shared>>;

/// All that is there to be asked for.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/health", get(health))
        .route("/report", get(report))
        .route("/v1/live", get(live))
        .route("/v1/feedback", post(feedback))
        .route("/v1/models", get(models))
        .route("/v1/models/{*name}", get(model_of_name))
        .route("/v1/question", get(question))
        .route("/v1/chat/completions", post(complete))
        .fallback(nothing)
        .method_not_allowed_fallback(another_method)
        // `guard` has a limit of its own.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::clone(&shared), guard))
        .with_state(shared)
}

/// Lets through who may ask and asks within the bounds, with the whole body.
async fn guard(State(shared): Served, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let mut response = match may_ask(&head.uri, &head.headers, &shared.options) {
        Ok(()) => {
            let most = shared.options.request_bytes;
            match body::whole(&head.headers, body, most, shared.patience).await {
                Ok(bytes) => next.run(Request::from_parts(head, Body::from(bytes))).await,
                Err((status, why)) => refuse(status, &why),
            }
        }
        Err((status, why)) => {
            body::discard(&head.headers, body);
            refuse(status, why)
        }
    };
    response.headers_mut().extend(COMMON);
    response
}

/// Whether a request may be answered. The page itself says nothing, so that a browser can ask for the token there.
fn may_ask(uri: &Uri, headers: &HeaderMap, options: &Options) -> Result<(), (u16, &'static str)> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(HOST).unwrap_or_default();
    // Another site's page must not ask in the name of who looks at it.
    let is_own = |origin: &str| origin.split_once("://").is_some_and(|(_, from)| from == host);
    if text(ORIGIN).is_some_and(|origin| !is_own(origin)) {
        return Err((403, "requests of other sites are not answered"));
    }
    match &options.token {
        Some(_) if uri.path() == "/" => Ok(()),
        Some(token) => {
            let given = text(AUTHORIZATION).unwrap_or_default();
            // Names of schemes are the same in capitals and small letters.
            let (scheme, given) = given.split_once(' ').unwrap_or_default();
            let given = given.trim_start();
            if scheme.eq_ignore_ascii_case("Bearer") && is_same(given.as_bytes(), token.as_bytes())
            {
                return Ok(());
            }
            Err((401, "a token is needed: Authorization: Bearer TOKEN"))
        }
        // A name that leads here by way of a foreign name server is not this machine's.
        None if is_loopback(host) => Ok(()),
        None => {
            let why = "without a token only this machine may ask, by localhost or 127.0.0.1";
            Err((403, why))
        }
    }
}

async fn page() -> impl IntoResponse {
    ([(CONTENT_SECURITY_POLICY, PAGE_POLICY)], Html(PAGE))
}

async fn health(State(shared): Served) -> Response {
    let has_report = shared.options.report.as_ref().is_some_and(|path| path.is_file());
    say(&json!({
        "version": shared.policy.as_ref().map(|policy| policy.queue.in_use().version.clone()),
        "has_report": has_report, "has_robot": shared.robot.is_some(),
    }))
}

async fn report(State(shared): Served) -> Response {
    let page = shared.options.report.as_ref().and_then(|path| std::fs::read(path).ok());
    match page {
        Some(page) => Html(page).into_response(),
        None => refuse(404, "the policy is of no run with a report"),
    }
}

async fn live(State(shared): Served) -> Response {
    match shared.robot.as_ref().and_then(|robot| robot.newest()) {
        Some(answer) => say(&answer),
        None => refuse(404, "no robot has answered yet"),
    }
}

/// Takes in what is said of an answer of the policy, or passes on what is said of one of the robot.
async fn feedback(State(shared): Served, body: Bytes) -> Response {
    let taken = match (&shared.policy, &shared.robot) {
        (Some(policy), _) => policy.corrections.take(&body),
        (None, Some(robot)) => robot.take(&body),
        (None, None) => Err((404, "nothing was answered".into())),
    };
    told(taken)
}

async fn models(State(shared): Served) -> Response {
    told(
        shared.policy().map(
            |policy| json!({"object": "list", "data": [model(&policy.queue.in_use().version)]}),
        ),
    )
}

async fn model_of_name(State(shared): Served, Path(name): Path<String>) -> Response {
    told(shared.policy().and_then(|policy| {
        let in_use = policy.queue.in_use();
        let version = &in_use.version;
        if name == *version {
            return Ok(model(version));
        }
        let why = format!("there is no model {name:?}: {version:?} is in use");
        Err((404, why))
    }))
}

/// How the policy is asked for a category, as it was in training.
async fn question(State(shared): Served, uri: Uri) -> Response {
    told(shared.policy().map(|policy| {
        let category = argument(uri.query().unwrap_or_default(), "category");
        let turns = (policy.queue.in_use().ask_category)(&category.unwrap_or_default());
        json!({"text": turns.last().map(Turn::text).unwrap_or_default()})
    }))
}

async fn complete(State(shared): Served, body: Bytes) -> Response {
    match shared.policy() {
        Ok(policy) => ask::complete(&body, &shared.options, policy).await,
        Err((status, why)) => refuse(status, &why),
    }
}

async fn nothing(uri: Uri) -> Response {
    refuse(404, &format!("nothing is at {}", uri.path()))
}

async fn another_method() -> Response {
    refuse(405, "another method is expected here")
}

impl Shared {
    fn policy(&self) -> Result<&Arc<Policy>, Refused> {
        self.policy.as_ref().ok_or_else(|| (404, NO_POLICY.to_owned()))
    }
}

/// A version as the API lists models.
fn model(version: &str) -> Value {
    json!({"id": version, "object": "model", "created": 0, "owned_by": "vrft"})
}

/// A value of a query, decoded.
fn argument(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| decoded(value))
}

/// `%41` and `+` of a query.
fn decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, code) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = &after[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = after;
            }
            (other, _) => {
                bytes.push(*other);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Takes as long whatever is wrong.
fn is_same(given: &[u8], token: &[u8]) -> bool {
    let differing = given.iter().zip(token).fold(0, |seen, (a, b)| seen | (a ^ b));
    given.len() == token.len() && differing == 0
}

fn told(taken: Result<Value, Refused>) -> Response {
    match taken {
        Ok(taken) => say(&taken),
        Err((status, why)) => refuse(status, &why),
    }
}

/// An error in the form of OpenAI's API.
pub(crate) fn refuse(status: u16, why: &str) -> Response {
    let body = say(&chat::error(status, why));
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_a_query_is_decoded() {
        assert_eq!(argument("category=a+b%21&x=1", "category").as_deref(), Some("a b!"));
        assert_eq!(argument("category=100%&x", "category").as_deref(), Some("100%"));
        assert_eq!(argument("x=1", "category"), None);
    }
}
