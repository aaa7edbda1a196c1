//! Attacks on what is said: repeated, forged, damaged, misaddressed.
//!
//! Knows: how to lie to the robot. Does not know: how the robot finds out. Each attack checks the
//! invariants of every tick and the row's own outcome; offsets of bytes are WIRE.md's.

use super::hands_on::{
    AtHand, Behind, Beside, Change, Fate, OnPath, get_f32, put_f32, resealed, sealed,
};
use super::trial::{ACCEPTED, ANY, Dice, HANDS, MOVING, Plan, QUIET, Record, Trial};
use crate::attack::Tried;
use crate::scenario::ScenarioError;
use crate::world::World;
use crate::world::carrier::{Road, flip};
use crate::world::watch::Meddler;
use longhand_follower::supervisor::Request;
use longhand_leader::hand::HandSample;
use longhand_link::Direction;
use longhand_protocol::message::{
    Command, Frame, PROTOCOL_VERSION, ProfileHash, Reason, RobotId, SessionKey, Stage,
};
use longhand_protocol::session::{DISAGREEMENT_MAX, Reject};
use longhand_protocol::units::{Micros, Seq, TICK};
use longhand_protocol::wire;
use std::rc::Rc;

/// Runs a trial, and the same one left alone.
fn with_and_without<M: Meddler + 'static>(
    plan: &Plan,
    ms: u64,
    before: impl Fn(&mut Trial),
    attack: impl FnOnce(&Trial) -> M,
) -> Result<(Record, Record), ScenarioError> {
    let mut alone = Trial::begin(plan)?;
    before(&mut alone);
    alone.run(ms);
    let mut trial = Trial::begin(plan)?;
    before(&mut trial);
    let meddler = attack(&trial);
    trial.meddle(meddler);
    trial.run(ms);
    Ok((trial.end(), alone.end()))
}

/// A05: byte-exact replay on the same connection, in a new session, over the other link, next day.
pub fn replay(seed: u64) -> Tried {
    let mut plan = Plan::drawn(seed, &ANY, &HANDS);
    let mut dice = Dice::new(seed, 5);
    let variant = seed % 4;
    if variant == 2 {
        plan.paths = 2;
    }
    // Yesterday's datagrams, or those of the session before.
    let mut old: Vec<Vec<u8>> = Vec::new();
    if variant == 3 {
        let yesterday = Plan { seed: seed ^ 0x00da_7e00_0000, ..plan };
        old = recorded(&yesterday, 300)?;
    }
    let lead_in = |trial: &mut Trial| {
        if variant == 1 {
            let now = trial.now();
            trial.world().robot().regrant(now);
        }
    };
    if variant == 1 {
        // What the first session said, up to the very moment of the grant.
        let recorder = Rc::new(std::cell::RefCell::new(Vec::new()));
        let mut trial = Trial::begin(&plan)?;
        let keep = Rc::clone(&recorder);
        trial.meddle(Change::new(trial.witness(), move |_, bytes: &mut Vec<u8>| {
            keep.borrow_mut().push(bytes.clone());
            false
        }));
        trial.run(300);
        old.clone_from(&recorder.borrow());
    }
    let (record, alone) = with_and_without(&plan, 2_500, lead_in, |trial| {
        Beside::new(trial.witness(), move |heard| {
            let from = if old.is_empty() { heard.all } else { &old };
            let many = dice.below(4);
            (0..many).filter_map(|_| from.get(dice.index(from.len())).cloned()).collect()
        })
    })?;
    Ok(record.in_vain(&alone))
}

/// What a robot was handed in `ms` of another world.
fn recorded(plan: &Plan, ms: u64) -> Result<Vec<Vec<u8>>, ScenarioError> {
    let book = Rc::new(std::cell::RefCell::new(Vec::new()));
    let mut trial = Trial::begin(plan)?;
    let keep = Rc::clone(&book);
    trial.meddle(Change::new(trial.witness(), move |_, bytes: &mut Vec<u8>| {
        keep.borrow_mut().push(bytes.clone());
        false
    }));
    trial.run(ms);
    Ok(book.take())
}

