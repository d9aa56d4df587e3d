//! A server on a port of this machine, asked by hand.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vrft_answer::{Picture, Settings, Target};
use vrft_dataset::Dataset;
use vrft_reward::config::RewardConfig;

use super::*;
use crate::LiveAnswer;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data").join(name)
}

fn options() -> Options {
    Options {
        address: "127.0.0.1:0".parse().unwrap(),
        token: None,
        queue: 1,
        request_bytes: 1 << 20,
        limits: Limits { pictures: 4, pixels: 1 << 20, tokens: 256 },
        corrections: "nowhere".into(),
        report: None,
    }
}

fn starter() -> Answerer {
    let settings = Settings { reward: Some(RewardConfig::default()), ..Settings::default() };
    let target = Target::find(&data("starter").display().to_string(), "nowhere".as_ref()).unwrap();
    Answerer::load(&settings, &target).unwrap()
}

async fn server(options: Options) -> SocketAddr {
    patient_server(options, PATIENCE).await
}

/// A server that waits so long for clients.
async fn patient_server(options: Options, patience: Duration) -> SocketAddr {
    let mut server = Server::listen(options, starter(), None).await.unwrap();
    server.shared.patience = patience;
    let address = server.address();
    tokio::spawn(server.run());
    address
}

/// Status and body of one request.
async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let host =
        if headers.contains("Host:") { String::new() } else { format!("Host: {address}\r\n") };
    let request = format!(
        "{method} {path} HTTP/1.1\r\n{host}Connection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    answer(stream).await
}

/// Status and body of the last response on a connection.
async fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// What is answered to these bytes, after which the client only listens.
async fn raw(address: SocketAddr, bytes: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    answer(stream).await
}

fn question(stream: bool) -> String {
    let dataset = Dataset::open(&data("digits/test.parquet")).unwrap();
    let picture = STANDARD.encode(dataset.get(0).pictures[0].bytes().unwrap());
    let url = format!("data:image/png;base64,{picture}");
    let turns = starter().category("handwritten digit", 1);
    let content = json!([
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": turns[0].text()},
    ]);
    json!({"model": "policy", "messages": [{"role": "user", "content": content}], "stream": stream})
        .to_string()
}

#[tokio::test]
async fn an_answer_comes_whole_or_in_pieces_and_says_the_same() {
    let address = server(options()).await;
    let path = "/v1/chat/completions";
    let (status, body) = send(address, "POST", path, "", &question(false)).await;
    assert_eq!(status, 200, "{body}");
    let whole: Value = serde_json::from_str(&body).unwrap();
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.ends_with("</answer>"), "{text}");
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    assert_eq!(whole["model"], "starter");
    assert!(whole["vrft"]["found"][0]["box"].is_array(), "{whole}");
    let (status, body) = send(address, "POST", path, "", &question(true)).await;
    assert_eq!(status, 200);
    let events = body.lines().filter_map(|line| line.strip_prefix("data: "));
    let chunks: Vec<Value> = events
        .filter(|event| *event != "[DONE]")
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    let words = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str());
    assert_eq!(words.collect::<String>(), text);
    assert!(chunks.len() > 5 && body.contains("data: [DONE]"), "{body}");
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunks.last().unwrap()["vrft"]["found"], whole["vrft"]["found"]);
}

/// The words of an answer, whole and in pieces.
async fn said(address: SocketAddr, request: &Value) -> (String, Vec<String>) {
    let path = "/v1/chat/completions";
    let mut request = request.clone();
    request["stream"] = false.into();
    let (_, body) = send(address, "POST", path, "", &request.to_string()).await;
    let whole: Value = serde_json::from_str(&body).unwrap();
    request["stream"] = true.into();
    let (_, body) = send(address, "POST", path, "", &request.to_string()).await;
    let events = body.lines().filter_map(|line| line.strip_prefix("data: "));
    let pieces = events.filter_map(|event| {
        let chunk: Value = serde_json::from_str(event).ok()?;
        Some(chunk["choices"][0]["delta"]["content"].as_str()?.to_owned())
    });
    let whole = whole["choices"][0]["message"]["content"].as_str();
    (whole.unwrap_or_else(|| panic!("{body}")).to_owned(), pieces.collect())
}

#[tokio::test]
async fn a_stop_of_the_request_ends_the_answer_and_is_no_part_of_it() {
    let address = server(options()).await;
    let mut request: Value = serde_json::from_str(&question(false)).unwrap();
    let (unstopped, _) = said(address, &request).await;
    assert!(unstopped.ends_with("</answer>"), "the run's own stop stays: {unstopped}");
    let at = unstopped.find("'Position'").or(unstopped.find("Position")).unwrap();
    // One that begins within a token, one that spans several, and the run's own asked for as well.
    for stop in ["sition", &unstopped[at..at + 12], "</answer>"] {
        request["stop"] = json!([stop, "never said"]);
        let (whole, pieces) = said(address, &request).await;
        assert_eq!(whole, unstopped[..unstopped.find(stop).unwrap()], "{stop:?}");
        assert_eq!(pieces.concat(), whole, "{stop:?}");
    }
}

