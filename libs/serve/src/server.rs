//! The server: who may ask, what is at which path, how answers go back.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::debug;
use vrft_answer::{Answerer, Follower};
use vrft_messages::Turn;

use crate::ask::{self, Policy};
use crate::chat;
use crate::http::{Connection, Request, Unread, decoded};
use crate::request::Limits;
use crate::robot::Robot;

/// The page for a browser.
const PAGE: &str = include_str!("page.html");

pub(crate) const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

/// Bytes of a remark on a robot's answer.
const MAX_REMARK: usize = 1 << 20;

/// What a policy is asked for.
const ASKING: [(&str, &str); 3] =
    [("GET", "/v1/models"), ("GET", "/v1/question"), ("POST", "/v1/chat/completions")];

/// All that is there to be asked for.
const PATHS: [&str; 8] = [
    "/",
    "/health",
    "/report",
    "/v1/live",
    "/v1/models",
    "/v1/question",
    "/v1/chat/completions",
    "/v1/feedback",
];

/// What the path of one model begins with.
const MODEL: &str = "/v1/models/";

const NO_POLICY: &str = "this page shows what a robot answers: there is no policy to ask";

/// Clients at a time.
const MAX_CLIENTS: usize = 64;

/// What is served, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Address to listen on.
    pub address: SocketAddr,
    /// What clients must know, as in `Authorization: Bearer TOKEN`; needed to listen on other than loopback addresses.
    pub token: Option<String>,
    /// Questions that may wait.
    pub queue: usize,
    /// Bytes of a request, pictures included.
    pub request_bytes: usize,
    /// What a request may hold.
    pub limits: Limits,
    /// Folder of what people say of answers.
    pub corrections: PathBuf,
    /// The report of the run that made the policy; it is read anew whenever somebody looks at it.
    pub report: Option<PathBuf>,
}

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Anybody in the network could ask.
    #[error(
        "{0} can be reached from other machines: set a token (--token, or VRFT_TOKEN), or listen on 127.0.0.1"
    )]
    NoToken(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address that it listens on.
        address: SocketAddr,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    /// The policy that may be asked.
    policy: Option<Policy>,
    /// The robot whose answers are shown.
    robot: Option<Arc<Robot>>,
}

impl Server {
    /// Starts to listen; questions are answered once [`Server::run`] is called.
    ///
    /// # Errors
    /// An address that is taken, or that other machines could reach without a token.
    pub async fn listen(
        options: Options,
        answerer: Answerer,
        follower: Option<Follower>,
    ) -> Result<Self, ServeError> {
        let queue = options.queue;
        let policy = Policy::start(answerer, follower, queue, &options.corrections);
        Self::bind(options, Some(policy), None).await
    }

    /// Starts to listen for who wants to see what a robot answers; nobody can ask anything there.
    ///
    /// # Errors
    /// As [`Server::listen`].
    pub async fn of_robot(
        address: SocketAddr,
        token: Option<String>,
        robot: Arc<Robot>,
    ) -> Result<Self, ServeError> {
        let options = Options {
            address,
            token,
            queue: 0,
            request_bytes: MAX_REMARK,
            limits: Limits { pictures: 0, pixels: 0, tokens: 0 },
            corrections: PathBuf::new(),
            report: None,
        };
        Self::bind(options, None, Some(robot)).await
    }

    async fn bind(
        options: Options,
        policy: Option<Policy>,
        robot: Option<Arc<Robot>>,
    ) -> Result<Self, ServeError> {
        let address = options.address;
        if options.token.is_none() && !address.ip().is_loopback() {
            return Err(ServeError::NoToken(address));
        }
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| ServeError::Listen { address, source })?;
        Ok(Self { listener, shared: Arc::new(Shared { options, policy, robot }) })
    }

    /// Where it listens: the port is known even where any was asked for.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.shared.options.address)
    }

    /// Serves requests until the program ends.
    pub async fn run(self) {
        let clients = Arc::new(Semaphore::new(MAX_CLIENTS));
        loop {
            let Ok((stream, from)) = self.listener.accept().await else { continue };
            let Ok(place) = Arc::clone(&clients).acquire_owned().await else { return };
            let shared = Arc::clone(&self.shared);
            tokio::spawn(async move {
                if let Err(error) = talk(stream, &shared).await {
                    debug!(%from, %error, "A client is gone.");
                }
                drop(place);
            });
        }
    }
}

impl Shared {
    fn health(&self) -> Value {
        let has_report = self.options.report.as_ref().is_some_and(|path| path.is_file());
        json!({
            "version": self.policy.as_ref().map(|policy| policy.queue.version()),
            "has_report": has_report, "has_robot": self.robot.is_some(),
        })
    }

