//! A recorded hand path, and the operator who plays it.
//!
//! Knows: the script format ("hand script v1", below), and how a careful operator behaves: the hand
//! rests while the tool does not follow, and after a latch the pedal is released, then pressed.
//! Does not know: the link, the robot, or real time.
//!
//! Format: one line `# {json}` with `format`, `interpolation` (`min-jerk` between way points, or
//! `linear` between samples), `orientation` (`relative` or `absolute`), `repeat`, `source`; then
//! CSV `t_s,hand,x_mm,y_mm,z_mm,rx_deg,ry_deg,rz_deg,jaw_deg`, times rising for each hand (`left`,
//! `right`), rotation as a rotation vector in the hand device's frame.

use crate::input::{Hand, Seen};
use longhand_leader::engagement::Engagement;
use longhand_leader::hand::{HandReading, HandSample, Nature, Orientation};
use longhand_protocol::geometry::{ArmId, PerArm, Pose};
use longhand_protocol::message::Stage;
use longhand_protocol::units::{Console, Instant, Micros};
use nalgebra::{UnitQuaternion, Vector3};
use serde::Deserialize;
use std::path::Path;

/// The scripts that ship, by name.
pub const SHIPPED: [(&str, &str); 2] = [
    ("peg-transfer", include_str!("../../scripts/peg-transfer.csv")),
    ("tremor", include_str!("../../scripts/tremor.csv")),
];

/// A hand path over time.
#[derive(Clone, Debug)]
pub struct Script {
    name: String,
    min_jerk: bool,
    orientation: Orientation,
    repeat: bool,
    hands: PerArm<Vec<WayPoint>>,
    length: Micros,
}

#[derive(Clone, Copy, Debug)]
struct WayPoint {
    at: Micros,
    position: Vector3<f64>,
    rotation: Vector3<f64>,
    jaw: f64,
}

