//! Answers to path probes: as long, as many, marked and as late as they ask, within bounds.
//!
//! Knows: the bounds. Does not know: what the console makes of it.
//!
//! Against abuse: a probe must name a live run, which a certificate began, and come from that
//! certificate's address; so all that anybody can have sent is sent to whoever was let in. Beyond
//! that 64 Mbit/s, 512 MB a run, and 64 answers kept back; what is more is not answered, and shows
//! as loss. Nothing runs on by itself: when the console stops asking, or its connection ends, or a
//! surgeon takes the robot, this is silent.

use super::Twin;
use longhand_protocol::probe::{PathAnswer, PathProbe};
use longhand_protocol::units::{Instant, Micros, Robot};
use longhand_protocol::wire;
use longhand_quic::marked::Came;
use std::net::{IpAddr, SocketAddr};

/// Bytes answered in a second. Chosen: 64 Mbit/s, above the fastest load that a console offers
/// (50 Mbit/s; links.md section 8, V11: video-like 5 to 50).
pub(super) const BYTES_PER_SECOND: u64 = 8_000_000;
/// Bytes answered in one run. Chosen: a minute at that rate, and some.
pub(super) const BYTES_PER_RUN: u64 = 512_000_000;
/// Answers kept back at once. Chosen: three for each of twenty silences.
const KEPT_MAX: usize = 64;

/// What has come of one run's path probes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) came: u64,
    pub(super) bytes: u64,
    pub(super) answered_bytes: u64,
}

impl Counted {
    /// One more has come; what there is with it.
    pub(super) fn take(&mut self, bytes: u16) -> Self {
        self.came = self.came.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes.into());
        *self
    }

    /// Whether the run may still be answered so many bytes; then they are spent.
    pub(super) fn may_answer(&mut self, cost: u64) -> bool {
        let after = self.answered_bytes.saturating_add(cost);
        let may = after <= BYTES_PER_RUN;
        if may {
            self.answered_bytes = after;
        }
        may
    }
}

/// Answers that wait for their time, and the second's budget.
#[derive(Default)]
pub(super) struct Kept {
    waiting: Vec<(Instant<Robot>, PathProbe, PathAnswer, SocketAddr)>,
    bytes_this_second: u64,
}

impl Kept {
    pub(super) fn begin_second(&mut self) {
        self.bytes_this_second = 0;
    }

    /// Takes a probe: answers at once, or keeps the answer back.
    pub(super) fn take(
        &mut self,
        now: Instant<Robot>,
        probe: &PathProbe,
        came: &Came,
        twin: &Twin,
        out: &mut [u8],
    ) {
        let bytes = u16::try_from(came.len).unwrap_or(u16::MAX);
        let counted = twin.with_run(probe.run, came.from.ip(), |run| run.path.take(bytes));
        let Some(counted) = counted else { return };
        let answer = PathAnswer {
            run: probe.run,
            number: probe.number,
            sent_at: probe.sent_at,
            received_at: now,
            from_ip: octets(came.from.ip()),
            from_port: came.from.port(),
            mark_seen: came.mark,
            bytes_seen: bytes,
            came: counted.came,
            came_bytes: counted.bytes,
            index: 0,
        };
        if probe.after == Micros::ZERO {
            self.answer(probe, answer, came.from, twin, out);
        } else if self.waiting.len() < KEPT_MAX {
            self.waiting.push((now.after(probe.after), *probe, answer, came.from));
        }
    }

    /// Answers what was kept back until now.
    pub(super) fn answer_due(&mut self, now: Instant<Robot>, twin: &Twin, out: &mut [u8]) {
        let is_due = |kept: &(Instant<Robot>, PathProbe, PathAnswer, SocketAddr)| kept.0 <= now;
        while let Some(place) = self.waiting.iter().position(is_due) {
            let (_, probe, answer, to) = self.waiting.swap_remove(place);
            self.answer(&probe, answer, to, twin, out);
        }
    }

    fn answer(
        &mut self,
        probe: &PathProbe,
        answer: PathAnswer,
        to: SocketAddr,
        twin: &Twin,
        out: &mut [u8],
    ) {
        let len = usize::from(probe.answer_bytes).max(wire::PATH_ANSWER_LEN).min(out.len());
        let cost = u64::try_from(len).unwrap_or(u64::MAX);
        for index in 0..probe.answers {
            let this_second = self.bytes_this_second.saturating_add(cost);
            if this_second > BYTES_PER_SECOND {
                return;
            }
            let allowed = twin.with_run(probe.run, to.ip(), |run| run.path.may_answer(cost));
            if allowed != Some(true) {
                return;
            }
            self.bytes_this_second = this_second;
            let head = wire::encode_path_answer(&PathAnswer { index, ..answer });
            let Some(sent) = wire::with_fill(&head, len, out) else { return };
            // Too long for the first link, or no buffer: it shows as a lost answer, which it is.
            let _lost = twin.socket.send_to(sent, probe.answer_mark, to);
        }
    }
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::engineer;
    use super::super::{Measuring, Runs};
    use super::*;
    use longhand_quic::marked::MarkedSocket;
    use std::time::Duration;

    struct Scene {
        twin: Twin,
        ann: Measuring,
        socket: MarkedSocket,
        kept: Kept,
    }

