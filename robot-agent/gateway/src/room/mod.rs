//! One robot on a zenoh network: what it publishes and what it answers.
//!
//! Knows: keys and when something is said. Does not know: fields (`words`) or certificates (`net`).
//! It subscribes to nothing. Questions are answered from what the tap gave; they reach nobody else.
//!
//! Below `longhand/<hospital>/<room>/<robot>/`: `state`, `link`, `stage` and `alarms` are
//! published, and can be asked for; so is `directory`, but once a second; `history` is only asked
//! for; `alive` and `console/<name>` are liveliness tokens.

mod history;
pub mod net;

use crate::clock::uptime;
use crate::words::{Place, State, View};
use history::{History, Span};
use longhand_protocol::message::Stage;
use serde::Serialize;
use serde_json::json;
use std::time::Duration;
use tokio::sync::watch;
use zenoh::Session;
use zenoh::bytes::Encoding;
use zenoh::liveliness::LivelinessToken;
use zenoh::pubsub::Publisher;
use zenoh::qos::{CongestionControl, Priority};
use zenoh::query::Query;

/// What a room is called and how much of it is kept.
#[derive(Clone, Debug)]
pub struct Room {
    /// Its names.
    pub place: Place,
    /// The number in the robot's certificate.
    pub robot_id: u64,
    /// Ticks kept for who comes late.
    pub history: usize,
}

/// Questions that may wait. When full the oldest goes unanswered: who asked for it asks again.
const QUESTIONS: usize = 64;

/// The keys that are published, in the order in which they are.
pub const PUBLISHED: [&str; 4] = ["state", "link", "stage", "alarms"];

/// How often the directory's entry is said while the stage stays as it is. Chosen: who looks at a
/// thousand robots hears a thousand messages a second, not four hundred thousand.
const ENTRY_EVERY: Duration = Duration::from_secs(1);

impl Room {
    /// The part of every key that is this robot's.
    pub fn base(&self) -> String {
        let Place { hospital, room, robot } = &self.place;
        format!("longhand/{hospital}/{room}/{robot}")
    }

    /// Publishes and answers until the views end.
    ///
    /// Errors: the network refuses a declaration.
    pub async fn run(
        self,
        session: &Session,
        mut views: watch::Receiver<Option<View>>,
    ) -> zenoh::Result<()> {
        let base = self.base();
        let mut publishers = Vec::new();
        for name in PUBLISHED {
            publishers.push(declare(session, format!("{base}/{name}")).await?);
        }
        let entries = declare(session, format!("{base}/directory")).await?;
        let mut entered: Option<(Said, Duration)> = None;
        let questions = session
            .declare_queryable(format!("{base}/*"))
            .with(zenoh::handlers::RingChannel::new(QUESTIONS))
            .await?;
        let mut tokens = Tokens::default();
        let mut history = History::new(self.history);
        loop {
            tokio::select! {
                changed = views.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let Some(view) = *views.borrow_and_update() else { continue };
                    if !view.silent {
                        history.push(view.record);
                    }
                    self.publish(&publishers, &view).await?;
                    let (now, said) = (uptime(), Said::of(&view));
                    let is_old = |at: Duration| now.saturating_sub(at) >= ENTRY_EVERY;
                    if entered.is_none_or(|(was, at)| was != said || is_old(at)) {
                        entered = Some((said, now));
                        entries.put(self.words("directory", &view)).await?;
                    }
                    tokens.follow(session, &base, &view).await?;
                }
                question = questions.recv_async() => {
                    let Ok(question) = question else { return Ok(()) };
                    let view = *views.borrow();
                    let Some(view) = view else { continue };
                    self.answer(&base, &question, &view, &history).await;
                }
            }
        }
    }

    async fn publish(&self, publishers: &[Publisher<'_>], view: &View) -> zenoh::Result<()> {
        for (publisher, name) in publishers.iter().zip(PUBLISHED) {
            publisher.put(self.words(name, view)).await?;
        }
        Ok(())
    }

    /// What is said under a name.
    pub fn words(&self, name: &str, view: &View) -> Vec<u8> {
        let robot = &self.place.robot;
        match name {
            "state" => bytes(&view.state(robot, self.robot_id)),
            "link" => bytes(&view.link(robot)),
            "stage" => bytes(&view.stage(robot)),
            "alarms" => bytes(&view.alarms(robot)),
            _ => bytes(&view.entry(&self.place, self.robot_id)),
        }
    }

    async fn answer(&self, base: &str, question: &Query, view: &View, history: &History) {
        let asked = question.key_expr();
        for name in PUBLISHED.into_iter().chain(["directory"]) {
            let key = format!("{base}/{name}");
            let Ok(key) = zenoh::key_expr::KeyExpr::new(key) else { continue };
            if asked.intersects(&key) {
                let words = self.words(name, view);
                gone(question.reply(key, words).encoding(Encoding::APPLICATION_JSON).await);
            }
        }
        // By its name alone: who asks for everything does not mean ten minutes of it.
        if !asked.as_str().ends_with("/history") {
            return;
        }
        let parameters = question.parameters();
        let found = Span::asked(|name| parameters.get(name)).and_then(|span| history.select(span));
        match found {
            Ok(records) => {
                let words = bytes(&self.ticks(records, view));
                let key = format!("{base}/history");
                gone(question.reply(key, words).encoding(Encoding::APPLICATION_JSON).await);
            }
            Err(words) => gone(question.reply_err(words).await),
        }
    }

    fn ticks(
        &self,
        records: Vec<longhand_protocol::tap::Record>,
        view: &View,
    ) -> serde_json::Value {
        let robot = &self.place.robot;
        let one = |record| View { record, silent: false, ..*view };
        let states = records.into_iter().map(|record| one(record).state(robot, self.robot_id));
        let states: Vec<State> = states.collect();
        json!({ "schema": "longhand history v1", "robot": robot, "states": states })
    }
}

