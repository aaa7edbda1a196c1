//! Route steps: when the least delay of a way changed and stayed changed.
//!
//! Knows: the least raw span of each second, each way (`clocks`). Does not know: why a route
//! changed.
//!
//! Weather does not last: the *least* delay of a second is the route's own, whatever queues did to
//! the rest (a min-filter). Where the least delays of the seconds before and behind a moment do not
//! overlap, and their medians are farther apart than such seconds usually are from one to the next,
//! the base has changed. Six seconds on either side find a satellite's steps, which come every 15 s
//! (links.md section 4); thirty find smaller ones that last.
//!
//! A change on one way alone is that way's: for it to be anything else a clock would have to step
//! by half of it in the same second. Equal and opposite changes are a clock's (`clocks` finds those
//! of 3 ms and more); smaller ones are told as [`Way::Unknown`].

use serde::{Deserialize, Serialize};

use super::clocks::{Clocks, Windows};
use super::outage::Way;
use crate::number::{len, median, ms, real, signed, whole};
use crate::slot::Samples;

/// Seconds on either side that are compared, how many of each side may lie on the wrong side (an
/// outage leaves one without its least delay), and how far the medians must be apart, in usual
/// changes from one second to the next. Chosen: no link of the emulator that keeps its route is
/// told that it changed (tests/known_truth.rs).
const SCALES: [(usize, usize, f64); 2] = [(6, 1, 6.0), (30, 3, 3.0)];
/// The least change that is told, us. Chosen: less than any figure in a profile, more than a
/// kernel's timers differ from second to second.
const LEAST_US: f64 = 200.0;
/// The same as a share of the shortest round trip. Chosen: a hundredth is nothing that anybody
/// feels, and less than the frames of a satellite's uplink shift the least delay (20 ms in 600).
const LEAST_SHARE: f64 = 0.01;
/// Windows by which the ways may differ in when they show one step.
const TOGETHER: usize = 3;
/// Windows from which a step's size is taken, on either side. Chosen: few, since a drift that is
/// still 40 ppm off then makes 0.2 ms of it; enough for a median.
const NEAR: usize = 5;
/// How often the clocks are looked at again without the steps found so far. Chosen: the drift is
/// within a few ppm of its end after two.
const ROUNDS: usize = 3;
/// Steps kept in a report. When full the newest are left out.
const KEPT_MAX: usize = 1_000;

/// The base delay changed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteStep {
    /// When, from the beginning of the run by the console's schedule, s. Known to the time between
    /// two probes that met no weather, a second at most.
    pub at_s: f64,
    /// The way that changed; `both`; `unknown` where a clock's step would look the same.
    pub way: Way,
    /// By how much to the robot, ms; `null`: no change that could be told from the weather.
    pub up_ms: Option<f64>,
    /// By how much to the surgeon.
    pub down_ms: Option<f64>,
    /// By how much the shortest round trip changed, ms.
    pub rtt_ms: f64,
}

/// A step of one way: the first window of the new base, and the base before and behind, us.
#[derive(Clone, Copy)]
struct Step {
    window: usize,
    before: f64,
    behind: f64,
}

impl Step {
    fn by(&self) -> f64 {
        self.behind - self.before
    }
}

/// Looks for route steps, in the windows first, then in the samples for when exactly; and looks at
/// the clocks again, whose drift they spoil.
pub fn of(
    samples: &dyn Samples,
    windows: &Windows,
    clocks: Clocks,
    period_us: u64,
) -> (Vec<RouteStep>, Clocks) {
    let mut clocks = clocks;
    let mut found = pairs(windows, &clocks, period_us, 0.0);
    for _ in 0..ROUNDS {
        if found.is_empty() {
            break;
        }
        let by = |step: Option<Step>| step.map_or(0, |step| whole(step.by()));
        let taken = |(up, down): &(Option<Step>, Option<Step>)| {
            (up.or(*down).map_or(0, |step| step.window), by(*up), by(*down))
        };
        clocks = clocks.again(windows, &found.iter().map(taken).collect::<Vec<_>>());
        found = pairs(windows, &clocks, period_us, 0.0);
    }
    // Nothing is told that the drift could have made, as far as it is not known.
    found = pairs(windows, &clocks, period_us, 2.0);
    found.truncate(KEPT_MAX);
    let places = when(samples, &found, windows.per_window(), &clocks, period_us);
    let told = found.into_iter().zip(places);
    (told.map(|(pair, place)| told_of(pair, real(place * period_us) * 1e-6)).collect(), clocks)
}

