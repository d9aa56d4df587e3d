//! The server: who may ask, what is at which path, how answers go back.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::debug;
use vrft_answer::{Answered, Answerer, AskCategory, Follower, Picture};
use vrft_messages::Turn;
use vrft_rollout::Sampling;

use crate::chat::{self, Asked, Limits};
use crate::corrections::Corrections;
use crate::http::{Connection, Request, Unread};
use crate::queue::{News, Queue};

/// The page for a browser.
const PAGE: &str = include_str!("page.html");

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";

/// All that is there to be asked for.
const PATHS: [&str; 7] = [
    "/",
    "/health",
    "/report",
    "/v1/models",
    "/v1/question",
    "/v1/chat/completions",
    "/v1/feedback",
];

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
    queue: Queue,
    usual: Sampling,
    system: String,
    /// The question about a category is the one that the policy was trained with.
    ask_category: Box<AskCategory>,
    corrections: Corrections,
    n_answers: AtomicU64,
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
        let address = options.address;
        if options.token.is_none() && !address.ip().is_loopback() {
            return Err(ServeError::NoToken(address));
        }
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| ServeError::Listen { address, source })?;
        let (usual, system) = (answerer.sampling(), answerer.settings().policy.system.clone());
        let ask_category = answerer.categories();
        let corrections = Corrections::new(&options.corrections, answerer.truths());
        let queue = Queue::start(answerer, follower, options.queue.max(1));
        let n_answers = AtomicU64::new(0);
        let shared = Shared { options, queue, usual, system, ask_category, corrections, n_answers };
        Ok(Self { listener, shared: Arc::new(shared) })
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
        ("GET", "/health") => {
            let has_report = shared.options.report.as_ref().is_some_and(|path| path.is_file());
            let version = shared.queue.version();
            say(connection, &json!({"version": version, "has_report": has_report})).await
        }
        ("GET", "/v1/models") => {
            let model = json!({"id": shared.queue.version(), "object": "model", "created": 0, "owned_by": "vrft"});
            say(connection, &json!({"object": "list", "data": [model]})).await
        }
        ("GET", "/v1/question") => {
            let category = request.argument("category").unwrap_or_default();
            let turns = (shared.ask_category)(&category);
            let text = turns.last().map(Turn::text).unwrap_or_default();
            say(connection, &json!({"text": text})).await
        }
        ("POST", "/v1/chat/completions") => complete(connection, request, shared).await,
        ("POST", "/v1/feedback") => match shared.corrections.take(&request.body) {
            Ok(taken) => say(connection, &taken).await,
            Err((status, why)) => refuse(connection, status, &why).await,
        },
        ("GET", "/report") => {
            let page = shared.options.report.as_ref().and_then(|path| std::fs::read(path).ok());
            let Some(page) = page else {
                return refuse(connection, 404, "the policy is of no run with a report").await;
            };
            connection.respond(200, HTML, "", &page).await
        }
        (_, path) if PATHS.contains(&path) => {
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
            let given = given.strip_prefix("Bearer ").unwrap_or_default();
            if is_same(given.as_bytes(), token.as_bytes()) {
                return Ok(());
            }
            Err((401, "a token is needed: Authorization: Bearer TOKEN"))
        }
        // A name that leads here by way of a foreign name server is not this machine's.
        None if is_loopback(host) => Ok(()),
        None => Err((403, "without a token only this machine may ask, by localhost or 127.0.0.1")),
    }
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

