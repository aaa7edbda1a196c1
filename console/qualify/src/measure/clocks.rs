//! What two clocks that nobody set can still tell: drift, steps, and between what bounds the true
//! one-way delay lies.
//!
//! Knows: the least raw span of each second, each way. Does not know: the single samples.
//!
//! `up = delay up + offset` and `down = delay down - offset`, so a drift or a step of either clock
//! shows with opposite signs in the two, and a change of route in their sum. No algorithm can tell
//! the offset better than within the least round trip less what light needs (links.md section 5):
//! `F - min(down) <= offset <= min(up) - F`. That interval is reported, never its middle.
//!
//! Which samples the least is taken from decides whether that is true: a clock that stepped in
//! between has another offset, and a step smaller than the weather shows in no statistics. So
//! [`Windows::near`] looks only at the second before and the second behind, and believes the weaker
//! of the two. A step falls into one of them at most, and the other still tells the truth: no step
//! has to be found for the interval to hold, of whatever size. What is assumed is that a clock does
//! not step twice within three seconds, and drifts by 200 ppm at most.

use serde::{Deserialize, Serialize};

use crate::number::{count, len, median, real, signed, whole};
use crate::slot::Samples;

/// Length of a window, us.
const WINDOW_US: u64 = 1_000_000;
/// The least clock step that is looked for, us. Chosen: below it the drift of four windows (200
/// ppm, 0.8 ms) and the jitter of their minima could be taken for one.
const STEP_US: f64 = 3_000.0;
/// So many windows on either side must agree on a step.
const AROUND: usize = 3;
/// Drift is not looked for in less. Chosen: ten windows.
const DRIFT_WINDOWS: usize = 10;
/// Largest drift there is, for what is too short to measure it. Source: links.md section 8, V6.
const DRIFT_PPM_MAX: f64 = 200.0;

/// A stretch of the run within which both clocks ran evenly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stretch {
    /// The first slot of it.
    pub from: u64,
    /// The first slot behind it.
    pub until: u64,
    /// Robot clock against console clock, parts per million.
    pub drift_ppm: f64,
    /// By how much the offset may be wrong at either end for what is not known of the drift, us.
    pub slack_us: f64,
    /// The least raw span up, without drift, us: of every sample, not of every second.
    pub up_min_us: i64,
    /// The least raw span down, without drift, us.
    pub down_min_us: i64,
}

impl Stretch {
    /// The drift's share in the raw spans at a slot: add to `down`, take from `up`, us.
    pub fn drift_us(&self, place: u64, period_us: u64) -> i64 {
        let middle = real(self.from + self.until.saturating_sub(self.from) / 2);
        let seconds = (real(place) - middle) * real(period_us) * 1e-6;
        whole(seconds * self.drift_ppm)
    }

    /// Takes the least spans from its windows, near enough to look for routes with: within a window
    /// nobody knows where its least was. `None` where nothing came in any.
    fn set_least(&mut self, windows: &[Window], per_window: u64, period_us: u64) -> Option<()> {
        let mut least: Option<(i64, i64)> = None;
        let middles = middles(self.from, self.until, per_window);
        for (window, middle) in windows.iter().zip(middles) {
            let Some((up, down)) = window.up.zip(window.down) else { continue };
            let drift = self.drift_us(count(middle), period_us);
            let (up, down) = (up - drift, down + drift);
            least = Some(least.map_or((up, down), |(u, d)| (u.min(up), d.min(down))));
        }
        (self.up_min_us, self.down_min_us) = least?;
        Some(())
    }
}

/// Where the middle of each window of a stretch is, in slots: the last may be shorter.
fn middles(from: u64, until: u64, per_window: u64) -> impl Iterator<Item = f64> + Clone {
    let begins = (0_u64..).map(move |window| from.saturating_add(window * per_window));
    begins.map(move |begin| {
        let end = begin.saturating_add(per_window).min(until).max(begin + 1);
        f64::midpoint(real(begin), real(end))
    })
}

/// A step of one clock against the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The slot by which it had happened, within a second.
    pub slot: u64,
    /// How far the robot's clock went ahead, ms.
    pub by_ms: f64,
}

/// The clocks of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Clocks {
    /// The even stretches, in order. The second around a step belongs to none.
    pub stretches: Vec<Stretch>,
    /// Steps of a clock; one by as much as a route that became longer one way and as much shorter
    /// the other looks the same.
    pub steps: Vec<Step>,
}

