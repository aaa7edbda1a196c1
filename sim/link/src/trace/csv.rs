//! The text of a trace: one header line, then rows of commas.
//!
//! Knows: columns, "empty is unchanged", and the direction `b` (both alike, to keep files small).
//! Does not know: what the values do.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;

use longhand_protocol::units::Micros;

use super::{Header, Place, TimeBase, Trace, TraceError, TraceFault};
use crate::profile::Directions;

const COLUMNS: &str = "t_us,dir,owd_us,lost,dup,rate_bps,queue_bytes,route_id,flags";

pub(super) fn parse(text: &str) -> Result<Trace, TraceError> {
    let mut lines = text.lines().enumerate().map(|(n, line)| (n.saturating_add(1), line.trim()));
    let mut header = match lines.next().and_then(|(_, line)| line.strip_prefix('#')) {
        Some(json) => header(json)?,
        None => return Err(TraceError { line: 1, fault: TraceFault::NoHeader }),
    };
    let mut lanes = Lanes { unix: header.time_base == TimeBase::UnixNs, ..Lanes::default() };
    for (line, row) in lines {
        if row.is_empty() || row.starts_with('#') || row == COLUMNS {
            continue;
        }
        lanes.row(row).map_err(|fault| TraceError { line, fault })?;
    }
    header.time_base = TimeBase::RelativeUs;
    Trace::new(header, lanes.up, lanes.down)
}

fn header(json: &str) -> Result<Header, TraceError> {
    serde_json::from_str(json)
        .map_err(|why| TraceError { line: 1, fault: TraceFault::Header(why.to_string()) })
}

#[derive(Default)]
struct Lanes {
    unix: bool,
    first_ns: Option<u64>,
    up: Vec<Place>,
    down: Vec<Place>,
}

impl Lanes {
    fn row(&mut self, row: &str) -> Result<(), TraceFault> {
        let mut cells = row.split(',').map(str::trim);
        let at = self.time(cells.next().unwrap_or(""))?;
        let directions = match cells.next().unwrap_or("") {
            "u" => Directions::Up,
            "d" => Directions::Down,
            "b" => Directions::Both,
            got => return Err(cell("dir", got, "u, d or b")),
        };
        let cells: Vec<&str> = cells.collect();
        if directions != Directions::Down {
            put(&mut self.up, at, &cells)?;
        }
        if directions != Directions::Up {
            put(&mut self.down, at, &cells)?;
        }
        Ok(())
    }

    fn time(&mut self, text: &str) -> Result<Micros, TraceFault> {
        let value = number("t_us", text)?;
        if !self.unix {
            return Ok(Micros::from_micros(value));
        }
        let first = *self.first_ns.get_or_insert(value);
        let since = value.checked_sub(first).ok_or(TraceFault::TimeBack)?;
        Ok(Micros::from_micros(since / 1_000))
    }
}

/// Adds the place of one row: the place before, with the cells that are not empty.
fn put(lane: &mut Vec<Place>, at: Micros, cells: &[&str]) -> Result<(), TraceFault> {
    let mut place = Place { at, ..lane.last().cloned().unwrap_or_default() };
    if lane.last().is_some_and(|before| before.at >= at) {
        return Err(TraceFault::TimeBack);
    }
    for (column, text) in COLUMNS.split(',').skip(2).zip(cells.iter().copied()) {
        if text.is_empty() {
            continue;
        }
        match column {
            "owd_us" => place.given = Micros::from_micros(number("owd_us", text)?),
            "lost" => place.lost = bit("lost", text)?,
            "dup" => place.dup = bit("dup", text)?,
            "rate_bps" => place.rate_bps = Some(number("rate_bps", text)?),
            "queue_bytes" => place.queue_bytes = Some(number("queue_bytes", text)?),
            "route_id" => {
                let id = u32::try_from(number("route_id", text)?);
                place.route_id = id.map_err(|_| cell("route_id", text, "below 2^32"))?;
            }
            _ => flags(&mut place, text)?,
        }
    }
    lane.push(place);
    Ok(())
}

/// `none`, or names joined by `|`.
fn flags(place: &mut Place, text: &str) -> Result<(), TraceFault> {
    let named = |name: &str| text.split('|').any(|flag| flag == name);
    place.outage_hold = named("outage_hold");
    place.outage_drop = named("outage_drop");
    place.handover = named("handover");
    place.rebase = named("rebase");
    place.gap = named("gap");
    let known = ["outage_hold", "outage_drop", "handover", "rebase", "gap", "none"];
    match text.split('|').find(|flag| !known.contains(flag)) {
        None => Ok(()),
        Some(got) => {
            let want = "outage_hold, outage_drop, handover, rebase, gap joined by |, or none";
            Err(cell("flags", got, want))
        }
    }
}

fn number(column: &'static str, text: &str) -> Result<u64, TraceFault> {
    text.parse().map_err(|_| cell(column, text, "a whole number, not negative"))
}

fn bit(column: &'static str, text: &str) -> Result<bool, TraceFault> {
    match text {
        "0" => Ok(false),
        "1" => Ok(true),
        got => Err(cell(column, got, "0 or 1")),
    }
}

fn cell(column: &'static str, got: &str, want: &'static str) -> TraceFault {
    TraceFault::Cell { column, got: String::from(got), want }
}

