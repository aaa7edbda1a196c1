//! Working latency: what other traffic on the same path does to probes.
//!
//! Knows: the measures of an idle run and of a loaded one, and how well what came is known. Does
//! not know: who made the load.

use serde::{Deserialize, Serialize};

use super::Measures;
use super::quantile::{Share, Spread};
use crate::number::real;

/// Of the load up, every so many datagrams are answered, to learn how many came.
pub const COUNTED_EVERY: u64 = 32;
/// The most that one of them takes of the link, bytes: 1200 of payload with 28 of IP and UDP, or
/// 1100 in the session with QUIC's.
pub const DATAGRAM_BYTES: u64 = 1_228;
/// What carried the load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Within {
    /// The session that commands use: its connection, its queue, its path.
    #[default]
    Session,
    /// Plain UDP beside it, from a port of its own.
    Udp,
}

/// Load that was put on, and what came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Asked for, bit/s, IP packets.
    pub asked_bps: u64,
    /// Handed to the network here (up), or asked of the robot (down), bit/s.
    pub offered_bps: u64,
    /// Came through, bit/s.
    pub came_bps: u64,
    /// Of the load up: what was offered in so many seconds at its end no answer told of, because it
    /// was under way, or the answers were lost.
    pub untold_s: f64,
}

/// One road, idle and loaded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Round trip without load.
    pub idle: Spread,
    /// Round trip with it.
    pub loaded: Spread,
    /// What the load added at p50, p99 and p99.9, ms.
    pub adds_ms: Option<(f64, f64, f64)>,
    /// Loss up without and with.
    pub loss_up: (Share, Share),
    /// Loss down without and with.
    pub loss_down: (Share, Share),
    /// Lost on an unknown way without and with.
    pub lost_unknown: (Share, Share),
}

impl Effect {
    /// From both runs.
    pub fn of(idle: &Measures, loaded: &Measures) -> Self {
        let at = |name| Some(loaded.rtt.quantile(name)?.ms - idle.rtt.quantile(name)?.ms);
        let adds = || Some((at("p50")?, at("p99")?, at("p99.9")?));
        Self {
            adds_ms: adds(),
            idle: idle.rtt.clone(),
            loaded: loaded.rtt.clone(),
            loss_up: (idle.up.loss, loaded.up.loss),
            loss_down: (idle.down.loss, loaded.down.loss),
            lost_unknown: (idle.lost_unknown, loaded.lost_unknown),
        }
    }
}

/// A loaded run beside the idle one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Loaded {
    /// How long, s.
    pub seconds: f64,
    /// What carried it.
    pub within: Within,
    /// To the robot; `null`: not loaded.
    pub up: Option<Traffic>,
    /// To the surgeon.
    pub down: Option<Traffic>,
    /// Inside the session.
    pub quic: Effect,
    /// On plain UDP; `null` where the robot offers none.
    pub twin: Option<Effect>,
}

/// What came through one way, and what was offered, as far as it is known, Mbit/s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Came {
    /// What was counted, by how long it was offered.
    pub counted: f64,
    /// The least that the link carried.
    pub least: f64,
    /// The most; `None`: the load was too short to say.
    pub most: Option<f64>,
    /// The least that was offered to the loaded way.
    pub offered: f64,
}

impl Loaded {
    /// What came up.
    pub fn came_up(&self) -> Option<Came> {
        let (road, traffic) = (self.road()?, self.up?);
        // What came behind the datagram of which the newest answer told, and a row that none did.
        let offered = real(traffic.offered_bps) / 1e6;
        let row = real(COUNTED_EVERY.saturating_mul(DATAGRAM_BYTES)) * 8.0 / 1e6;
        let untold = traffic.untold_s.max(0.0) * offered + row;
        Some(self.came(road, traffic, Some(untold), offered))
    }

    /// What came down: each datagram is counted, but the robot only sends what it was asked for.
    pub fn came_down(&self) -> Option<Came> {
        let (road, traffic) = (self.road()?, self.down?);
        let asked = real(traffic.offered_bps) / 1e6 * (1.0 - road.loss_up.1.high);
        Some(self.came(road, traffic, None, asked))
    }

    /// The road that the load went.
    fn road(&self) -> Option<&Effect> {
        match self.within {
            Within::Session => Some(&self.quic),
            Within::Udp => self.twin.as_ref(),
        }
    }

    /// What was counted came within the time of the load, give or take a round trip: what was under
    /// way at its end is not counted, or came when nothing was offered any more. Where it is known
    /// how much was not counted (Mbit), that is the most.
    fn came(&self, road: &Effect, traffic: Traffic, untold: Option<f64>, offered: f64) -> Came {
        let counted = real(traffic.came_bps) / 1e6;
        let trip_s = road.loaded.max_ms.map(|ms| ms / 1e3);
        let Some(trip_s) = trip_s.filter(|trip_s| self.seconds > 2.0 * trip_s) else {
            return Came { counted, least: 0.0, most: None, offered };
        };
        let all = counted * self.seconds;
        let most = untold
            .map_or_else(|| all / (self.seconds - trip_s), |untold| (all + untold) / self.seconds);
        Came { counted, least: all / (self.seconds + trip_s), most: Some(most), offered }
    }
}