fn told_of((up, down): (Option<Step>, Option<Step>), at_s: f64) -> RouteStep {
    let (up, down) = (up.map(|step| step.by()), down.map(|step| step.by()));
    let sum = up.unwrap_or(0.0) + down.unwrap_or(0.0);
    let way = match (up, down) {
        (Some(up), Some(down)) if sum.abs() < 0.5 * up.abs().min(down.abs()) => Way::Unknown,
        (Some(_), Some(_)) => Way::Both,
        (Some(_), None) => Way::Up,
        (None, _) => Way::Down,
    };
    let in_ms = |us: f64| ms(whole(us));
    RouteStep { at_s, way, up_ms: up.map(in_ms), down_ms: down.map(in_ms), rtt_ms: in_ms(sum) }
}

/// The steps of both ways, those of one moment together; none below so many times the slack.
fn pairs(
    windows: &Windows,
    clocks: &Clocks,
    period_us: u64,
    slacks: f64,
) -> Vec<(Option<Step>, Option<Step>)> {
    let mut up: Vec<Step> = Vec::new();
    let mut down: Vec<Step> = Vec::new();
    for stretch in &clocks.stretches {
        // The drift's share grows one way and shrinks the other.
        let without =
            |sign: i64| move |place: u64, us: i64| us - sign * stretch.drift_us(place, period_us);
        let least = signed(stretch.up_min_us + stretch.down_min_us) * LEAST_SHARE;
        let least = least.max(LEAST_US).max(slacks * stretch.slack_us);
        up.extend(steps(&windows.least(stretch, |w| w.up, without(1)), least));
        down.extend(steps(&windows.least(stretch, |w| w.down, without(-1)), least));
    }
    let mut found: Vec<(Option<Step>, Option<Step>)> = Vec::new();
    for step in up {
        let near = |other: &Step| other.window.abs_diff(step.window) <= TOGETHER;
        let mate = down.iter().position(near).map(|place| down.remove(place));
        found.push((Some(step), mate));
    }
    found.extend(down.into_iter().map(|step| (None, Some(step))));
    found.sort_by_key(|(up, down)| up.or(*down).map_or(0, |step| step.window));
    found
}

/// The steps of one way's least delays, each with its window, in order.
fn steps(least: &[(usize, f64)], least_step: f64) -> Vec<Step> {
    // Of white noise the median change between neighbours is 0.954 of its deviation.
    let changes = least.iter().zip(least.iter().skip(1)).map(|(a, b)| (b.1 - a.1).abs());
    let usual = median(&mut changes.collect::<Vec<_>>()).unwrap_or(0.0) / 0.954;
    let mut inner: Vec<usize> = Vec::new();
    for (around, strays, apart) in SCALES {
        let bound = least_step.max(apart * usual);
        // Between the steps that are known the base is one, but for smaller steps.
        let ends: Vec<usize> = [&[0], inner.as_slice(), &[least.len()]].concat();
        for (from, until) in ends.iter().zip(ends.iter().skip(1)) {
            let part = least.get(*from..*until).unwrap_or_default();
            inner.extend(split(part, around, strays, bound).into_iter().map(|at| from + at));
        }
        inner.sort_unstable();
        without_small(least, &mut inner, around, bound);
    }
    bases(least, &inner, NEAR)
}

/// Each step with the bases on either side: of so many windows at most, since a drift that is not
/// known shifts what is farther away, and would be taken for a part of the step.
fn bases(least: &[(usize, f64)], inner: &[usize], near: usize) -> Vec<Step> {
    let ends: Vec<usize> = [&[0], inner, &[least.len()]].concat();
    let middle = |from: usize, until: usize| {
        let part = least.get(from..until).unwrap_or_default();
        median(&mut part.iter().map(|(_, us)| *us).collect::<Vec<_>>()).unwrap_or(0.0)
    };
    let sides = ends.iter().zip(ends.iter().skip(2));
    let step = |(at, (from, until)): (&usize, (&usize, &usize))| {
        let (window, _) = *least.get(*at)?;
        let before = middle(at.saturating_sub(near).max(*from), *at);
        let behind = middle(*at, (at + near).min(*until));
        Some(Step { window, before, behind })
    };
    inner.iter().zip(sides).filter_map(step).collect()
}

/// Takes out, the smallest first, what is no step once the others are known.
fn without_small(least: &[(usize, f64)], inner: &mut Vec<usize>, near: usize, bound: f64) {
    loop {
        let sizes = bases(least, inner, near).into_iter().map(|step| step.by().abs()).enumerate();
        let Some((place, size)) = sizes.min_by(|a, b| a.1.total_cmp(&b.1)) else { return };
        if size >= bound {
            return;
        }
        inner.remove(place);
    }
}

