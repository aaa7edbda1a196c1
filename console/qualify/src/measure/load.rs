//! Working latency: what other traffic on the same path does to probes.
//!
//! Knows: the measures of an idle run and of a loaded one. Does not know: who made the load.

use serde::{Deserialize, Serialize};

use super::Measures;
use super::quantile::{Share, Spread};

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
