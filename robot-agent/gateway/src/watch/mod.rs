//! `watch`: all rooms that may be seen, for a person or for a program.
//!
//! Knows: what came last from each robot. Does not know: how it is drawn (`screen`). It only reads,
//! and nothing of it runs in the process that stands beside a robot.

mod screen;

use crate::clock::uptime;
use crate::words::{Alarm, Entry, Link, Place, StageWords};
use miette::{IntoDiagnostic, miette};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use zenoh::Session;
use zenoh::sample::SampleKind;

/// Without a message for as long, what is shown is old. Chosen: twice what a silent agent's gateway
/// says.
const OLD_AFTER: Duration = Duration::from_secs(2);
/// Robots that are kept. Chosen: more than a screen or a pipe takes; the next are left out.
const ROOMS_MAX: usize = 10_000;

/// One robot.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// Its liveliness token is there.
    pub alive: bool,
    /// Messages came lately.
    pub heard: bool,
    /// What came last; `null` where nothing came, or what cannot be read.
    pub stage: Option<StageWords>,
    /// What came last.
    pub link: Option<Link>,
    /// What came last, the worst first.
    pub alarms: Vec<Alarm>,
    /// Messages since this began.
    pub messages: u64,
}

/// What came last from one robot.
#[derive(Clone, Debug)]
struct Heard {
    place: Place,
    alive: bool,
    newest: Option<Entry>,
    messages: u64,
    at: Duration,
}

/// Every robot, by its place in the key.
#[derive(Debug, Default)]
pub struct Rooms(BTreeMap<String, Heard>);

impl Rooms {
    /// Takes a message under `key`.
    fn take(&mut self, key: &str, bytes: &[u8], now: Duration) {
        let Some(base) = key.strip_suffix("/directory") else { return };
        let Some(heard) = self.of(base) else { return };
        heard.newest = serde_json::from_slice(bytes).ok();
        heard.messages = heard.messages.saturating_add(1);
        heard.at = now;
    }

    /// A token came or went.
    fn token(&mut self, key: &str, alive: bool) {
        if let Some(heard) = key.strip_suffix("/alive").and_then(|base| self.of(base)) {
            heard.alive = alive;
        }
    }

    fn of(&mut self, base: &str) -> Option<&mut Heard> {
        if !self.0.contains_key(base) {
            let mut parts = base.strip_prefix("longhand/")?.split('/').map(str::to_owned);
            let (hospital, room, robot) = (parts.next()?, parts.next()?, parts.next()?);
            if parts.next().is_some() || self.0.len() >= ROOMS_MAX {
                return None;
            }
            let place = Place { hospital, room, robot };
            let at = Duration::ZERO;
            let heard = Heard { place, alive: false, newest: None, messages: 0, at };
            self.0.insert(base.to_owned(), heard);
        }
        self.0.get_mut(base)
    }

    /// All of them, as they are `now`.
    fn rows(&self, now: Duration) -> Vec<Row> {
        self.0.values().map(|heard| heard.row(now)).collect()
    }
}

impl Heard {
    fn row(&self, now: Duration) -> Row {
        let newest = self.newest.as_ref();
        Row {
            place: self.place.clone(),
            alive: self.alive,
            heard: self.messages > 0 && now.saturating_sub(self.at) < OLD_AFTER,
            stage: newest.map(|entry| entry.stage.clone()),
            link: newest.map(|entry| entry.link.clone()),
            alarms: newest.map(|entry| entry.alarms.clone()).unwrap_or_default(),
            messages: self.messages,
        }
    }
}

/// How to watch.
pub struct Watching {
    /// Lines of JSON instead of a screen.
    pub json: bool,
    /// How often.
    pub every: Duration,
    /// For how long; `None` until somebody ends it.
    pub limit: Option<Duration>,
}

