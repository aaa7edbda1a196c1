//! The stand-ins in virtual time, by their bytes alone.

use super::fault::{Fault, Kind};
use super::{Arm, Bus, Shown, value};
use longhand_bus::answer::{FastAnswer, Status};
use longhand_bus::model::{Model, STS3215, What, XM430_W350};
use longhand_bus::receive::Receiver;
use longhand_bus::request::Request;
use longhand_bus::{Id, Protocol, Span, Target};

/// A host on the bus, its clock, and what it heard last.
struct Host {
    bus: Bus,
    model: &'static Model,
    now: u64,
}

/// One answer: who, the error byte, the data.
type Heard = (u8, u8, Vec<u8>);

impl Host {
    fn new(arm: Arm, faults: &str) -> Self {
        let faults = faults.split(',').filter(|word| !word.is_empty());
        let faults: Vec<Fault> = faults.map(|word| word.parse().unwrap()).collect();
        let model = arm.servos().0;
        Self { bus: Bus::new(arm, 1_000_000, faults, 7), model, now: 0 }
    }

    /// Says a request and waits so long. Returns each answer, and when the last came.
    fn say_raw(&mut self, request: &Request<'_>, wait_us: u64) -> (Vec<u8>, u64) {
        self.bus.hear(self.now, request.encode(self.model.protocol).unwrap().as_slice());
        let (mut bytes, mut last, until) = (Vec::new(), self.now, self.now + wait_us);
        while self.now < until {
            let step = self.bus.due().unwrap_or(until).clamp(self.now + 1, self.now + 5_000);
            self.now = step.min(until);
            self.bus.advance(self.now);
            let said = self.bus.say(self.now);
            if !said.is_empty() {
                last = self.now;
            }
            bytes.extend(said);
        }
        (bytes, last)
    }

    fn say(&mut self, request: &Request<'_>, wait_us: u64) -> Vec<Heard> {
        let protocol = self.model.protocol;
        let mut receiver = Receiver::new(protocol);
        receiver.push(&self.say_raw(request, wait_us).0);
        let frames = std::iter::from_fn(|| receiver.next_frame());
        let statuses = frames.filter_map(|frame| {
            let status = Status::of(&frame, protocol)?;
            Some((status.id.get(), status.complaint.byte(), status.data.to_vec()))
        });
        statuses.collect()
    }

    fn write(&mut self, id: u8, what: What, number: i64) -> Vec<Heard> {
        let register = self.model.register(what).unwrap();
        let bytes = register.encode(number).unwrap();
        let data = &bytes[..usize::from(register.bytes)];
        let to = Target::One(Id::new(id).unwrap());
        self.say(&Request::Write(to, register.address, data), 3_000)
    }

    fn read(&mut self, id: u8, what: What) -> Option<i64> {
        let span = self.model.span(&[what]).unwrap();
        let heard = self.say(&Request::Read(Id::new(id).unwrap(), span), 3_000);
        self.model.value(what, span, &heard.first()?.2)
    }

    fn wait(&mut self, us: u64) {
        for _ in 0..us / 5_000 {
            self.now += 5_000;
            self.bus.advance(self.now);
        }
    }

    fn shown(&self, id: u8) -> Shown {
        self.bus.shown().find(|servo| servo.id == id).unwrap()
    }

    /// Torque on, and to this step.
    fn go(&mut self, id: u8, to: i64) {
        self.write(id, What::TorqueEnable, 1);
        self.write(id, What::GoalPosition, to);
    }
}

const BOTH: [(Arm, u8); 2] = [(Arm::So101, 2), (Arm::Dynamixel, 12)];

#[test]
fn a_servo_goes_where_it_is_told_with_inertia_and_within_its_limits() {
    for (arm, id) in BOTH {
        let mut host = Host::new(arm, "");
        if arm == Arm::Dynamixel {
            host.write(id, What::GoalPosition, 2500);
            host.wait(500_000);
            assert_eq!(host.shown(id).position, 2048, "no torque, no motion");
        }
        host.go(id, 2500);
        let early = host.shown(id).position;
        assert!(early < 2200, "a servo has inertia: {early}");
        host.wait(1_500_000);
        assert!((host.shown(id).position - 2500).abs() <= 3, "{:?}", host.shown(id));
        assert_eq!(host.read(id, What::PresentPosition), Some(host.shown(id).position));
        assert_eq!(host.read(id, What::Moving).unwrap_or(0), 0);
        host.write(
            id,
            What::ProfileVelocity,
            match arm {
                Arm::So101 => 200,
                Arm::Dynamixel => 13,
            },
        );
        host.write(id, What::GoalPosition, 3500);
        host.wait(1_000_000);
        // 200 steps a second: 200, and a little more or less.
        let gone = host.shown(id).position - 2500;
        assert!((150..=230).contains(&gone), "{gone}");
    }
}