/// A06: reordering by 1 to 500 ms on the path.
pub fn reorder(seed: u64) -> Tried {
    let plan = Plan::drawn(seed, &ANY, &["peg-transfer"]);
    let mut dice = Dice::new(seed, 6);
    let (share, most) = (dice.between(0.05, 0.6), dice.between(1.0, 500.0));
    let mut trial = Trial::begin(&plan)?;
    let until = trial.now().saturating_add(Micros::from_millis(2_500));
    trial.meddle(OnPath::new(move |at, to| {
        if at < until && to == Direction::Up && dice.chance(share) {
            return Fate::Later(Micros::from_secs_f64(dice.between(1.0, most.max(1.5)) * 1e-3));
        }
        Fate::Pass
    }));
    trial.run(2_500);
    let off = trial.off_goal_at_rest();
    let record = trial.end();
    let mut finding = record.finding();
    Record::at_goal(off, &mut finding);
    let pairs = record.moments.iter().zip(record.moments.iter().skip(1));
    let older = pairs.filter(|(a, b)| a.epoch == b.epoch && b.number < a.number && b.number > 0);
    let older = u64::try_from(older.count()).unwrap_or(u64::MAX);
    finding.must(older == 0, || format!("{older} times an older command came into use"));
    // I05 is in the checker; this is the figure beside it.
    finding.figure("fastest_mm_s", record.fastest() * 1e3);
    record.at_most(Stage::Latched, &mut finding);
    Ok(finding)
}

/// A09: bits flipped behind the cipher, in one message of a thousand up to every one.
pub fn bit_flips(seed: u64) -> Tried {
    let plan = Plan::drawn(seed, &QUIET, &MOVING);
    let mut dice = Dice::new(seed, 9);
    let share = libm::pow(10.0, dice.between(-3.0, 0.0));
    let mut trial = Trial::begin(&plan)?;
    trial.meddle(Change::new(trial.witness(), move |_, bytes: &mut Vec<u8>| {
        let hit = dice.chance(share);
        if hit {
            let bits = u64::try_from(bytes.len()).unwrap_or(1).saturating_mul(8);
            flip(bytes, dice.below(bits));
        }
        hit
    }));
    trial.run(2_500);
    let record = trial.end();
    let mut finding = record.finding();
    let corrupt = record.forged("Corrupt");
    if record.forged_total() > 0 {
        record.all_refused(&mut finding);
    }
    let latched = record.first(Stage::Latched).is_some();
    finding.must(corrupt < 2 || latched, || format!("{corrupt} corrupted and it never latched"));
    record.at_most(Stage::Latched, &mut finding);
    Ok(finding)
}

/// A10: the number runs ahead: by 2^40 at once, or by up to 1000 once a second.
pub fn lead(seed: u64) -> Tried {
    let plan = Plan::drawn(seed, &QUIET, &["peg-transfer"]);
    let mut dice = Dice::new(seed, 10);
    let far = seed.is_multiple_of(2);
    let ahead = if far { 1 << 40 } else { dice.below(999).saturating_add(2) };
    let step = [dice.between(-0.02, 0.02), dice.between(-0.02, 0.02)];
    let mut trial = Trial::begin(&plan)?;
    let began = trial.now();
    let mut next = trial.now();
    trial.meddle(Beside::new(trial.witness(), move |heard| {
        let over = heard.at.saturating_sub(began) >= Micros::from_millis(2_500);
        if heard.at < next || over {
            return Vec::new();
        }
        next = heard.at.saturating_add(Micros::from_secs(1));
        vec![sealed(&led(heard.newest, ahead, far, step))]
    }));
    trial.run(3_000);
    let back = trial.run_until_follows(10_000);
    let off = trial.off_goal_at_rest();
    let record = trial.end();
    let mut finding = record.finding();
    Record::at_goal(off, &mut finding);
    finding.must(record.forged_total() > 0, || "nothing forged was judged".to_owned());
    record.at_most(Stage::Latched, &mut finding);
    let latched = record.first(Stage::Latched).copied();
    let reason = latched.map_or(Reason::None, |moment| moment.reason);
    finding.must(latched.is_some(), || "it never latched".to_owned());
    // A small lead is believed until the true console comes to the same number: for as long as the
    // lead itself, never for longer than numbers and clocks may disagree.
    let mute = latched.map_or(Micros::MAX, |moment| moment.at.saturating_sub(began));
    let bound = if far { TICK.saturating_mul(4) } else { DISAGREEMENT_MAX };
    finding.must(mute <= bound, || format!("{mute} to Latched, {bound} at most"));
    if far {
        let refused = record.forged(Reject::Implausible.name());
        finding.must(refused == record.forged_total(), || "a jump was believed".to_owned());
        finding.must(record.genuine_refused.is_empty(), || {
            format!("the true console was refused: {:?}", record.genuine_refused)
        });
        finding.must(reason == Reason::Integrity, || format!("latched for {}", reason.name()));
    }
    finding.must(back, || "the true console never came back".to_owned());
    finding.figure("latched_after_ms", mute.as_millis_f64());
    Ok(finding)
}

