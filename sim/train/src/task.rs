//! Task files: geometry, goal, limits, score rule and source of one exercise.
//!
//! Knows: the format ("longhand task v1", `sim/train/tasks/*.toml`), and what must hold of the
//! numbers in it. Does not know: files (text is handed in), or how a task is judged (`episode`).
//!
//! A file has exactly one goal: `[carry]` or `[insert]`. Lengths in the file are millimetres; here
//! metres.

use nalgebra::Vector3;
use serde::Deserialize;

/// The word that a file begins with.
pub const SCHEMA: &str = "longhand task v1";

/// The tasks that ship: name, text.
pub const SHIPPED: [(&str, &str); 3] = [
    ("peg-transfer", include_str!("../tasks/peg-transfer.toml")),
    ("pick-and-place", include_str!("../tasks/pick-and-place.toml")),
    ("stereotactic-insertion", include_str!("../tasks/stereotactic-insertion.toml")),
];

/// A task.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its name.
    pub name: String,
    /// What is to be done, in a line.
    pub title: String,
    /// Where it comes from, and which numbers are ours.
    pub source: String,
    /// Where the remote centres hang, left hand's arm first.
    pub rcm: [Vector3<f64>; 2],
    /// Half of the board's sides along x and y.
    pub half: [f64; 2],
    /// Where the tips belong: the lowest and the highest corner.
    pub room: [Vector3<f64>; 2],
    /// The cut-off, seconds.
    pub time_s: f64,
    /// A force beyond this is too much, newtons.
    pub force_n: f64,
    /// What errors cost.
    pub penalties: Penalties,
    /// What is to be done.
    pub goal: Goal,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Goal {
    /// Rings from pegs to pegs.
    Carry(Carry),
    /// An electrode to its target, by the right hand.
    Insert(Insert),
}

/// An electrode to its target.
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    /// From the jaw's pivot to the lead's end, metres.
    pub lead: f64,
    /// Where the lead goes in.
    pub entry: Vector3<f64>,
    /// Where its end belongs.
    pub target: Vector3<f64>,
    /// Of the hole in the bone, metres.
    pub hole_radius: f64,
    /// How far before or behind the target counts as there, metres.
    pub depth_tolerance: f64,
    /// Newtons for each metre inside.
    pub friction: f64,
    /// Newtons for each metre against the hole's edge.
    pub bone: f64,
}

/// Rings from pegs to pegs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Carry {
    /// Each ring has to go from one hand to the other in the air.
    pub hand_to_hand: bool,
    /// And all of them back again.
    pub there_and_back: bool,
    /// Metres.
    pub peg_radius: f64,
    /// Metres.
    pub peg_height: f64,
    /// From the ring's middle to the middle of its tube, metres.
    pub ring_radius: f64,
    /// Metres.
    pub tube_radius: f64,
    /// Kilograms.
    pub mass: f64,
    /// How far the seed may put a ring off its peg's middle, metres.
    pub slack: f64,
    /// The pegs on which the rings lie: x, y.
    pub from: Vec<[f64; 2]>,
    /// The pegs that they belong on.
    pub to: Vec<[f64; 2]>,
}

/// What errors cost: seconds off the score, each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Penalties {
    /// Dropped on the board.
    pub drop_s: f64,
    /// Dropped out of the field.
    pub out_of_field_s: f64,
    /// Left on a peg where it does not belong.
    pub wrong_peg_s: f64,
    /// Brought over without going from hand to hand.
    pub not_passed_s: f64,
    /// Force beyond the limit.
    pub force_s: f64,
    /// A lead that went in beside its hole.
    #[serde(default)]
    pub missed_entry_s: f64,
    /// A lead that went beyond its target.
    #[serde(default)]
    pub overshoot_s: f64,
    /// For each millimetre that a lead's end is beside its line in the end.
    #[serde(default)]
    pub lateral_s_per_mm: f64,
    /// For each degree that a lead is askew in the end.
    #[serde(default)]
    pub angle_s_per_deg: f64,
}

