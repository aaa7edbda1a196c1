//! The stand-in servos: the robot agent's driver on them in virtual time, whatever is wrong with
//! them; and as a process on a pseudo-terminal, driven by the agent's driver and by the vendors'
//! own SDKs.
//!
//! The last runs only when asked for, since it installs packages from PyPI into a folder of its
//! own; `LONGHAND_TEST_PYTHON` names a Python that has them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    clippy::missing_docs_in_private_items,
    reason = "a test: a panic is how it fails"
)]

#[allow(dead_code, reason = "this test ends its processes itself")]
#[path = "processes/child.rs"]
mod child;

use longhand_bus::model::{STS3215, What, XM430_W350};
use longhand_bus::{Id, Protocol, Span};
use longhand_robot_agent::arm_command::ArmError;
use longhand_robot_agent::arm_command::bench::{
    all_there, at_rest, calibrated, examine, let_go, set_guards, to_set,
};
use longhand_robot_agent::arm_file::ArmFile;
use longhand_robot_agent::serial::cycle::{Measured, measure};
use longhand_robot_agent::serial::{Host, HostError, Line, LowLatency, Port, Sought};
use longhand_sim::bus::fault::{Fault, Kind};
use longhand_sim::bus::{Arm, Bus};
use proptest::prelude::*;
use serde_json::Value;
use std::io::{self, BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// The stand-ins as a line, in virtual time.
struct Virtual {
    bus: Bus,
    now: u64,
    waiting: Vec<u8>,
    /// What is heard in the place of the stand-ins' answers.
    instead: Option<Vec<u8>>,
}

impl Line for Virtual {
    fn now_us(&self) -> u64 {
        self.now
    }

    fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bus.hear(self.now, bytes);
        if let Some(instead) = &self.instead {
            self.waiting.extend(instead);
        }
        Ok(())
    }

    fn hear(&mut self, into: &mut [u8], until_us: u64) -> io::Result<usize> {
        if self.waiting.is_empty() {
            let next = self.bus.due().unwrap_or(until_us).min(until_us);
            self.now = self.now.max(next);
            self.bus.advance(self.now);
            let said = self.bus.say(self.now);
            if self.instead.is_none() {
                self.waiting.extend(said);
            }
        }
        let came = self.waiting.len().min(into.len());
        into[..came].copy_from_slice(&self.waiting[..came]);
        self.waiting.drain(..came);
        Ok(came)
    }

    fn forget(&mut self) -> io::Result<()> {
        self.waiting.clear();
        self.bus.say(self.now);
        Ok(())
    }
}

fn host(arm: Arm, faults: &str, seed: u64) -> Host<Virtual> {
    let faults = faults.split(',').filter(|word| !word.is_empty());
    let faults: Vec<Fault> = faults.map(|word| word.parse().unwrap()).collect();
    let bus = Bus::new(arm, 1_000_000, faults, seed);
    let protocol = match arm {
        Arm::So101 => Protocol::Feetech,
        Arm::Dynamixel => Protocol::Dynamixel,
    };
    Host::new(Virtual { bus, now: 0, waiting: Vec::new(), instead: None }, protocol, 1_000_000)
}

fn id(number: u8) -> Id {
    Id::new(number).unwrap()
}

fn scanned(host: &mut Host<Virtual>) -> Vec<u8> {
    let all = (0..=120).filter_map(|number| host.find(id(number)).unwrap().somebody());
    all.map(|found| found.id.get()).collect()
}

#[test]
fn a_scan_finds_each_servo_whatever_the_wire_does() {
    let so101: Vec<u8> = (1..=6).collect();
    let dynamixel: Vec<u8> = (11..=15).collect();
    let broken = "corrupt=0.1,half=0.1,echo";
    for faults in ["", "echo", "noise=1", "slow", "echo,noise=1,slow", broken] {
        assert_eq!(scanned(&mut host(Arm::So101, faults, 3)), so101, "{faults}");
        assert_eq!(scanned(&mut host(Arm::Dynamixel, faults, 3)), dynamixel, "{faults}");
    }
    assert_eq!(scanned(&mut host(Arm::So101, "wrong-id:3", 3)), [1, 2, 4, 5, 6, 103]);
    assert!(scanned(&mut host(Arm::So101, "silent", 3)).is_empty());
    let mut silent = host(Arm::So101, "silent", 3);
    let said = silent.get(id(1), &STS3215, What::PresentPosition);
    assert!(matches!(said, Err(HostError::Silent { id: 1 })), "{said:?}");
    assert_eq!((silent.tally().retried, silent.tally().failed), (2, 1));
}

