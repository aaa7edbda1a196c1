//! Drawings, as inline SVG.
//!
//! Knows: axes, lines and bars. Does not know: what is drawn.
//!
//! Small on purpose: 400 units wide, so that the letters stay readable on a phone.

use std::fmt::Write as _;

/// Of the whole drawing, in its own units.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 36.0;

/// How an axis runs.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    from: f64,
    to: f64,
    log: bool,
}

impl Axis {
    /// Even, from and to.
    pub fn linear(from: f64, to: f64) -> Self {
        Self { from, to: if to > from { to } else { from + 1.0 }, log: false }
    }

    /// In powers of ten that hold both.
    pub fn log(from: f64, to: f64) -> Self {
        let from = 10_f64.powf(from.max(1e-9).log10().floor());
        let to = 10_f64.powf(to.max(1e-9).log10().ceil());
        Self { from, to: if to > from { to } else { from * 10.0 }, log: true }
    }

    /// Where a value lies, 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let at = if self.log {
            (value.max(self.from).log10() - self.from.log10())
                / (self.to.log10() - self.from.log10())
        } else {
            (value - self.from) / (self.to - self.from)
        };
        at.clamp(0.0, 1.0)
    }

    fn marks(&self) -> Vec<f64> {
        if self.log {
            let mut marks = Vec::new();
            let mut mark = self.from;
            while mark <= self.to * 1.000_1 {
                marks.push(mark);
                mark *= 10.0;
            }
            return marks;
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
        for mark in x.marks() {
            let at = plot.at_x(mark);
            plot.put(&format!(
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                bottom + 12.0,
                x.short(mark)
            ));
        }
        for mark in y.marks() {
            let at = plot.at_y(mark);
            plot.put(&format!(
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 4.0,
                at + 3.5,
                y.short(mark)
            ));
        }
        plot.put(&format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{x_name}</text>\
             <text transform=\"rotate(-90)\" x=\"{:.1}\" y=\"10\" \
             text-anchor=\"middle\">{y_name}</text>",
            (LEFT + right) / 2.0,
            HEIGHT - 7.0,
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
        m if m >= 1e5 => format!("{mark:e}"),
        m if !(1e-12..1.0).contains(&m) => format!("{mark:.0}"),
        m if m >= 0.1 => format!("{mark:.1}"),
        m if m >= 0.01 => format!("{mark:.2}"),
        _ => format!("{mark:e}"),
    }
}
