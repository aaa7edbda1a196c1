//! What a browser may say, and how long it holds.
//!
//! Knows: the JSON of an input, its bounds, and when it is too old. Does not know: sockets, the
//! hand's pose, the clutch rule, or the robot.
//!
//! Hand space, seen from the surgeon's seat: x to the right, y up, z toward the surgeon. Rates in
//! metres and radians per second. Rates and levels only: an input that is lost changes how long a
//! rate holds, never where the hand is, and a rate holds at most [`INPUT_FRESH_FOR`]. So a message
//! can cost at most `HAND_RATE_MAX * INPUT_FRESH_FOR` of hand, before the motion scale.

use longhand_protocol::geometry::PerArm;
use longhand_protocol::message::StateCommand;
use longhand_protocol::units::{Console, Instant, Micros};
use serde::Deserialize;

/// How long an input holds after its sample was taken.
///
/// Chosen: nine frames of a 60 Hz browser, so one slow frame does not stop the hand, and shorter
/// than the 200 ms of link silence at which the robot itself latches (safety.md, stage Latched).
pub const INPUT_FRESH_FOR: Micros = Micros::from_millis(150);

/// Fastest hand that a page may ask for on one axis, metres per second. Chosen: twice a quick
/// hand's 0.5 m/s; faster is a fault of the page.
pub const HAND_RATE_MAX: f64 = 1.0;

/// Fastest turn that a page may ask for on one axis, radians per second. Chosen: as above.
pub const TURN_RATE_MAX: f64 = 10.0;

/// Fastest jaw that a page may ask for, radians per second. Chosen: as above.
pub const JAW_RATE_MAX: f64 = 10.0;

/// Longest input in bytes. Chosen: four times the longest that the page's own script writes.
pub const INPUT_BYTES_MAX: usize = 4096;

/// Most alarms acknowledged by one input. Chosen: more than a screen shows.
const ACK_MAX: usize = 32;

/// Longest believable age of a browser, milliseconds: 30 days, far above any session.
const HAND_TIME_MAX_MS: f64 = 2.6e9;

/// Which device moved last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InputSource {
    /// Mouse, pen or finger on the page.
    Mouse,
    /// Keys.
    Keyboard,
    /// A gamepad, through the browser.
    Gamepad,
}

impl InputSource {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mouse => "mouse",
            Self::Keyboard => "keyboard",
            Self::Gamepad => "gamepad",
        }
    }
}

/// How one hand moves in hand space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandRates {
    /// Along x, y, z: metres per second.
    pub linear_m_s: [f64; 3],
    /// About x, y, z, right-handed: radians per second.
    pub angular_rad_s: [f64; 3],
    /// Jaw: radians per second; positive opens.
    pub jaw_rad_s: f64,
}

impl HandRates {
    /// At rest.
    pub const REST: Self = Self { linear_m_s: [0.0; 3], angular_rad_s: [0.0; 3], jaw_rad_s: 0.0 };

    fn is_bounded(&self) -> bool {
        // `abs() <= max` is false for NaN, so this also asks for finite numbers.
        self.linear_m_s.iter().all(|v| v.abs() <= HAND_RATE_MAX)
            && self.angular_rad_s.iter().all(|w| w.abs() <= TURN_RATE_MAX)
            && self.jaw_rad_s.abs() <= JAW_RATE_MAX
    }
}

/// Why the page gives no operator. A sentence for each, for the surgeon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// No page holds the input.
    NoPage,
    /// The newest input is older than [`INPUT_FRESH_FOR`].
    Stale,
    /// The page's tab is hidden.
    Hidden,
    /// The page's window does not have the focus.
    NotFocused,
    /// The page said something that could not be understood.
    BadInput,
}

impl Absence {
    /// What is wrong and what to do.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NoPage => "no page is open; open the address that the console printed",
            Self::Stale => "the page has gone silent; look whether the browser is busy",
            Self::Hidden => "the page is hidden; bring it to the front",
            Self::NotFocused => "the page's window is not in focus; click on it",
            Self::BadInput => "the page sent something unreadable; reload it",
        }
    }
}