#[test]
fn what_is_lost_is_asked_for_again_and_counted() {
    for faults in ["corrupt=0.3", "half=0.3", "corrupt=0.1,half=0.1,noise=0.3,echo"] {
        let mut host = host(Arm::Dynamixel, faults, 5);
        let mut well = 0;
        for _ in 0..200 {
            match host.get(id(12), &XM430_W350, What::PresentPosition) {
                // Never a value that is not the servo's.
                Ok(position) => {
                    assert_eq!(position, 2048);
                    well += 1;
                }
                Err(HostError::Silent { .. }) => (),
                Err(other) => panic!("{other}"),
            }
        }
        let tally = host.tally();
        assert!(well >= 180 && tally.retried > 20, "{faults}: {well}, {tally:?}");
        assert_eq!(tally.asked, 200, "{faults}");
        assert_eq!(tally.failed, 200 - well, "{faults}");
    }
}

#[test]
fn what_is_written_is_read_back_and_a_refusal_says_why() {
    let mut host = host(Arm::Dynamixel, "", 1);
    host.set(id(11), &XM430_W350, What::BusWatchdog, 5).unwrap();
    host.set(id(11), &XM430_W350, What::TorqueEnable, 1).unwrap();
    let said = host.set(id(11), &XM430_W350, What::MaxPosition, 100).unwrap_err().to_string();
    assert!(said.contains("servo 11 refuses (maximum position)"), "{said}");
    assert!(said.contains("torque on, or read-only"), "{said}");
    let said = host.set(id(11), &XM430_W350, What::BusWatchdog, 300).unwrap_err();
    assert!(matches!(said, HostError::DoesNotFit { value: 300, .. }));
    let said = host.get(id(11), &XM430_W350, What::Lock).unwrap_err().to_string();
    assert_eq!(said, "a xm430-w350 has no lock");
    // Feetech passes over what it does not take, without a word: reading back tells.
    let mut host = self::host(Arm::So101, "", 1);
    let said = host.set(id(2), &STS3215, What::PresentPosition, 7).unwrap_err();
    assert!(matches!(said, HostError::NotTaken { told: 7, found: 2048, .. }), "{said}");
}

#[test]
fn a_servo_keeps_its_new_number_over_a_power_cut() {
    for (arm, model, from) in [(Arm::So101, &STS3215, 3), (Arm::Dynamixel, &XM430_W350, 13)] {
        let mut host = host(arm, "brownout@1-1.2,echo", 1);
        host.renumber(id(from), id(42), model).unwrap();
        assert_eq!(host.get(id(42), model, What::Id).unwrap(), 42);
        assert!(matches!(host.find_free(id(from)).unwrap(), Sought::Nobody));
        for _ in 0..100 {
            host.line().now += 20_000;
            let now = host.line().now;
            host.line().bus.advance(now);
        }
        assert!(host.line().bus.counts().fired(Kind::Brownout) > 0);
        assert_eq!(host.get(id(42), model, What::Id).unwrap(), 42);
    }
}

#[test]
fn all_positions_are_read_in_one_exchange_and_the_missing_one_is_named() {
    for (faults, fast) in [("", false), ("", true), ("echo,noise=1", true), ("slow", false)] {
        let mut host = host(Arm::Dynamixel, faults, 1);
        let ids = [11, 12, 13, 14, 15];
        let span = XM430_W350.span(&[What::PresentPosition]).unwrap();
        let mut heard = Vec::new();
        host.sync_read(span, &ids, fast, &mut heard).unwrap();
        let positions: Vec<_> = heard
            .iter()
            .map(|data| XM430_W350.value(What::PresentPosition, span, data.as_ref()?.as_slice()))
            .collect();
        if faults == "slow" {
            // Five answers 5 ms late each are later than the host's patience: what came, came.
            assert_eq!(positions, [Some(2048), Some(2048), Some(2048), Some(2048), None]);
            assert_eq!(host.tally().failed, 1);
        } else {
            assert_eq!(positions, [Some(2048); 5], "{faults}");
        }
    }
    let mut host = host(Arm::So101, "wrong-id:4", 1);
    let span = STS3215.span(&[What::PresentPosition]).unwrap();
    let mut heard = Vec::new();
    host.sync_read(span, &[1, 2, 3, 4, 5, 6], false, &mut heard).unwrap();
    let there: Vec<bool> = heard.iter().map(Option::is_some).collect();
    assert_eq!(there, [true, true, true, false, true, true]);
    assert_eq!(host.tally().failed, 1);
}

/// A goal switches the stand-in's torque on, as an STS3215's may: so none is written.
#[test]
fn a_measurement_switches_nothing_on_and_what_came_on_is_switched_off() {
    for (arm, name) in ARMS {
        let file = ArmFile::load(name).unwrap();
        let mut host = host(arm, "half=0.05", 2);
        let model = file.servos().unwrap();
        let ids: Vec<u8> = file.driven().map(|joint| joint.id).collect();
        measure(&mut host, model, &ids, 300_000).unwrap();
        assert!(host.line().bus.shown().all(|servo| !servo.torque), "{name}");
        assert!(at_rest(&mut host, &file, model).unwrap().is_empty());
        let last = file.driven().last().unwrap();
        host.set(id(last.id), model, What::TorqueEnable, 1).unwrap();
        assert_eq!(at_rest(&mut host, &file, model).unwrap(), std::slice::from_ref(&last.name));
        assert!(host.line().bus.shown().all(|servo| !servo.torque), "{name}");
    }
    // Also behind a servo that does not answer.
    let file = ArmFile::load("so101").unwrap();
    let mut host = host(Arm::So101, "wrong-id:1", 1);
    host.set(id(6), &STS3215, What::TorqueEnable, 1).unwrap();
    let said = at_rest(&mut host, &file, &STS3215).unwrap_err().to_string();
    assert!(said.starts_with("servo 1 does not answer"), "{said}");
    assert!(host.line().bus.shown().all(|servo| !servo.torque));
}