#[test]
fn a_goal_switches_a_feetech_motor_on() {
    let mut host = Host::new(Arm::So101, "");
    host.write(2, What::TorqueLimit, 500);
    assert!(!host.shown(2).torque);
    host.write(2, What::GoalPosition, 2500);
    assert!(host.shown(2).torque && !host.shown(3).torque);
}

#[test]
fn a_goal_beyond_the_limits_is_refused_or_cut() {
    let mut host = Host::new(Arm::Dynamixel, "");
    host.write(12, What::MaxPosition, 3000);
    host.go(12, 2100);
    assert_eq!(host.write(12, What::GoalPosition, 3001), [(12, 6, vec![])]);
    assert_eq!(host.write(12, What::GoalPosition, 3000), [(12, 0, vec![])]);
    // What is kept is not written while the torque is on, what is measured never.
    assert_eq!(host.write(12, What::MaxPosition, 4000), [(12, 7, vec![])]);
    assert_eq!(host.write(12, What::PresentPosition, 1), [(12, 7, vec![])]);
    assert_eq!(value(&host.bus, 12, What::MaxPosition), 3000);
    let mut host = Host::new(Arm::So101, "");
    host.write(2, What::MaxPosition, 2200);
    host.go(2, 4000);
    host.wait(1_500_000);
    assert!((host.shown(2).position - 2200).abs() <= 3);
}

#[test]
fn the_bus_watchdog_stops_a_servo_that_hears_nothing() {
    let mut host = Host::new(Arm::Dynamixel, "");
    host.write(11, What::BusWatchdog, 5);
    host.write(11, What::ProfileVelocity, 20);
    host.go(11, 4000);
    // 5 units of 20 ms: a tick before nothing, a tick after the end.
    host.wait(90_000);
    assert_eq!(value(&host.bus, 11, What::BusWatchdog), 5);
    host.wait(20_000);
    assert_eq!(value(&host.bus, 11, What::BusWatchdog), -1);
    let stood = host.shown(11).position;
    host.wait(1_000_000);
    assert!((host.shown(11).position - stood).abs() < 20, "it stands");
    assert_eq!(host.write(11, What::GoalPosition, 2048), [(11, 7, vec![])]);
    host.write(11, What::BusWatchdog, 0);
    assert_eq!(host.write(11, What::GoalPosition, 2048), [(11, 0, vec![])]);
    // Others' requests count as heard: it is the bus that must not be silent.
    host.write(11, What::BusWatchdog, 5);
    for _ in 0..10 {
        host.wait(50_000);
        host.read(15, What::PresentPosition);
    }
    assert_eq!(value(&host.bus, 11, What::BusWatchdog), 5);
}

#[test]
fn a_stuck_servo_is_overloaded_and_shuts_down_and_a_reboot_ends_it() {
    let mut host = Host::new(Arm::Dynamixel, "stuck:12@0-4");
    host.go(12, 3000);
    host.wait(1_500_000);
    assert_eq!((host.shown(12).position, host.shown(12).error), (2048, 0));
    host.wait(1_000_000);
    assert_eq!((host.shown(12).error, host.shown(12).torque), (0x20, false));
    // The alert bit is in every answer, and the torque stays off.
    assert_eq!(host.write(12, What::TorqueEnable, 1), [(12, 0x87, vec![])]);
    host.wait(2_000_000);
    let twelve = Target::One(Id::new(12).unwrap());
    assert_eq!(host.say(&Request::Reboot(twelve), 3_000), [(12, 0, vec![])]);
    host.go(12, 3000);
    host.wait(2_000_000);
    assert!((host.shown(12).position - 3000).abs() <= 3);
    assert!(host.bus.counts().fired(Kind::Stuck) > 0);
}

#[test]
fn a_hot_servo_and_a_brown_out_end_the_torque() {
    for (arm, id) in BOTH {
        let mut host = Host::new(arm, &format!("hot:{id},brownout:{}@2-2.5", id + 1));
        host.go(id, 2048);
        host.go(id + 1, 2048);
        host.wait(1_900_000);
        assert!(host.shown(id).torque && host.shown(id + 1).torque);
        host.wait(1_000_000);
        assert!(!host.shown(id + 1).torque && host.shown(id + 1).error & 1 != 0);
        host.wait(3_000_000);
        assert!(!host.shown(id).torque && host.shown(id).error & 4 != 0, "{:?}", host.shown(id));
    }
}

