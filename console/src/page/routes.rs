//! The page's addresses and its websocket.
//!
//! Knows: which file lies at which address, which socket holds the input, when to send. Does not
//! know: what a view or an input means.
//!
//! Everything is asked at the door first, what does not exist included: without the token one
//! cannot even learn what there is. All files are inside the program; nothing is read from disk or
//! network.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::ConsoleClock;
use super::door::{Caller, Door};
use super::input::{Absence, InputError, InputReader};
use super::shared::PageShared;
use super::view::Word;

/// One frame of a 60 Hz screen.
const FRAME: Duration = Duration::from_micros(16_667);

/// How long the leader's side has to make a view. Chosen: two of its ticks.
const VIEW_WITHIN: Duration = Duration::from_millis(2);

/// A browser that does not take a frame for so long is gone, and gives up the input. Chosen: longer
/// than a browser's longest pause for its own housekeeping; the operator is absent long before.
const SEND_WITHIN: Duration = Duration::from_secs(2);

/// The largest message that is read at all. Larger than `INPUT_BYTES_MAX`, so that what is somewhat
/// too long gets an answer, and far below what could hurt.
const SOCKET_BYTES_MAX: usize = 64 * 1024;

/// What stands in the files where an address needs the token.
const TOKEN_MARK: &str = "{{token}}";

const SCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: [(&str, &str, &str); 6] = [
    ("/", "text/html; charset=utf-8", include_str!("web/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("web/page.css")),
    ("/draw.js", SCRIPT, include_str!("web/draw.js")),
    ("/hands.js", SCRIPT, include_str!("web/hands.js")),
    // Bundled by build.rs; where that could not be, it says what is missing.
    ("/scene.js", SCRIPT, include_str!(concat!(env!("OUT_DIR"), "/scene.js"))),
    ("/page.js", SCRIPT, include_str!("web/page.js")),
];

/// What every request of one run shares.
pub(super) struct House {
    door: Door,
    shared: Arc<PageShared>,
    now: ConsoleClock,
    practice: bool,
    frames: watch::Sender<Utf8Bytes>,
    /// Whether some socket holds the input.
    held: AtomicBool,
    policy: OnceLock<HeaderValue>,
}

impl House {
    pub(super) fn new(
        door: Door,
        shared: Arc<PageShared>,
        now: ConsoleClock,
        practice: bool,
    ) -> Arc<Self> {
        let (frames, _) = watch::channel(Utf8Bytes::default());
        let held = AtomicBool::new(false);
        Arc::new(Self { door, shared, now, practice, frames, held, policy: OnceLock::new() })
    }

    /// Nobody holds the input any more.
    pub(super) fn release(&self) {
        self.shared.release_input(Absence::NoPage);
        self.held.store(false, Ordering::SeqCst);
    }

    /// What the browser may load: this page's own files and this page's own socket.
    fn policy(&self) -> HeaderValue {
        let made = || {
            let [numbers, name] = self.door.hosts();
            let text = format!(
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
                 connect-src 'self' ws://{numbers} ws://{name}; base-uri 'none'; \
                 form-action 'none'; frame-ancestors 'none'"
            );
            HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
        };
        self.policy.get_or_init(made).clone()
    }
}

/// The input, for as long as this lives. However its socket ends, the operator is then absent.
struct Hold(Arc<House>);

impl Hold {
    fn take(house: &Arc<House>) -> Option<Self> {
        let was_held = house.held.swap(true, Ordering::SeqCst);
        (!was_held).then(|| Self(Arc::clone(house)))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// Every address of the page, behind the door.
pub(super) fn router(house: &Arc<House>) -> Router {
    let mut router = Router::new().route("/socket", get(socket));
    for (path, kind, text) in FILES {
        let body = text.replace(TOKEN_MARK, &house.door.token().hex());
        let file = move || async move { ([(header::CONTENT_TYPE, kind)], body) };
        router = router.route(path, get(file));
    }
    router
        .fallback(async || (StatusCode::NOT_FOUND, "There is nothing here; the page is at /.\n"))
        .layer(middleware::from_fn_with_state(Arc::clone(house), at_the_door))
        .with_state(Arc::clone(house))
}

/// Makes 60 frames a second for as long as a page is open.
pub(super) async fn send_views(house: Arc<House>) {
    let mut frame = interval(FRAME);
    // After a stall the newest frame is wanted, not the missed ones.
    frame.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut newest = None;
    loop {
        frame.tick().await;
        if house.frames.receiver_count() == 0 {
            continue;
        }
        house.shared.ask_view();
        sleep(VIEW_WITHIN).await;
        // No new view: the old one is sent again with its true age, and the page shows it as stale.
        newest = house.shared.take_view().or(newest);
        if let Some(view) = &newest {
            house.frames.send_replace(Word::view(view, (house.now)()).json().into());
        }
    }
}

async fn at_the_door(State(house): State<Arc<House>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let caller = Caller {
        query: request.uri().query(),
        host: only(headers, &header::HOST),
        // A header that is there but unreadable or doubled is somebody else's.
        origin: headers
            .contains_key(header::ORIGIN)
            .then(|| only(headers, &header::ORIGIN).unwrap_or("")),
    };
    let mut response = match house.door.judge(caller) {
        Ok(()) => next.run(request).await,
        Err(refusal) => (StatusCode::FORBIDDEN, format!("{refusal}\n")).into_response(),
    };
    let said = response.headers_mut();
    said.insert(header::CONTENT_SECURITY_POLICY, house.policy());
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        said.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The value of a header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(first)
}

async fn socket(State(house): State<Arc<House>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .max_message_size(SOCKET_BYTES_MAX)
        .max_frame_size(SOCKET_BYTES_MAX)
        .on_upgrade(move |socket| attend(socket, house))
}

/// One open page: views out, inputs in, until it goes.
async fn attend(mut socket: WebSocket, house: Arc<House>) {
    let mut frames = house.frames.subscribe();
    let hold = Hold::take(&house);
    let mut reader = InputReader::new(house.practice);
    if say(&mut socket, greeting(hold.is_some()).json().into()).await.is_err() {
        return;
    }
    loop {
        let answer = tokio::select! {
            changed = frames.changed() => match changed {
                Ok(()) => Some(frames.borrow_and_update().clone()),
                Err(_) => return,
            },
            heard = socket.recv() => match heard {
                Some(Ok(message)) => match hear(&house, hold.as_ref(), &mut reader, &message) {
                    Ok(()) => None,
                    Err(error) => Some(Word::Error { said: &error.to_string() }.json().into()),
                },
                Some(Err(_)) | None => return,
            },
        };
        if let Some(text) = answer
            && say(&mut socket, text).await.is_err()
        {
            return;
        }
    }
}

/// What a page is told first.
fn greeting(holds_input: bool) -> Word<'static> {
    let said = if holds_input {
        "this page holds the hands"
    } else {
        "another open page holds the hands; this one only watches; close that one, then take over"
    };
    Word::You { holds_input, said }
}

/// Takes one message of a page. What is not understood moves nothing: it releases the operator, for
/// a page that talks nonsense may not go on moving an arm by what it said before.
fn hear(
    house: &House,
    hold: Option<&Hold>,
    reader: &mut InputReader,
    message: &Message,
) -> Result<(), InputError> {
    let text = match message {
        Message::Text(text) => text.as_str(),
        // Not a word of this page; read as the empty text, which is malformed.
        Message::Binary(_) => "",
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) => return Ok(()),
    };
    if hold.is_none() {
        return Err(InputError::NotHolder);
    }
    match reader.read(text, (house.now)()) {
        Ok(input) => {
            house.shared.put_input(input.slot);
            house.shared.put_requests(&input.requests)
        }
        Err(error) => {
            house.shared.release_input(Absence::BadInput);
            Err(error)
        }
    }
}

/// Sends within a bound; an error means the page is gone.
async fn say(socket: &mut WebSocket, text: Utf8Bytes) -> Result<(), ()> {
    let sent = timeout(SEND_WITHIN, socket.send(Message::Text(text))).await;
    sent.map_err(drop)?.map_err(drop)
}