const ARMS: [(Arm, &str); 2] = [(Arm::So101, "so101"), (Arm::Dynamixel, "open-manipulator-x")];

/// As `arm calibrate` leaves it: the stand-ins stand where the shipped zeros say.
fn calibrated_file(name: &str) -> ArmFile {
    ArmFile { calibrated: true, ..ArmFile::load(name).unwrap() }
}

/// What `arm test --set-guards` does.
fn guarded(host: &mut Host<Virtual>, file: &ArmFile) -> usize {
    let model = file.servos().unwrap();
    let seen = examine(host, file, model).unwrap();
    let many = to_set(file, &seen).unwrap();
    set_guards(host, model, &seen).unwrap();
    many
}

#[test]
fn an_arm_is_found_well_and_its_guards_stay_set() {
    for (arm, name) in ARMS {
        for faults in ["", "echo,noise=0.3,corrupt=0.05"] {
            let file = calibrated_file(name);
            let mut host = host(arm, faults, 4);
            let model = all_there(&mut host, &file).unwrap();
            let_go(&mut host, &file, model, false).unwrap();
            assert!(guarded(&mut host, &file) > 0);
            let seen = examine(&mut host, &file, model).unwrap();
            assert_eq!(seen.len(), file.driven().count());
            for joint in &seen {
                assert!(joint.wrong.is_empty() && joint.degrees.abs() < 0.1, "{joint:?}");
                assert!(joint.differing().next().is_none(), "{joint:?}");
                for guard in &joint.guards {
                    let is = host.get(id(joint.id), model, guard.what).unwrap();
                    assert_eq!(is, guard.wanted, "{name} {} {}", joint.name, guard.what);
                }
            }
            assert_eq!(guarded(&mut host, &file), 0, "what is set is not written again");
            let watched = seen[0].guards.iter().any(|guard| guard.what == What::BusWatchdog);
            assert_eq!(watched, arm == Arm::Dynamixel);
            for joint in file.driven().filter(|_| model.register(What::Lock).is_some()) {
                assert_eq!(host.get(id(joint.id), model, What::Lock).unwrap(), 1);
            }
        }
    }
}

/// Each servo's kept registers, and its live ones, byte for byte.
fn memory(host: &mut Host<Virtual>, file: &ArmFile) -> Vec<Vec<u8>> {
    let span = match host.protocol() {
        Protocol::Dynamixel => Span { address: 0, bytes: 120 },
        Protocol::Feetech => Span { address: 0, bytes: 56 },
    };
    file.driven().map(|joint| host.read(id(joint.id), span).unwrap()).collect()
}

#[test]
fn nothing_is_written_where_one_joint_is_not_well_or_nobody_calibrated() {
    for (arm, name) in ARMS {
        let file = calibrated_file(name);
        let model = file.servos().unwrap();
        let last = file.driven().last().unwrap().id;
        let refused = |host: &mut Host<Virtual>, file: &ArmFile| {
            let before = memory(host, file);
            let seen = examine(host, file, model).unwrap();
            let refused = to_set(file, &seen).unwrap_err();
            assert_eq!(memory(host, file), before, "{name}");
            refused
        };
        let mut fresh = host(arm, "", 1);
        let shipped = ArmFile::load(name).unwrap();
        assert!(matches!(refused(&mut fresh, &shipped), ArmError::NotCalibrated));
        let seen = examine(&mut fresh, &shipped, model).unwrap();
        assert!(seen[0].guards.iter().all(|guard| guard.what != What::MaxPosition));
        // The last of them: those before are not written either.
        let (mode, whole) = if arm == Arm::So101 { (1, 44) } else { (4, 52) };
        for (what, value, well, told) in [
            (What::OperatingMode, mode, if arm == Arm::So101 { 0 } else { 3 }, "operating mode"),
            (What::Shutdown, 0x20, whole, "too hot or overloaded"),
        ] {
            fresh.unlocked(id(last), model, |host| host.set(id(last), model, what, value)).unwrap();
            let said = refused(&mut fresh, &file).to_string();
            assert!(said.contains(told) && said.contains("nothing was written"), "{said}");
            fresh.unlocked(id(last), model, |host| host.set(id(last), model, what, well)).unwrap();
        }
        let mut low = file.clone();
        low.guard.volts = [3.0, 4.0];
        assert!(refused(&mut fresh, &low).to_string().contains("V, outside 3 to 4"));
        assert!(guarded(&mut fresh, &file) > 0);
    }
    let file = calibrated_file("open-manipulator-x");
    let mut host = host(Arm::Dynamixel, "", 1);
    host.set(id(12), &XM430_W350, What::DriveMode, 1).unwrap();
    let seen = examine(&mut host, &file, &XM430_W350).unwrap();
    assert!(seen[1].wrong.join("").contains("drive mode is 0x01"), "{seen:?}");
}

