//! Drawings, as inline SVG.
//!
//! Knows: axes, lines and bars. Does not know: what is drawn.
//!
//! Small on purpose: 400 units wide, so that the letters stay readable on a phone.

use std::fmt::Write as _;

use crate::number::{len, real, whole};

/// Of the whole drawing, in its own units.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 44.0;
/// A letter on a phone, where letters are largest (13 units high): two of a line of figures are
/// never closer than that. Chosen: the widest digit of common fonts, 0.58 of its height.
const LETTER: f64 = 7.6;
const LINE: f64 = 14.0;
/// The part of an axis below its least power of ten, for what is none at all.
const NONE: f64 = 0.09;

/// How an axis runs.
#[derive(Clone, Debug)]
pub struct Axis {
    from: f64,
    to: f64,
    log: bool,
    /// What stands at the ground of a log axis for a value of 0.
    none: Option<&'static str>,
    /// Marks that somebody chose, with their words.
    chosen: Option<Vec<(f64, String)>>,
}

impl Axis {
    /// Even, from and to.
    pub fn linear(from: f64, to: f64) -> Self {
        let to = if to > from { to } else { from + 1.0 };
        Self { from, to, log: false, none: None, chosen: None }
    }

    /// In powers of ten that hold both.
    pub fn log(from: f64, to: f64) -> Self {
        let from = 10_f64.powf(from.max(1e-9).log10().floor());
        let to = 10_f64.powf(to.max(1e-9).log10().ceil());
        let to = if to > from { to } else { from * 10.0 };
        Self { from, to, log: true, none: None, chosen: None }
    }

    /// With a place of its own for 0, which no power of ten is.
    #[must_use]
    pub fn with_none(self, word: &'static str) -> Self {
        Self { none: Some(word), ..self }
    }

    /// With marks at these values.
    #[must_use]
    pub fn marked_at(self, values: impl Iterator<Item = f64>) -> Self {
        let marks = values.map(|value| (value, short(value))).collect();
        Self { chosen: Some(marks), ..self }
    }

    /// With these marks and their words.
    #[must_use]
    pub fn marked(self, marks: Vec<(f64, String)>) -> Self {
        Self { chosen: Some(marks), ..self }
    }

    /// Where a value lies, 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let at = if self.log && self.none.is_some() && value <= 0.0 {
            0.0
        } else if self.log {
            let at = (value.max(self.from).log10() - self.from.log10())
                / (self.to.log10() - self.from.log10());
            if self.none.is_some() { NONE + (1.0 - NONE) * at } else { at }
        } else {
            (value - self.from) / (self.to - self.from)
        };
        at.clamp(0.0, 1.0)
    }

    /// The marks and their words, by value.
    fn marks(&self) -> Vec<(f64, String)> {
        if let Some(chosen) = &self.chosen {
            return chosen.clone();
        }
        let marks = self.values().into_iter().map(|mark| (mark, self.short(mark)));
        let none = self.none.map(|word| (0.0, word.to_owned()));
        none.into_iter().chain(marks).collect()
    }

    fn values(&self) -> Vec<f64> {
        if self.log {
            // Each power by itself: ten times ten times a tenth is not ten.
            let least = i32::try_from(whole(self.from.log10())).unwrap_or(0);
            let marks = (least..=least.saturating_add(40)).map(|power| 10_f64.powi(power));
            return marks.take_while(|mark| *mark <= self.to * 1.000_1).collect();
        }
        let span = self.to - self.from;
        let rough = 10_f64.powf((span / 5.0).log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * rough);
        let step = steps.into_iter().find(|step| span / step <= 5.5).unwrap_or(rough * 10.0);
        let first = (self.from / step).ceil() * step;
        let all = (0..12_u32).map(|n| first + f64::from(n) * step);
        all.take_while(|mark| *mark <= self.to * 1.000_001).collect()
    }
}

impl Axis {
    /// A mark's number, as short as it can be read beside its neighbours.
    fn short(&self, mark: f64) -> String {
        let step = (self.to - self.from) / 5.0;
        match step {
            _ if self.log || mark.abs() < 1.0 => short(mark),
            step if step >= 1.0 => short(mark),
            step if step >= 0.1 => format!("{mark:.1}"),
            step if step >= 0.01 => format!("{mark:.2}"),
            _ => format!("{mark:.3}"),
        }
    }
}

/// One drawing.
#[derive(Debug)]
pub struct Plot {
    x: Axis,
    y: Axis,
    body: String,
}

