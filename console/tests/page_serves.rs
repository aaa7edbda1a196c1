//! The page keeps strangers out, shows the newest view, and takes input only while it is good.
//!
//! A raw HTTP client and a websocket client stand in for the browser. Time is injected: nothing
//! here sleeps to make something old.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: a panic is how it fails"
)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use longhand_console::page::{
    Absence, INPUT_FRESH_FOR, PageConfig, PageHandReader, PageHandle, PageHands, PageRequest,
    PageShared, PageView, serve,
};
use longhand_protocol::message::{Stage, StateCommand};
use longhand_protocol::units::{Console, Instant, Micros};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Browser = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// A page whose clock stands still until it is moved.
struct Bench {
    handle: PageHandle,
    shared: Arc<PageShared>,
    reader: PageHandReader,
    clock_us: Arc<AtomicU64>,
}

impl Bench {
    fn new() -> Self {
        let clock_us = Arc::new(AtomicU64::new(1_000_000));
        let shared = Arc::new(PageShared::new());
        let clock = Arc::clone(&clock_us);
        let now = Arc::new(move || Instant::from_micros(clock.load(Ordering::SeqCst)));
        let handle =
            serve(PageConfig { port: None, now, practice: false }, Arc::clone(&shared)).unwrap();
        Self { handle, reader: PageHandReader::new(Arc::clone(&shared)), shared, clock_us }
    }

    fn now(&self) -> Instant<Console> {
        Instant::from_micros(self.clock_us.load(Ordering::SeqCst))
    }

    fn pass(&self, span: Micros) {
        self.clock_us.fetch_add(span.as_micros(), Ordering::SeqCst);
    }

    /// `127.0.0.1:PORT` and the token.
    fn address(&self) -> (String, String) {
        let rest = self.handle.url.strip_prefix("http://").unwrap();
        let (host, token) = rest.split_once("/?token=").unwrap();
        (host.to_owned(), token.to_owned())
    }

    /// What comes back for `GET target`, with exactly these headers.
    fn get(&self, target: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(self.address().0).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    async fn browser(&self) -> Browser {
        let (host, token) = self.address();
        connect_async(format!("ws://{host}/socket?token={token}")).await.unwrap().0
    }

    /// Reads the hands until they are as wanted. The clock stands, so waiting makes nothing older.
    async fn hands_where(&mut self, wanted: impl Fn(&PageHands) -> bool) -> PageHands {
        for _ in 0..2_000 {
            let hands = self.reader.read(self.now());
            if wanted(&hands) {
                return hands;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never as wanted; last {:?}", self.reader.read(self.now()));
    }
}

fn input(seq: u64, hand_time_ms: f64) -> Value {
    let rest = json!({"linear_m_s": [0, 0, 0], "angular_rad_s": [0, 0, 0], "jaw_rad_s": 0});
    let moves = json!({"linear_m_s": [0.1, 0, 0], "angular_rad_s": [0, 0, 0], "jaw_rad_s": -0.5});
    json!({
        "seq": seq, "hand_time_ms": hand_time_ms, "source": "mouse", "psm1": moves, "psm2": rest,
        "operator_present": true, "clutch": false, "energy": {"psm1": false, "psm2": false},
        "visible": true, "focused": true,
    })
}

async fn say(browser: &mut Browser, value: &Value) {
    browser.send(Message::text(value.to_string())).await.unwrap();
}

/// The next message of this kind.
async fn hear(browser: &mut Browser, kind: &str) -> Value {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(10), browser.next());
        let message = next.await.unwrap().unwrap().unwrap();
        let value: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        if value["kind"] == kind {
            return value;
        }
    }
}

#[test]
fn only_the_printed_address_is_answered() {
    let bench = Bench::new();
    let (host, token) = bench.address();
    let good_host = format!("Host: {host}\r\n");
    assert!(host.starts_with("127.0.0.1:"));
    assert_eq!(token.len(), 32);

    let page = bench.get(&format!("/?token={token}"), &good_host);
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.contains("default-src 'none'") && page.contains("Longhand"));
    assert!(!page.contains("{{token}}") && !page.contains("https://"));
    for file in ["page.css", "draw.js", "hands.js", "page.js"] {
        let target = format!("/{file}?token={token}");
        assert!(page.contains(&target), "{file} is not named in the page");
        assert!(bench.get(&target, &good_host).starts_with("HTTP/1.1 200"), "{file}");
        assert!(bench.get(&format!("/{file}"), &good_host).starts_with("HTTP/1.1 403"), "{file}");
    }
    let absent = bench.get(&format!("/nothing?token={token}"), &good_host);
    assert!(absent.starts_with("HTTP/1.1 404"));

