//! OpenMetrics: one robot's figures for Prometheus and what reads like it.
//!
//! Knows: names, units and types of the figures. Does not know: where they come from. A scrape
//! reads the newest view and changes nothing. It is plain HTTP and asks for no certificate:
//! loopback is where it belongs, or a network that is the hospital's own.

use crate::words::{Level, Place, View};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use longhand_protocol::message::Stage;
use longhand_protocol::units::Micros;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::borrow::Cow;
use std::sync::atomic::AtomicU64;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Source: the OpenMetrics specification, "Content type".
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Seconds = Gauge<f64, AtomicU64>;
type Labels = [(&'static str, String); 1];

/// Answers on `listener` until the process ends.
pub async fn serve(listener: TcpListener, place: Place, views: watch::Receiver<Option<View>>) {
    let routes = Router::new().route("/metrics", get(scrape)).with_state((place, views));
    if let Err(error) = axum::serve(listener, routes).await {
        tracing::error!("metrics are no longer served: {error}");
    }
}

async fn scrape(
    State((place, views)): State<(Place, watch::Receiver<Option<View>>)>,
) -> Result<Response, StatusCode> {
    let view = *views.borrow();
    let view = view.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    let text = text(&place, &view).map_err(|_error| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(([(CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}

/// One scrape. What is not known is left out.
fn text(place: &Place, view: &View) -> Result<String, std::fmt::Error> {
    let all = [("hospital", &place.hospital), ("room", &place.room), ("robot", &place.robot)];
    let labels = all.map(|(name, value)| (Cow::Borrowed(name), Cow::Owned(value.clone())));
    let mut registry = Registry::with_prefix_and_labels("longhand", labels.into_iter());
    let (f, link) = (view.record.state.state, view.record.link);
    gauge(&mut registry, "up", "1 while the robot agent ticks", u64::from(!view.silent));
    gauge(&mut registry, "connected", "1 while a console is", u64::from(link.connected));
    stages(&mut registry, f.stage);
    alarms(&mut registry, view);
    for (name, help, span) in [
        ("age", "since the newest command had its turn", f.age),
        ("loop_age", "how old view and command are together", f.loop_age),
        ("playout_delay", "what the playout buffer adds", f.playout_delay),
        (
            "round_trip",
            "QUIC's, to the console",
            if link.connected { link.rtt } else { Micros::MAX },
        ),
    ] {
        if span != Micros::MAX {
            let seconds = Seconds::default();
            seconds.set(span.as_secs_f64());
            registry.register_with_unit(name, help, Unit::Seconds, seconds);
        }
    }
    let of = |count: u32| u64::from(count);
    for (name, help, count) in [
        ("ticks", "since the agent started", view.record.number),
        ("late_ticks", "that began late", of(f.counters.late_ticks)),
        ("missed_ticks", "that never began", of(f.counters.missed_ticks)),
        ("safe_stops", "that the link caused", of(f.counters.safe_stops)),
        ("sessions", "granted since the agent started", link.sessions),
        ("unshown_ticks", "that the agent's tap could not show", view.record.missed),
        ("unseen_ticks", "that this gateway came too late for", view.lost),
    ] {
        let counter = Counter::<u64>::default();
        counter.inc_by(count);
        registry.register(name, help, counter);
    }
    // They begin anew with each session, so they are no counters.
    gauge(&mut registry, "session_commands_accepted", "of this session", link.accepted);
    gauge(&mut registry, "session_commands_rejected", "of this session", link.rejected);
    gauge(&mut registry, "session_commands_lost", "of this session", link.lost);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

/// One of them is 1.
fn stages(registry: &mut Registry, now: Stage) {
    let family = Family::<Labels, Gauge>::default();
    for stage in Stage::ALL {
        let labels = [("stage", stage.name().to_owned())];
        family.get_or_create(&labels).set(i64::from(stage == now));
    }
    registry.register("stage", "1 at the stage that the robot is in", family);
}

fn alarms(registry: &mut Registry, view: &View) {
    let family = Family::<[(&'static str, String); 2], Gauge>::default();
    for alarm in view.alarms("").alarms {
        let level = match alarm.level {
            Level::Alarm => "alarm",
            Level::Warning => "warning",
        };
        family.get_or_create(&[("name", alarm.name), ("level", level.to_owned())]).set(1);
    }
    registry.register("alarm", "1 for each alarm there is", family);
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhand_protocol::message::{FollowerState, StateReport};
    use longhand_protocol::tap::Record;

    #[test]
    fn a_scrape_says_what_is_known_and_leaves_out_what_is_not() {
        let place = Place {
            hospital: "general".to_owned(),
            room: "or3".to_owned(),
            robot: "davinci".to_owned(),
        };
        let state = FollowerState {
            stage: Stage::Latched,
            age: Micros::MAX,
            loop_age: Micros::from_millis(30),
            ..FollowerState::default()
        };
        let state = StateReport { state, ..StateReport::default() };
        let record = Record { number: 9, state, ..Record::default() };
        let view = View { record, silent: false, lost: 2, stage_since_ns: 0 };
        let said = text(&place, &view).unwrap();
        let labels = "hospital=\"general\",room=\"or3\",robot=\"davinci\"";
        for line in [
            format!("longhand_up{{{labels}}} 1"),
            format!("longhand_ticks_total{{{labels}}} 9"),
            format!("longhand_unseen_ticks_total{{{labels}}} 2"),
            format!("longhand_loop_age_seconds{{{labels}}} 0.03"),
        ] {
            assert!(said.lines().any(|l| l == line), "{line}\n{said}");
        }
        let ones = said.lines().filter(|l| l.starts_with("longhand_stage{") && l.ends_with(" 1"));
        assert_eq!(ones.map(|l| l.contains("stage=\"Latched\"")).collect::<Vec<_>>(), [true]);
        assert!(!said.contains("longhand_age_seconds{"), "never is no number\n{said}");
        assert!(!said.contains("longhand_round_trip_seconds{"), "nobody is connected\n{said}");
        assert!(said.contains("name=\"Latched\""));
        assert!(said.ends_with("# EOF\n"));
    }
}