/// What the leader's side reads: always complete, at rest whenever nobody is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PageHands {
    /// Which device moved last; `None` while nobody is there.
    pub source: Option<InputSource>,
    /// Both hands' rates.
    pub rates: PerArm<HandRates>,
    /// The pedal is down.
    pub operator_present: bool,
    /// The clutch is down.
    pub clutch: bool,
    /// Energy is asked for.
    pub energy: PerArm<bool>,
    /// Why nobody is there; `None` while somebody is (with or without a foot on the pedal).
    pub absence: Option<Absence>,
}

impl PageHands {
    /// Nobody is there: operator absent, no energy, at rest.
    pub const fn absent(absence: Absence) -> Self {
        Self {
            source: None,
            rates: PerArm { psm1: HandRates::REST, psm2: HandRates::REST },
            operator_present: false,
            clutch: false,
            energy: PerArm { psm1: false, psm2: false },
            absence: Some(absence),
        }
    }
}

/// Something asked once. Not motion: it may be refused, and the page shows when it took effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageRequest {
    /// The surgeon has seen the alarm with this id.
    Acknowledge(u32),
    /// Pause or resume.
    StateCommand(StateCommand),
    /// Begin the task beside a simulated robot anew.
    TaskAgain,
}

/// What the input slot holds: the newest input, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Slot {
    /// Nobody is there.
    Released(Absence),
    /// Somebody was there when this was sampled; the rates hold until then, and no longer.
    Held { hands: PageHands, sampled_at: Instant<Console>, rates_until: Instant<Console> },
}

impl Slot {
    /// The hands at `now`: the input while it is fresh, else nobody.
    pub(super) fn at(&self, now: Instant<Console>) -> PageHands {
        match *self {
            Self::Released(absence) => PageHands::absent(absence),
            Self::Held { sampled_at, .. } if now.since(sampled_at) > INPUT_FRESH_FOR => {
                PageHands::absent(Absence::Stale)
            }
            // Still there, and at rest: the way that the rates stood for has been gone.
            Self::Held { hands, rates_until, .. } if now > rates_until => PageHands {
                rates: PerArm { psm1: HandRates::REST, psm2: HandRates::REST },
                ..hands
            },
            Self::Held { hands, .. } => hands,
        }
    }
}

/// Why an input was not taken. The page shows the sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// Longer than [`INPUT_BYTES_MAX`].
    #[error("the input is longer than {INPUT_BYTES_MAX} bytes; nothing was moved")]
    TooLong,
    /// Not the JSON that the page's own script writes.
    #[error("the input is not of the known form; nothing was moved; reload the page")]
    Malformed,
    /// A rate is outside its bound or not a number.
    #[error("a rate of the input is out of bounds; nothing was moved")]
    OutOfBounds,
    /// The number or the time of the sample did not rise.
    #[error("the input is not newer than the last one; nothing was moved; reload the page")]
    NotNewer,
    /// More acknowledgements at once than a screen has alarms.
    #[error("the input acknowledges more than {ACK_MAX} alarms; none was; try a few at a time")]
    TooManyAcks,
    /// Another page holds the input.
    #[error("another open page holds the hands; this one only watches; close that one first")]
    NotHolder,
    /// Requests come faster than the console takes them.
    #[error("the console is still busy with earlier requests; press again in a moment")]
    RequestsFull,
}

/// The JSON of an input, as it comes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    seq: u64,
    hand_time_ms: f64,
    /// How long the rates hold at most: a browser that then stalls has not moved on. Without it,
    /// for as long as the input is fresh.
    #[serde(default)]
    for_ms: Option<f64>,
    source: InputSource,
    psm1: HandRates,
    psm2: HandRates,
    operator_present: bool,
    /// The pedal is locked down; believed in practice only.
    #[serde(default)]
    pedal_locked: bool,
    clutch: bool,
    energy: EnergyMessage,
    visible: bool,
    focused: bool,
    #[serde(default)]
    ack: Vec<u32>,
    #[serde(default)]
    state_command: Option<StateCommandWord>,
    /// Begin the task anew; believed in practice only.
    #[serde(default)]
    task_again: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnergyMessage {
    psm1: bool,
    psm2: bool,
}

/// What a page may ask for. Enable and disable are missing on purpose: they apply or remove power,
/// which is the bedside's alone; a network event may only ever cause a hold (safety.md, A21).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StateCommandWord {
    Pause,
    Resume,
}

impl StateCommandWord {
    const fn command(self) -> StateCommand {
        match self {
            Self::Pause => StateCommand::Pause,
            Self::Resume => StateCommand::Resume,
        }
    }
}