    let wrong = "0".repeat(32);
    let evil_host = "Host: evil.example\r\n".to_owned();
    let evil_origin = format!("{good_host}Origin: http://evil.example\r\n");
    let two_hosts = format!("{good_host}{evil_host}");
    for (target, headers, sentence) in [
        ("/".to_owned(), &good_host, "by the address that the console printed"),
        (format!("/?token={wrong}"), &good_host, "by the address that the console printed"),
        (format!("/nothing?token={wrong}"), &good_host, "by the address that the console printed"),
        (format!("/?token={token}"), &evil_host, "answers only as 127.0.0.1"),
        (format!("/?token={token}"), &evil_origin, "Only the console's own page"),
    ] {
        let answer = bench.get(&target, headers);
        assert!(answer.starts_with("HTTP/1.1 403"), "{target} {headers}: {answer}");
        assert!(answer.contains(sentence), "{target} {headers}: {answer}");
    }
    let doubled = bench.get(&format!("/?token={token}"), &two_hosts);
    assert!(doubled.starts_with("HTTP/1.1 40"), "{doubled}");
    bench.handle.shut_down();
}

#[tokio::test]
async fn websocket_without_the_token_or_from_another_page_is_refused() {
    let bench = Bench::new();
    let (host, token) = bench.address();
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert!(connect_async(format!("ws://{host}/socket?token=0")).await.is_err());
    assert!(connect_async(format!("ws://{host}/socket")).await.is_err());
    let foreign = format!("Host: {host}\r\nOrigin: http://evil.example\r\n{upgrade}");
    let answer = bench.get(&format!("/socket?token={token}"), &foreign);
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    bench.handle.shut_down();
}

#[tokio::test]
async fn view_goes_out_when_wanted_and_carries_its_true_age() {
    let bench = Bench::new();
    assert!(!bench.shared.wants_view(), "nobody looks yet");
    let mut browser = bench.browser().await;
    while !bench.shared.wants_view() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let view = PageView {
        state_received_at: Some(bench.now()),
        stage: Stage::Hold,
        ..PageView::default()
    };
    assert!(bench.shared.put_view(Box::new(view)));
    let shown = hear(&mut browser, "view").await;
    assert_eq!(shown["view"]["stage"], "Hold");
    assert_eq!(shown["view"]["operating_state"], "ENABLED");
    assert_eq!(shown["state_age_ms"], 0.0);

    // The leader's side falls silent: the same view goes on, and grows old.
    bench.pass(Micros::from_millis(700));
    loop {
        let age_ms = hear(&mut browser, "view").await["state_age_ms"].as_f64().unwrap();
        if age_ms > 0.0 {
            assert!((age_ms - 700.0).abs() < 1e-6, "{age_ms}");
            break;
        }
    }
    bench.handle.shut_down();
}