/// Shows every room until `stop`, or until somebody says q.
///
/// Errors: the network refuses a subscription, or the terminal is none.
pub async fn watch(
    session: &Session,
    watching: &Watching,
    stop: impl Future<Output = ()>,
) -> miette::Result<()> {
    if !watching.json && !std::io::stdout().is_terminal() {
        return Err(miette!("this is no terminal: say --json"));
    }
    let refused = |error: zenoh::Error| miette!("the network refuses: {error}");
    let rooms = Arc::new(Mutex::new(Rooms::default()));
    // Taken as they come: a queue would show a slow reader what was, not what is.
    let hear = Arc::clone(&rooms);
    let heard = session.declare_subscriber("longhand/*/*/*/directory").callback(move |sample| {
        let bytes = sample.payload().to_bytes();
        lock(&hear).take(sample.key_expr().as_str(), &bytes, uptime());
    });
    let _heard = heard.await.map_err(refused)?;
    let hear = Arc::clone(&rooms);
    let tokens = session.liveliness().declare_subscriber("longhand/*/*/*/alive").history(true);
    let tokens = tokens.callback(move |sample| {
        lock(&hear).token(sample.key_expr().as_str(), sample.kind() == SampleKind::Put);
    });
    let _tokens = tokens.await.map_err(refused)?;
    let mut screen = if watching.json { None } else { Some(screen::Screen::open()?) };
    let mut due = tokio::time::interval(watching.every);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let began = uptime();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            _ = due.tick() => {}
        }
        let rows = lock(&rooms).rows(uptime());
        match &mut screen {
            Some(screen) => {
                if screen.show(&rows)? == screen::Next::End {
                    return Ok(());
                }
            }
            None => print(&rows)?,
        }
        if watching.limit.is_some_and(|limit| uptime().saturating_sub(began) >= limit) {
            return Ok(());
        }
    }
}

fn lock(rooms: &Mutex<Rooms>) -> MutexGuard<'_, Rooms> {
    rooms.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One line a robot.
fn print(rows: &[Row]) -> miette::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        schema: &'a str,
        #[serde(flatten)]
        row: &'a Row,
    }
    let mut out = std::io::stdout().lock();
    for row in rows {
        let line = Line { schema: "longhand watch v1", row };
        serde_json::to_writer(&mut out, &line).into_diagnostic()?;
        out.write_all(b"\n").into_diagnostic()?;
    }
    out.flush().into_diagnostic()
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhand_protocol::message::{Reason, Stage};

    const BASE: &str = "longhand/general/or3/davinci";

    #[test]
    fn what_came_last_is_kept_and_nonsense_is_nothing() {
        let mut rooms = Rooms::default();
        let place = Place { hospital: "h".into(), room: "r".into(), robot: "davinci".into() };
        let view = crate::words::tests::view(Stage::Hold, Reason::LinkSilent);
        let mut entry = serde_json::to_value(view.entry(&place, 7)).unwrap();
        entry["something"] = "new".into();
        let entry = entry.to_string().into_bytes();
        rooms.take(&format!("{BASE}/directory"), &entry, Duration::from_secs(10));
        rooms.take(&format!("{BASE}/stage"), b"not asked for", Duration::from_secs(10));
        rooms.take("longhand/a/b/c/d/directory", &entry, Duration::ZERO);
        rooms.take("elsewhere/directory", &entry, Duration::ZERO);
        let rows = rooms.rows(Duration::from_secs(11));
        assert_eq!(rows.len(), 1, "too deep, or elsewhere");
        assert_eq!(rows[0].place.room, "or3", "the key says where, not the words");
        assert!(rows[0].stage.is_some() && rows[0].link.is_some());
        assert!(rows[0].heard && !rows[0].alive);
        assert!(!rooms.rows(Duration::from_secs(12))[0].heard, "old by now");
        rooms.token(&format!("{BASE}/alive"), true);
        assert!(rooms.rows(Duration::from_secs(12))[0].alive);
        rooms.take(&format!("{BASE}/directory"), b"{", Duration::from_secs(13));
        assert!(rooms.rows(Duration::from_secs(13))[0].stage.is_none(), "nobody knows");
    }

    #[test]
    fn a_flood_of_names_is_bounded() {
        let mut rooms = Rooms::default();
        for n in 0..ROOMS_MAX + 5 {
            rooms.token(&format!("longhand/h/r/{n}/alive"), true);
        }
        assert_eq!(rooms.0.len(), ROOMS_MAX);
    }
}