    impl Scene {
        fn new() -> Self {
            let any = "127.0.0.1:0".parse().unwrap();
            let (runs, twin) = Runs::with_twin(Some(any)).unwrap();
            let socket = MarkedSocket::bind(any, Duration::from_secs(5)).unwrap();
            let mut ann = Measuring::new(runs, &engineer(), socket.local_addr().unwrap());
            let _ready = ann.begin(7);
            Self { twin: twin.unwrap(), ann, socket, kept: Kept::default() }
        }

        fn ask(&mut self, now_s: u64, probe: PathProbe, bytes: usize) {
            let from = self.socket.local_addr().unwrap();
            let came = Came { len: bytes, from, mark: Some(0xba), waited: None };
            let now = Instant::from_micros(now_s * 1_000_000);
            self.kept.take(now, &probe, &came, &self.twin, &mut [0; 2_000]);
        }

        fn hear(&self) -> (PathAnswer, usize, Option<u8>) {
            let mut buf = [0; 2_000];
            let came = self.socket.recv(&mut buf).unwrap();
            (wire::decode_path_answer(&buf[..came.len]).unwrap(), came.len, came.mark)
        }

        fn answered(&self) -> u64 {
            self.twin.with_run(!7, [127, 0, 0, 1].into(), |run| run.path.answered_bytes).unwrap()
        }
    }

    fn asked(answers: u8, answer_bytes: u16) -> PathProbe {
        PathProbe { run: !7, number: 3, answers, answer_bytes, ..PathProbe::default() }
    }

    #[test]
    fn it_answers_as_it_is_asked_and_tells_what_it_saw() {
        let mut scene = Scene::new();
        scene.ask(1, PathProbe { answer_mark: 0x89, ..asked(2, 700) }, 1_300);
        for index in 0..2 {
            let (answer, len, mark) = scene.hear();
            assert_eq!((answer.index, len, mark), (index, 700, Some(0x89)));
            assert_eq!((answer.mark_seen, answer.bytes_seen), (Some(0xba), 1_300));
            assert_eq!((answer.came, answer.came_bytes), (1, 1_300));
            assert_eq!(answer.from_port, scene.socket.local_addr().unwrap().port());
            assert_eq!(answer.from_ip[10..], [0xff, 0xff, 127, 0, 0, 1]);
        }
        // A load is counted and not answered.
        scene.ask(1, asked(0, 0), 1_200);
        scene.ask(1, asked(1, 0), 44);
        let (answer, len, _) = scene.hear();
        assert_eq!((answer.came, answer.came_bytes), (3, 2_544));
        assert_eq!(len, wire::PATH_ANSWER_LEN);
    }

    #[test]
    fn a_stranger_and_a_run_that_is_over_get_nothing() {
        let mut scene = Scene::new();
        let from = "10.0.0.9:99".parse().unwrap();
        let came = Came { len: 44, from, mark: None, waited: None };
        let now = Instant::from_micros(1);
        scene.kept.take(now, &asked(1, 0), &came, &scene.twin, &mut [0; 2_000]);
        scene.ask(1, PathProbe { run: 7, ..asked(1, 0) }, 44);
        assert_eq!(scene.answered(), 0);
        scene.ask(1, PathProbe { after: Micros::from_secs(30), ..asked(1, 0) }, 44);
        // The connection ends while an answer is kept back: it is never sent.
        scene.ann.end(None);
        scene.kept.answer_due(Instant::from_micros(60_000_000), &scene.twin, &mut [0; 2_000]);
        assert_eq!(scene.kept.waiting.len(), 0);
        let _ready = scene.ann.begin(7);
        assert_eq!(scene.answered(), 0);
    }

    #[test]
    fn an_answer_is_kept_back_as_long_as_it_was_asked() {
        let mut scene = Scene::new();
        scene.ask(10, PathProbe { after: Micros::from_secs(30), ..asked(1, 0) }, 44);
        scene.kept.answer_due(Instant::from_micros(39_999_999), &scene.twin, &mut [0; 2_000]);
        assert_eq!(scene.answered(), 0);
        scene.kept.answer_due(Instant::from_micros(40_000_000), &scene.twin, &mut [0; 2_000]);
        assert_eq!(scene.hear().0.number, 3);
    }

    #[test]
    fn neither_a_second_nor_a_run_gives_more_than_its_bound() {
        let mut scene = Scene::new();
        for _ in 0..2_000 {
            scene.ask(1, asked(8, 1_200), 44);
        }
        let second = scene.answered();
        assert!(
            second <= BYTES_PER_SECOND + 1_200 && second > BYTES_PER_SECOND - 9_600,
            "{second}"
        );
        scene.kept.begin_second();
        let _spent = scene.twin.with_run(!7, [127, 0, 0, 1].into(), |run| {
            run.path.answered_bytes = BYTES_PER_RUN - 1_500;
        });
        scene.ask(2, asked(8, 1_200), 44);
        assert_eq!(scene.answered(), BYTES_PER_RUN - 300);
        for _ in 0..100 {
            scene.ask(2, PathProbe { after: Micros::from_secs(1), ..asked(1, 0) }, 44);
        }
        assert_eq!(scene.kept.waiting.len(), KEPT_MAX);
    }
}
