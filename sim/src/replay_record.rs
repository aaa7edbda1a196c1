//! `longhand-sim replay FILE.mcap`: the shipped follower again, on what a robot has recorded.
//!
//! Knows: a record's ticks, and the follower. Does not know: why a tick was as it was; it must only
//! be the same again, to the last bit of every number.
//!
//! A record holds the follower's whole input from its first tick on. Where ticks are missing, what
//! the follower knew afterwards is unknown, and the replay ends there and says so.

use longhand_follower::Follower;
use longhand_follower::playout::Inbound;
use longhand_protocol::units::Instant;
use longhand_protocol::wire;
use longhand_quic::trust::{Believed, TrustError};
use longhand_record::command::{RecordError, judge_file};
use longhand_record::schema::{Start, longs_of_cdr};
use longhand_record::seal::{Belief, Chain, Verdict};
use longhand_robot_agent::profile_file::{NamedProfile, ProfileFileError};
use longhand_robot_agent::record::Message;
use longhand_robot_agent::record::schema::{Topic, command_of_cdr, tick_of_cdr};
use longhand_robot_agent::record::tick::{FIELDS, Given, TickWords, pack};
use std::io;
use std::path::{Path, PathBuf};

/// A record could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayRecordError {
    /// A file cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The hospital's certificates cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The limits in the record are none that this release runs.
    #[error(transparent)]
    Profile(#[from] ProfileFileError),
    /// The files are not one record from its beginning.
    #[error("{path} cannot be replayed: {why}")]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is not so.
        why: &'static str,
    },
    /// The record is not as the robot wrote it.
    #[error("{path} is not as the robot wrote it: record {record}: {flaw}")]
    Bad {
        /// The file.
        path: PathBuf,
        /// The first message that is not as it was.
        record: u64,
        /// What is wrong.
        flaw: String,
    },
}

/// What came of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Ticks that came out the same.
    pub ticks: u64,
    /// Commands that went in.
    pub commands: u64,
    /// The first tick that did not.
    pub differs: Option<Differs>,
    /// Where ticks are missing, the first of them: nothing behind it can be replayed.
    pub gap: Option<u64>,
    /// The record was cut; what there is was replayed.
    pub is_cut: bool,
}

/// A tick that came out differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// Which tick.
    pub tick: u64,
    /// The first field that differs.
    pub field: &'static str,
    /// As it was recorded, as a word.
    pub recorded: u64,
    /// As it is now.
    pub replayed: u64,
}

/// Whether somebody means a record.
pub fn is_record(what: &str) -> bool {
    Path::new(what).extension().is_some_and(|kind| kind == "mcap")
}

/// Runs the follower again over the parts of one record, in order.
///
/// Errors: [`ReplayRecordError`].
pub fn replay(parts: &[PathBuf], trust: Option<&Path>) -> Result<Replayed, ReplayRecordError> {
    let belief = match trust {
        Some(folder) => Belief::Hospital(Box::new(Believed::load(folder)?)),
        None => Belief::Itself,
    };
    let mut player = Player::default();
    for path in parts {
        let mut unfit = None;
        let judged = judge_file(path, belief.clone(), |start, block| {
            if player.differs.is_none() && player.gap.is_none() && unfit.is_none() {
                unfit = player.block(start, block).err();
            }
            Ok::<(), io::Error>(())
        })?;
        match unfit {
            Some(Unfit::Profile(error)) => return Err(error.into()),
            Some(Unfit::Words(why)) => {
                return Err(ReplayRecordError::Unfit { path: path.clone(), why });
            }
            None => {}
        }
        player.chain = judged.chain;
        match judged.verdict {
            Verdict::Bad(bad) => {
                let (record, flaw) = (bad.record, bad.flaw.to_string());
                return Err(ReplayRecordError::Bad { path: path.clone(), record, flaw });
            }
            Verdict::Cut => player.is_cut = true,
            Verdict::Whole | Verdict::Part => {}
        }
    }
    let Player { ticks, commands, differs, gap, is_cut, .. } = player;
    Ok(Replayed { ticks, commands, differs, gap, is_cut })
}