impl Plot {
    /// With these axes, which are named.
    pub fn new(x: Axis, y: Axis, x_name: &str, y_name: &str) -> Self {
        let mut plot = Self { x, y, body: String::new() };
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let mut free = 0.0;
        for (mark, word) in plot.x.marks() {
            let at = plot.at_x(mark);
            plot.put(&format!(
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>"
            ));
            // Words that would lie over those before them are left out; the line stays.
            let half = real(len(&word.chars().collect::<Vec<_>>())) * LETTER / 2.0;
            let at = at.min(WIDTH - half);
            if at - half < free {
                continue;
            }
            free = at + half + LETTER;
            plot.put(&format!(
                "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{word}</text>",
                bottom + 18.0
            ));
        }
        let mut free = HEIGHT;
        for (mark, word) in plot.y.marks() {
            let at = plot.at_y(mark);
            plot.put(&format!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>"
            ));
            if at > free - LINE {
                continue;
            }
            free = at;
            plot.put(&format!(
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{word}</text>",
                LEFT - 4.0,
                at + 3.5
            ));
        }
        plot.put(&format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{x_name}</text>\
             <text transform=\"rotate(-90)\" x=\"{:.1}\" y=\"11\" \
             text-anchor=\"middle\">{y_name}</text>",
            (LEFT + right) / 2.0,
            HEIGHT - 6.0,
            -(TOP + bottom) / 2.0
        ));
        plot
    }

    fn at_x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - RIGHT - LEFT)
    }

    fn at_y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - BOTTOM - TOP)
    }

    fn put(&mut self, text: &str) {
        self.body.push_str(text);
    }

    /// A line through points.
    pub fn line(&mut self, class: &str, points: impl Iterator<Item = (f64, f64)>) {
        let mut path = String::new();
        for (x, y) in points {
            let (x, y) = (self.at_x(x), self.at_y(y));
            // Writing to a string does not fail.
            let _ = write!(path, "{x:.1},{y:.1} ");
        }
        self.put(&format!("<polyline class=\"{class}\" points=\"{}\"/>", path.trim_end()));
    }

    /// A bar from the ground, `from` to `to` along x.
    pub fn bar(&mut self, class: &str, from: f64, to: f64, high: f64) {
        let (left, right, top) = (self.at_x(from), self.at_x(to), self.at_y(high));
        let (wide, tall) = ((right - left).max(0.6), HEIGHT - BOTTOM - top);
        self.put(&format!(
            "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" \
             height=\"{tall:.1}\"/>"
        ));
    }

    /// A stroke from one height to another.
    pub fn stroke(&mut self, class: &str, x: f64, low: f64, high: f64) {
        let (x, low, high) = (self.at_x(x), self.at_y(low), self.at_y(high));
        self.put(&format!(
            "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{low:.1}\" y2=\"{high:.1}\"/>"
        ));
    }

    /// A point.
    pub fn dot(&mut self, class: &str, x: f64, y: f64) {
        let (x, y) = (self.at_x(x), self.at_y(y));
        self.put(&format!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\"/>"));
    }

    /// The whole, with words for whoever cannot see it.
    pub fn finish(self, label: &str) -> String {
        format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">{}</svg>",
            self.body
        )
    }
}

/// A mark's number, as short as it can be read.
fn short(mark: f64) -> String {
    match mark.abs() {
        m if m >= 1e5 => format!("{:e}", mark.round()),
        m if !(1e-12..1.0).contains(&m) => format!("{mark:.0}"),
        m if m >= 0.1 => format!("{mark:.1}"),
        m if m >= 0.01 => format!("{mark:.2}"),
        // One digit, and no tenth of a thousandth too little.
        _ => format!("{mark:.0e}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test: a panic is how it fails")]
mod tests {
    use super::*;

    /// Where each word stands, and how wide it may be: left and right.
    fn words(svg: &str, anchor: &str) -> Vec<(f64, f64, String)> {
        let texts = svg.split("<text ").skip(1).filter(|text| !text.starts_with("transform"));
        let texts = texts.filter(|text| text.contains(&format!("\"{anchor}\"")));
        let of = |text: &str, name: &str| -> f64 {
            let (_, behind) = text.split_once(&format!("{name}=\"")).unwrap();
            behind.split_once('"').unwrap().0.parse().unwrap()
        };
        let of_text = |text: &str| {
            let word = text.split_once('>').unwrap().1.split_once('<').unwrap().0;
            (of(text, "x"), of(text, "y"), word.to_owned())
        };
        texts.map(of_text).collect()
    }

    #[test]
    fn words_on_an_axis_lie_apart_and_within_the_drawing() {
        let chosen = [10.0, 11.0, 12.0, 13.0, 20.0, 30.0, 50.0, 75.0, 100.0, 300.0, 500.0];
        let axes = [
            Axis::log(10.0, 500.0).marked_at(chosen.into_iter()),
            Axis::log(1e-9, 1e9),
            Axis::log(1e-6, 1.0),
            Axis::linear(0.0, 86_400.0),
            Axis::linear(-0.02, 0.0003),
            Axis::linear(99.9990, 99.9999),
        ];
        for axis in axes {
            let svg = Plot::new(axis.clone(), axis.clone(), "", "").finish("");
            let mut right = 0.0;
            let bottom = HEIGHT - BOTTOM;
            let below = words(&svg, "middle").into_iter().filter(|word| word.1 < HEIGHT - 8.0);
            let below: Vec<_> = below.filter(|word| word.1 > bottom).collect();
            assert!(below.len() >= 2, "{axis:?}: {svg}");
            for (x, _, word) in below {
                let half = real(len(&word.chars().collect::<Vec<_>>())) * LETTER / 2.0;
                assert!(x - half >= right && x + half <= WIDTH + 0.1, "{axis:?}: {word} at {x}");
                right = x + half;
            }
            let mut top = HEIGHT + LINE;
            for (_, y, word) in words(&svg, "end") {
                // Short enough for the margin, where the axis' name stands too.
                assert!(word.len() <= 5 || axis.from > 99.0, "{axis:?}: {word}");
                assert!(y <= top - LINE, "{axis:?}: {word} at {y}");
                top = y;
            }
        }
    }

    /// None at all is not the least that the axis has.
    #[test]
    fn none_has_a_place_of_its_own_below_the_least() {
        let axis = Axis::log(0.1, 100.0).with_none("none");
        assert!(axis.place(0.0) < axis.place(0.1) && axis.place(0.1) < axis.place(0.2));
        assert_eq!(axis.marks()[0], (0.0, "none".to_owned()));
        assert!((axis.place(100.0) - 1.0).abs() < 1e-9);
    }
}