/// What is wrong with a task file, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// It is no TOML, or not of this form.
    #[error("{file}, line {line}: {what}; compare it with sim/train/tasks/peg-transfer.toml")]
    Form {
        /// The file.
        file: String,
        /// From one.
        line: usize,
        /// In the words of the reader.
        what: String,
    },
    /// A number that cannot be.
    #[error("{file}, line {line}: `{key}` {advice}")]
    Value {
        /// The file.
        file: String,
        /// From one.
        line: usize,
        /// Which.
        key: String,
        /// What it has to be.
        advice: String,
    },
    /// There is no such task.
    #[error("there is no task {0:?}; the tasks are {1}, or give a task file (.toml)")]
    Unknown(String, String),
}

impl Task {
    /// A task that ships.
    ///
    /// Errors: [`TaskError`] where there is none of this name.
    pub fn shipped(name: &str) -> Result<Self, TaskError> {
        let found = SHIPPED.into_iter().find(|(known, _)| *known == name);
        let known = SHIPPED.map(|(known, _)| known).join(", ");
        let (name, text) = found.ok_or_else(|| TaskError::Unknown(name.to_owned(), known))?;
        Self::parse(&format!("{name}.toml"), text)
    }

    /// Reads a task file's text; `file` is its name, for people.
    ///
    /// Errors: [`TaskError`], with the line and what to do.
    pub fn parse(file: &str, text: &str) -> Result<Self, TaskError> {
        let doc: Doc = toml::from_str(text).map_err(|error| TaskError::Form {
            file: file.to_owned(),
            line: error.span().map_or(1, |span| line_at(text, span.start)),
            what: error.message().to_owned(),
        })?;
        let door = Door { file, text };
        door.check(&doc)?;
        let corner = |[x, y, z]: [f64; 3]| Vector3::new(x, y, z) * MM;
        let goal = match (doc.carry, doc.insert) {
            (Some(carry), None) => Goal::Carry(carry.in_metres()),
            (None, Some(insert)) => Goal::Insert(insert.in_metres()),
            (Some(_), Some(_)) | (None, None) => return Err(door.no_goal()),
        };
        let [half_x, half_y] = doc.field.half_mm;
        Ok(Self {
            name: doc.name,
            title: doc.title,
            source: doc.source,
            rcm: [corner(doc.arms.psm1_mm), corner(doc.arms.psm2_mm)],
            half: [half_x * MM, half_y * MM],
            room: [corner(doc.field.low_mm), corner(doc.field.high_mm)],
            time_s: doc.limits.time_s,
            force_n: doc.limits.force_n,
            penalties: doc.score,
            goal,
        })
    }
}

/// Metres in a millimetre.
const MM: f64 = 1e-3;