/// Why a block cannot be replayed.
enum Unfit {
    Profile(ProfileFileError),
    Words(&'static str),
}

#[derive(Default)]
struct Player {
    follower: Option<Box<Follower>>,
    case_id: [u8; 16],
    chain: Chain,
    inbox: Vec<Inbound>,
    ticks: u64,
    commands: u64,
    differs: Option<Differs>,
    gap: Option<u64>,
    is_cut: bool,
}

impl Player {
    fn block(&mut self, start: &Start, block: &[Message]) -> Result<(), Unfit> {
        for message in block {
            match message.topic {
                Topic::Start => self.begin(start)?,
                Topic::Command => self.command(&message.data)?,
                Topic::Tick => self.tick(&message.data)?,
                Topic::Gap => {
                    let [first, _] = longs_of_cdr(&message.data).unwrap_or_default();
                    self.gap = Some(first);
                }
                Topic::Transition | Topic::Link | Topic::Seal => {}
            }
            if self.gap.is_some() || self.differs.is_some() {
                break;
            }
        }
        Ok(())
    }

    fn begin(&mut self, start: &Start) -> Result<(), Unfit> {
        if self.follower.is_some() {
            if start.case_id != self.case_id || start.previous != self.chain {
                return Err(Unfit::Words("it is not the part that follows the one before"));
            }
            return Ok(());
        }
        if start.first_tick != 0 {
            let words = "it does not begin with the robot's first tick; give every part, in order";
            return Err(Unfit::Words(words));
        }
        let profile =
            NamedProfile::parse("of the record", &start.settings).map_err(Unfit::Profile)?;
        if profile.hash.get() != start.settings_hash {
            return Err(Unfit::Words("its limits are not those that its hash is of"));
        }
        self.follower = Some(Box::new(Follower::new(profile.profile)));
        self.case_id = start.case_id;
        Ok(())
    }

    fn command(&mut self, data: &[u8]) -> Result<(), Unfit> {
        let unread = Unfit::Words("a command in it cannot be read by this release");
        let Some((_, received_at, bytes)) = command_of_cdr(data) else { return Err(unread) };
        let command = wire::decode_command(bytes).map_err(|_| unread)?;
        let (received_at, checksum) = (Instant::from_micros(received_at), wire::stored_crc(bytes));
        self.inbox.push(Inbound { command, received_at, checksum });
        Ok(())
    }