/// The least raw spans of one second, us.
#[derive(Clone, Copy, Debug, Default)]
pub struct Window {
    /// To the robot.
    pub up: Option<i64>,
    /// To the surgeon.
    pub down: Option<i64>,
}

impl Window {
    fn both(&self) -> Option<(f64, f64)> {
        self.up.zip(self.down).map(|(up, down)| (signed(up), signed(down)))
    }
}

/// The seconds of a run.
#[derive(Clone, Debug)]
pub struct Windows {
    all: Vec<Window>,
    per_window: u64,
    slots: u64,
    period_us: u64,
    least: Least,
}

/// The least of a whole run, us; what no clock can change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Least {
    /// Raw span up.
    pub up: Option<i64>,
    /// Raw span down.
    pub down: Option<i64>,
    /// Round trip.
    pub rtt: Option<i64>,
}

impl Windows {
    /// Looks at a run.
    pub fn of(samples: &dyn Samples, period_us: u64) -> Self {
        let per_window = (WINDOW_US / period_us.max(1)).max(1);
        let (all, slots, least) = windows(samples, per_window);
        Self { all, per_window, slots, period_us, least }
    }

    /// The least of the run.
    pub const fn least_of_all(&self) -> Least {
        self.least
    }

    /// The raw spans, up and down, that surely are no shorter than the shortest possible delay each
    /// way by the clocks' offset at this slot, us; `None` where one of the seconds beside its own
    /// carried nothing both ways.
    pub fn near(&self, place: u64) -> Option<(i64, i64)> {
        let own = usize::try_from(place / self.per_window).ok()?;
        let (before, behind) = (self.all.get(own.checked_sub(1)?)?, self.all.get(own + 1)?);
        let weaker = |a: Option<i64>, b: Option<i64>| Some(a?.max(b?).saturating_add(self.drift()));
        Some((weaker(before.up, behind.up)?, weaker(before.down, behind.down)?))
    }

    /// What the fastest drift makes of the time to the farthest end of a second beside, us.
    fn drift(&self) -> i64 {
        whole(2.0 * real(self.per_window * self.period_us) * 1e-6 * DRIFT_PPM_MAX).max(1)
    }

    /// Slots in each.
    pub const fn per_window(&self) -> u64 {
        self.per_window
    }

    /// One way's least spans within a stretch, where there are any, each with its window, us.
    pub fn least(
        &self,
        stretch: &Stretch,
        pick: fn(&Window) -> Option<i64>,
        without_drift: impl Fn(u64, i64) -> i64,
    ) -> Vec<(usize, f64)> {
        let from = usize::try_from(stretch.from / self.per_window).unwrap_or(usize::MAX);
        let until = usize::try_from(stretch.until.div_ceil(self.per_window)).unwrap_or(usize::MAX);
        let part = self.all.get(from..until.min(self.all.len())).unwrap_or_default();
        let one = |(window, us): (usize, i64)| {
            let place = u64::try_from(window).unwrap_or(0) * self.per_window;
            (window, signed(without_drift(place, us)))
        };
        let told = (from..).zip(part).filter_map(|(window, least)| Some((window, pick(least)?)));
        told.map(one).collect()
    }

    /// As if the base delays had not changed by these from these windows on: up and down, us.
    pub fn without(&self, steps: &[(usize, i64, i64)]) -> Self {
        let (mut up, mut down) = (0, 0);
        let mut all = self.all.clone();
        let mut steps = steps.iter().peekable();
        for (at, window) in all.iter_mut().enumerate() {
            while let Some((_, more_up, more_down)) = steps.next_if(|step| step.0 <= at) {
                (up, down) = (up + more_up, down + more_down);
            }
            window.up = window.up.map(|us| us - up);
            window.down = window.down.map(|us| us - down);
        }
        Self { all, ..*self }
    }

    fn of_stretch(&self, stretch: &Stretch) -> &[Window] {
        let at = |slot: u64| usize::try_from(slot.div_ceil(self.per_window)).unwrap_or(usize::MAX);
        let until = at(stretch.until).min(self.all.len());
        self.all.get(at(stretch.from)..until).unwrap_or_default()
    }
}