/// What is told at once where it changes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Said {
    stage: Stage,
    connected: bool,
    silent: bool,
}

impl Said {
    const fn of(view: &View) -> Self {
        let (state, link) = (&view.record.state.state, &view.record.link);
        Self { stage: state.stage, connected: link.connected, silent: view.silent }
    }
}

/// Old is worthless: what cannot be sent at once is dropped, never queued, and everything else on
/// the network goes first.
async fn declare<'a>(session: &'a Session, key: String) -> zenoh::Result<Publisher<'a>> {
    session
        .declare_publisher(key)
        .encoding(Encoding::APPLICATION_JSON)
        .congestion_control(CongestionControl::Drop)
        .priority(Priority::DataLow)
        .await
}

/// Who asked may be gone before the answer.
fn gone(sent: zenoh::Result<()>) {
    if let Err(error) = sent {
        tracing::debug!("an answer was not sent: {error}");
    }
}

fn bytes(words: &impl Serialize) -> Vec<u8> {
    // Numbers, names and words of ours: there is nothing that JSON could not say.
    serde_json::to_vec(words).unwrap_or_default()
}

/// Who is here, as zenoh tells everybody at once.
#[derive(Default)]
struct Tokens {
    robot: Option<LivelinessToken>,
    console: Option<(String, LivelinessToken)>,
}

impl Tokens {
    async fn follow(&mut self, session: &Session, base: &str, view: &View) -> zenoh::Result<()> {
        let declare = async |key: String| session.liveliness().declare_token(key).await;
        if view.silent {
            // Dropping a token takes it back.
            self.robot = None;
        } else if self.robot.is_none() {
            self.robot = Some(declare(format!("{base}/alive")).await?);
        }
        let connected = view.record.link.connected && !view.silent;
        let holder = view.holder().filter(|name| connected && is_plain(name));
        if self.console.as_ref().map(|(name, _)| name) != holder.as_ref() {
            self.console = match holder {
                Some(name) => {
                    let token = declare(format!("{base}/console/{name}")).await?;
                    Some((name, token))
                }
                None => None,
            };
        }
        Ok(())
    }
}

/// A name that may stand in a key: letters, digits, `-`, `_` and dots, as `trust issue` allows.
pub fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 48 && name.chars().all(plain)
}

/// The time between two views at so many a second.
pub fn period(rate: u32) -> Duration {
    Duration::from_secs(1).checked_div(rate).unwrap_or(Duration::from_secs(1))
}
