//! What may be wrong with a servo, its cable or its adapter: words, and when.
//!
//! Knows: names, shares, times. Does not know: how a fault changes what is said (`super`).

use longhand_protocol::units::Micros;
use std::fmt;
use std::str::FromStr;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It does not move, and loads its motor.
    Stuck,
    /// It answers late: 5 ms, or as many as are said.
    Slow,
    /// It has another number.
    WrongId,
    /// A bit of an answer is turned over.
    Corrupt,
    /// The adapter is out of its socket: the port is gone, then another.
    Unplugged,
    /// The arm's cable is out: nobody hears, nobody answers.
    Silent,
    /// The second half of an answer is missing.
    Half,
    /// The host hears its own bytes.
    Echo,
    /// Bytes that mean nothing before an answer.
    Noise,
    /// It heats up, until it shuts down.
    Hot,
    /// Its supply is too low: it starts anew, without torque.
    Brownout,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Stuck,
        Self::Slow,
        Self::WrongId,
        Self::Corrupt,
        Self::Unplugged,
        Self::Silent,
        Self::Half,
        Self::Echo,
        Self::Noise,
        Self::Hot,
        Self::Brownout,
    ];

    /// Its word on the command line and in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stuck => "stuck",
            Self::Slow => "slow",
            Self::WrongId => "wrong-id",
            Self::Corrupt => "corrupt",
            Self::Unplugged => "unplugged",
            Self::Silent => "silent",
            Self::Half => "half",
            Self::Echo => "echo",
            Self::Noise => "noise",
            Self::Hot => "hot",
            Self::Brownout => "brownout",
        }
    }

    /// How often it strikes where nobody says: of answers, one in ten; else always.
    const fn share(self) -> f64 {
        match self {
            Self::Corrupt | Self::Half | Self::Noise => 0.1,
            Self::Stuck
            | Self::Slow
            | Self::WrongId
            | Self::Unplugged
            | Self::Silent
            | Self::Echo
            | Self::Hot
            | Self::Brownout => 1.0,
        }
    }

    /// Whether it is the wire's and no servo's.
    const fn of_the_wire(self) -> bool {
        matches!(self, Self::Unplugged | Self::Silent | Self::Echo)
    }
}

/// One fault: of which servo, how often, from when to when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// Of the answers, 0 to 1.
    pub share: f64,
    /// How late, where it is [`Kind::Slow`], microseconds.
    pub late_us: u64,
    /// Whose; `None`: every servo's, or the wire's.
    pub id: Option<u8>,
    /// From when, microseconds after the start.
    pub from_us: u64,
    /// Until when; the end of time where nobody says.
    pub to_us: u64,
}

impl Fault {
    /// Whether it is on at this time.
    pub const fn on(&self, now_us: u64) -> bool {
        self.from_us <= now_us && now_us < self.to_us
    }
}

/// A fault cannot be read. `Display` says how one is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Kind::ALL.map(Kind::word).join(", ");
        write!(
            f,
            "`{}` is no fault: write NAME[=SHARE][:ID][@FROM[-TO]] (share 0 to 1, times in \
             seconds, as corrupt=0.3:2@1-2.5). NAME is one of {names}; the wire's own (unplugged, \
             silent, echo) take no SHARE and no ID; stuck, hot, brownout and wrong-id no SHARE; \
             slow=MS says how late, up to 10000",
            self.0
        )
    }
}

impl std::error::Error for Unreadable {}

impl FromStr for Fault {
    type Err = Unreadable;

    fn from_str(written: &str) -> Result<Self, Unreadable> {
        read(written).ok_or_else(|| Unreadable(written.to_owned()))
    }
}

fn read(written: &str) -> Option<Fault> {
    let (rest, times) = cut(written, '@');
    let (rest, id) = cut(rest, ':');
    let (name, share) = cut(rest, '=');
    let kind = Kind::ALL.into_iter().find(|kind| kind.word() == name)?;
    if kind.of_the_wire() && (share.is_some() || id.is_some()) {
        return None;
    }
    let late_us = match share {
        Some(ms) if kind == Kind::Slow => {
            ms.parse::<u64>().ok().filter(|ms| (1..=10_000).contains(ms))?.saturating_mul(1_000)
        }
        _ => SLOW_US,
    };
    let share = match share {
        None => kind.share(),
        Some(_) if kind == Kind::Slow => kind.share(),
        Some(_) if kind.share() >= 1.0 => return None,
        Some(share) => share.parse().ok().filter(|share| (0.0..=1.0).contains(share))?,
    };
    let id = id.map(str::parse).transpose().ok()?;
    let (from, to) = times.map_or((None, None), |times| {
        let (from, to) = cut(times, '-');
        (Some(from), to)
    });
    let from_us = from.map_or(Some(0), micros)?;
    let to_us = to.map_or(Some(u64::MAX), micros)?;
    (from_us < to_us).then_some(Fault { kind, share, late_us, id, from_us, to_us })
}

fn cut(written: &str, at: char) -> (&str, Option<&str>) {
    written.split_once(at).map_or((written, None), |(front, back)| (front, Some(back)))
}

/// How late a slow servo answers, where nobody says. Chosen: beyond what a host waits that closes a
/// loop, within what one waits that scans.
const SLOW_US: u64 = 5_000;

fn micros(seconds: &str) -> Option<u64> {
    if seconds == "0" {
        return Some(0);
    }
    Micros::from_written_span(seconds).ok().map(Micros::as_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_as_it_is_written() {
        let read = |written: &str| written.parse::<Fault>().ok();
        let (kind, late_us) = (Kind::Corrupt, SLOW_US);
        let all = Fault { kind, share: 0.1, late_us, id: None, from_us: 0, to_us: u64::MAX };
        assert_eq!(read("corrupt"), Some(all));
        let some = Fault { share: 0.3, id: Some(2), from_us: 1_000_000, to_us: 2_500_000, ..all };
        assert_eq!(read("corrupt=0.3:2@1-2.5"), Some(some));
        let slow = Fault { kind: Kind::Slow, share: 1.0, late_us: 30_000, id: Some(3), ..all };
        assert_eq!(read("slow=30:3"), Some(slow));
        assert!(some.on(1_000_000) && !some.on(999_999) && !some.on(2_500_000));
        for wrong in [
            "",
            "cut",
            "corrupt=2",
            "corrupt=NaN",
            "echo:1",
            "stuck=0.5",
            "hot@2-1",
            "hot@",
            "slow=0",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let said = "cut".parse::<Fault>().map_err(|e| e.to_string());
        assert!(said.is_err_and(|said| said.contains("brownout") && said.contains("`cut`")));
    }
}
