//! The thread that owns the model, and the bounded queue before it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::{info, warn};
use vrft_answer::{Answered, Answerer, Follower};

use crate::request::Asked;

/// How often a newer version is looked for while nobody asks.
const LOOK: Duration = Duration::from_millis(100);

/// What happens to a question.
#[derive(Debug)]
pub(crate) enum News {
    /// Its answer as far as it goes.
    Text(String),
    /// The question is answered: its answer.
    Done(Box<Answered>),
    /// It cannot be answered: the status and why.
    Failed(u16, String),
}

/// The queue in which questions wait for the policy.
#[derive(Clone)]
pub(crate) struct Queue {
    waiting: SyncSender<Job>,
    version: Arc<RwLock<String>>,
}

struct Job {
    asked: Asked,
    news: UnboundedSender<News>,
}

impl Queue {
    /// Starts the thread; so many questions may wait.
    pub(crate) fn start(answerer: Answerer, follower: Option<Follower>, length: usize) -> Self {
        let (waiting, jobs) = sync_channel(length);
        let version = Arc::new(RwLock::new(answerer.version().to_owned()));
        let shown = Arc::clone(&version);
        std::thread::spawn(move || work(answerer, follower, &jobs, &shown));
        Self { waiting, version }
    }

    /// Asks; `None` if too many wait already.
    pub(crate) fn ask(&self, asked: Asked) -> Option<UnboundedReceiver<News>> {
        let (news, told) = unbounded_channel();
        match self.waiting.try_send(Job { asked, news }) {
            Ok(()) => Some(told),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => None,
        }
    }

    /// The version in use.
    pub(crate) fn version(&self) -> String {
        self.version.read().map(|version| version.clone()).unwrap_or_default()
    }
}

/// Answers one question after the other, swapping versions in between.
fn work(
    mut answerer: Answerer,
    follower: Option<Follower>,
    jobs: &Receiver<Job>,
    shown: &RwLock<String>,
) {
    loop {
        if let Some(fresh) = follower.as_ref().and_then(Follower::newest) {
            let version = fresh.version().to_owned();
            match answerer.take(fresh) {
                Ok(()) => {
                    info!(version, "Swapped in a version.");
                    if let Ok(mut shown) = shown.write() {
                        *shown = version;
                    }
                }
                Err(error) => {
                    warn!(version, %error, "A version cannot be used; the one in use stays.")
                }
            }
        }
        match jobs.recv_timeout(LOOK) {
            Ok(job) => answer(&answerer, job),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn answer(answerer: &Answerer, Job { asked, news }: Job) {
    if news.is_closed() {
        return;
    }
    let Asked { turns, pictures, sampling, seed, is_streamed, .. } = asked;
    // Who has hung up wants no more of it.
    let watch = |text: &str| {
        let goes_on = !news.is_closed();
        goes_on && (!is_streamed || news.send(News::Text(text.to_owned())).is_ok())
    };
    let answered = answerer.answer_with(&turns, &pictures, &sampling, seed, &watch);
    let told = match answered {
        Ok(answered) => News::Done(Box::new(answered)),
        Err(error @ vrft_answer::AnswerError::Rollout(_)) => News::Failed(500, error.to_string()),
        Err(error) => News::Failed(400, error.to_string()),
    };
    let _heard = news.send(told).is_ok();
}