/// A command `ahead` numbers on. A small lead tells one story with its hand time; a goal that lies
/// beside the true one makes it worth an attacker's while.
fn led(newest: &Command, ahead: u64, far: bool, step: [f64; 2]) -> Command {
    let mut forged = *newest;
    forged.number = Seq::new(newest.number.get().saturating_add(ahead));
    let lead = if far { TICK } else { TICK.saturating_mul(ahead) };
    forged.intent.hand_time = newest.intent.hand_time.after(lead);
    let arm = &mut forged.intent.arms.psm1;
    let [x, y] = step;
    let place = arm.servo_cp.position() + nalgebra::Vector3::new(x, y, 0.0);
    arm.servo_cp = longhand_protocol::geometry::Pose::new(place, arm.servo_cp.rotation());
    forged
}

/// A11: the number goes back by more than a thousand.
pub fn reset(seed: u64) -> Tried {
    let plan = Plan::drawn(seed, &ANY, &HANDS);
    let mut dice = Dice::new(seed, 11);
    let (record, alone) = with_and_without(
        &plan,
        1_500,
        |_| {},
        |trial| {
            Beside::new(trial.witness(), move |heard| {
                let back = dice.below(4_000).saturating_add(1_100);
                let number = match heard.newest.number.get().saturating_sub(back) {
                    0 if dice.chance(0.5) => 0,
                    number => number.max(1),
                };
                if heard.newest.number.get().saturating_sub(number) < 1_100 {
                    return Vec::new();
                }
                let mut forged = led(heard.newest, 0, false, [0.02, 0.0]);
                forged.number = Seq::new(number);
                if dice.chance(0.5) {
                    let ago = TICK.saturating_mul(back);
                    forged.intent.hand_time = heard.newest.intent.hand_time.before(ago);
                }
                vec![sealed(&forged)]
            })
        },
    )?;
    Ok(record.in_vain(&alone))
}

/// A12, as far as the lease goes: a second claimant while the holder speaks, or has fallen silent;
/// or one who is granted the robot while it stands latched, and whose pedal is down from the first
/// word on.
pub fn second_claimant(seed: u64) -> Tried {
    if seed % 2 == 1 {
        return successor(seed);
    }
    // The answers share the link: only where nothing is lost or queued is the rest the same.
    let plan = Plan::drawn(seed, &["ideal"], &HANDS);
    let mut dice = Dice::new(seed, 12);
    let mut claims = 0_u64;
    // Long enough to latch, and shorter than the lease.
    let silent = Micros::from_millis(dice.below(900).saturating_add(300));
    let (record, alone) = with_and_without(
        &plan,
        1_500,
        |trial| {
            if seed.is_multiple_of(4) {
                let until = trial.now().saturating_add(silent);
                trial.world().console().stall(until);
            }
        },
        |_trial| {
            Behind(move |_, world: &mut World| {
                claims = claims.saturating_add(1);
                let robot = world.key().robot;
                let (version, half) = (PROTOCOL_VERSION, dice.bits());
                let hello = Frame::Hello { version, robot, half, resume: 0 };
                let mut body = [0; wire::FRAME_MAX];
                let len = wire::encode_frame(&hello, &mut body);
                let bytes = body.get(..len).unwrap_or_default().to_vec();
                world.inject(Direction::Up, Road::Frame, bytes);
            })
        },
    )?;
    let mut finding = record.finding();
    let epochs = |record: &Record| record.moments.iter().map(|m| m.epoch).max();
    finding.must(epochs(&record) == epochs(&alone), || "a claimant was granted".to_owned());
    record.same_as(&alone, &mut finding);
    Ok(finding)
}