impl Clocks {
    /// Looks at the seconds of a run.
    pub fn of(seconds: &Windows) -> Self {
        let Windows { all: windows, per_window, slots, period_us, .. } = seconds;
        let (per_window, slots, period_us) = (*per_window, *slots, *period_us);
        let steps = steps(windows);
        let mut stretches = Vec::new();
        let mut begin = 0;
        let ends = steps.iter().map(|(at, _)| *at).chain([windows.len()]);
        for end in ends {
            let part = windows.get(begin..end).unwrap_or_default();
            let from = u64::try_from(begin).unwrap_or(0) * per_window;
            let until = (u64::try_from(end).unwrap_or(0) * per_window).min(slots);
            stretches.extend(stretch(part, from, until, per_window, period_us));
            begin = end + 1;
        }
        let told = steps.iter().map(|(at, by)| Step {
            slot: u64::try_from(*at).unwrap_or(0) * per_window,
            by_ms: by / 1_000.0,
        });
        Self { stretches, steps: told.collect() }
    }

    /// The same run once the steps of its routes are known: they spoil the drift, which is told
    /// anew from the seconds without them. How far both answers are apart is not known.
    pub fn again(&self, seconds: &Windows, steps: &[(usize, i64, i64)]) -> Self {
        let mut other = Self::of(&seconds.without(steps));
        if other.steps.len() != self.steps.len() || other.stretches.len() != self.stretches.len() {
            // What was taken for a route was a clock after all, or the other way about.
            return self.clone();
        }
        for (new, old) in other.stretches.iter_mut().zip(&self.stretches) {
            let long = real((new.until - new.from) * seconds.period_us) * 1e-6;
            new.slack_us += (new.drift_ppm - old.drift_ppm).abs() * long / 2.0;
            let windows = seconds.of_stretch(new);
            if new.set_least(windows, seconds.per_window, seconds.period_us).is_none() {
                return self.clone();
            }
        }
        other
    }

    /// The least spans of every sample, each without its own drift. A second's least lies anywhere
    /// in it, and at 200 ppm that alone would be 0.2 ms.
    #[must_use]
    pub fn settled(mut self, samples: &dyn Samples, period_us: u64) -> Self {
        let mut least: Vec<Option<(i64, i64)>> = vec![None; self.stretches.len()];
        let mut hint = 0;
        samples.visit(&mut |place, slot| {
            let Some((up, down)) = slot.spans() else { return };
            let Some(stretch) = self.at(place, &mut hint) else { return };
            let drift = stretch.drift_us(place, period_us);
            let (up, down) = (up - drift, down + drift);
            if let Some(least) = least.get_mut(hint) {
                *least = Some(least.map_or((up, down), |(u, d)| (u.min(up), d.min(down))));
            }
        });
        for (stretch, least) in self.stretches.iter_mut().zip(least) {
            let was = (stretch.up_min_us, stretch.down_min_us);
            (stretch.up_min_us, stretch.down_min_us) = least.unwrap_or(was);
        }
        self
    }

    /// How far a relative delay may be off at most for what is not known of the drift, ms: at one
    /// end of a stretch by as much as at the other, where the least may have been.
    pub fn off_ms(&self) -> f64 {
        let slack = self.stretches.iter().map(|stretch| stretch.slack_us).fold(0.0, f64::max);
        2.0 * slack / 1e3
    }

    /// The stretch that a slot belongs to; `None` beside a step. Asked in rising order, `hint` is
    /// where the last answer was found.
    pub fn at(&self, place: u64, hint: &mut usize) -> Option<&Stretch> {
        while self.stretches.get(*hint).is_some_and(|stretch| stretch.until <= place) {
            *hint += 1;
        }
        self.stretches.get(*hint).filter(|stretch| stretch.from <= place)
    }
}

fn windows(samples: &dyn Samples, per_window: u64) -> (Vec<Window>, u64, Least) {
    let mut windows: Vec<Window> = Vec::new();
    let mut least = Least::default();
    let mut slots = 0;
    samples.visit(&mut |place, slot| {
        slots = place + 1;
        let index = usize::try_from(place / per_window).unwrap_or(usize::MAX);
        if windows.len() <= index {
            windows.resize(index + 1, Window::default());
        }
        let (Some(window), Some((up, down))) = (windows.get_mut(index), slot.spans()) else {
            return;
        };
        let lower = |was: &mut Option<i64>, us: i64| {
            *was = Some(was.map_or(us, |least| least.min(us)));
        };
        lower(&mut window.up, up);
        lower(&mut window.down, down);
        lower(&mut least.up, up);
        lower(&mut least.down, down);
        lower(&mut least.rtt, up.saturating_add(down));
    });
    (windows, slots, least)
}