#[test]
fn an_error_midway_locks_again_and_a_fired_watchdog_is_cleared_first() {
    // A limit that is no number of the register: the servo was unlocked before.
    let file = calibrated_file("so101");
    let mut host = host(Arm::So101, "", 1);
    let mut seen = examine(&mut host, &file, &STS3215).unwrap();
    seen[2].guards[1].wanted = 300;
    let said = set_guards(&mut host, &STS3215, &seen).unwrap_err();
    assert!(matches!(said, ArmError::Host(HostError::DoesNotFit { value: 300, .. })), "{said}");
    let locks = (1..=6).map(|number| host.get(id(number), &STS3215, What::Lock).unwrap());
    assert_eq!(locks.collect::<Vec<_>>(), [1; 6]);
    let file = calibrated_file("open-manipulator-x");
    let mut host = self::host(Arm::Dynamixel, "", 1);
    host.set(id(11), &XM430_W350, What::BusWatchdog, 1).unwrap();
    host.set(id(11), &XM430_W350, What::TorqueEnable, 1).unwrap();
    host.line().now += 100_000;
    let now = host.line().now;
    host.line().bus.advance(now);
    assert_eq!(host.get(id(11), &XM430_W350, What::BusWatchdog).unwrap(), -1);
    host.set(id(11), &XM430_W350, What::TorqueEnable, 0).unwrap();
    assert!(guarded(&mut host, &file) > 0);
    assert_eq!(host.get(id(11), &XM430_W350, What::BusWatchdog).unwrap(), 5);
}

/// Slower than the patience, up to six times it: no answer, or the right one, never another's.
#[test]
fn a_late_answer_is_never_the_next_questions() {
    for (arm, model, number) in [(Arm::So101, &STS3215, 3_u8), (Arm::Dynamixel, &XM430_W350, 13)] {
        for ms in 1..=120 {
            let mut host = host(arm, &format!("slow={ms}:{number}"), 1);
            for _ in 0..4 {
                for (what, right) in [(What::PresentTemperature, 25), (What::TorqueEnable, 0)] {
                    match host.get(id(number), model, what) {
                        Ok(is) => assert_eq!(is, right, "{ms} ms, {what}"),
                        Err(error) => assert!(matches!(error, HostError::Silent { .. })),
                    }
                }
            }
            assert_eq!(host.get(id(number - 1), model, What::PresentTemperature).unwrap(), 25);
            assert!(host.line().bus.counts().fired(Kind::Slow) > 0);
        }
    }
}

#[test]
fn silence_garble_and_somebody_are_three_things() {
    let mut quiet = host(Arm::So101, "", 1);
    assert!(matches!(quiet.find_free(id(9)).unwrap(), Sought::Nobody));
    assert!(matches!(quiet.find_free(id(3)).unwrap(), Sought::Somebody(_)));
    let mut garbled = host(Arm::So101, "half=1:3", 1);
    assert!(matches!(garbled.find_free(id(3)).unwrap(), Sought::Garbled));
    assert!(matches!(garbled.find(id(3)).unwrap(), Sought::Garbled));
    // Silent at first, there all the same: neither free nor missing.
    for faults in ["silent@0-0.01", "silent@0-0.07"] {
        assert!(matches!(host(Arm::So101, faults, 1).find(id(3)).unwrap(), Sought::Nobody));
        let there = host(Arm::So101, faults, 1).find_free(id(3)).unwrap();
        assert!(matches!(there, Sought::Somebody(_)), "{there:?}");
        let mut host = host(Arm::So101, faults, 1);
        all_there(&mut host, &ArmFile::load("so101").unwrap()).unwrap();
    }
}