    fn tick(&mut self, data: &[u8]) -> Result<(), Unfit> {
        let unread = Unfit::Words("a tick in it cannot be read by this release");
        let Some(words) = tick_of_cdr(data) else { return Err(unread) };
        let Some(given) = Given::of(&words) else { return Err(unread) };
        let inbox = std::mem::take(&mut self.inbox);
        if usize::try_from(given.commands) != Ok(inbox.len()) {
            return Err(Unfit::Words("a tick in it has not the commands that it says"));
        }
        let Some(follower) = &mut self.follower else { return Err(unread) };
        let input = given.input(&inbox);
        let output = follower.step(&input);
        self.differs = first_difference(given.tick, &words, &pack(given.tick, &input, &output));
        self.commands = self.commands.saturating_add(given.commands.into());
        if self.differs.is_none() {
            self.ticks = self.ticks.saturating_add(1);
        }
        Ok(())
    }
}

fn first_difference(tick: u64, recorded: &TickWords, replayed: &TickWords) -> Option<Differs> {
    let place = recorded.iter().zip(replayed).position(|(a, b)| a != b)?;
    let (recorded, replayed) = (*recorded.get(place)?, *replayed.get(place)?);
    Some(Differs { tick, field: field_at(place), recorded, replayed })
}

/// The field that stands in a word; of a word of several the first.
fn field_at(place: usize) -> &'static str {
    let eighths = place.saturating_mul(8);
    let mut end = 0_usize;
    let found = FIELDS.iter().find(|field| {
        end = end.saturating_add(field.times.saturating_mul(field.width.bytes()));
        end > eighths
    });
    found.map_or("", |field| field.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhand_follower::supervisor::Request;
    use longhand_follower::{ArmReading, PeerFaults, TickInput};
    use longhand_protocol::geometry::PerArm;
    use longhand_protocol::message::RobotId;
    use longhand_protocol::units::Epoch;
    use longhand_quic::mailbox::Mailbox;
    use longhand_quic::trust::{Authority, Role, Validity};
    use longhand_record::recorder::in_folder;
    use longhand_robot_agent::record::Health;
    use longhand_robot_agent::record::recorder::{Recorded, recorder};
    use longhand_robot_agent::record::tap::tap;
    use longhand_robot_agent::servo::HOME;
    use std::sync::Arc;
    use tempfile::TempDir;

    /// A record of so many ticks, one of which says what the follower did not; its parts, in order.
    fn record(ticks: u64, spoilt: Option<u64>, ring: usize) -> (TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::ephemeral("Test").unwrap();
        let (robot, life) = (RobotId::new(1), Validity::days(1).unwrap());
        let issued = authority.issue(Role::Robot, "or3", Some(robot), life).unwrap();
        let signer = authority.credentials(&issued).unwrap().signer().unwrap();
        let profile = NamedProfile::load("satellite").unwrap();
        let mut follower = Follower::new(profile.profile);
        let health = Arc::new(Health::default());
        let (mut tap, tapped) = tap(ring, &health);
        let ends = (Mailbox::pair().1, Mailbox::pair().0);
        let at = |tick: u64| Instant::from_micros(1_000_000 + tick * 1_000);
        let recorded = Recorded { robot, profile, signer };
        let disk = in_folder(folder.path().to_owned());
        let recorder = recorder(at(0), tapped, &health, recorded, disk, ends).unwrap();
        let mut recorder = recorder.with_parts_of(5_000);
        let (measured_js, measured_jaw) = HOME;
        let reading = ArmReading { measured_js, measured_jaw, ..ArmReading::default() };
        for tick in 0..ticks {
            let input = TickInput {
                now: at(tick),
                scheduled_at: at(tick),
                inbox: &[],
                measured: PerArm { psm1: reading, psm2: reading },
                emergency_stop: tick % 100 == 99,
                peer_faults: PeerFaults::default(),
                request: [Request::Restart, Request::Enable, Request::HandOver]
                    .get(usize::try_from(tick % 50).unwrap())
                    .copied(),
            };
            let mut output = follower.step(&input);
            if spoilt == Some(tick) {
                output.fence = Epoch::new(7);
            }
            tap.see(&input, &output, &[]);
            if ring > 1_000 || tick == 20 {
                recorder.turn(at(tick));
            }
        }
        recorder.turn(at(ticks));
        recorder.finish(at(ticks));
        let mut parts: Vec<PathBuf> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        parts.sort();
        (folder, parts)
    }

    #[test]
    fn a_record_replays_to_the_bit_and_one_other_bit_is_named() {
        let (_folder, parts) = record(2_000, None, 1 << 16);
        let replayed = replay(&parts, None).unwrap();
        assert_eq!(replayed, Replayed { ticks: 2_000, ..Replayed::default() });
        let (_folder, parts) = record(2_000, Some(1_234), 1 << 16);
        let replayed = replay(&parts, None).unwrap();
        let differs = Differs { tick: 1_234, field: "fence", recorded: 7, replayed: 0 };
        assert_eq!((replayed.ticks, replayed.differs), (1_234, Some(differs)));
    }

    #[test]
    fn behind_missing_ticks_nothing_is_replayed() {
        let (_folder, parts) = record(30, None, 900);
        let replayed = replay(&parts, None).unwrap();
        // Ten ticks of 87 words find room in the ring, and nobody empties it for ten more.
        assert_eq!((replayed.ticks, replayed.gap), (10, Some(10)));
    }

    #[test]
    fn the_parts_of_a_long_record_are_replayed_in_order_and_in_no_other() {
        let (_folder, parts) = record(5_500, None, 1 << 16);
        assert_eq!(parts.len(), 2);
        let replayed = replay(&parts, None).unwrap();
        assert_eq!(replayed, Replayed { ticks: 5_500, ..Replayed::default() });
        assert!(replay(&parts[1..], None).is_err());
        assert!(replay(&[parts[0].clone(), parts[0].clone()], None).is_err());
    }
}