fn successor(seed: u64) -> Tried {
    let plan = Plan::drawn(seed, &QUIET, &MOVING);
    let mut dice = Dice::new(seed, 12);
    let mut trial = Trial::begin(&plan)?;
    // The holder lets go: latched, and the pedal was seen up.
    let up_for = dice.below(600).saturating_add(150);
    let granted = trial.now().saturating_add(Micros::from_millis(up_for));
    trial.meddle(AtHand(move |at, sample: &mut HandSample| {
        sample.operator_present = at >= granted;
    }));
    trial.meddle(Behind(move |at, world: &mut World| {
        if at == granted {
            world.robot().regrant(at);
        }
    }));
    trial.run(up_for.saturating_add(3_000));
    let record = trial.end();
    let mut finding = record.finding();
    let after = record.moments.iter().filter(|moment| moment.at > granted);
    let moved = after.clone().find(|moment| moment.stage < Stage::Latched);
    finding.must(moved.is_none(), || {
        "a new session engaged with a pedal that it never said was up".to_owned()
    });
    Ok(finding)
}

/// A13: commands queued before a hand-over arrive after it.
pub fn queued(seed: u64) -> Tried {
    let plan = Plan::drawn(seed, &QUIET, &MOVING);
    let mut trial = Trial::begin(&plan)?;
    let witness = trial.witness();
    let key = trial.world().key();
    let began = trial.now();
    let hand_over = began.saturating_add(Micros::from_millis(3_600));
    let resumes = began.saturating_add(Micros::from_millis(4_200));
    let queue = Rc::new(std::cell::RefCell::new(Vec::<Vec<u8>>::new()));
    let (waiting, said) = (Rc::clone(&queue), Rc::clone(&witness));
    // Stopped: what it says stays in its queue, until it is let go on.
    trial.meddle(Stopped { queue: waiting, until: hand_over });
    trial.meddle(Behind(move |at, world: &mut World| {
        if at == hand_over {
            world.robot().ask(Request::HandOver);
        }
        if at == resumes {
            for bytes in queue.borrow_mut().drain(..) {
                let is_old = wire::decode_command(&bytes).is_ok_and(|c| c.key == key);
                if is_old {
                    super::trial::say(&said, world, bytes);
                }
            }
        }
    }));
    trial.run(5_000);
    let record = trial.end();
    let mut finding = record.finding();
    record.all_refused(&mut finding);
    let fenced = record.forged(Reject::WrongSession.name());
    let fenced = fenced.saturating_add(record.forged(Reject::StaleEpoch.name()));
    finding.must(fenced == record.forged_total(), || format!("refused for {:?}", record.forged));
    let epochs = record.moments.iter().map(|moment| moment.epoch);
    finding.must(epochs.max() > Some(key.epoch.get()), || "no hand-over took place".to_owned());
    Ok(finding)
}

/// A console that is stopped: nothing of it leaves before `until`.
struct Stopped {
    queue: Rc<std::cell::RefCell<Vec<Vec<u8>>>>,
    until: Micros,
}

impl Meddler for Stopped {
    fn sent(&mut self, at: Micros, to: Direction, road: Road, bytes: &mut Vec<u8>) -> bool {
        let stopped = at < self.until && (to, road) == (Direction::Up, Road::Datagram);
        if stopped {
            self.queue.borrow_mut().push(bytes.clone());
        }
        !stopped
    }
}

/// A15: a command for another robot, under its own checksum; and both arms' blocks exchanged.
pub fn misaddressed(seed: u64) -> Tried {
    // Hands that do not do the same: exchanged blocks are then other bytes.
    let plan = Plan::drawn(seed, &ANY, &["peg-transfer"]);
    let mut dice = Dice::new(seed, 15);
    let mut swapped = false;
    let (record, alone) = with_and_without(
        &plan,
        1_500,
        |_| {},
        |trial| {
            Beside::new(trial.witness(), move |heard| {
                let mut other = *heard.newest;
                other.number = heard.newest.number.next();
                other.intent.hand_time = heard.newest.intent.hand_time.after(TICK);
                other.key.robot = RobotId::new(dice.below(1_000).saturating_add(2));
                let mut said = vec![sealed(&other)];
                let exchanged = arms_exchanged(&sealed(heard.newest));
                if !swapped && exchanged != sealed(heard.newest) {
                    // Once: a second corrupted message would latch, which is A09's.
                    swapped = true;
                    said.push(exchanged);
                }
                said
            })
        },
    )?;
    let mut finding = record.finding();
    record.all_refused(&mut finding);
    finding.must(record.forged("Corrupt") == 1, || "exchanged arms were not noticed".to_owned());
    record.same_as(&alone, &mut finding);
    Ok(finding)
}

/// The blocks of both arms exchanged, and no checksum made for it.
fn arms_exchanged(bytes: &[u8]) -> Vec<u8> {
    let (one, two) = (bytes.get(76..132), bytes.get(132..188));
    let mut out = bytes.to_vec();
    if let (Some(one), Some(two), Some(both)) = (one, two, out.get_mut(76..188)) {
        let (first, second) = both.split_at_mut(56);
        first.copy_from_slice(two);
        second.copy_from_slice(one);
    }
    out
}