/// The windows in which a clock stepped, and by how much, us.
fn steps(windows: &[Window]) -> Vec<(usize, f64)> {
    let least = |part: &[Window], pick: fn(&Window) -> Option<i64>| {
        part.iter().filter_map(pick).min().map(signed)
    };
    let mut seen: Vec<(usize, f64, f64)> = Vec::new();
    for at in 0..windows.len() {
        let before = windows.get(at.saturating_sub(AROUND)..at).unwrap_or_default();
        let behind = windows.get(at + 1..(at + 1 + AROUND).min(windows.len())).unwrap_or_default();
        let change = |pick| Some(least(behind, pick)? - least(before, pick)?);
        if let (Some(up), Some(down)) = (change(|w| w.up), change(|w| w.down)) {
            seen.push((at, (up - down) / 2.0, up + down));
        }
    }
    let mut sizes: Vec<f64> = seen.iter().map(|(_, by, _)| by.abs()).collect();
    let usual = median(&mut sizes).unwrap_or(0.0);
    let bound = STEP_US.max(10.0 * usual);
    // A step shows in up to six windows in a row; the middle one of its largest values is it.
    let mut found: Vec<(usize, f64)> = Vec::new();
    let mut run: Vec<(usize, f64)> = Vec::new();
    let mut end = |run: &mut Vec<(usize, f64)>| {
        let most = run.iter().map(|(_, by)| by.abs()).fold(0.0, f64::max);
        let high: Vec<(usize, f64)> =
            run.iter().copied().filter(|(_, by)| by.abs() > 0.8 * most).collect();
        found.extend(high.get(high.len() / 2));
        run.clear();
    };
    for (at, by, round_trip) in seen {
        let is_step = by.abs() > bound && round_trip.abs() < 0.5 * by.abs();
        let goes_on = run.last().is_none_or(|(last, was)| *last + 1 == at && was * by > 0.0);
        if is_step && !goes_on || !is_step && !run.is_empty() {
            end(&mut run);
        }
        if is_step {
            run.push((at, by));
        }
    }
    if !run.is_empty() {
        end(&mut run);
    }
    found
}

fn stretch(
    windows: &[Window],
    from: u64,
    until: u64,
    per_window: u64,
    period_us: u64,
) -> Option<Stretch> {
    let slot_s = real(period_us) * 1e-6;
    let told = |pick: fn((f64, f64)) -> f64| -> Vec<(f64, Option<f64>)> {
        let at = middles(from, until, per_window).map(|middle| middle * slot_s);
        at.zip(windows).map(|(at, window)| (at, window.both().map(pick))).collect()
    };
    let (up, up_error) = slope(&told(|(up, _)| up));
    let (down, down_error) = slope(&told(|(_, down)| -down));
    let long = real(until.saturating_sub(from)) * slot_s;
    let (ppm, error) = if windows.len() < DRIFT_WINDOWS {
        (0.0, DRIFT_PPM_MAX)
    } else {
        // The drift is what both ways agree on.
        let apart = (up - down).abs() / 2.0;
        ((up + down) / 2.0, apart.max(up_error).max(down_error))
    };
    // A drift that cannot be told from none is none: to take it out would only add noise.
    let drift_ppm = if ppm.abs() < 2.0 * error { 0.0 } else { ppm };
    // It may be as much as it seemed to be, and be wrong by as much besides.
    let none = (error + ppm.abs()).min(DRIFT_PPM_MAX.max(ppm.abs()));
    let error = if drift_ppm.abs() > 0.0 { error } else { none };
    let mut stretch = Stretch {
        from,
        until,
        drift_ppm,
        slack_us: error * long / 2.0,
        up_min_us: 0,
        down_min_us: 0,
    };
    stretch.set_least(windows, per_window, period_us)?;
    Some(stretch)
}

/// The median slope between windows a quarter of the stretch apart, us per second (ppm), and how
/// far it may be off; of each window when its middle was, s, and its least, us. Robust: a change of
/// route in between spoils a quarter of the pairs.
fn slope(windows: &[(f64, Option<f64>)]) -> (f64, f64) {
    let apart = (windows.len() / 4).max(1);
    let pairs = windows.iter().zip(windows.iter().skip(apart));
    let mut slopes: Vec<f64> =
        pairs.filter_map(|(a, b)| Some((b.1? - a.1?) / (b.0 - a.0))).collect();
    let Some(middle) = median(&mut slopes) else { return (0.0, DRIFT_PPM_MAX) };
    let count = real(len(&slopes)).max(1.0);
    let mut away: Vec<f64> = slopes.iter().map(|slope| (slope - middle).abs()).collect();
    // 1.48 and 1.25: from the median deviation to the error of a median; three times that.
    let error = 3.0 * 1.48 * 1.25 * median(&mut away).unwrap_or(0.0) / count.sqrt();
    (middle, error)
}