/// Writes `b` rows where both directions say the same and said the same before.
pub(super) fn write(trace: &Trace) -> String {
    let json = serde_json::to_string(trace.header()).unwrap_or_default();
    let mut out = format!("#{json}\n{COLUMNS}\n");
    let (mut up, mut down) = (trace.up.iter().peekable(), trace.down.iter().peekable());
    let nothing = Place::default();
    let (mut up_before, mut down_before) = (&nothing, &nothing);
    loop {
        let (next_up, next_down) = (up.peek().copied(), down.peek().copied());
        let at = match (next_up, next_down) {
            (Some(u), Some(d)) => u.at.min(d.at),
            (Some(one), None) | (None, Some(one)) => one.at,
            (None, None) => return out,
        };
        let now_up = next_up.filter(|place| place.at == at);
        let now_down = next_down.filter(|place| place.at == at);
        match (now_up, now_down) {
            (Some(u), Some(d)) if u.says_the_same(d) && up_before.says_the_same(down_before) => {
                row(&mut out, 'b', u, up_before);
            }
            (u, d) => {
                u.into_iter().for_each(|u| row(&mut out, 'u', u, up_before));
                d.into_iter().for_each(|d| row(&mut out, 'd', d, down_before));
            }
        }
        if let Some(place) = now_up {
            up_before = place;
            up.next();
        }
        if let Some(place) = now_down {
            down_before = place;
            down.next();
        }
    }
}

fn row(out: &mut String, direction: char, place: &Place, before: &Place) {
    let mut line = format!("{},{direction}", place.at.as_micros());
    let mut cells: Vec<String> = Vec::with_capacity(7);
    let changed = |differs: bool, text: String| if differs { text } else { String::new() };
    let bit = |on: bool| String::from(if on { "1" } else { "0" });
    let owd = place.given.as_micros().to_string();
    cells.push(changed(place.given != before.given, owd));
    cells.push(changed(place.lost != before.lost, bit(place.lost)));
    cells.push(changed(place.dup != before.dup, bit(place.dup)));
    let value = |v: Option<u64>| v.map_or_else(String::new, |v| v.to_string());
    cells.push(changed(place.rate_bps != before.rate_bps, value(place.rate_bps)));
    cells.push(changed(place.queue_bytes != before.queue_bytes, value(place.queue_bytes)));
    cells.push(changed(place.route_id != before.route_id, place.route_id.to_string()));
    let flags = flag_names(place);
    cells.push(changed(flags != flag_names(before), flags));
    while cells.last().is_some_and(String::is_empty) {
        cells.pop();
    }
    for cell in &cells {
        line.push(',');
        line.push_str(cell);
    }
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{line}");
}

fn flag_names(place: &Place) -> String {
    let named = [
        (place.outage_hold, "outage_hold"),
        (place.outage_drop, "outage_drop"),
        (place.handover, "handover"),
        (place.rebase, "rebase"),
        (place.gap, "gap"),
    ];
    let on: Vec<&str> = named.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
    if on.is_empty() { String::from("none") } else { on.join("|") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Direction;

    const HEADER: &str = concat!(
        "#{\"format\":\"longhand-link-trace-1\",\"kind\":\"owd\",\"time_base\":\"relative_us\",",
        "\"dirs\":\"ud\",\"sampling_us\":10000,\"loss_semantics\":\"explicit\",",
        "\"interpolation\":\"step\",\"probe\":\"udp\",\"source\":\"made \
         up\",\"licence\":\"none\"}\n"
    );

    fn trace(rows: &str) -> Result<Trace, TraceError> {
        parse(&(String::from(HEADER) + rows))
    }

    #[test]
    fn empty_cells_are_unchanged_and_b_means_both() {
        let trace = trace("0,b,5000\n10000,u,,1\n20000,u,6000,0,,,,,handover\n30000,d\n").unwrap();
        let up = trace.lane(Direction::Up);
        assert_eq!(up.len(), 3);
        assert!(up[1].lost && up[1].owd == Micros::from_millis(5));
        assert!(!up[2].lost && up[2].handover && up[2].owd == Micros::from_millis(6));
        assert_eq!(trace.lane(Direction::Down)[1].owd, Micros::from_millis(5));
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        let rows = "0,u,5000\n0,d,7000,,1,1000000,3000,4,none\n10000,b,,1\n\
                    20000,b,9000,0,0,,,9,outage_hold|handover\n30000,b,,,,,,,none\n";
        let first = trace(rows).unwrap();
        let text = first.to_csv();
        assert_eq!(parse(&text).unwrap(), first);
        assert_eq!(parse(&text).unwrap().to_csv(), text);
    }

    #[test]
    fn every_mistake_names_its_line_and_column() {
        let said = |rows| trace(rows).map_err(|e| e.to_string()).unwrap_err();
        assert!(said("0,b,5000\n0,x,1\n").starts_with("line 3: column `dir` says `x`"));
        assert!(said("0,b,fast\n").starts_with("line 2: column `owd_us` says `fast`"));
        assert!(said("10,b,1\n10,b,1\n").starts_with("line 3: the times"));
        assert!(said("0,b,1,2\n").contains("must be 0 or 1"));
        assert!(said("0,b,1,,,,,,late\n").contains("column `flags` says `late`"));
        assert!(said("").contains("no rows"));
        assert!(parse("0,b,1\n").unwrap_err().to_string().contains("JSON"));
    }

    #[test]
    fn a_hold_ends_at_the_first_row_without_it() {
        let rows = "0,b,5000\n10,b,,,,,,,outage_hold\n20,b,4000\n30,b,,,,,,,none\n";
        let trace = trace(rows).unwrap();
        let ends: Vec<Option<Micros>> =
            trace.lane(Direction::Up).iter().map(|place| place.held_until).collect();
        let end = Some(Micros::from_micros(30));
        assert_eq!(ends, [None, end, end, None]);
    }
}
