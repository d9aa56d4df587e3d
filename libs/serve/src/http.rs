//! As much of HTTP/1.1 as a chat endpoint needs: requests with a known length in, whole or streamed responses out.
//!
//! Everything is bounded: the head, the body, and the time that a client may take for either.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest head of a request in bytes, and the most headers in it.
const MAX_HEAD: usize = 32 << 10;
const MAX_HEADERS: usize = 64;

/// How long a client may take to send a request once it has begun, and may stay idle before it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long what is not wanted is thrown away.
const DRAIN: Duration = Duration::from_secs(5);

/// The connection to one client.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

/// A request, read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// The path without the query.
    pub(crate) path: String,
    /// The query, as it was written.
    pub(crate) query: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Why a request was not read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The client is gone, or said nothing.
    Gone,
    /// It is answered with this status.
    Refused(u16, String),
}

impl Request {
    /// The value of a header by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A value of the query, decoded.
    pub(crate) fn argument(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(known, _)| *known == name).map(|(_, value)| decoded(value))
    }

    /// Whether the client will send another request.
    pub(crate) fn keeps_alive(&self) -> bool {
        !self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// The next request, with at most so many bytes of body.
    pub(crate) async fn read(&mut self, max_body: usize) -> Result<Request, Unread> {
        let read = timeout(PATIENCE, self.read_whole(max_body)).await;
        read.unwrap_or(Err(Unread::Gone))
    }

    async fn read_whole(&mut self, max_body: usize) -> Result<Request, Unread> {
        let head = self.read_head().await?;
        let (mut request, length) = parse(&head)?;
        if length > max_body {
            let why = format!("the request has {length} bytes, at most {max_body} are taken");
            return Err(Unread::Refused(413, why));
        }
        if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
        {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|_gone| Unread::Gone)?;
        }
        request.body = vec![0; length];
        self.stream.read_exact(&mut request.body).await.map_err(|_gone| Unread::Gone)?;
        Ok(request)
    }

    /// Up to the empty line.
    async fn read_head(&mut self) -> Result<Vec<u8>, Unread> {
        let mut head = Vec::new();
        loop {
            let room = (MAX_HEAD - head.len()) as u64;
            let mut limited = (&mut self.stream).take(room);
            let n = limited.read_until(b'\n', &mut head).await.map_err(|_gone| Unread::Gone)?;
            if n == 0 && head.len() == MAX_HEAD {
                return Err(Unread::Refused(431, "the head of the request is too long".into()));
            }
            if n == 0 {
                return Err(Unread::Gone);
            }
            if head.ends_with(b"\r\n\r\n") {
                return Ok(head);
            }
        }
    }

    /// A whole response.
    pub(crate) async fn respond(
        &mut self,
        status: u16,
        kind: &str,
        further: &str,
        body: &[u8],
    ) -> std::io::Result<()> {
        let head = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{COMMON}{further}\r\n",
            reason(status),
            body.len()
        );
        self.write(head.as_bytes()).await?;
        self.write(body).await
    }

    /// The head of a response that comes in pieces.
    pub(crate) async fn begin(&mut self, kind: &str) -> std::io::Result<()> {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n{COMMON}\r\n"
        );
        self.write(head.as_bytes()).await
    }

    /// A piece of it.
    pub(crate) async fn piece(&mut self, text: &str) -> std::io::Result<()> {
        self.write(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).await
    }

    /// Sends the end of the response.
    pub(crate) async fn end(&mut self) -> std::io::Result<()> {
        self.write(b"0\r\n\r\n").await
    }

    /// Ends the conversation with a client that may still be sending: what it sends is thrown away for a while, since it
    /// would not see the last response if the connection was reset.
    pub(crate) async fn hang_up(mut self) -> std::io::Result<()> {
        self.stream.get_mut().shutdown().await?;
        let mut sink = tokio::io::sink();
        // Who goes on for longer is cut off.
        let _drained = timeout(DRAIN, tokio::io::copy(&mut self.stream, &mut sink)).await.is_ok();
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes).await?;
        self.stream.get_mut().flush().await
    }
}

/// Nothing is kept by a browser, guessed at, or shown within somebody else's page.
const COMMON: &str = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n\
     Referrer-Policy: no-referrer\r\n";

/// The request without its body, and the length of that.
fn parse(head: &[u8]) -> Result<(Request, usize), Unread> {
    let refused = |why: &str| Unread::Refused(400, why.to_owned());
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let status = parsed.parse(head).map_err(|error| refused(&error.to_string()))?;
    if status.is_partial() {
        return Err(refused("the head of the request breaks off"));
    }
    let target = parsed.path.unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers = parsed.headers.iter().map(|header| {
        let value = String::from_utf8_lossy(header.value).trim().to_owned();
        (header.name.to_ascii_lowercase(), value)
    });
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers: headers.collect(),
        body: Vec::new(),
    };
    if request.header("transfer-encoding").is_some() {
        return Err(Unread::Refused(411, "a body needs a Content-Length".into()));
    }
    let lengths = request.headers.iter().filter(|(name, _)| name == "content-length");
    let lengths: Vec<&str> = lengths.map(|(_, value)| value.as_str()).collect();
    let length = match lengths[..] {
        [] => 0,
        [one] if one.bytes().all(|byte| byte.is_ascii_digit()) => {
            one.parse().map_err(|_not| refused("Content-Length is no length"))?
        }
        _ => return Err(refused("Content-Length should be one number")),
    };
    Ok((request, length))
}

/// `%41` and `+` of a query.
pub(crate) fn decoded(value: &str) -> String {
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

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(head: &str) -> u16 {
        match parse(head.as_bytes()) {
            Err(Unread::Refused(status, _)) => status,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_is_taken_apart() {
        let head = "POST /v1/chat?category=a+b%21&x=1 HTTP/1.1\r\nHost: here\r\nContent-Length: 12\r\n\r\n";
        let (request, length) = parse(head.as_bytes()).unwrap();
        assert_eq!(
            (request.method.as_str(), request.path.as_str(), length),
            ("POST", "/v1/chat", 12)
        );
        assert_eq!(request.argument("category").as_deref(), Some("a b!"));
        assert_eq!((request.header("host"), request.header("accept")), (Some("here"), None));
        assert!(request.keeps_alive());
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let with = |lines: &str| refused(&format!("POST / HTTP/1.1\r\n{lines}\r\n\r\n"));
        assert_eq!(with("Transfer-Encoding: chunked"), 411);
        assert_eq!(with("Content-Length: 1\r\nContent-Length: 2"), 400);
        assert_eq!(with("Content-Length: +1"), 400);
        assert_eq!(with("Content-Length: 99999999999999999999999"), 400);
        assert_eq!(refused("nonsense\r\n\r\n"), 400);
    }
}
