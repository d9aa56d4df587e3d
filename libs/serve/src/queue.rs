//! The thread that owns the model, and the bounded queue before it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::{info, warn};
use vrft_answer::{Answered, Answerer, AskCategory, Follower, Truths};
use vrft_rollout::Sampling;

use crate::request::Asked;

/// How often a newer version is looked for while nobody asks.
const LOOK: Duration = Duration::from_millis(100);

/// What happens to a question.
#[derive(Debug)]
pub(crate) enum News {
    /// Its answer as far as it goes.
    Text(String),
    /// The question is answered: its answer, and the policy that gave it.
    Done(Box<Answered>, Arc<InUse>),
    /// It cannot be answered: the status and why.
    Failed(u16, String),
}

/// What there is to know of the policy in use: another one may be of another run, with another task.
pub(crate) struct InUse {
    pub(crate) version: String,
    /// Tells it from others of its name.
    pub(crate) digest: String,
    /// How answers are decoded unless a request says otherwise.
    pub(crate) usual: Sampling,
    /// The turn before conversations that have none of their own.
    pub(crate) system: String,
    /// The question about a category is the one that the policy was trained with.
    pub(crate) ask_category: Box<AskCategory>,
    /// How right answers are written.
    pub(crate) truths: Truths,
}

impl InUse {
    /// `most` is the most tokens that an answer may have here.
    fn of(answerer: &Answerer, most: usize) -> Arc<Self> {
        let usual = answerer.sampling();
        Arc::new(Self {
            version: answerer.version().to_owned(),
            digest: answerer.digest().to_owned(),
            usual: Sampling { max_tokens: usual.max_tokens.min(most), ..usual },
            system: answerer.settings().policy.system.clone(),
            ask_category: answerer.categories(),
            truths: answerer.truths(),
        })
    }
}

impl std::fmt::Debug for InUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.version, self.digest)
    }
}

/// The queue in which questions wait for the policy.
#[derive(Clone)]
pub(crate) struct Queue {
    waiting: SyncSender<Job>,
    in_use: Arc<RwLock<Arc<InUse>>>,
}

struct Job {
    asked: Asked,
    news: UnboundedSender<News>,
}

impl Queue {
    /// Starts the thread; so many questions may wait, and an answer may have so many tokens.
    pub(crate) fn start(
        answerer: Answerer,
        follower: Option<Follower>,
        length: usize,
        most: usize,
    ) -> Self {
        let (waiting, jobs) = sync_channel(length);
        let in_use = Arc::new(RwLock::new(InUse::of(&answerer, most)));
        let shown = Arc::clone(&in_use);
        std::thread::spawn(move || work(answerer, follower, &jobs, &shown, most));
        Self { waiting, in_use }
    }

    /// Asks; `None` if too many wait already.
    pub(crate) fn ask(&self, asked: Asked) -> Option<UnboundedReceiver<News>> {
        let (news, told) = unbounded_channel();
        match self.waiting.try_send(Job { asked, news }) {
            Ok(()) => Some(told),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => None,
        }
    }

    /// The policy in use.
    pub(crate) fn in_use(&self) -> Arc<InUse> {
        Arc::clone(&self.in_use.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Answers one question after the other, swapping versions in between.
fn work(
    mut answerer: Answerer,
    follower: Option<Follower>,
    jobs: &Receiver<Job>,
    shown: &RwLock<Arc<InUse>>,
    most: usize,
) {
    let mut in_use = InUse::of(&answerer, most);
    loop {
        if let Some(fresh) = follower.as_ref().and_then(Follower::newest) {
            let version = fresh.version().to_owned();
            match answerer.take(fresh) {
                Ok(()) => {
                    in_use = InUse::of(&answerer, most);
                    info!(version, digest = in_use.digest, "Swapped in a version.");
                    *shown.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&in_use);
                }
                Err(error) => {
                    warn!(version, %error, "A version cannot be used; the one in use stays.")
                }
            }
        }
        match jobs.recv_timeout(LOOK) {
            Ok(job) => answer(&answerer, &in_use, job),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn answer(answerer: &Answerer, in_use: &Arc<InUse>, Job { asked, news }: Job) {
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
        Ok(answered) => News::Done(Box::new(answered), Arc::clone(in_use)),
        Err(error @ vrft_answer::AnswerError::Rollout(_)) => News::Failed(500, error.to_string()),
        Err(error) => News::Failed(400, error.to_string()),
    };
    let _heard = news.send(told).is_ok();
}