/// Where one base ends and the next begins: the clearest first, none nearer to another than what
/// is compared.
fn split(part: &[(usize, f64)], around: usize, strays: usize, bound: f64) -> Vec<usize> {
    let mut seen: Vec<(f64, usize)> = Vec::new();
    for at in around..(part.len() + 1).saturating_sub(around) {
        let side = |from: usize, until: usize| {
            let part = part.get(from..until).unwrap_or_default();
            let mut values: Vec<f64> = part.iter().map(|(_, us)| *us).collect();
            let middle = median(&mut values).unwrap_or(0.0);
            (middle, values)
        };
        let ((before, low), (behind, high)) = (side(at - around, at), side(at, at + around));
        let by = behind - before;
        let (low, high) = if by > 0.0 { (low, high) } else { (high, low) };
        let highest = low.get(low.len().saturating_sub(1 + strays)).copied();
        let is_clear = highest.zip(high.get(strays).copied()).is_some_and(|(a, b)| a < b);
        if is_clear && by.abs() >= bound {
            // What lies on the wrong side counts against this place.
            let middle = if by > 0.0 { (before, behind) } else { (behind, before) };
            let off = |values: &[f64], middle: f64| -> f64 {
                values.iter().map(|us| (us - middle).abs().min(by.abs())).sum()
            };
            let wrong = off(&low, middle.0) + off(&high, middle.1);
            seen.push((2.0 * by.abs() * real(len(&low)) - wrong, at));
        }
    }
    seen.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut kept: Vec<usize> = Vec::new();
    for (_, at) in seen {
        if kept.iter().all(|other| other.abs_diff(at) >= around) {
            kept.push(at);
        }
    }
    kept
}

/// The first slot of the new base: behind the last that was below both bases' middle where the base
/// rose, the first that is where it fell.
fn when(
    samples: &dyn Samples,
    found: &[(Option<Step>, Option<Step>)],
    per_window: u64,
    clocks: &Clocks,
    period_us: u64,
) -> Vec<u64> {
    let place_of = |window: usize| u64::try_from(window).unwrap_or(0) * per_window;
    let one =
        |(up, down): &(Option<Step>, Option<Step>)| up.or(*down).map(|step| (step, up.is_some()));
    let told: Vec<(Step, bool)> = found.iter().filter_map(one).collect();
    let mut places: Vec<u64> = told.iter().map(|(step, _)| place_of(step.window)).collect();
    let mut known = vec![false; places.len()];
    let (mut hint, mut next) = (0, 0);
    if told.is_empty() {
        return places;
    }
    samples.visit(&mut |place, slot| {
        let until = |(step, _): &(Step, bool)| place_of(step.window + 2);
        while told.get(next).is_some_and(|step| until(step) <= place) {
            next += 1;
        }
        let Some((step, is_up)) = told.get(next) else { return };
        if place < place_of(step.window.saturating_sub(2)) {
            return;
        }
        let Some(stretch) = clocks.at(place, &mut hint) else { return };
        let Some((up, down)) = slot.spans() else { return };
        let drift = stretch.drift_us(place, period_us);
        let us = signed(if *is_up { up - drift } else { down + drift });
        let (Some(told), Some(known)) = (places.get_mut(next), known.get_mut(next)) else { return };
        if us >= f64::midpoint(step.before, step.behind) {
            return;
        }
        if step.by() > 0.0 {
            *told = place + 1;
        } else if !*known {
            *told = place;
        }
        *known = true;
    });
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: impl Iterator<Item = f64>) -> Vec<(usize, f64)> {
        values.enumerate().collect()
    }

    #[test]
    fn a_step_is_told_once_with_its_size_and_one_lost_second_does_not_hide_it() {
        let weather = |n: u32| f64::from(n * 7_919 % 101);
        let values = (0..60).map(|n| match n {
            20 => 90_000.0,
            n if n < 33 => 10_000.0 + weather(n),
            n => 13_000.0 + weather(n),
        });
        let found = steps(&series(values), LEAST_US);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].window, 33);
        assert!((found[0].by() - 3_000.0).abs() < 100.0, "{}", found[0].by());
    }

    #[test]
    fn weather_that_lasts_less_than_what_is_compared_is_no_step() {
        let values = (0..200_u32).map(|n| if n % 40 < 4 { 30_000.0 } else { 10_000.0 });
        assert!(steps(&series(values), LEAST_US).is_empty());
        assert_eq!(len(&steps(&series((0..5_u32).map(f64::from)), LEAST_US)), 0);
    }
}