#[test]
fn what_is_wrong_with_an_arm_is_named() {
    let file = calibrated_file("so101");
    let mut missing = host(Arm::So101, "wrong-id:3", 1);
    let said = all_there(&mut missing, &file).unwrap_err().to_string();
    assert!(said.starts_with("these do not answer: 3 (elbow_flex);"), "{said}");
    // The servos of another arm, with this one's numbers.
    let mut other = ArmFile::load("open-manipulator-x").unwrap();
    other.model = "xl430-w250".to_owned();
    let said = all_there(&mut host(Arm::Dynamixel, "", 1), &other).unwrap_err().to_string();
    assert_eq!(said, "servo 11 is a xm430-w350, and the file says xl430-w250");
    // An arm that is held up falls when it is let go: somebody must have said so.
    let mut held = host(Arm::So101, "", 1);
    held.set(id(2), &STS3215, What::TorqueEnable, 1).unwrap();
    let said = let_go(&mut held, &file, &STS3215, false).unwrap_err();
    assert!(matches!(&said, ArmError::Holding(names) if names == "shoulder_lift"), "{said}");
    assert_eq!(held.get(id(2), &STS3215, What::TorqueEnable).unwrap(), 1);
    let_go(&mut held, &file, &STS3215, true).unwrap();
    assert_eq!(held.get(id(2), &STS3215, What::TorqueEnable).unwrap(), 0);
    // A servo that started anew for want of voltage says so, and where it stands is told.
    let mut ill = host(Arm::So101, "brownout:5", 1);
    ill.set(id(4), &STS3215, What::TorqueEnable, 1).unwrap();
    ill.set(id(4), &STS3215, What::GoalPosition, 4000).unwrap();
    for _ in 0..200 {
        ill.line().now += 10_000;
        let now = ill.line().now;
        ill.line().bus.advance(now);
    }
    ill.set(id(4), &STS3215, What::TorqueEnable, 0).unwrap();
    let seen = examine(&mut ill, &file, &STS3215).unwrap();
    let wrong = |place: usize| seen[place].wrong.join("; ");
    assert!(wrong(3).contains("outside -95 to 95"), "{}", wrong(3));
    assert!(wrong(4).contains("outside 4.5 to 8") && wrong(4).contains("0x01"), "{}", wrong(4));
    assert_eq!(wrong(0), "");
}

#[test]
fn a_calibrated_arm_is_at_home_where_it_stands() {
    let mut file = ArmFile::load("open-manipulator-x").unwrap();
    file.joint[1].home_deg = 30.0;
    file.joint[1].direction = -1;
    let mut host = host(Arm::Dynamixel, "", 1);
    let found = calibrated(&mut host, &file, &XM430_W350).unwrap();
    for joint in found.driven() {
        let home = joint.degrees(&XM430_W350, 2048);
        assert!((home - joint.home_deg).abs() < 0.05, "{} {home}", joint.name);
    }
    assert_eq!(found.joint[1].zero, 2048 + 341);
    // So far from the middle that the range has no room any more.
    file.joint[0].home_deg = 30.0;
    let said = calibrated(&mut host, &file, &XM430_W350).unwrap_err().to_string();
    assert!(said.contains("joint1: its range needs the servo's steps"), "{said}");
}

/// The wire alone bounds the rate, where nothing else is late: six STS3215 at 1 Mbaud take 880 us,
/// 620 of them for the positions, which are read; the goals' 260 are reckoned.
#[test]
fn a_bus_goes_as_fast_as_its_wire_and_misses_are_counted() {
    let mut so101 = host(Arm::So101, "", 1);
    let ids = [1, 2, 3, 4, 5, 6];
    let measured = measure(&mut so101, &STS3215, &ids, 1_000_000).unwrap();
    assert_eq!((measured.wire_us, measured.goals_us, measured.missed), (620, 260, 0));
    assert_eq!((measured.quantile_us(500), measured.quantile_us(1_000)), (Some(620), Some(620)));
    assert_eq!(measured.rate_hz(), Some(1_136));
    // As it comes from the factory an X servo waits 500 us; the guards take that away.
    let ids = [11, 12, 13, 14, 15];
    let mut fresh = host(Arm::Dynamixel, "", 1);
    let before = measure(&mut fresh, &XM430_W350, &ids, 1_000_000).unwrap();
    guarded(&mut fresh, &calibrated_file("open-manipulator-x"));
    let after = measure(&mut fresh, &XM430_W350, &ids, 1_000_000).unwrap();
    assert_eq!(before.quantile_us(500), Some(after.wire_us + 500));
    assert_eq!(after.quantile_us(500), Some(after.wire_us));
    let mut bad = host(Arm::So101, "half=0.02", 9).with_patience_us(4_000);
    let measured = measure(&mut bad, &STS3215, &[1, 2, 3, 4, 5, 6], 1_000_000).unwrap();
    assert!(measured.missed > 20 && measured.cycles_us.len() > 150, "{measured:?}");
    // More than one in a hundred is missed: that rate is the missed ones', and it is not well.
    let slowest = measured.rate_hz().unwrap();
    assert!(!measured.well() && slowest < 250, "{slowest}");
    // Nobody there: it ends in its time, and says that nothing was whole.
    let mut silent = host(Arm::So101, "silent", 1);
    let measured = measure(&mut silent, &STS3215, &[1], 500_000).unwrap();
    assert!(measured.none_whole() && measured.missed > 0 && measured.rate_hz().is_none());
    assert!(!measured.well());
    let of = |missed| Measured { cycles_us: vec![1_000; 200], missed, ..Measured::default() };
    assert_eq!([1, 2, 3].map(|missed| of(missed).well()), [true, true, false]);
    assert!(!Measured::default().well());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever is heard: no panic, an end within the time that was said, and a tally that adds up.
    #[test]
    fn the_driver_survives_any_answers(
        answers in prop::collection::vec(prop_oneof![
            3 => prop::collection::vec(prop_oneof![Just(0xff_u8), Just(0xfd), any::<u8>()], 0..40),
            1 => prop::collection::vec(any::<u8>(), 0..300),
        ], 1..8),
        arm in prop_oneof![Just(Arm::So101), Just(Arm::Dynamixel)],
    ) {
        let mut host = host(arm, "", 1);
        let model = if arm == Arm::So101 { &STS3215 } else { &XM430_W350 };
        for bytes in &answers {
            host.line().instead = Some(bytes.clone());
            let begun = host.line().now;
            let _any = host.get(id(1), model, What::PresentVelocity);
            // Three tries of 20 ms, after each as long as was waited so far: 20, 60, 140.
            prop_assert!(host.line().now - begun < 400_000);
            let mut heard = Vec::new();
            let span = model.span(&[What::PresentPosition]).unwrap();
            host.sync_read(span, &[1, 2, 3], true, &mut heard).unwrap();
            prop_assert_eq!(heard.len(), 3);
        }
        prop_assert!(host.tally().failed <= host.tally().asked);
    }
}