/// What is wrong with a script, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// Neither a shipped script nor a file.
    #[error("no script {name:?}: {error}; shipped scripts are {shipped}, or give a CSV file")]
    NotFound {
        /// What was asked for.
        name: String,
        /// The names that ship.
        shipped: String,
        /// What the file system said.
        error: std::io::Error,
    },
    /// The header line is missing or wrong.
    #[error("{name}, line 1: {what}; expected `# {{\"format\":\"longhand hand script v1\", ...}}`")]
    Header {
        /// The script.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// A row cannot be used.
    #[error("{name}, row {row}: {what}")]
    Row {
        /// The script.
        name: String,
        /// The row, the first after the column names being 1.
        row: usize,
        /// What is wrong and what to do.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    interpolation: String,
    orientation: String,
    repeat: bool,
    #[serde(rename = "source")]
    _source: String,
    #[serde(default, rename = "licence")]
    _licence: String,
}

#[derive(Deserialize)]
struct Row {
    t_s: f64,
    hand: String,
    x_mm: f64,
    y_mm: f64,
    z_mm: f64,
    rx_deg: f64,
    ry_deg: f64,
    rz_deg: f64,
    jaw_deg: f64,
}

impl Script {
    /// A shipped script by name, or a file.
    ///
    /// Errors: [`ScriptError`] says what is wrong, where, and what to do.
    pub fn load(name: &str) -> Result<Self, ScriptError> {
        if let Some((_, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            return Self::parse(name, text);
        }
        let text = std::fs::read_to_string(Path::new(name)).map_err(|error| {
            let shipped = SHIPPED.map(|(shipped, _)| shipped).join(", ");
            ScriptError::NotFound { name: name.to_owned(), shipped, error }
        })?;
        Self::parse(name, &text)
    }

    /// Reads a script from its text; `name` is for the errors.
    ///
    /// Errors: [`ScriptError`].
    pub fn parse(name: &str, text: &str) -> Result<Self, ScriptError> {
        let header = parse_header(name, text)?;
        let mut hands: PerArm<Vec<WayPoint>> = PerArm::default();
        let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(text.as_bytes());
        for (index, row) in reader.deserialize::<Row>().enumerate() {
            let fail = |what: String| ScriptError::Row {
                name: name.to_owned(),
                row: index.saturating_add(1),
                what,
            };
            let row = row.map_err(|error| fail(error.to_string()))?;
            let (arm, point) = way_point(&row).map_err(|what| fail(what.to_owned()))?;
            let path = hands.get_mut(arm);
            if path.last().is_some_and(|last| last.at >= point.at) {
                return Err(fail("times must rise for each hand".to_owned()));
            }
            path.push(point);
        }
        for path in hands.iter() {
            let begins = path.first().is_some_and(|first| first.at == Micros::ZERO);
            if !begins {
                let what = "each hand needs rows, the first at t_s = 0".to_owned();
                return Err(ScriptError::Row { name: name.to_owned(), row: 1, what });
            }
        }
        let length = hands.iter().filter_map(|path| path.last()).map(|p| p.at).max();
        Ok(Self {
            name: name.to_owned(),
            min_jerk: header.interpolation == "min-jerk",
            orientation: if header.orientation == "absolute" {
                Orientation::Absolute
            } else {
                Orientation::Relative
            },
            repeat: header.repeat,
            hands,
            length: length.unwrap_or(Micros::ZERO),
        })
    }

    /// How long one pass takes.
    pub const fn length(&self) -> Micros {
        self.length
    }

    /// Where both hands are at this time of the script.
    pub fn at(&self, time: Micros) -> PerArm<HandReading> {
        let length = self.length.as_micros();
        let time = if self.repeat && length > 0 {
            Micros::from_micros(time.as_micros() % length)
        } else {
            time
        };
        PerArm::from_fn(|arm| self.one_at(self.hands.get(arm), time))
    }

    fn one_at(&self, path: &[WayPoint], time: Micros) -> HandReading {
        let after = path.partition_point(|p| p.at <= time);
        let from = path.get(after.saturating_sub(1));
        let (Some(from), to) = (from, path.get(after)) else { return HandReading::default() };
        let Some(to) = to else { return from.reading() };
        let span = to.at.since_start(from.at);
        let u = time.saturating_sub(from.at).as_secs_f64() / span;
        // Minimum jerk (Flash and Hogan 1985): how a person reaches.
        let s = if self.min_jerk { u * u * u * (10.0 - 15.0 * u + 6.0 * u * u) } else { u };
        WayPoint {
            at: time,
            position: from.position + (to.position - from.position) * s,
            rotation: from.rotation + (to.rotation - from.rotation) * s,
            jaw: from.jaw + (to.jaw - from.jaw) * s,
        }
        .reading()
    }
}

trait Span {
    fn since_start(self, start: Self) -> f64;
}

impl Span for Micros {
    /// Seconds from `start`, never zero: rows rise.
    fn since_start(self, start: Self) -> f64 {
        self.saturating_sub(start).as_secs_f64().max(1e-6)
    }
}

impl WayPoint {
    fn reading(&self) -> HandReading {
        HandReading {
            pose: Pose::new(self.position, UnitQuaternion::from_scaled_axis(self.rotation)),
            jaw: self.jaw,
        }
    }
}

fn parse_header(name: &str, text: &str) -> Result<Header, ScriptError> {
    let fail = |what: String| ScriptError::Header { name: name.to_owned(), what };
    let first = text.lines().next().unwrap_or_default();
    let json = first.strip_prefix('#').ok_or_else(|| fail("no `#` line".to_owned()))?;
    let header: Header = serde_json::from_str(json).map_err(|e| fail(e.to_string()))?;
    if header.format != "longhand hand script v1" {
        return Err(fail(format!("format is {:?}", header.format)));
    }
    if !["min-jerk", "linear"].contains(&header.interpolation.as_str()) {
        return Err(fail(format!("interpolation is {:?}", header.interpolation)));
    }
    if !["relative", "absolute"].contains(&header.orientation.as_str()) {
        return Err(fail(format!("orientation is {:?}", header.orientation)));
    }
    Ok(header)
}

fn way_point(row: &Row) -> Result<(ArmId, WayPoint), &'static str> {
    let arm = match row.hand.as_str() {
        "left" => ArmId::Psm1,
        "right" => ArmId::Psm2,
        _ => return Err("hand must be `left` or `right`"),
    };
    let numbers = [row.x_mm, row.y_mm, row.z_mm, row.rx_deg, row.ry_deg, row.rz_deg, row.jaw_deg];
    if !numbers.iter().all(|n| n.is_finite() && n.abs() <= 10_000.0) {
        return Err("every number must be finite and below 10000");
    }
    if !(row.t_s.is_finite() && (0.0..=86_400.0).contains(&row.t_s)) {
        return Err("t_s must lie between 0 and 86400");
    }
    let radians = |x: f64| x.to_radians();
    Ok((
        arm,
        WayPoint {
            at: Micros::from_secs_f64(row.t_s),
            position: Vector3::new(row.x_mm, row.y_mm, row.z_mm) * 1e-3,
            rotation: Vector3::new(row.rx_deg, row.ry_deg, row.rz_deg).map(radians),
            jaw: radians(row.jaw_deg),
        },
    ))
}

/// How long the scripted operator keeps the pedal released before pressing it: a person's pace.
/// Chosen.
const RELEASED_FOR: Micros = Micros::from_millis(300);
/// Pressed this long without effect, it is released again. Chosen: the robot's half second of good
/// link, a satellite's round trip, and some.
const PRESSED_FOR: Micros = Micros::from_millis(2_500);

/// A careful operator who plays a script. Script time stands still while the tool does not follow:
/// a surgeon whose instrument stops stops, too.
#[derive(Clone, Debug)]
pub struct ScriptedHand {
    script: Script,
    played: Micros,
    last: Option<Instant<Console>>,
    pedal: bool,
    pedal_since: Instant<Console>,
    resting: bool,
}

impl ScriptedHand {
    /// An operator about to begin, foot off the pedal.
    pub fn new(script: Script) -> Self {
        Self {
            script,
            played: Micros::ZERO,
            last: None,
            pedal: false,
            pedal_since: Instant::ORIGIN,
            resting: false,
        }
    }

    /// How much of the script has been played.
    pub const fn played(&self) -> Micros {
        self.played
    }

    fn move_pedal(&mut self, now: Instant<Console>, stage: Option<Stage>) {
        let since = now.since(self.pedal_since);
        let wanted = match stage {
            Some(Stage::Follow | Stage::Coast | Stage::Brake | Stage::Hold) => true,
            Some(Stage::Latched) if self.pedal => since < PRESSED_FOR,
            Some(Stage::Latched) => since >= RELEASED_FOR,
            None | Some(Stage::Bedside | Stage::SafeOff | Stage::Disabled) => false,
        };
        if wanted != self.pedal {
            self.pedal = wanted;
            self.pedal_since = now;
        }
    }
}

impl Hand for ScriptedHand {
    fn read(&mut self, now: Instant<Console>, seen: &Seen) -> HandSample {
        let elapsed = self.last.map_or(Micros::ZERO, |last| now.since(last));
        self.last = Some(now);
        if seen.engagement == Engagement::Following && !self.resting {
            self.played = self.played.saturating_add(elapsed);
        }
        self.move_pedal(now, seen.stage);
        HandSample {
            sampled_at: now,
            valid_for: Micros::from_millis(20),
            hands: self.script.at(self.played),
            orientation: self.script.orientation,
            nature: Nature::Made,
            operator_present: self.pedal,
            clutch: false,
            energy: PerArm::default(),
        }
    }

    fn name(&self) -> &str {
        &self.script.name
    }

    fn rest(&mut self) {
        self.resting = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_scripts_parse_close_and_keep_below_50_mm_per_s() {
        for (name, _) in SHIPPED {
            let script = Script::load(name).unwrap();
            let (first, last) = (script.at(Micros::ZERO), script.hands.psm1.last().unwrap());
            let gap = first.psm1.pose.position() - last.position;
            assert!(gap.norm() < 1e-4, "{name} closes on itself");
            let mut fastest: f64 = 0.0;
            let mut before = first;
            for ms in 1..script.length().as_micros() / 1_000 {
                let hands = script.at(Micros::from_millis(ms));
                for arm in ArmId::ALL {
                    let step = hands.get(arm).pose.position() - before.get(arm).pose.position();
                    fastest = fastest.max(0.2 * step.norm() / 1e-3);
                }
                before = hands;
            }
            assert!(fastest < 0.0505, "{name}: {} mm/s", fastest * 1e3);
        }
    }

    #[test]
    fn a_bad_row_says_where_and_what() {
        let head = "# {\"format\":\"longhand hand script v1\",\"interpolation\":\"linear\",\
                    \"orientation\":\"relative\",\"repeat\":false,\"source\":\"test\"}\n\
                    t_s,hand,x_mm,y_mm,z_mm,rx_deg,ry_deg,rz_deg,jaw_deg\n";
        let error = |rows: &str| Script::parse("s.csv", &format!("{head}{rows}")).unwrap_err();
        assert!(error("0,left,NaN,0,0,0,0,0,0\n").to_string().contains("s.csv, row 1: every"));
        assert!(error("0,middle,0,0,0,0,0,0,0\n").to_string().contains("`left` or `right`"));
        assert!(error("0,left,0,0,0,0,0,0,0\n").to_string().contains("each hand"));
        assert!(error("0,left,x,0,0,0,0,0,0\n").to_string().contains("row 1"));
        assert!(Script::parse("s.csv", "t_s\n").unwrap_err().to_string().contains("line 1"));
        assert!(Script::load("no-such").unwrap_err().to_string().contains("peg-transfer"));
    }

    #[test]
    fn the_operator_rests_while_the_tool_does() {
        let mut hand = ScriptedHand::new(Script::load("peg-transfer").unwrap());
        let at = |ms: u64| Instant::from_micros(ms * 1_000);
        let held = Seen { engagement: Engagement::Held, stage: Some(Stage::Latched) };
        let on = Seen { engagement: Engagement::Following, stage: Some(Stage::Follow) };
        assert!(!hand.read(at(1), &held).operator_present);
        assert!(hand.read(at(400), &held).operator_present);
        assert_eq!(hand.played(), Micros::ZERO);
        hand.read(at(500), &on);
        hand.read(at(501), &on);
        assert_eq!(hand.played(), Micros::from_millis(101));
        assert!(hand.read(at(502), &held).operator_present);
        assert!(!hand.read(at(5_000), &held).operator_present, "released after trying in vain");
    }
}