    /// Takes in what is said of an answer of the policy, or passes on what is said of one of the robot.
    fn remark(&self, body: &[u8]) -> Result<Value, (u16, String)> {
        if let Some(policy) = &self.policy {
            return policy.corrections.take(body);
        }
        match &self.robot {
            Some(robot) => robot.take(body),
            None => Err((404, "nothing was answered".into())),
        }
    }
}

/// Requests of one client, one after the other.
async fn talk(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut connection = Connection::new(stream);
    loop {
        let request = match connection.read(shared.options.request_bytes).await {
            Ok(request) => request,
            Err(Unread::Gone) => return Ok(()),
            Err(Unread::Refused(status, why)) => {
                refuse(&mut connection, status, &why).await?;
                return connection.hang_up().await;
            }
        };
        handle(&mut connection, &request, shared).await?;
        if !request.keeps_alive() {
            return Ok(());
        }
    }
}

async fn handle(
    connection: &mut Connection,
    request: &Request,
    shared: &Shared,
) -> std::io::Result<()> {
    if let Err((status, why)) = may_ask(request, &shared.options) {
        return refuse(connection, status, why).await;
    }
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/") => {
            let policy = "Content-Security-Policy: default-src 'self' 'unsafe-inline'; img-src 'self' data: blob:\r\n";
            connection.respond(200, HTML, policy, PAGE.as_bytes()).await
        }
        ("GET", "/health") => say(connection, &shared.health()).await,
        ("GET", "/report") => {
            let page = shared.options.report.as_ref().and_then(|path| std::fs::read(path).ok());
            let Some(page) = page else {
                return refuse(connection, 404, "the policy is of no run with a report").await;
            };
            connection.respond(200, HTML, "", &page).await
        }
        ("GET", "/v1/live") => match shared.robot.as_ref().and_then(|robot| robot.newest()) {
            Some(answer) => say(connection, &answer).await,
            None => refuse(connection, 404, "no robot has answered yet").await,
        },
        ("POST", "/v1/feedback") => match shared.remark(&request.body) {
            Ok(taken) => say(connection, &taken).await,
            Err((status, why)) => refuse(connection, status, &why).await,
        },
        (method, path) if ASKING.contains(&(method, path)) => {
            let Some(policy) = &shared.policy else {
                return refuse(connection, 404, NO_POLICY).await;
            };
            match path {
                "/v1/models" => {
                    let model = model(&policy.queue.version());
                    say(connection, &json!({"object": "list", "data": [model]})).await
                }
                "/v1/question" => {
                    let category = request.argument("category").unwrap_or_default();
                    let turns = (policy.ask_category)(&category);
                    let text = turns.last().map(Turn::text).unwrap_or_default();
                    say(connection, &json!({"text": text})).await
                }
                _ => ask::complete(connection, request, &shared.options, policy).await,
            }
        }
        ("GET", path) if path.starts_with(MODEL) => {
            let written = &path[MODEL.len()..];
            let asked = decoded(written);
            let in_use = shared.policy.as_ref().map(|policy| policy.queue.version());
            match in_use {
                Some(version) if [written, &asked].contains(&version.as_str()) => {
                    say(connection, &model(&version)).await
                }
                Some(version) => {
                    let why = format!("there is no model {asked:?}: {version:?} is in use");
                    refuse(connection, 404, &why).await
                }
                None => refuse(connection, 404, NO_POLICY).await,
            }
        }
        (_, path) if PATHS.contains(&path) || path.starts_with(MODEL) => {
            refuse(connection, 405, "another method is expected here").await
        }
        (_, path) => refuse(connection, 404, &format!("nothing is at {path}")).await,
    }
}

/// Whether a request may be answered. The page itself says nothing, so that a browser can ask for the token there.
fn may_ask(request: &Request, options: &Options) -> Result<(), (u16, &'static str)> {
    let host = request.header("host").unwrap_or_default();
    // Another site's page must not ask in the name of who looks at it.
    let is_own = |origin: &str| origin.split_once("://").is_some_and(|(_, from)| from == host);
    if request.header("origin").is_some_and(|origin| !is_own(origin)) {
        return Err((403, "requests of other sites are not answered"));
    }
    match &options.token {
        Some(_) if request.path == "/" => Ok(()),
        Some(token) => {
            let given = request.header("authorization").unwrap_or_default();
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
        None => Err((403, "without a token only this machine may ask, by localhost or 127.0.0.1")),
    }
}

/// A version as the API lists models.
fn model(version: &str) -> Value {
    json!({"id": version, "object": "model", "created": 0, "owned_by": "vrft"})
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

pub(crate) async fn say(connection: &mut Connection, body: &Value) -> std::io::Result<()> {
    connection.respond(200, JSON, "", body.to_string().as_bytes()).await
}

pub(crate) async fn refuse(
    connection: &mut Connection,
    status: u16,
    why: &str,
) -> std::io::Result<()> {
    let body = chat::error(status, why).to_string();
    connection.respond(status, JSON, "", body.as_bytes()).await
}

#[cfg(test)]
mod tests;
