//! Bodies: of requests, within bounds of size and time; of responses, event by event.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::response::{IntoResponse, Response};
use hyper::HeaderMap;
use hyper::body::Frame;
use hyper::header::{CONTENT_TYPE, EXPECT};
use serde_json::Value;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use crate::chat::Refused;

/// How long what is not wanted is thrown away.
const DRAIN: Duration = Duration::from_secs(5);

/// The body of a request, if it has at most so many bytes and is there within that time.
///
/// # Errors
/// A body that is longer, slower or breaks off.
pub(crate) async fn whole(
    headers: &HeaderMap,
    mut body: Body,
    most: usize,
    patience: Duration,
) -> Result<Bytes, Refused> {
    let declared = body.size_hint().lower();
    if declared > most as u64 {
        discard(headers, body);
        let why = format!("the request has {declared} bytes, at most {most} are taken");
        return Err((413, why));
    }
    let mut bytes = Vec::with_capacity(declared as usize);
    let read = async {
        while let Some(piece) = next(&mut body).await {
            let piece = piece.map_err(|error| (400, error.to_string()))?;
            if bytes.len() + piece.len() > most {
                let why = format!("the request has more than the {most} bytes that are taken");
                return Err((413, why));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(())
    };
    match timeout(patience, read).await {
        Ok(Ok(())) => Ok(bytes.into()),
        Ok(Err(refused)) => {
            discard(headers, body);
            Err(refused)
        }
        Err(_elapsed) => {
            let secs = patience.as_secs_f64();
            let why = format!("the request was not there after {secs} seconds");
            Err((408, why))
        }
    }
}

/// Throws away for a while what a client still sends that is being refused: it would not see why if the connection was
/// reset under it. A client that waits to be told to go on is not told.
pub(crate) fn discard(headers: &HeaderMap, mut body: Body) {
    if headers.contains_key(EXPECT) || body.is_end_stream() {
        return;
    }
    tokio::spawn(timeout(DRAIN, async move { while let Some(Ok(_)) = next(&mut body).await {} }));
}

/// The next bytes of a body; trailers are passed over.
async fn next(body: &mut Body) -> Option<Result<Bytes, axum::Error>> {
    loop {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await? {
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Some(Ok(data));
                }
            }
            Err(error) => return Some(Err(error)),
        }
    }
}

/// Where the events of a streamed response go in.
pub(crate) struct Events(Sender<String>);

/// A response of server-sent events, and where they go in. It ends when nothing can go in any more.
pub(crate) fn events() -> (Events, Response) {
    let (sender, receiver) = channel(1);
    let response = ([(CONTENT_TYPE, "text/event-stream")], Body::new(Streamed(receiver)));
    (Events(sender), response.into_response())
}

impl Events {
    /// Sends an event once the client has taken those before; `false` if it is gone.
    pub(crate) async fn send(&self, data: impl std::fmt::Display) -> bool {
        self.0.send(format!("data: {data}\n\n")).await.is_ok()
    }

    /// Waits until the client is gone.
    pub(crate) async fn are_over(&self) {
        self.0.closed().await;
    }
}

/// The receiving end of events as the body of a response.
struct Streamed(Receiver<String>);

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|event| event.map(|text| Ok(Frame::data(text.into()))))
    }
}

/// A response in JSON.
pub(crate) fn say(body: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