#[tokio::test]
async fn a_model_is_found_by_its_name() {
    let address = server(options()).await;
    let (status, model) = send(address, "GET", "/v1/models/starter", "", "").await;
    assert!(status == 200 && model.contains("\"id\":\"starter\""), "{model}");
    assert_eq!(send(address, "GET", "/v1/models/start%65r", "", "").await.0, 200);
    let (status, why) = send(address, "GET", "/v1/models/gpt", "", "").await;
    assert!(status == 404 && why.contains("\\\"starter\\\" is in use"), "{why}");
    assert_eq!(send(address, "POST", "/v1/models/starter", "", "").await.0, 405);
}

#[tokio::test]
async fn the_page_and_what_it_asks_for_are_there() {
    let address = server(options()).await;
    let (status, page) = send(address, "GET", "/", "", "").await;
    assert!(status == 200 && page.contains("<canvas"), "{page}");
    let (_, models) = send(address, "GET", "/v1/models", "", "").await;
    assert!(models.contains("\"starter\""), "{models}");
    let (_, question) = send(address, "GET", "/v1/question?category=red+cup", "", "").await;
    assert!(question.contains("'red cup'"), "{question}");
    assert_eq!(send(address, "GET", "/nowhere", "", "").await.0, 404);
    assert_eq!(send(address, "DELETE", "/", "", "").await.0, 405);
}

#[tokio::test]
async fn only_who_may_ask_is_answered() {
    let open = server(options()).await;
    let asks = async |headers: &str| send(open, "GET", "/v1/models", headers, "").await.0;
    assert_eq!(asks("Host: localhost\r\n").await, 200);
    assert_eq!(asks("Host: evil.example\r\n").await, 403, "a name that leads here from elsewhere");
    assert_eq!(asks("Origin: https://evil.example\r\n").await, 403, "another site's page");
    let token = Some("secret".to_owned());
    let closed = server(Options { token: token.clone(), ..options() }).await;
    let asks = async |headers: &str| send(closed, "GET", "/v1/models", headers, "").await.0;
    assert_eq!(asks("").await, 401);
    assert_eq!(asks("Authorization: Bearer secre\r\n").await, 401);
    assert_eq!(asks("Authorization: Bearer secret\r\nHost: robot.local\r\n").await, 200);
    assert_eq!(
        asks("Authorization: bearer  secret\r\n").await,
        200,
        "names of schemes have no case"
    );
    assert_eq!(asks("Authorization: Basic secret\r\n").await, 401);
    assert_eq!(send(closed, "GET", "/", "", "").await.0, 200, "the page asks for the token");
    let address = "0.0.0.0:0".parse().unwrap();
    let error =
        Server::listen(Options { address, ..options() }, starter(), None).await.err().unwrap();
    assert!(error.to_string().contains("--token"), "{error}");
    Server::listen(Options { address, token, ..options() }, starter(), None).await.unwrap();
}

#[tokio::test]
async fn what_is_too_much_is_turned_away() {
    let address = server(Options { request_bytes: 100, ..options() }).await;
    let path = "/v1/chat/completions";
    assert_eq!(send(address, "POST", path, "", &question(false)).await.0, 413);
    let small = Limits { pixels: 100, ..options().limits };
    let address = server(Options { limits: small, ..options() }).await;
    let (status, why) = send(address, "POST", path, "", &question(false)).await;
    assert!(status == 400 && why.contains("scale the picture down"), "{why}");
    let (status, why) = send(address, "POST", path, "", "not json").await;
    assert!(status == 400 && why.contains("invalid_request_error"), "{why}");
    // Two questions fit, one under way and one waiting; of more at once some are told to come back.
    let address = server(options()).await;
    let question = question(false);
    let asked = (0..12).map(|_| {
        let question = question.clone();
        tokio::spawn(async move { send(address, "POST", path, "", &question).await.0 })
    });
    let asked: Vec<_> = asked.collect();
    let mut statuses = Vec::new();
    for one in asked {
        statuses.push(one.await.unwrap());
    }
    assert!(statuses.contains(&200) && statuses.contains(&429), "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
}

#[tokio::test]
async fn a_slow_client_is_not_waited_for() {
    let address = patient_server(options(), Duration::from_millis(300)).await;
    let head = format!("POST /v1/feedback HTTP/1.1\r\nHost: {address}\r\n");
    let (status, why) =
        raw(address, format!("{head}Content-Length: 10\r\n\r\n{{").as_bytes()).await;
    assert!(status == 408 && why.contains("after 0.3 seconds"), "{status} {why}");
    // A head that never ends, and a client that says nothing at all, are hung up on.
    for begun in ["", &head] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest));
        assert_eq!(read.await.expect("hung up").unwrap(), 0, "{begun:?}");
    }
}