/// `longhand-sim bus` as a process; ended when dropped.
struct StandIn {
    child: Child,
    events: Lines<BufReader<ChildStdout>>,
    link: PathBuf,
}

impl StandIn {
    fn new(name: &str, more: &[&str]) -> Self {
        let link = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bus-{name}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_longhand-sim"));
        command.args(["bus", "--json", "--for", "60", "--link"]).arg(&link).args(more);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut events = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready: Value = serde_json::from_str(&events.next().unwrap().unwrap()).unwrap();
        assert_eq!(ready["event"], "ready");
        Self { child, events, link }
    }

    fn next(&mut self, event: &str) -> Value {
        loop {
            let line = self.events.next().unwrap().unwrap();
            let said: Value = serde_json::from_str(&line).unwrap();
            if said["event"] == event {
                return said;
            }
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
        let _gone = std::fs::remove_file(&self.link);
    }
}

/// A real port, a real wait: the machine may stall, so a servo that did not answer is asked again.
#[test]
fn the_driver_reads_and_moves_a_servo_on_a_pseudo_terminal() {
    let stand_in = StandIn::new("driven", &["--model", "so101", "--faults", "echo,noise=0.3"]);
    let port = Port::open(&stand_in.link, 1_000_000).unwrap();
    assert_eq!(port.low_latency(), LowLatency::NoFlag);
    let mut host = Host::new(port, Protocol::Feetech, 1_000_000).with_patience_us(500_000);
    for number in 1..=6 {
        let found = host.find(id(number)).unwrap().somebody().unwrap();
        assert_eq!(found.model.map(|model| model.name), Some("sts3215"));
    }
    host.set(id(2), &STS3215, What::TorqueEnable, 1).unwrap();
    host.set(id(2), &STS3215, What::GoalPosition, 2300).unwrap();
    let there = |host: &mut Host<Port>| {
        let position = host.get(id(2), &STS3215, What::PresentPosition).unwrap();
        (position - 2300).abs() <= 3
    };
    assert!((0..100_000).any(|_| there(&mut host)), "it never got there");
    assert!(host.noise().stray_bytes > 0);
}

#[test]
fn an_adapter_that_is_pulled_is_told_and_its_name_comes_back() {
    let faults = ["--model", "dynamixel", "--faults", "unplugged@0.5-1"];
    let mut stand_in = StandIn::new("pulled", &faults);
    let port = Port::open(&stand_in.link, 1_000_000).unwrap();
    let mut host = Host::new(port, Protocol::Dynamixel, 1_000_000);
    let gone = std::iter::repeat_with(|| host.find(id(11))).find_map(Result::err);
    assert!(matches!(gone, Some(HostError::Gone(_))), "{gone:?}");
    stand_in.next("unplugged");
    stand_in.next("plugged");
    let port = Port::open(&stand_in.link, 1_000_000).unwrap();
    let mut host = Host::new(port, Protocol::Dynamixel, 1_000_000).with_patience_us(500_000);
    assert!(host.find(id(11)).unwrap().somebody().is_some());
}

#[test]
fn a_port_that_is_not_there_is_told_in_words() {
    let missing = Port::open(Path::new("/dev/longhand-none"), 1_000_000).err().unwrap();
    assert!(missing.to_string().contains("is the adapter plugged in"), "{missing}");
}

/// `longhand-robot-agent arm ...`: its exit code, and what it said.
fn arm(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(child::program("longhand-robot-agent"));
    let output = command.arg("arm").args(arguments).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), said)
}

/// `arm test ... --json`: the exit code is what the report says.
fn tested(port: &str, file: &str, more: &[&str]) -> Value {
    let usual = ["test", file, "--port", port, "--for", "0.3", "--json"];
    let (code, said) = arm(&[&usual, more].concat());
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(code == 0, report["well"].as_bool().unwrap(), "{said}");
    report
}