async fn complete(
    connection: &mut Connection,
    request: &Request,
    shared: &Shared,
) -> std::io::Result<()> {
    let asked =
        chat::read(&request.body, shared.usual.clone(), &shared.system, &shared.options.limits);
    let asked = match asked {
        Ok(asked) => asked,
        Err(why) => return refuse(connection, 400, &why).await,
    };
    let Asked { is_streamed, has_usage, .. } = asked;
    let mut about = about(&asked);
    let Some(news) = shared.queue.ask(asked) else {
        let why = format!("{} questions wait already: try again later", shared.options.queue);
        let body = chat::error(429, &why).to_string();
        return connection.respond(429, JSON, "Retry-After: 1\r\n", body.as_bytes()).await;
    };
    let number = shared.n_answers.fetch_add(1, Ordering::Relaxed);
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let id = format!("chatcmpl-{created:x}-{number}");
    // Who sees the answer can remark on it.
    let remember = |answered: &Answered| {
        if let Some(about) = about.take() {
            shared.corrections.remember(&id, about, answered);
        }
    };
    if is_streamed {
        let model = shared.queue.version();
        stream(connection, news, (&id, created), has_usage, &model, remember).await
    } else {
        whole(connection, news, &id, created, remember).await
    }
}

/// The picture and the question that an answer will be about; `None` for several pictures.
fn about(asked: &Asked) -> Option<(Picture, String)> {
    let [picture] = &asked.pictures[..] else { return None };
    Some((picture.clone(), asked.turns.last()?.text()))
}

async fn whole(
    connection: &mut Connection,
    mut news: UnboundedReceiver<News>,
    id: &str,
    created: u64,
    mut remember: impl FnMut(&Answered),
) -> std::io::Result<()> {
    loop {
        match news.recv().await {
            Some(News::Text(_)) => {}
            Some(News::Done(answered)) => {
                remember(&answered);
                return say(connection, &chat::response(id, created, &answered)).await;
            }
            Some(News::Failed(status, why)) => return refuse(connection, status, &why).await,
            None => return refuse(connection, 503, "the server is shutting down").await,
        }
    }
}

/// Server-sent events; an error before the first word is an answer of its own.
async fn stream(
    connection: &mut Connection,
    mut news: UnboundedReceiver<News>,
    (id, created): (&str, u64),
    has_usage: bool,
    model: &str,
    mut remember: impl FnMut(&Answered),
) -> std::io::Result<()> {
    let mut sent = String::new();
    let mut has_begun = false;
    loop {
        let (text, answered) = match news.recv().await {
            Some(News::Text(text)) => (text, None),
            Some(News::Done(answered)) => (answered.text.clone(), Some(answered)),
            Some(News::Failed(status, why)) if !has_begun => {
                return refuse(connection, status, &why).await;
            }
            Some(News::Failed(status, why)) => {
                event(connection, &chat::error(status, &why)).await?;
                return connection.end().await;
            }
            None => return refuse(connection, 503, "the server is shutting down").await,
        };
        if !has_begun {
            connection.begin("text/event-stream").await?;
        }
        // A character whose bytes are not all there yet waits for the next token.
        let known =
            if answered.is_some() { text.as_str() } else { text.trim_end_matches('\u{fffd}') };
        if let Some(words) = known.strip_prefix(sent.as_str()).filter(|words| !words.is_empty()) {
            event(connection, &chat::chunk(id, created, model, words, !has_begun)).await?;
            sent.push_str(words);
        }
        has_begun = true;
        if let Some(answered) = answered {
            remember(&answered);
            for chunk in chat::last_chunks(id, created, &answered, has_usage) {
                event(connection, &chunk).await?;
            }
            connection.piece("data: [DONE]\n\n").await?;
            return connection.end().await;
        }
    }
}

async fn event(connection: &mut Connection, data: &Value) -> std::io::Result<()> {
    connection.piece(&format!("data: {data}\n\n")).await
}

async fn say(connection: &mut Connection, body: &Value) -> std::io::Result<()> {
    connection.respond(200, JSON, "", body.to_string().as_bytes()).await
}

async fn refuse(connection: &mut Connection, status: u16, why: &str) -> std::io::Result<()> {
    let body = chat::error(status, why).to_string();
    connection.respond(status, JSON, "", body.as_bytes()).await
}

#[cfg(test)]
mod tests;