#[tokio::test]
async fn a_client_that_takes_in_nothing_loses_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.html");
    let n_bytes = 64 << 20;
    std::fs::write(&report, vec![b'a'; n_bytes]).unwrap();
    let with_report = Options { report: Some(report), ..options() };
    let address = patient_server(with_report, Duration::from_millis(300)).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let get = format!("GET /report HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(get.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut rest = Vec::new();
    // What is under way already arrives; then the connection is over.
    let _reset = stream.read_to_end(&mut rest).await.is_err();
    assert!(rest.len() < n_bytes, "{} bytes", rest.len());
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_or_is_too_long_is_refused() {
    let address = server(Options { request_bytes: 100, ..options() }).await;
    let asks = async |lines: &str, body: &str| {
        let head =
            format!("POST /v1/feedback HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
        raw(address, format!("{head}{lines}\r\n{body}").as_bytes()).await.0
    };
    assert_eq!(asks("Content-Length: 1\r\nContent-Length: 2\r\n", "").await, 400);
    assert_eq!(asks("Content-Length: +1\r\n", "").await, 400);
    assert_eq!(asks("Transfer-Encoding: gzip\r\n", "").await, 400);
    assert_eq!(raw(address, b"nonsense\r\n\r\n").await.0, 400);
    let many: String = (0..70).map(|n| format!("X-{n}: y\r\n")).collect();
    assert_eq!(asks(&many, "").await, 431);
    // A body whose length is not known before is read to its end, or to the bound.
    let remark = "{\"answer_id\":\"a\",\"remark\":\"accept\"}";
    let pieces =
        |piece: &str, n: usize| format!("{:x}\r\n{piece}\r\n", piece.len()).repeat(n) + "0\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    assert_eq!(asks(chunked, &pieces(remark, 1)).await, 404, "no such answer");
    assert_eq!(asks(chunked, &pieces(remark, 3)).await, 413);
}

#[tokio::test]
async fn who_is_refused_while_sending_a_picture_learns_why() {
    let token = Some("secret".to_owned());
    let address = server(Options { token, ..options() }).await;
    let picture = "a".repeat(8 << 20);
    let path = "/v1/chat/completions";
    assert_eq!(send(address, "POST", path, "", &picture).await.0, 401);
    let known = "Authorization: Bearer secret\r\n";
    assert_eq!(send(address, "POST", path, known, &picture).await.0, 413);
    // Who asks before it sends anything is told to keep it.
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nExpect: 100-continue\r\n{known}Connection: close\r\n"
    );
    assert_eq!(
        raw(address, format!("{head}Content-Length: 9999999\r\n\r\n").as_bytes()).await.0,
        413
    );
}

#[tokio::test]
async fn a_connection_takes_one_request_after_the_other() {
    let address = server(options()).await;
    let get = |further: &str| format!("GET /health HTTP/1.1\r\nHost: {address}\r\n{further}\r\n");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all((get("") + &get("Connection: close\r\n")).as_bytes()).await.unwrap();
    let mut both = String::new();
    stream.read_to_string(&mut both).await.unwrap();
    assert_eq!(both.matches("HTTP/1.1 200 OK").count(), 2, "{both}");
    assert_eq!(both.matches("x-frame-options: DENY").count(), 2, "{both}");
}

#[tokio::test]
async fn what_is_said_of_an_answer_becomes_a_row_that_a_data_set_reads() {
    let folder = tempfile::tempdir().unwrap();
    let corrections = folder.path().join("corrections");
    let address = server(Options { corrections: corrections.clone(), ..options() }).await;
    let asks = "/v1/chat/completions";
    let (_, body) = send(address, "POST", asks, "", &question(false)).await;
    let id = serde_json::from_str::<Value>(&body).unwrap()["id"].as_str().unwrap().to_owned();
    let says = async |remark: Value| {
        let body = json!({"answer_id": id, "remark": remark}).to_string();
        send(address, "POST", "/v1/feedback", "", &body).await
    };
    let rows = || {
        let dataset = Dataset::open(&corrections.join("rows.jsonl")).unwrap();
        let row = dataset.get(0);
        let vrft_dataset::Truth::Text(text) = &row.truth else { panic!("words") };
        (dataset.len(), text.to_string(), row.pictures[0].bytes().unwrap())
    };
    assert_eq!(says(json!("accept")).await.0, 200);
    let (n, accepted, picture) = rows();
    let original = Dataset::open(&data("digits/test.parquet")).unwrap();
    assert_eq!((n, picture), (1, original.get(0).pictures[0].bytes().unwrap()));
    assert!(accepted.starts_with("<answer>[{\"Position\": ["), "{accepted}");
    // The newest decision takes the place of the one before.
    assert_eq!(says(json!({"edit": [[100, 200, 300, 400]]})).await.0, 200);
    assert!(rows().1.contains("[100, 200, 300, 400]"), "{}", rows().1);
    let (status, why) = says(json!({"text": "a cup"})).await;
    assert!(status == 400, "{status} {why}");
    let (status, told) = says(json!("reject")).await;
    assert!(status == 200 && told.contains("\"rows\":0"), "{told}");
    let remarks = std::fs::read_to_string(corrections.join("remarks.jsonl")).unwrap();
    assert_eq!(remarks.lines().count(), 3, "{remarks}");
    let other = json!({"answer_id": "another", "remark": "accept"}).to_string();
    assert_eq!(send(address, "POST", "/v1/feedback", "", &other).await.0, 404);
    assert_eq!(send(address, "POST", "/v1/feedback", "", "{}").await.0, 400);
}

#[tokio::test]
async fn the_report_of_the_run_is_shown_if_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.html");
    let address = server(Options { report: Some(report.clone()), ..options() }).await;
    assert_eq!(send(address, "GET", "/report", "", "").await.0, 404);
    std::fs::write(&report, "<h1>How it went</h1>").unwrap();
    assert_eq!(send(address, "GET", "/report", "", "").await, (200, "<h1>How it went</h1>".into()));
    let (_, health) = send(address, "GET", "/health", "", "").await;
    assert!(health.contains("\"has_report\":true"), "{health}");
}