/// One input, read and found good.
#[derive(Debug)]
pub(super) struct PageInput {
    pub(super) slot: Slot,
    pub(super) requests: Vec<PageRequest>,
}

/// One socket's inputs: reads them in turn and places their samples on the console's clock.
///
/// The browser stamps each sample with its own clock. The least of (received - stamped) seen on
/// this socket is taken as the offset: an input that waited somewhere is then as old as it truly
/// is, and no input is ever younger than its receipt. Source: safety.md section 0, "freshness is
/// stamped where the hand is sampled". Both clocks are this machine's monotonic clock, so they do
/// not drift apart; where a browser's does, its inputs go stale, which is the safe side.
#[derive(Debug, Default)]
pub(super) struct InputReader {
    /// The pedal may be locked.
    practice: bool,
    newest: Option<(u64, Micros)>,
    offset_us: Option<i128>,
}

impl InputReader {
    /// A reader of a socket. Only in `practice` does a pedal that is locked down stand for a foot:
    /// what a person walks away from would else go on operating a robot.
    pub(super) fn new(practice: bool) -> Self {
        Self { practice, ..Self::default() }
    }

    /// Reads one input that arrived at `received_at`.
    pub(super) fn read(
        &mut self,
        text: &str,
        received_at: Instant<Console>,
    ) -> Result<PageInput, InputError> {
        if text.len() > INPUT_BYTES_MAX {
            return Err(InputError::TooLong);
        }
        let message: Message = serde_json::from_str(text).map_err(|_| InputError::Malformed)?;
        if !(message.psm1.is_bounded() && message.psm2.is_bounded()) {
            return Err(InputError::OutOfBounds);
        }
        if !(0.0..=HAND_TIME_MAX_MS).contains(&message.hand_time_ms) {
            return Err(InputError::OutOfBounds);
        }
        let most_ms = INPUT_FRESH_FOR.as_millis_f64();
        if !(0.0..=most_ms).contains(&message.for_ms.unwrap_or(most_ms)) {
            return Err(InputError::OutOfBounds);
        }
        if message.ack.len() > ACK_MAX {
            return Err(InputError::TooManyAcks);
        }
        let hand_time = Micros::from_secs_f64(message.hand_time_ms * 1e-3);
        let is_newer = |(seq, time): (u64, Micros)| message.seq > seq && hand_time >= time;
        if !self.newest.is_none_or(is_newer) {
            return Err(InputError::NotNewer);
        }
        self.newest = Some((message.seq, hand_time));
        let sampled_at = self.place(hand_time, received_at);
        Ok(message.settle(sampled_at, received_at, self.practice))
    }

    fn place(&mut self, hand_time: Micros, received_at: Instant<Console>) -> Instant<Console> {
        let hand_us = i128::from(hand_time.as_micros());
        let offset_now = i128::from(received_at.as_micros()) - hand_us;
        let offset = self.offset_us.map_or(offset_now, |least| least.min(offset_now));
        self.offset_us = Some(offset);
        // Below the clock's zero means "older than anything": zero is then old enough.
        Instant::from_micros(u64::try_from(hand_us + offset).unwrap_or(0))
    }
}

impl Message {
    fn settle(
        self,
        sampled_at: Instant<Console>,
        received_at: Instant<Console>,
        practice: bool,
    ) -> PageInput {
        let holds = self.for_ms.map_or(INPUT_FRESH_FOR, |ms| Micros::from_secs_f64(ms * 1e-3));
        let hands = PageHands {
            source: Some(self.source),
            rates: PerArm { psm1: self.psm1, psm2: self.psm2 },
            operator_present: self.operator_present || (self.pedal_locked && practice),
            clutch: self.clutch,
            energy: PerArm { psm1: self.energy.psm1, psm2: self.energy.psm2 },
            absence: None,
        };
        // The script releases everything by itself; here it is not left to the script.
        let slot = match (self.visible, self.focused) {
            (false, _) => Slot::Released(Absence::Hidden),
            (true, false) => Slot::Released(Absence::NotFocused),
            (true, true) => Slot::Held { hands, sampled_at, rates_until: received_at.after(holds) },
        };
        let commands = self.state_command.map(|word| PageRequest::StateCommand(word.command()));
        let acks = self.ack.into_iter().map(PageRequest::Acknowledge);
        let again = (self.task_again && practice).then_some(PageRequest::TaskAgain);
        PageInput { slot, requests: commands.into_iter().chain(acks).chain(again).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = r#"{"linear_m_s":[0,0,0],"angular_rad_s":[0,0,0],"jaw_rad_s":0}"#;
    const AT: Instant<Console> = Instant::from_micros(5_000_000);

    fn text(seq: u64, hand_time_ms: f64, psm2: &str, more: &str) -> String {
        format!(
            r#"{{"seq":{seq},"hand_time_ms":{hand_time_ms},"source":"keyboard","psm1":{REST},
            "psm2":{psm2},"operator_present":true,"clutch":false,
            "energy":{{"psm1":false,"psm2":true}}{more}}}"#
        )
    }

