//! The server: where it listens, how many clients it serves and how long it waits for them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tracing::{debug, warn};
use vrft_answer::{Answerer, Follower};

use crate::ask::Policy;
use crate::patient::Patient;
use crate::request::Limits;
use crate::robot::Robot;
use crate::routes::{self, Shared};

/// Bytes of a remark on a robot's answer.
const MAX_REMARK: usize = 1 << 20;

/// Clients at a time.
const MAX_CLIENTS: usize = 64;

/// Longest head of a request in bytes, and the most headers in it.
const MAX_HEAD: usize = 32 << 10;
const MAX_HEADERS: usize = 64;

/// How long a client may take to send the head of a request, idle time before it included, and its body, and to take in
/// more of a response.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long nobody is let in after the system could not take a client, for example for want of file handles.
const PAUSE: Duration = Duration::from_millis(200);

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
    shared: Shared,
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
        let (queue, most) = (options.queue, options.limits.tokens);
        let policy = Policy::start(answerer, follower, queue, most, &options.corrections);
        Self::bind(options, Some(Arc::new(policy)), None).await
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
        policy: Option<Arc<Policy>>,
        robot: Option<Arc<Robot>>,
    ) -> Result<Self, ServeError> {
        let address = options.address;
        if options.token.is_none() && !address.ip().is_loopback() {
            return Err(ServeError::NoToken(address));
        }
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| ServeError::Listen { address, source })?;
        Ok(Self { listener, shared: Shared { options, patience: PATIENCE, policy, robot } })
    }

    /// Where it listens: the port is known even where any was asked for.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.shared.options.address)
    }

    /// Serves requests until the program ends.
    ///
    /// Connections are hyper's rather than those of `axum::serve`, which knows no limits of time and size for heads.
    pub async fn run(self) {
        let Self { listener, shared } = self;
        let patience = shared.patience;
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(patience);
        http.max_headers(MAX_HEADERS).max_buf_size(MAX_HEAD);
        let service = TowerToHyperService::new(routes::router(Arc::new(shared)));
        let clients = Arc::new(Semaphore::new(MAX_CLIENTS));
        while let Ok(place) = Arc::clone(&clients).acquire_owned().await {
            let (stream, from) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "A client could not be let in.");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let stream = TokioIo::new(Patient::new(stream, patience));
            let talk = http.serve_connection(stream, service.clone());
            tokio::spawn(async move {
                if let Err(error) = talk.await {
                    debug!(%from, %error, "A client is gone.");
                }
                drop(place);
            });
        }
    }
}

#[cfg(test)]
mod tests;
