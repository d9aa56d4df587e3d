//! Questions to the policy: from a request to its answer, whole or in pieces.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;
use vrft_answer::{Answered, Answerer, AskCategory, Follower, Picture};
use vrft_rollout::Sampling;

use crate::Options;
use crate::chat;
use crate::corrections::Corrections;
use crate::http::{Connection, Request};
use crate::queue::{News, Queue};
use crate::request::{self, Asked};
use crate::server::{JSON, refuse, say};
use crate::stops::Stops;

/// A policy that is asked.
pub(crate) struct Policy {
    pub(crate) queue: Queue,
    usual: Sampling,
    system: String,
    /// The question about a category is the one that the policy was trained with.
    pub(crate) ask_category: Box<AskCategory>,
    pub(crate) corrections: Corrections,
    n_answers: AtomicU64,
}

impl Policy {
    /// Starts to answer; so many questions may wait, and what people say of answers is kept in this folder.
    pub(crate) fn start(
        answerer: Answerer,
        follower: Option<Follower>,
        queue: usize,
        corrections: &Path,
    ) -> Self {
        Self {
            usual: answerer.sampling(),
            system: answerer.settings().policy.system.clone(),
            ask_category: answerer.categories(),
            corrections: Corrections::new(corrections, answerer.truths()),
            queue: Queue::start(answerer, follower, queue.max(1)),
            n_answers: AtomicU64::new(0),
        }
    }
}

pub(crate) async fn complete(
    connection: &mut Connection,
    request: &Request,
    options: &Options,
    policy: &Policy,
) -> std::io::Result<()> {
    let asked = request::read(&request.body, policy.usual.clone(), &policy.system, &options.limits);
    let asked = match asked {
        Ok(asked) => asked,
        Err(why) => return refuse(connection, 400, &why).await,
    };
    let Asked { is_streamed, has_usage, .. } = asked;
    let stops = asked.stops.clone();
    let mut about = about(&asked);
    let Some(news) = policy.queue.ask(asked) else {
        let why = format!("{} questions wait already: try again later", options.queue);
        let body = chat::error(429, &why).to_string();
        return connection.respond(429, JSON, "Retry-After: 1\r\n", body.as_bytes()).await;
    };
    let number = policy.n_answers.fetch_add(1, Ordering::Relaxed);
    let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let id = format!("chatcmpl-{created:x}-{number}");
    // Who sees the answer can remark on it.
    let remember = |answered: &Answered| {
        if let Some(about) = about.take() {
            policy.corrections.remember(&id, about, answered);
        }
    };
    let model = policy.queue.version();
    let told = Told { id: &id, created, model: &model, stops: &stops, has_usage };
    if is_streamed {
        stream(connection, news, &told, remember).await
    } else {
        whole(connection, news, &told, remember).await
    }
}

/// How an answer goes back.
#[derive(Clone, Copy)]
struct Told<'a> {
    id: &'a str,
    /// When it was asked for, in seconds since 1970.
    created: u64,
    /// The version in use when it was asked for; pieces of a stream say it before the answer is known.
    model: &'a str,
    stops: &'a Stops,
    /// Whether a stream ends with the numbers of tokens.
    has_usage: bool,
}

/// The picture and the question that an answer will be about; `None` for several pictures.
fn about(asked: &Asked) -> Option<(Picture, String)> {
    let [picture] = &asked.pictures[..] else { return None };
    Some((picture.clone(), asked.turns.last()?.text()))
}

async fn whole(
    connection: &mut Connection,
    mut news: UnboundedReceiver<News>,
    told: &Told<'_>,
    mut remember: impl FnMut(&Answered),
) -> std::io::Result<()> {
    loop {
        match news.recv().await {
            Some(News::Text(_)) => {}
            Some(News::Done(answered)) => {
                remember(&answered);
                return say(
                    connection,
                    &chat::response(told.id, told.created, &answered, told.stops),
                )
                .await;
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
    told: &Told<'_>,
    mut remember: impl FnMut(&Answered),
) -> std::io::Result<()> {
    let Told { id, created, model, stops, has_usage } = *told;
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
        let known = if answered.is_some() { stops.cut(&text) } else { stops.settled(&text) };
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