#[tokio::test]
async fn input_arrives_ages_out_and_ends_with_its_socket() {
    let mut bench = Bench::new();
    let mut browser = bench.browser().await;
    assert_eq!(hear(&mut browser, "you").await["holds_input"], true);
    assert_eq!(bench.reader.read(bench.now()).absence, Some(Absence::NoPage));

    let mut first = input(1, 10.0);
    first["ack"] = json!([7]);
    first["state_command"] = json!("pause");
    say(&mut browser, &first).await;
    let hands = bench.hands_where(|hands| hands.operator_present).await;
    assert!((hands.rates.psm1.linear_m_s[0] - 0.1).abs() < 1e-12);
    let pause = PageRequest::StateCommand(StateCommand::Pause);
    assert_eq!(bench.shared.next_request(), Some(pause));
    assert_eq!(bench.shared.next_request(), Some(PageRequest::Acknowledge(7)));
    assert_eq!(bench.shared.next_request(), None);

    bench.pass(INPUT_FRESH_FOR);
    assert!(bench.reader.read(bench.now()).operator_present);
    bench.pass(Micros::from_micros(1));
    assert_eq!(bench.reader.read(bench.now()), PageHands::absent(Absence::Stale));

    // Fresh again, sampled when the browser's clock says so.
    say(&mut browser, &input(2, 161.0)).await;
    bench.hands_where(|hands| hands.operator_present).await;
    let mut hidden = input(3, 170.0);
    hidden["visible"] = json!(false);
    say(&mut browser, &hidden).await;
    bench.hands_where(|hands| *hands == PageHands::absent(Absence::Hidden)).await;
    say(&mut browser, &input(4, 171.0)).await;
    bench.hands_where(|hands| hands.operator_present).await;

    drop(browser);
    bench.hands_where(|hands| *hands == PageHands::absent(Absence::NoPage)).await;
    bench.handle.shut_down();
}

#[tokio::test]
async fn bad_input_is_told_and_moves_nothing() {
    let mut bench = Bench::new();
    let mut browser = bench.browser().await;
    let mut fast = input(90, 90.0);
    fast["psm2"]["linear_m_s"][1] = json!(1.5);
    let mut unknown = input(91, 91.0);
    unknown["servo_cp"] = json!([0, 0, 0]);
    let bad = [
        (Message::text("nonsense"), "not of the known form"),
        (Message::text(unknown.to_string()), "not of the known form"),
        (Message::binary(vec![0_u8, 1, 2]), "not of the known form"),
        (Message::text(fast.to_string()), "out of bounds"),
        (Message::text(" ".repeat(5_000)), "longer than"),
        (Message::text(input(1, 0.0).to_string()), "not newer"),
    ];
    for (seq, (message, sentence)) in (2..).zip(bad) {
        say(&mut browser, &input(seq, 10.0)).await;
        bench.hands_where(|hands| hands.operator_present).await;
        browser.send(message).await.unwrap();
        let error = hear(&mut browser, "error").await;
        assert!(error["said"].as_str().unwrap().contains(sentence), "{error}");
        let after = bench.reader.read(bench.now());
        assert_eq!(after, PageHands::absent(Absence::BadInput), "{sentence}");
    }
    bench.handle.shut_down();
}

#[tokio::test]
async fn one_page_holds_the_hands_and_the_next_only_after_it_went() {
    let mut bench = Bench::new();
    let mut first = bench.browser().await;
    assert_eq!(hear(&mut first, "you").await["holds_input"], true);
    say(&mut first, &input(1, 10.0)).await;
    bench.hands_where(|hands| hands.operator_present).await;

    let mut second = bench.browser().await;
    assert_eq!(hear(&mut second, "you").await["holds_input"], false);
    say(&mut second, &json!({"nonsense": true})).await;
    let error = hear(&mut second, "error").await;
    assert!(error["said"].as_str().unwrap().contains("another open page"), "{error}");
    assert!(bench.reader.read(bench.now()).operator_present, "a watcher cannot even release");
    drop(second);

    drop(first);
    bench.hands_where(|hands| hands.absence == Some(Absence::NoPage)).await;
    let mut third = bench.browser().await;
    assert_eq!(hear(&mut third, "you").await["holds_input"], true);
    bench.handle.shut_down();
}

#[tokio::test]
async fn stopped_page_leaves_the_operator_absent_and_the_port_free() {
    let mut bench = Bench::new();
    let mut browser = bench.browser().await;
    say(&mut browser, &input(1, 10.0)).await;
    bench.hands_where(|hands| hands.operator_present).await;
    let (host, _) = bench.address();
    bench.handle.stop.stop();
    bench.handle.join.join().unwrap();
    assert_eq!(bench.reader.read(Instant::from_micros(1_000_000)).absence, Some(Absence::NoPage));
    assert!(TcpStream::connect(host).is_err());
}
