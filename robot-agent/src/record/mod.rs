//! The robot's black box: what of it is the robot's own.
//!
//! Knows: the words of a tick of the servo loop, and what a robot's record says beside them. Does
//! not know: files, chains, disks (`longhand-record` has them, for both ends), or what a tick
//! decides; nothing here can reach the follower.
//!
//! `tap` takes the tick in the servo thread; `recorder` writes it; `schema` is what then stands in
//! the file. A record begins with the robot's first tick and holds the follower's whole input, so
//! the shipped follower can be run again on it (`Given`), and must say the same.

use longhand_protocol::units::Robot;

pub mod recorder;
pub mod schema;
pub mod tap;
pub mod tick;

/// How the robot's recorder does.
pub type Health = longhand_record::health::Health<Robot>;
/// One message of a robot's record.
pub type Message = longhand_record::file::Message<schema::Topic>;
/// Writes a robot's record into a file.
pub type RecordWriter = longhand_record::file::RecordWriter<schema::Topic>;
/// Records a robot.
pub type Recorder = longhand_record::recorder::Recorder<recorder::Scribe>;