/// Offsets of all 28 numbers of a command, by WIRE.md section 4.
const FLOATS: [usize; 2] = [76, 132];

/// A19: numbers that are none, or mean nothing; and others that mean the same as before.
pub fn strange_numbers(seed: u64) -> Tried {
    if seed.is_multiple_of(2) { refused_numbers(seed) } else { harmless_numbers(seed) }
}

fn refused_numbers(seed: u64) -> Tried {
    let plan = Plan::drawn(seed, &ANY, &HANDS);
    let mut dice = Dice::new(seed, 19);
    let (record, alone) = with_and_without(
        &plan,
        1_500,
        |_| {},
        |trial| {
            Beside::new(trial.witness(), move |heard| {
                let mut next = *heard.newest;
                next.number = heard.newest.number.next();
                next.intent.hand_time = heard.newest.intent.hand_time.after(TICK);
                let base = FLOATS.get(dice.index(2)).copied().unwrap_or(76);
                let which = base.saturating_add(dice.index(14).saturating_mul(4));
                let rotation = base.saturating_add(12);
                let kind = dice.below(5);
                vec![resealed(&sealed(&next), |body| match kind {
                    0 => put_f32(body, which, f32::NAN),
                    1 => put_f32(body, which, f32::INFINITY),
                    2 => put_f32(body, which, f32::NEG_INFINITY),
                    // Norm 2, norm 0: no rotation.
                    3 => scale_quaternion(body, rotation, 2.0),
                    _ => scale_quaternion(body, rotation, 0.0),
                })]
            })
        },
    )?;
    Ok(record.in_vain(&alone))
}

fn scale_quaternion(body: &mut [u8], offset: usize, by: f32) {
    for place in (offset..).step_by(4).take(4) {
        let value = get_f32(body, place) * by;
        put_f32(body, place, value);
    }
}

fn harmless_numbers(seed: u64) -> Tried {
    let plan = Plan::drawn(seed, &QUIET, &HANDS);
    let mut dice = Dice::new(seed, 19);
    let (record, alone) = with_and_without(
        &plan,
        1_500,
        |_| {},
        |trial| {
            Change::new(trial.witness(), move |_, bytes: &mut Vec<u8>| {
                *bytes = resealed(bytes, |body| {
                    for base in FLOATS {
                        if dice.chance(0.5) {
                            scale_quaternion(body, base.saturating_add(12), -1.0);
                        }
                        // Zeros become the smallest number there is: a denormal.
                        for place in (base..).step_by(4).take(14) {
                            if get_f32(body, place).to_bits() == 0 {
                                put_f32(body, place, f32::from_bits(1));
                            }
                        }
                    }
                });
                true
            })
        },
    )?;
    let mut finding = record.finding();
    finding.must(record.forged(ACCEPTED) > 0, || "the same said otherwise was refused".to_owned());
    let pairs = record.moments.iter().zip(&alone.moments);
    let apart = pairs.map(|(a, b)| a.apart(b)).fold(0.0, f64::max);
    // A rounding in the last place of a double, through 1500 ticks of shaping. Chosen.
    finding.must(apart <= 1e-9, || format!("the tip went {:e} m another way", apart));
    finding.figure("apart_nm", apart * 1e9);
    Ok(finding)
}