/// An arm that is well but for its bus, which misses one cycle in twenty.
#[test]
fn an_arm_on_a_bad_bus_is_not_well() {
    child::program("longhand-robot-agent");
    let faults = ["--model", "so101", "--faults", "half=0.05:3"];
    let stand_in = StandIn::new("bad", &faults);
    let port = stand_in.link.to_str().unwrap();
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bus-bad.toml");
    std::fs::write(&file, toml_of(&calibrated_file("so101"))).unwrap();
    let report = tested(port, file.to_str().unwrap(), &["--set-guards"]);
    std::fs::remove_file(report["saved"].as_str().unwrap()).unwrap();
    assert_eq!(report["joints"][2]["wrong"], serde_json::json!([]));
    assert_eq!(report["well"], false, "{report}");
    assert!(report["bus"]["missed"].as_u64().unwrap() > 0, "{report}");
}

fn toml_of(file: &ArmFile) -> String {
    let text = longhand_robot_agent::arm_file::SHIPPED[0].1;
    assert_eq!(file.model, "sts3215");
    text.replacen("baud = 1000000", "baud = 1000000\ncalibrated = true", 1)
}

/// The README's block, line by line through a shell, as it stands but for the port's name: another
/// run on this machine may have that.
#[test]
fn the_readmes_commands_do_what_it_says() {
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once("## For a lab with a serial arm").unwrap();
    let block = section.split("```").nth(1).unwrap().strip_prefix("sh\n").unwrap();
    let agent = child::program("longhand-robot-agent");
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("so101");
    let block = block.replace("/tmp/so101", link.to_str().unwrap());
    let sim = Path::new(env!("CARGO_BIN_EXE_longhand-sim"));
    let folders = [sim.parent().unwrap(), Path::new(&agent).parent().unwrap()];
    let old = std::env::var_os("PATH").unwrap();
    let all = folders.map(Path::to_owned).into_iter().chain(std::env::split_paths(&old));
    let path = std::env::join_paths(all).unwrap();
    let shell = |line: &str| {
        let mut command = Command::new("sh");
        command.arg("-c").arg(line).current_dir(&folder).env("PATH", &path);
        command
    };
    let mut lines = block.lines();
    let first = lines.next().unwrap();
    let (stand_in, _) = first.split_once(" &").unwrap();
    let mut child = shell(&format!("exec {stand_in} --json --for 120"));
    let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
    let mut ran = 0;
    for line in lines {
        let mut enter = shell(line);
        enter.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = enter.spawn().unwrap();
        // It may not ask at all.
        let _unread = running.stdin.take().unwrap().write_all(b"\n");
        let done = running.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned()
            + &String::from_utf8_lossy(&done.stderr);
        // `arm test` may say 1 of a machine that stalls: then it says why.
        let stalled = said.contains(" incomplete; ") && !said.contains(" 0 incomplete; ");
        assert!(done.status.success() || stalled, "{line}: {said}");
        ran += 1;
    }
    let _gone = (child.kill(), child.wait());
    assert_eq!(ran, 6);
}

