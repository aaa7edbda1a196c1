//! The page's part about the road itself: what load does to it, and what it does to packets.
//!
//! Knows: how to say it. Does not know: any number that is not in the report.

use std::fmt::Write as _;

use super::Report;
use super::html::{figure, safe, table, way_words};
use crate::measure::load::{Effect, Traffic, Within};
use crate::measure::path::{Mark, MarkFate, Mtu};
use crate::measure::quantile::Share;
use crate::number::real;

/// The link under load.
pub(super) fn load(report: &Report) -> String {
    let Some(load) = &report.load else {
        return "<section class=\"card\"><h2>Under load</h2><p>Not measured \
                (<code>--load 20M</code>). \
                Video on the same link may make every command late.</p></section>"
            .to_owned();
    };
    let mut told = String::new();
    for (words, traffic) in [("to the robot", load.up), ("to the surgeon", load.down)] {
        let Some(Traffic { asked_bps, offered_bps, came_bps, .. }) = traffic else { continue };
        let mbit = |bps: u64| figure(real(bps) / 1e6);
        let _ = write!(
            told,
            "<p>{} Mbit/s {words} for {} s: {} were offered, {} came through.</p>",
            mbit(asked_bps),
            figure(load.seconds),
            mbit(offered_bps),
            mbit(came_bps)
        );
    }
    let mut body = effect("In the session", &load.quic);
    if let Some(twin) = &load.twin {
        body.push_str(&effect("Plain UDP", twin));
    }
    let carried = match load.within {
        Within::Session => "The load went inside the session that commands use, behind each probe.",
        Within::Udp => "The load was plain UDP beside the session's packets.",
    };
    let head = "<th>Round trip, ms</th><th class=\"n\">p50</th><th class=\"n\">p99</th>\
                <th class=\"n\">p99.9</th><th class=\"n\">most</th>\
                <th class=\"n\">lost to the robot</th><th class=\"n\">lost to the surgeon</th>";
    format!(
        "<section class=\"card\"><h2>Under load</h2>{told}<p class=\"soft\">{carried}</p>{}\
         </section>",
        table("Under load", "", head, &body)
    )
}

fn effect(name: &str, effect: &Effect) -> String {
    let lost = |share: &Share| format!("{} %", figure(share.share * 100.0));
    let line =
        |words: &str, spread: &crate::measure::quantile::Spread, up: &Share, down: &Share| {
            let at =
                |name| spread.quantile(name).map_or_else(|| "none".to_owned(), |q| figure(q.ms));
            format!(
                "<tr><td>{name}, {words}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td \
             class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td \
             class=\"n\">{}</td></tr>",
                at("p50"),
                at("p99"),
                at("p99.9"),
                spread.max_ms.map_or_else(|| "none".to_owned(), figure),
                lost(up),
                lost(down)
            )
        };
    let mut both = line("idle", &effect.idle, &effect.loss_up.0, &effect.loss_down.0);
    both.push_str(&line("loaded", &effect.loaded, &effect.loss_up.1, &effect.loss_down.1));
    both
}

/// What the path does to packets.
pub(super) fn path(report: &Report) -> String {
    let Some(path) = &report.path else {
        return "<section class=\"card\"><h2>The path</h2><p>Marks, sizes, addresses and silence \
                were not looked at: the robot was not started with \
                <code>--probe-twin</code>.</p></section>"
            .to_owned();
    };
    let mut marks = String::new();
    for mark in &path.marks {
        marks.push_str(&mark_row(mark));
    }
    let sources: Vec<String> = path
        .sources
        .iter()
        .map(|source| format!("{} from {} s on", safe(&source.address), figure(source.at_s)))
        .collect();
    let moved = if path.sources.len() > 1 {
        " <b>It changed meanwhile: a NAT on the way forgot this console.</b>"
    } else {
        ""
    };
    let idle = path.idle.as_ref().map_or_else(
        || "Silence was not tried (<code>--idle-probe</code>).".to_owned(),
        |idle| {
            let forgets = idle.forgets_s.map_or_else(
                || "nothing longer was tried in vain".to_owned(),
                |s| format!("behind {} s none came", figure(s)),
            );
            format!("An answer still came behind {} s of silence; {forgets}.", figure(idle.bears_s))
        },
    );
    let head = "<th>Mark</th><th>way</th><th class=\"n\">sent</th><th class=\"n\">came</th>\
                <th>so that</th>";
    format!(
        "<section class=\"card\"><h2>The path</h2><p>Longest packet to the robot: {}; to the \
         surgeon: {}.</p><p>The robot sees this console at {}.{moved}</p><p>{idle}</p>{}\
         </section>",
        mtu(path.mtu_up),
        mtu(path.mtu_down),
        if sources.is_empty() { "no address that it told".to_owned() } else { sources.join(", ") },
        table("Marks of packets", "", head, &marks),
    )
}

fn mtu(mtu: Option<Mtu>) -> String {
    match mtu {
        None => "not found".to_owned(),
        Some(Mtu { passes, fails: None }) => format!("{passes} bytes and more"),
        Some(Mtu { passes, fails: Some(_) }) => format!("{passes} bytes"),
    }
}

fn mark_row(mark: &Mark) -> String {
    let ecn = |bits: u8| ["no ECN", "ECT(1)", "ECT(0)", "CE"].get(usize::from(bits)).copied();
    let words = |dscp: u8, bits: u8| format!("DSCP {dscp}, {}", ecn(bits).unwrap_or("-"));
    let most = mark.seen.first().map(|(byte, _)| words(byte >> 2, byte & 3));
    let most = most.unwrap_or_default();
    let fate = match mark.fate {
        MarkFate::Kept => "kept".to_owned(),
        MarkFate::DscpBleached => format!("<b>DSCP is taken off</b>: {most}"),
        MarkFate::DscpChanged => format!("<b>DSCP is changed</b>: {most}"),
        MarkFate::EcnChanged => format!("<b>ECN is changed</b>: {most}"),
        MarkFate::BothChanged => format!("<b>both are changed</b>: {most}"),
        MarkFate::Dropped => "<b>what is marked so is dropped</b>".to_owned(),
        MarkFate::Unknown => "cannot be told".to_owned(),
    };
    format!(
        "<tr><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
         <td>{fate}</td></tr>",
        words(mark.dscp, mark.ecn),
        way_words(mark.way),
        mark.sent,
        mark.came
    )
}