#[test]
fn feetech_keeps_only_what_is_written_while_unlocked() {
    let mut host = Host::new(Arm::So101, "brownout:3@1-2");
    host.write(3, What::MaxPosition, 3000);
    host.wait(1_500_000);
    assert_eq!(value(&host.bus, 3, What::MaxPosition), 4095);
    let mut host = Host::new(Arm::So101, "brownout:3@1-2");
    host.write(3, What::Lock, 0);
    host.write(3, What::MaxPosition, 3000);
    host.wait(1_500_000);
    assert_eq!(value(&host.bus, 3, What::MaxPosition), 3000);
}

/// Six answers of eight bytes behind fourteen: 620 us on the wire, as `longhand_bus::budget` says.
#[test]
fn what_is_said_takes_its_time_on_the_wire() {
    let ids = [1, 2, 3, 4, 5, 6];
    let read = Request::SyncRead(STS3215.span(&[What::PresentPosition]).unwrap(), &ids);
    let mut host = Host::new(Arm::So101, "");
    let (bytes, last) = host.say_raw(&read, 3_000);
    assert_eq!((bytes.len(), last), (48, 620));
    let load = longhand_bus::budget::Load::of(&read, Protocol::Feetech).unwrap();
    assert_eq!(last, load.wire_us(1_000_000, 0));
    // An X servo waits 500 us before it answers, as it comes from the factory; in one frame once.
    let ids = [11, 12, 13, 14, 15];
    let span = XM430_W350.span(&[What::PresentPosition]).unwrap();
    for (read, answers) in
        [(Request::SyncRead(span, &ids), 5), (Request::FastSyncRead(span, &ids), 1)]
    {
        let mut host = Host::new(Arm::Dynamixel, "");
        let load = longhand_bus::budget::Load::of(&read, Protocol::Dynamixel).unwrap();
        let (bytes, last) = host.say_raw(&read, 9_000);
        assert_eq!((bytes.len(), load.answers), (load.answered, answers));
        assert_eq!(last, load.wire_us(1_000_000, 500));
    }
}

#[test]
fn a_fast_answer_ends_where_a_servo_is_missing() {
    let span = XM430_W350.span(&[What::PresentPosition]).unwrap();
    let mut host = Host::new(Arm::Dynamixel, "wrong-id:13");
    let ids = [11, 12, 13, 14, 15];
    let (bytes, _) = host.say_raw(&Request::FastSyncRead(span, &ids), 9_000);
    assert_eq!(bytes.len(), 8 + 2 * 8);
    let mut receiver = Receiver::new(Protocol::Dynamixel);
    receiver.push(&bytes);
    assert_eq!(receiver.next_frame(), None);
    // The stranger has another number.
    assert!(host.bus.shown().any(|servo| servo.id == 113));
    let (bytes, _) = host.say_raw(&Request::FastSyncRead(span, &[14, 15]), 9_000);
    receiver = Receiver::new(Protocol::Dynamixel);
    receiver.push(&bytes);
    let frame = receiver.next_frame().unwrap();
    assert_eq!(FastAnswer::parts(&frame, 4).count(), 2);
}

#[test]
fn each_fault_of_the_wire_changes_what_the_host_hears() {
    let span = Span { address: 56, bytes: 9 };
    let read = Request::Read(Id::new(1).unwrap(), span);
    let whole = Host::new(Arm::So101, "").say_raw(&read, 3_000);
    let with = |fault: &str| {
        let mut host = Host::new(Arm::So101, fault);
        let heard = host.say_raw(&read, 9_000);
        let kind = fault.split('=').next().unwrap();
        let kind = Kind::ALL.into_iter().find(|known| known.word() == kind).unwrap();
        assert_eq!(host.bus.counts().fired(kind), 1, "{fault}");
        heard
    };
    assert!(with("silent").0.is_empty());
    assert_eq!(with("half=1").0, whole.0[..whole.0.len() / 2]);
    let echo = read.encode(Protocol::Feetech).unwrap();
    assert_eq!(with("echo").0, [echo.as_slice(), &whole.0].concat());
    let turned = with("corrupt=1").0;
    let bits: u32 = turned.iter().zip(&whole.0).map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!((bits, turned.len()), (1, whole.0.len()));
    assert!(with("noise=1").0.ends_with(&whole.0) && with("noise=1").0.len() > whole.0.len());
    assert_eq!(with("slow"), (whole.0.clone(), whole.1 + 5_000));
}

#[test]
fn same_seed_same_bytes() {
    let run = || {
        let mut host = Host::new(Arm::Dynamixel, "corrupt=0.3,half=0.2,noise=0.2");
        host.go(11, 3000);
        let span = Span { address: 126, bytes: 10 };
        let ids = [11, 12, 13, 14, 15];
        (0..50).flat_map(|_| host.say_raw(&Request::SyncRead(span, &ids), 9_000).0).collect()
    };
    let (one, two): (Vec<u8>, Vec<u8>) = (run(), run());
    assert!(one.len() > 1_000);
    assert_eq!(one, two);
}