/// Each command, and what it refuses, on the stand-in.
#[test]
fn each_arm_command_does_what_it_says() {
    // Built first: that may take longer than the stand-in waits.
    child::program("longhand-robot-agent");
    let stand_in = StandIn::new("commands", &["--model", "so101", "--faults", "echo"]);
    let port = stand_in.link.to_str().unwrap();
    let scan = ["scan", "--port", port, "--speaks", "feetech", "--json"];
    let ids = |said: &str| -> Vec<u64> {
        let report: Value = serde_json::from_str(said).unwrap();
        assert_eq!(report["schema"], "longhand arm scan v1");
        assert_eq!(report["low_latency"], "no flag");
        report["servos"].as_array().unwrap().iter().map(|s| s["id"].as_u64().unwrap()).collect()
    };
    let (code, said) = arm(&scan);
    assert_eq!((code, ids(&said)), (0, vec![1, 2, 3, 4, 5, 6]));

    let set = |from: &str, to: &str| {
        arm(&["set-id", "--port", port, "--speaks", "feetech", "--from", from, "--to", to])
    };
    let (code, said) = set("6", "5");
    assert!(code == 1 && said.contains("servo 5 is on the bus already"), "{said}");
    // The port is opened by one program at a time.
    let torque = |on: i64| {
        let held = Port::open(&stand_in.link, 1_000_000).unwrap();
        let mut held = Host::new(held, Protocol::Feetech, 1_000_000).with_patience_us(500_000);
        held.set(id(6), &STS3215, What::TorqueEnable, on).unwrap();
    };
    torque(1);
    let (code, said) = set("6", "7");
    assert!(code == 1 && said.contains("these hold torque: servo 6"), "{said}");
    torque(0);
    assert_eq!(set("6", "7"), (0, "the sts3215 that was 6 is 7 now\n".to_owned()));
    assert_eq!(ids(&arm(&scan).1), [1, 2, 3, 4, 5, 7]);
    let (code, said) = arm(&["test", "so101", "--port", port]);
    assert!(code == 1 && said.contains("do not answer: 6 (gripper)"), "{said}");
    assert_eq!(set("7", "6").0, 0);

    let report = tested(port, "so101", &[]);
    assert_eq!((&report["well"], &report["bus_watchdog"]), (&false.into(), &false.into()));
    let hot = &report["joints"][1]["guards"]["temperature limit"];
    assert_eq!(hot, &serde_json::json!({ "is": 70, "file": 65 }));
    assert_eq!((&report["bus"]["wire_us"], &report["bus"]["goals_us"]), (&620.into(), &260.into()));
    assert!(report["bus"]["p50_us"].as_u64().unwrap() >= 620, "{report}");

    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bus-calibrated.toml");
    let _old = std::fs::remove_file(&file);
    let path = file.to_str().unwrap();
    let calibrate = ["calibrate", "so101", "--port", port, "--out", path, "--at-home"];
    let (code, said) = arm(&calibrate);
    assert!(code == 0 && said.contains("shoulder_pan   zero 2048 (was 2048)"), "{said}");
    let (code, said) = arm(&calibrate);
    assert!(code == 1 && said.contains("choose a name that is not taken"), "{said}");
    let (code, said) = arm(&["calibrate", "so101", "--port", port, "--out", "none.toml"]);
    assert!(code == 1 && said.contains("the input ended before Enter"), "{said}");
    let (code, said) = arm(&["test", "so101", "--port", port, "--set-guards"]);
    assert!(code == 1 && said.contains("this file was not calibrated"), "{said}");
    let guards = |report: &Value| report["joints"][1]["guards"]["temperature limit"]["is"].clone();
    let before = tested(port, path, &[]);
    assert_eq!((&before["arm"], &before["set"]), (&"SO-101 follower".into(), &Value::Null));
    assert_eq!((guards(&before), &before["well"]), (70.into(), &false.into()));
    let set = tested(port, path, &["--set-guards"]);
    assert_eq!((guards(&set), guards(&tested(port, path, &[]))), (65.into(), 65.into()));
    let saved = PathBuf::from(set["saved"].as_str().unwrap());
    let old: Value = serde_json::from_str(&std::fs::read_to_string(&saved).unwrap()).unwrap();
    assert_eq!((&old["schema"], guards(&old)), (&"longhand arm guards v1".into(), 70.into()));
    std::fs::remove_file(&saved).unwrap();
    std::fs::remove_file(&file).unwrap();

    let (code, said) = arm(&["scan", "--port", port, "--speaks", "dynamixel"]);
    assert!(code == 1 && said.contains("Nobody answers"), "{said}");
    assert_eq!(arm(&["scan", "--port", port]).0, 2);
}

const PACKAGES: [&str; 2] = ["dynamixel-sdk==4.1.0", "feetech-servo-sdk==1.0.0"];

fn python() -> PathBuf {
    if let Some(there) = std::env::var_os("LONGHAND_TEST_PYTHON") {
        return PathBuf::from(there);
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bus-sdks");
    let python = folder.join("bin/python");
    must(Command::new("python3").args(["-m", "venv"]).arg(&folder));
    must(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES));
    python
}

fn must(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    output.stdout
}

#[test]
#[ignore = "installs packages from PyPI; .ci/run does it: cargo test -p longhand-sim --test bus \
            vendors -- --ignored"]
fn the_vendors_sdks_drive_the_stand_ins() {
    let python = python();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bus/drive.py");
    let drive = |model: &str| -> Value {
        let stand_in = StandIn::new(&format!("sdk-{model}"), &["--model", model]);
        let done = must(Command::new(&python).args([script, model]).arg(&stand_in.link));
        serde_json::from_slice(&done).unwrap()
    };
    let near = |found: &Value, key: &str| {
        let numbers = |key: &str| -> Vec<i64> {
            found[key].as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect()
        };
        let (is, goals) = (numbers(key), numbers("goals"));
        assert!(is.len() == goals.len() && is.len() >= 5, "{found}");
        assert!(is.iter().zip(&goals).all(|(a, b)| (a - b).abs() <= 3), "{found}");
    };
    let so101 = drive("so101");
    assert_eq!(
        (&so101["found"], &so101["model"]),
        (&serde_json::json!([1, 2, 3, 4, 5, 6]), &777.into())
    );
    near(&so101, "positions");
    assert_eq!((&so101["limit"], &so101["volts"]), (&100.into(), &5.0.into()));
    let dynamixel = drive("dynamixel");
    assert_eq!(dynamixel["found"], serde_json::json!([11, 12, 13, 14, 15]));
    near(&dynamixel, "positions");
    near(&dynamixel, "fast");
    assert_eq!(dynamixel["model"], 1020);
    // The SDK's own figures: communication well, error 7 (access); the register says -1.
    assert_eq!(dynamixel["refused"], serde_json::json!([0, 7]));
    assert_eq!(dynamixel["watchdog"], 255);
    assert_eq!(
        (&dynamixel["rebooted"], &dynamixel["torque"]),
        (&serde_json::json!([0, 0]), &0.into())
    );
}