/// A25: the line is dead, and a relay goes on with the last command under fresh numbers: with the
/// old hand time, or with a hand time that it made up.
pub fn restamped(seed: u64) -> Tried {
    let plan = Plan::drawn(seed, &QUIET, &MOVING);
    let invents = seed % 2 == 1;
    let ms = 950;
    // A few more come through, so that there is a last one to say again.
    let dead = |from: Micros| {
        OnPath::new(
            move |at, to| {
                if to == Direction::Up && at >= from { Fate::Drop } else { Fate::Pass }
            },
        )
    };
    let first = Micros::from_millis(20);
    let mut alone = Trial::begin(&plan)?;
    alone.meddle(dead(alone.now().saturating_add(first)));
    alone.run(ms);
    let alone = alone.end();
    let mut trial = Trial::begin(&plan)?;
    let began = trial.now().saturating_add(first);
    trial.meddle(dead(began));
    let mut last: Option<Command> = None;
    trial.meddle(Beside::new(trial.witness(), move |heard| {
        // What was under way still comes; after that it speaks.
        if heard.at.saturating_sub(began) < Micros::from_millis(60) {
            return Vec::new();
        }
        let mut forged = last.unwrap_or(*heard.newest);
        forged.number = forged.number.next();
        if invents {
            forged.intent.hand_time = forged.intent.hand_time.after(TICK);
        }
        last = Some(forged);
        vec![sealed(&forged)]
    }));
    trial.run(ms);
    let record = trial.end();
    if !invents {
        return Ok(record.in_vain(&alone));
    }
    let mut finding = record.finding();
    // The view that it vouches for grows old: the echo rule ends it, whatever else it says.
    let limit = plan.profile().stages.loop_age_max;
    let latched = record.first(Stage::Latched).copied();
    let after = latched.map_or(Micros::MAX, |moment| moment.at.saturating_sub(began));
    let bound = limit.saturating_add(TICK.saturating_mul(2));
    finding.must(after <= bound, || format!("{after} until it latched, {bound} at most"));
    record.at_most(Stage::Latched, &mut finding);
    finding.figure("latched_after_ms", after.as_millis_f64());
    Ok(finding)
}

/// A33: a console that holds other limits.
pub fn other_profile(seed: u64) -> Tried {
    let plan = Plan::drawn(seed, &QUIET, &HANDS);
    let mut dice = Dice::new(seed, 33);
    let (record, alone) = with_and_without(
        &plan,
        1_500,
        |_| {},
        |trial| {
            Beside::new(trial.witness(), move |heard| {
                let mut forged = led(heard.newest, 1, false, [0.0; 2]);
                let profile = ProfileHash::new(forged.key.profile.get() ^ dice.bits().max(1));
                forged.key = SessionKey { profile, ..forged.key };
                vec![sealed(&forged)]
            })
        },
    )?;
    Ok(record.in_vain(&alone))
}

/// A21: every way in which somebody from afar can make the robot stop.
pub fn stops(seed: u64) -> Tried {
    const WAYS: u64 = 8;
    let plan = Plan::drawn(seed, &QUIET, &["peg-transfer"]);
    let way = seed % WAYS;
    let mut trial = Trial::begin(&plan)?;
    let (began, witness) = (trial.now(), trial.witness());
    if way == 0 {
        trial.world().robot().ask(Request::ConsolePause);
        trial.run(100);
        trial.world().robot().ask(Request::ConsoleResume);
    } else if way == 1 {
        let quiet_until = began.saturating_add(Micros::from_millis(600));
        trial.meddle(OnPath::new(
            move |at, _| {
                if at < quiet_until { Fate::Drop } else { Fate::Pass }
            },
        ));
    } else {
        let mut said = 0_u32;
        trial.meddle(Beside::new(witness, move |heard| {
            said = said.saturating_add(1);
            // One packet; corruption latches with the second.
            if said > if way == 2 { 2 } else { 1 } {
                Vec::new()
            } else {
                one_stop(way, heard.newest)
            }
        }));
    }
    trial.run(1_000);
    let back = trial.run_until_follows(10_000);
    let off = trial.off_goal_at_rest();
    let record = trial.end();
    let mut finding = record.finding();
    Record::at_goal(off, &mut finding);
    record.at_most(Stage::Latched, &mut finding);
    let stopped = record.first(Stage::Hold).is_some();
    finding.must(stopped || way >= 6, || format!("way {way} stopped nothing"));
    finding.must(back, || "it did not come back by one acknowledgement".to_owned());
    Ok(finding)
}

/// One packet that stops the robot, or that might.
fn one_stop(way: u64, newest: &Command) -> Vec<Vec<u8>> {
    let mut forged = led(newest, 1, false, [0.0; 2]);
    match way {
        2 => {
            let mut bytes = sealed(&forged);
            flip(&mut bytes, 900);
            return vec![bytes];
        }
        3 => forged.number = Seq::new(forged.number.get().saturating_add(1 << 30)),
        4 => {
            let far = Micros::from_secs(3_600);
            forged.intent.echo_robot_time = forged.intent.echo_robot_time.after(far);
        }
        // The pedal up, as the true console would say it, just before it speaks itself.
        5 => forged.intent.levels.operator_present = false,
        6 => forged.key.epoch = forged.key.epoch.next(),
        _ => forged.key.profile = ProfileHash::new(1),
    }
    vec![sealed(&forged)]
}