/// An answer of which no boxes follow.
fn words() -> LiveAnswer {
    let dataset = Dataset::open(&data("digits/test.parquet")).unwrap();
    let picture = dataset.get(0).pictures[0].bytes().unwrap();
    LiveAnswer {
        answer_id: "a-1".into(),
        version: "step-7".into(),
        text: "There.".into(),
        reading: "unread".into(),
        kind: "boxes".into(),
        found: Vec::new(),
        picture: Picture::of_file(picture).unwrap(),
    }
}

#[tokio::test]
async fn a_robot_is_watched_and_told() {
    let (robot, said) = Robot::new(false);
    let address = "127.0.0.1:0".parse().unwrap();
    let server = Server::of_robot(address, None, Arc::clone(&robot)).await.unwrap();
    let address = server.address();
    tokio::spawn(server.run());
    assert_eq!(send(address, "GET", "/v1/live", "", "").await.0, 404);
    assert_eq!(send(address, "GET", "/v1/models", "", "").await.0, 404, "there is nobody to ask");
    robot.show(words());
    let (status, live) = send(address, "GET", "/v1/live", "", "").await;
    let live: Value = serde_json::from_str(&live).unwrap();
    assert_eq!((status, live["answer_id"].as_str()), (200, Some("a-1")));
    assert_eq!((&live["kind"], &live["reading"]), (&json!("boxes"), &json!("unread")));
    let edit = "{\"answer_id\":\"a-1\",\"remark\":{\"edit\":[[1,2,30,40]]},\"labels\":[\"\"]}";
    let (status, told) = send(address, "POST", "/v1/feedback", "", edit).await;
    assert!(status == 200 && told.contains("sent"), "{told}");
    let remark = vrft_stream::AnswerRemark::parse(&said.try_recv().unwrap()).unwrap();
    assert_eq!(remark.answer_id, "a-1");
    assert_eq!(send(address, "POST", "/v1/feedback", "", "{}").await.0, 400);
    let says = async |id: &str, remark: Value| {
        let body = json!({"answer_id": id, "remark": remark}).to_string();
        send(address, "POST", "/v1/feedback", "", &body).await
    };
    let (status, why) = says("a-2", json!("accept")).await;
    assert!(status == 404 && why.contains("none of the last"), "{why}");
    let (status, why) = says("a-1", json!("accept")).await;
    assert!(status == 400 && why.contains("could not be read"), "{why}");
    assert!(says("a-1", json!("reject")).await.1.contains("\"learned\":true"));
    assert!(says("a-1", json!({"text": "a cup"})).await.1.contains("\"learned\":false"));
    assert_eq!(said.try_iter().count(), 2, "what is refused does not reach the robot");
    let (robot, _said) = Robot::new(true);
    robot.show(words());
    let words = "{\"answer_id\":\"a-1\",\"remark\":{\"text\":\"a cup\"}}";
    assert_eq!(robot.take(words.as_bytes()).unwrap()["learned"], true);
    drop(said);
    assert_eq!(send(address, "POST", "/v1/feedback", "", edit).await.0, 503, "its graph has ended");
}