    #[test]
    fn a_locked_pedal_is_a_foot_in_practice_only() {
        let locked = r#","pedal_locked":true,"visible":true,"focused":true"#;
        let text = text(1, 1.0, REST, locked)
            .replace(r#""operator_present":true"#, r#""operator_present":false"#);
        for practice in [true, false] {
            let input = InputReader::new(practice).read(&text, AT).unwrap();
            let Slot::Held { hands, .. } = input.slot else { panic!("somebody is there") };
            assert_eq!(hands.operator_present, practice);
        }
    }

    #[test]
    fn rates_hold_as_long_as_the_page_says_and_the_pedal_longer() {
        let text = text(1, 20.0, &moving("0.25"), SEEN);
        let text = text.replacen('{', r#"{"for_ms":16,"#, 1);
        let slot = read(&text).unwrap().slot;
        let end = AT.after(Micros::from_millis(16));
        assert!((slot.at(end).rates.psm2.linear_m_s[0] - 0.25).abs() < 1e-12);
        let after = slot.at(end.after(Micros::from_micros(1)));
        assert_eq!(after.rates.psm2, HandRates::REST);
        assert!(after.operator_present && after.absence.is_none());
        for wrong in ["-1", "1e9", "251"] {
            let text = text.replacen("16", wrong, 1);
            assert_eq!(read(&text).unwrap_err(), InputError::OutOfBounds, "{wrong}");
        }
    }

    #[test]
    fn only_in_practice_is_a_task_begun_anew() {
        for practice in [false, true] {
            let text = text(1, 20.0, REST, &format!(r#"{SEEN},"task_again":true"#));
            let asked = InputReader::new(practice).read(&text, AT).unwrap().requests;
            assert_eq!(asked == [PageRequest::TaskAgain], practice, "{asked:?}");
        }
    }

    const SEEN: &str = r#","visible":true,"focused":true"#;

    fn moving(m_s: &str) -> String {
        format!(r#"{{"linear_m_s":[{m_s},0,0],"angular_rad_s":[0,0,0],"jaw_rad_s":0}}"#)
    }

    fn read(text: &str) -> Result<PageInput, InputError> {
        InputReader::default().read(text, AT)
    }

    #[test]
    fn good_input_is_read_whole() {
        let more = format!(r#"{SEEN},"ack":[7],"state_command":"resume""#);
        let input = read(&text(1, 20.0, &moving("-0.25"), &more)).unwrap();
        let hands = input.slot.at(AT);
        assert!((hands.rates.psm2.linear_m_s[0] + 0.25).abs() < 1e-12);
        assert_eq!(hands.source, Some(InputSource::Keyboard));
        assert!(hands.operator_present && hands.energy.psm2 && !hands.energy.psm1);
        let wanted = [PageRequest::StateCommand(StateCommand::Resume), PageRequest::Acknowledge(7)];
        assert_eq!(input.requests, wanted);
    }

    #[test]
    fn input_ages_out_just_after_its_bound() {
        let slot = read(&text(1, 20.0, REST, SEEN)).unwrap().slot;
        let edge = AT.after(INPUT_FRESH_FOR);
        let tick = Micros::from_micros(1);
        assert!(slot.at(edge.before(tick)).operator_present);
        assert!(slot.at(edge).operator_present);
        assert_eq!(slot.at(edge.after(tick)), PageHands::absent(Absence::Stale));
        assert_eq!(slot.at(edge.after(tick)).rates.psm2, HandRates::REST);
    }

    #[test]
    fn hidden_or_blurred_page_is_nobody() {
        for (more, why) in [
            (r#","visible":false,"focused":true"#, Absence::Hidden),
            (r#","visible":true,"focused":false"#, Absence::NotFocused),
        ] {
            let slot = read(&text(1, 20.0, &moving("0.1"), more)).unwrap().slot;
            assert_eq!(slot.at(AT), PageHands::absent(why));
        }
    }

    #[test]
    fn rate_bound_is_inclusive_and_nothing_beyond_it_passes() {
        assert!(read(&text(1, 0.0, &moving("1.0"), SEEN)).is_ok());
        assert!(read(&text(1, 0.0, &moving("-1.0"), SEEN)).is_ok());
        for far in ["1.0000001", "-1.0000001", "1e300"] {
            let error = read(&text(1, 0.0, &moving(far), SEEN)).unwrap_err();
            assert_eq!(error, InputError::OutOfBounds, "{far}");
        }
        assert_eq!(read(&text(1, -1.0, REST, SEEN)).unwrap_err(), InputError::OutOfBounds);
    }

    #[test]
    fn anything_of_another_form_is_refused() {
        let good = text(1, 0.0, REST, SEEN);
        for bad in [
            "",
            "[]",
            "null",
            "{}",
            &good.replace(r#""clutch":false,"#, ""),
            &good.replace("\"clutch\"", "\"clutch\":true,\"clutch\""),
            &good.replace("keyboard", "mind"),
            &text(1, 0.0, &moving("NaN"), SEEN),
            &text(1, 0.0, &moving("1e999"), SEEN),
            &text(1, 0.0, &moving("\"0.1\""), SEEN),
            &text(1, 0.0, REST, &format!(r#"{SEEN},"servo_cp":[0,0,0]"#)),
            &text(1, 0.0, REST, &format!(r#"{SEEN},"state_command":"home""#)),
            &text(1, 0.0, REST, &format!(r#"{SEEN},"state_command":"enable""#)),
            &text(1, 0.0, REST, &format!(r#"{SEEN},"state_command":"disable""#)),
            &text(1, 0.0, REST, &format!(r#"{SEEN},"ack":[-1]"#)),
        ] {
            assert_eq!(read(bad).unwrap_err(), InputError::Malformed, "{bad}");
        }
        let long = format!("{good}{}", " ".repeat(INPUT_BYTES_MAX));
        assert_eq!(read(&long).unwrap_err(), InputError::TooLong);
        let acks = format!(r#"{SEEN},"ack":{:?}"#, vec![1; ACK_MAX + 1]);
        assert_eq!(read(&text(1, 0.0, REST, &acks)).unwrap_err(), InputError::TooManyAcks);
    }

    #[test]
    fn number_and_time_must_rise() {
        let mut reader = InputReader::default();
        let mut say = |seq, ms| reader.read(&text(seq, ms, REST, SEEN), AT).map(|_| ());
        assert_eq!(say(5, 100.0), Ok(()));
        assert_eq!(say(5, 101.0), Err(InputError::NotNewer));
        assert_eq!(say(4, 101.0), Err(InputError::NotNewer));
        assert_eq!(say(6, 99.0), Err(InputError::NotNewer));
        assert_eq!(say(6, 100.0), Ok(()));
    }

    #[test]
    fn input_that_waited_is_as_old_as_its_sample() {
        let mut reader = InputReader::default();
        let mut slot = |seq, ms, received_at: Instant<Console>| {
            reader.read(&text(seq, ms, REST, SEEN), received_at).unwrap().slot
        };
        slot(1, 1_000.0, AT);
        // Sampled 10 ms after the first, received 200 ms after it: 190 ms late.
        let late = AT.after(Micros::from_millis(200));
        let waited = slot(2, 1_010.0, late);
        assert_eq!(waited.at(late), PageHands::absent(Absence::Stale));
        // Back in time: fresh again at once.
        let next = AT.after(Micros::from_millis(220));
        assert!(slot(3, 1_219.0, next).at(next).operator_present);
    }

    #[test]
    fn no_sample_is_younger_than_its_receipt() {
        let mut reader = InputReader::default();
        for (seq, ms) in [(1, 50.0), (2, 60.0), (3, 1e9), (4, 1e9)] {
            let slot = reader.read(&text(seq, ms, REST, SEEN), AT).unwrap().slot;
            assert!(matches!(slot, Slot::Held { sampled_at, .. } if sampled_at <= AT));
        }
    }
}
