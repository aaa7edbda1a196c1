//! From the tap to everybody in this process: one view, as often as it is published.
//!
//! Knows: when a view is due, and since when the stage is what it is. Does not know: who looks.

use crate::clock::uptime;
use crate::tap::Feed;
use crate::words::View;
use longhand_protocol::message::{Reason, Stage};
use longhand_protocol::tap::Record;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// How often the same is said again while the agent is silent.
const SILENT_EVERY: Duration = Duration::from_secs(1);

/// Reads the tap every `period` and shows the newest tick, until nobody looks any more.
pub async fn run(mut feed: Feed, period: Duration, show: watch::Sender<Option<View>>) {
    let mut due = tokio::time::interval(period);
    due.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut newest: Option<Record> = None;
    let mut since: Option<(Stage, Reason, u64)> = None;
    let mut said: Option<(bool, Duration)> = None;
    while !show.is_closed() {
        due.tick().await;
        let mut is_new = false;
        // A silent agent may keep this thread waiting; the other threads run on.
        tokio::task::block_in_place(|| {
            feed.read(|record| {
                is_new = true;
                let (stage, reason) = (record.state.state.stage, record.state.state.reason);
                let same = since.is_some_and(|(was, why, _)| (was, why) == (stage, reason));
                since = since.filter(|_| same).or(Some((stage, reason, record.wall_ns)));
                newest = Some(record);
            });
        });
        let silent = feed.is_silent();
        let again = said.is_none_or(|(was_silent, at)| {
            was_silent != silent || uptime().saturating_sub(at) >= SILENT_EVERY
        });
        let Some(record) = newest.filter(|_| is_new || (silent && again)) else { continue };
        said = Some((silent, uptime()));
        let stage_since_ns = since.map_or(record.wall_ns, |(_, _, at)| at);
        // Nobody who looks is the end of the loop.
        let _ = show.send(Some(View { record, silent, lost: feed.lost(), stage_since_ns }));
    }
}