/// A file as it stands.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Doc {
    schema: String,
    name: String,
    title: String,
    source: String,
    arms: DocArms,
    field: DocField,
    limits: DocLimits,
    score: Penalties,
    carry: Option<DocCarry>,
    insert: Option<DocInsert>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DocArms {
    psm1_mm: [f64; 3],
    psm2_mm: [f64; 3],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DocField {
    half_mm: [f64; 2],
    low_mm: [f64; 3],
    high_mm: [f64; 3],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DocLimits {
    time_s: f64,
    force_n: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DocCarry {
    hand_to_hand: bool,
    there_and_back: bool,
    peg_radius_mm: f64,
    peg_height_mm: f64,
    ring_radius_mm: f64,
    tube_radius_mm: f64,
    ring_mass_g: f64,
    start_slack_mm: f64,
    from_mm: Vec<[f64; 2]>,
    to_mm: Vec<[f64; 2]>,
}

impl DocCarry {
    fn in_metres(self) -> Carry {
        let places = |pegs: &[[f64; 2]]| pegs.iter().map(|[x, y]| [x * MM, y * MM]).collect();
        Carry {
            hand_to_hand: self.hand_to_hand,
            there_and_back: self.there_and_back,
            peg_radius: self.peg_radius_mm * MM,
            peg_height: self.peg_height_mm * MM,
            ring_radius: self.ring_radius_mm * MM,
            tube_radius: self.tube_radius_mm * MM,
            mass: self.ring_mass_g * 1e-3,
            slack: self.start_slack_mm * MM,
            from: places(&self.from_mm),
            to: places(&self.to_mm),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DocInsert {
    lead_mm: f64,
    entry_mm: [f64; 3],
    target_mm: [f64; 3],
    hole_radius_mm: f64,
    depth_tolerance_mm: f64,
    friction_n_per_mm: f64,
    bone_n_per_mm: f64,
}

impl DocInsert {
    fn in_metres(self) -> Insert {
        let place = |[x, y, z]: [f64; 3]| Vector3::new(x, y, z) * MM;
        Insert {
            lead: self.lead_mm * MM,
            entry: place(self.entry_mm),
            target: place(self.target_mm),
            hole_radius: self.hole_radius_mm * MM,
            depth_tolerance: self.depth_tolerance_mm * MM,
            friction: self.friction_n_per_mm / MM,
            bone: self.bone_n_per_mm / MM,
        }
    }
}

/// The most rings of a task. Chosen: twice the FLS's; each costs a millisecond's work its share.
const RINGS_MAX: usize = 12;

/// Checks the numbers, and says where the wrong one stands.
struct Door<'a> {
    file: &'a str,
    text: &'a str,
}

impl Door<'_> {
    fn check(&self, doc: &Doc) -> Result<(), TaskError> {
        self.ensure(doc.schema == SCHEMA, "schema", &format!("has to be {SCHEMA:?}"))?;
        self.within("time_s", doc.limits.time_s, 1.0, 3_600.0)?;
        self.within("force_n", doc.limits.force_n, 0.1, 100.0)?;
        for (key, value) in [
            ("drop_s", doc.score.drop_s),
            ("out_of_field_s", doc.score.out_of_field_s),
            ("wrong_peg_s", doc.score.wrong_peg_s),
            ("not_passed_s", doc.score.not_passed_s),
            ("force_s", doc.score.force_s),
            ("missed_entry_s", doc.score.missed_entry_s),
            ("overshoot_s", doc.score.overshoot_s),
            ("lateral_s_per_mm", doc.score.lateral_s_per_mm),
            ("angle_s_per_deg", doc.score.angle_s_per_deg),
        ] {
            self.within(key, value, 0.0, 3_600.0)?;
        }
        for (key, values) in [("psm1_mm", doc.arms.psm1_mm), ("psm2_mm", doc.arms.psm2_mm)] {
            self.all_within(key, &values, -500.0, 500.0)?;
        }
        self.all_within("half_mm", &doc.field.half_mm, 10.0, 500.0)?;
        self.all_within("low_mm", &doc.field.low_mm, -500.0, 500.0)?;
        self.all_within("high_mm", &doc.field.high_mm, -500.0, 500.0)?;
        let corners = doc.field.low_mm.iter().zip(doc.field.high_mm);
        let is_room = corners.into_iter().all(|(low, high)| *low < high);
        self.ensure(is_room, "high_mm", "has to lie above `low_mm` along each axis")?;
        doc.carry.iter().try_for_each(|carry| self.check_carry(carry, doc.field.half_mm))?;
        doc.insert.iter().try_for_each(|insert| self.check_insert(insert))
    }

    fn check_insert(&self, insert: &DocInsert) -> Result<(), TaskError> {
        self.within("lead_mm", insert.lead_mm, 10.0, 100.0)?;
        self.all_within("entry_mm", &insert.entry_mm, -100.0, 100.0)?;
        self.all_within("target_mm", &insert.target_mm, -100.0, 100.0)?;
        let [.., entry] = insert.entry_mm;
        let [.., target] = insert.target_mm;
        self.ensure(target <= entry - 1.0, "target_mm", "has to lie a millimetre below the entry")?;
        self.within("hole_radius_mm", insert.hole_radius_mm, 0.2, 20.0)?;
        self.within("depth_tolerance_mm", insert.depth_tolerance_mm, 0.05, 10.0)?;
        self.within("friction_n_per_mm", insert.friction_n_per_mm, 0.0, 10.0)?;
        self.within("bone_n_per_mm", insert.bone_n_per_mm, 0.0, 100.0)
    }

    fn no_goal(&self) -> TaskError {
        let what = "a task has one goal, `[carry]` or `[insert]`".to_owned();
        TaskError::Form { file: self.file.to_owned(), line: 1, what }
    }

    fn check_carry(&self, carry: &DocCarry, half: [f64; 2]) -> Result<(), TaskError> {
        self.within("peg_radius_mm", carry.peg_radius_mm, 0.5, 10.0)?;
        self.within("peg_height_mm", carry.peg_height_mm, 2.0, 50.0)?;
        self.within("tube_radius_mm", carry.tube_radius_mm, 1.0, 3.0)?;
        let (thick, wide) = (2.0 * carry.tube_radius_mm, carry.peg_radius_mm);
        let over = format!("has to be above {thick}: a ring is as thick, and lies about its peg");
        self.ensure(carry.peg_height_mm > thick, "peg_height_mm", &over)?;
        let round = format!("has to be {wide} or more: its top is as round as `peg_radius_mm`");
        self.ensure(carry.peg_height_mm >= wide, "peg_height_mm", &round)?;
        self.within("ring_radius_mm", carry.ring_radius_mm, 3.0, 30.0)?;
        self.within("ring_mass_g", carry.ring_mass_g, 0.1, 50.0)?;
        let hole = carry.ring_radius_mm - carry.tube_radius_mm - carry.peg_radius_mm;
        let fits = format!("leaves {hole} mm about the peg: a blade needs 2.5 mm there");
        self.ensure(hole >= 2.5, "ring_radius_mm", &fits)?;
        self.within("start_slack_mm", carry.start_slack_mm, 0.0, hole)?;
        let rings = carry.from_mm.len();
        let many = format!("needs 1 to {RINGS_MAX} pegs, a ring lies on each");
        self.ensure((1..=RINGS_MAX).contains(&rings), "from_mm", &many)?;
        let same = format!("needs as many pegs as `from_mm`, which has {rings}");
        self.ensure(carry.to_mm.len() == rings, "to_mm", &same)?;
        let width = 2.0 * (carry.ring_radius_mm + carry.tube_radius_mm);
        let pegs = || carry.from_mm.iter().chain(&carry.to_mm);
        for (index, [x, y]) in pegs().enumerate() {
            let key = if index < rings { "from_mm" } else { "to_mm" };
            let [half_x, half_y] = half;
            let inside = x.abs() <= half_x && y.abs() <= half_y;
            self.ensure(inside, key, &format!("has a peg at [{x}, {y}], beyond `half_mm`"))?;
            let near = |[a, b]: &&[f64; 2]| libm::hypot(a - x, b - y) < width;
            let crowd = format!("has a peg at [{x}, {y}] nearer to another than rings are wide");
            self.ensure(pegs().filter(near).count() == 1, key, &crowd)?;
        }
        Ok(())
    }

    fn all_within(&self, key: &str, values: &[f64], low: f64, high: f64) -> Result<(), TaskError> {
        values.iter().try_for_each(|value| self.within(key, *value, low, high))
    }

    fn within(&self, key: &str, value: f64, low: f64, high: f64) -> Result<(), TaskError> {
        let advice = format!("is {value}: it has to be within {low} to {high}");
        self.ensure(value >= low && value <= high, key, &advice)
    }

    fn ensure(&self, holds: bool, key: &str, advice: &str) -> Result<(), TaskError> {
        if holds {
            return Ok(());
        }
        let starts = |line: &&str| {
            let rest = line.trim_start().strip_prefix(key);
            rest.is_some_and(|rest| rest.trim_start().starts_with('='))
        };
        let line = self.text.lines().position(|line| starts(&line)).unwrap_or(0);
        Err(TaskError::Value {
            file: self.file.to_owned(),
            line: line.saturating_add(1),
            key: key.to_owned(),
            advice: advice.to_owned(),
        })
    }
}

/// The line, from one, in which the byte `at` stands.
fn line_at(text: &str, at: usize) -> usize {
    let before = text.bytes().take(at);
    before.filter(|byte| *byte == b'\n').count().saturating_add(1)
}
