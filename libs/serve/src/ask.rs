//! Questions to the policy: from a request to its answer, whole or in pieces.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::response::Response;
use hyper::header::{HeaderValue, RETRY_AFTER};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;
use vrft_answer::{Answered, Answerer, Follower, Picture};

use crate::Options;
use crate::body::{Events, events, say};
use crate::chat;
use crate::corrections::Corrections;
use crate::queue::{InUse, News, Queue};
use crate::request::{self, Asked};
use crate::routes::refuse;
use crate::stops::Stops;

const CLOSING: &str = "the server is shutting down";

/// A policy that is asked.
pub(crate) struct Policy {
    pub(crate) queue: Queue,
    pub(crate) corrections: Corrections,
    n_answers: AtomicU64,
}

impl Policy {
    /// Starts to answer; so many questions may wait, an answer may have so many tokens, and what people say of answers is
    /// kept in this folder.
    pub(crate) fn start(
        answerer: Answerer,
        follower: Option<Follower>,
        queue: usize,
        most: usize,
        corrections: &Path,
    ) -> Self {
        Self {
            corrections: Corrections::new(corrections),
            queue: Queue::start(answerer, follower, queue.max(1), most),
            n_answers: AtomicU64::new(0),
        }
    }
}

/// The answer to a request for a chat completion.
pub(crate) async fn complete(body: &[u8], options: &Options, policy: &Arc<Policy>) -> Response {
    let in_use = policy.queue.in_use();
    let asked = request::read(body, in_use.usual.clone(), &in_use.system, &options.limits);
    let asked = match asked {
        Ok(asked) => asked,
        Err(why) => return refuse(400, &why),
    };
    let is_streamed = asked.is_streamed;
    let mut reply = Reply::new(&asked, policy, &in_use);
    let Some(news) = policy.queue.ask(asked) else {
        let why = format!("{} questions wait already: try again later", options.queue);
        let mut response = refuse(429, &why);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        return response;
    };
    if is_streamed { stream(news, reply).await } else { whole(news, &mut reply).await }
}

/// How an answer goes back.
struct Reply {
    policy: Arc<Policy>,
    id: String,
    /// When it was asked for, in seconds since 1970.
    created: u64,
    /// The version in use when it was asked for; pieces of a stream say it before the answer is known.
    model: (String, String),
    stops: Stops,
    /// Whether a stream ends with the numbers of tokens.
    has_usage: bool,
    /// The picture and the question that it will be about; `None` for several pictures.
    about: Option<(Picture, String)>,
    /// The words that a stream has sent; `None` before the first event.
    sent: Option<String>,
}

impl Reply {
    fn new(asked: &Asked, policy: &Arc<Policy>, in_use: &InUse) -> Self {
        let number = policy.n_answers.fetch_add(1, Ordering::Relaxed);
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let created = since.map_or(0, |since| since.as_secs());
        let about = match &asked.pictures[..] {
            [picture] => asked.turns.last().map(|turn| (picture.clone(), turn.text())),
            _ => None,
        };
        Self {
            policy: Arc::clone(policy),
            id: format!("chatcmpl-{created:x}-{number}"),
            created,
            model: (in_use.version.clone(), in_use.digest.clone()),
            stops: asked.stops.clone(),
            has_usage: asked.has_usage,
            about,
            sent: None,
        }
    }

    /// Who sees the answer can remark on it.
    fn remember(&mut self, answered: &Answered, by: Arc<InUse>) {
        if let Some(about) = self.about.take() {
            self.policy.corrections.remember(&self.id, about, answered, by);
        }
    }

    /// The event of the words that are new in the answer as far as it goes, if there are any.
    fn words(&mut self, known: &str) -> Option<Value> {
        let is_first = self.sent.is_none();
        let sent = self.sent.get_or_insert_default();
        let words = known.strip_prefix(sent.as_str()).filter(|words| !words.is_empty())?;
        let (version, digest) = (self.model.0.as_str(), self.model.1.as_str());
        let chunk = chat::chunk(&self.id, self.created, (version, digest), words, is_first);
        sent.push_str(words);
        Some(chunk)
    }
}

async fn whole(mut news: UnboundedReceiver<News>, reply: &mut Reply) -> Response {
    loop {
        match news.recv().await {
            Some(News::Text(_)) => {}
            Some(News::Done(answered, by)) => {
                reply.remember(&answered, by);
                return say(&chat::response(&reply.id, reply.created, &answered, &reply.stops));
            }
            Some(News::Failed(status, why)) => return refuse(status, &why),
            None => return refuse(503, CLOSING),
        }
    }
}

/// Server-sent events; an error before the first word is an answer of its own.
async fn stream(mut news: UnboundedReceiver<News>, reply: Reply) -> Response {
    let first = match news.recv().await {
        Some(News::Failed(status, why)) => return refuse(status, &why),
        None => return refuse(503, CLOSING),
        Some(first) => first,
    };
    let (events, response) = events();
    tokio::spawn(async move {
        tokio::select! {
            () = tell(first, news, reply, &events) => {}
            // Who has hung up wants no more of it.
            () = events.are_over() => {}
        }
    });
    response
}

/// Sends what the policy says as it says it.
async fn tell(first: News, mut news: UnboundedReceiver<News>, mut reply: Reply, events: &Events) {
    let mut next = Some(first);
    while let Some(one) = next {
        let chunks = match one {
            News::Text(text) => {
                let known = reply.stops.settled(&text).to_owned();
                Vec::from_iter(reply.words(&known))
            }
            News::Done(answered, by) => {
                let known = reply.stops.cut(&answered.text).to_owned();
                let mut chunks = Vec::from_iter(reply.words(&known));
                reply.remember(&answered, by);
                chunks.extend(chat::last_chunks(
                    &reply.id,
                    reply.created,
                    &answered,
                    reply.has_usage,
                ));
                for chunk in chunks {
                    events.send(chunk).await;
                }
                events.send("[DONE]").await;
                return;
            }
            News::Failed(status, why) => {
                events.send(chat::error(status, &why)).await;
                return;
            }
        };
        for chunk in chunks {
            events.send(chunk).await;
        }
        next = news.recv().await;
    }
}
