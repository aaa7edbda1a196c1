//! The same schedule on plain UDP: what QUIC costs.
//!
//! Knows: one socket, sent from and read from. Does not know: sessions. It measures also where the
//! session breaks, since plain UDP has none.

use super::QualifyConfig;
use super::desk::{Desk, Event, PACER_PRIORITY, number_at};
use longhand_protocol::probe::Probe;
use longhand_protocol::units::{Console, Micros};
use longhand_protocol::wire;
use longhand_quic::clock::console_now;
use longhand_quic::doorbell::Stop;
use longhand_quic::pace::{PUMP_PRIORITY, RealTime, Ticker};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the reading thread looks whether it is to end.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// The twin, running.
pub(super) struct Twin {
    desk: Arc<Desk>,
    threads: [JoinHandle<()>; 2],
}

impl Twin {
    pub(super) fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }

    /// Waits for its end, which comes within 100 ms of the stop.
    pub(super) fn join(self) {
        for thread in self.threads {
            // A thread that failed has nothing more to say.
            let _ended = thread.join();
        }
    }
}

/// Starts sending to `at`.
pub(super) fn start(
    at: SocketAddr,
    run: u64,
    config: &QualifyConfig,
    stop: &Stop,
) -> io::Result<Twin> {
    let any: SocketAddr = match at {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(at)?;
    socket.set_read_timeout(Some(LOOKS_EVERY))?;
    let reader = socket.try_clone()?;
    let desk = Arc::new(Desk::new()?);
    desk.begin(0);
    let (period, real_time) = (config.period, config.real_time);
    let spawn = |name: &str| std::thread::Builder::new().name(name.to_owned());
    let sending = {
        let (desk, stop) = (Arc::clone(&desk), stop.clone());
        spawn("twin").spawn(move || send(&socket, &desk, run, period, real_time, &stop))?
    };
    let reading = {
        let (desk, stop) = (Arc::clone(&desk), stop.clone());
        spawn("twin reads").spawn(move || read(&reader, &desk, run, real_time, &stop))?
    };
    Ok(Twin { desk, threads: [sending, reading] })
}

fn send(socket: &UdpSocket, desk: &Desk, run: u64, period: Micros, real_time: bool, stop: &Stop) {
    let _held = real_time.then(|| RealTime::acquire(PACER_PRIORITY, None));
    // Half a slot beside the session's probes, so that neither waits for the other.
    std::thread::sleep(Duration::from_micros(period.as_micros() / 2));
    let mut ticker = Ticker::<Console>::new(period);
    let begin = ticker.due();
    desk.begin_at(begin);
    while !stop.is_stopped() {
        let tick = ticker.wait();
        let first = number_at(begin, tick.scheduled_at, period);
        for number in first..=first.saturating_add(tick.missed) {
            desk.is_due(number);
        }
        while let Some((number, _more)) = desk.next_due() {
            let intended_at = begin.after(period.saturating_mul(number.saturating_sub(1)));
            let sent_at = console_now();
            let probe = Probe { run, number, intended_at, sent_at };
            match socket.send(&wire::encode_probe(&probe)) {
                Ok(_) => desk.tell(Event::Sent(number, sent_at)),
                // The system took it not: no route, or no buffer.
                Err(_) => desk.tell(Event::NotSent(number)),
            }
        }
    }
}

fn read(socket: &UdpSocket, desk: &Desk, run: u64, real_time: bool, stop: &Stop) {
    let _held = real_time.then(|| RealTime::acquire(PUMP_PRIORITY, None));
    let mut buf = [0; wire::PROBE_ANSWER_LEN + 1];
    while !stop.is_stopped() {
        let Ok(len) = socket.recv(&mut buf) else { continue };
        let now = console_now();
        let answer = wire::decode_probe_answer(buf.get(..len).unwrap_or_default());
        if let Ok(answer) = answer
            && answer.probe.run == run
        {
            desk.tell(Event::Answer(answer, now));
        }
    }
}
